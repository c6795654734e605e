//! What helps against detection that takes too long, said for each port now and then, however often it happens.

use std::time::{Duration, Instant};

use byrnie_plan::ServicePortRef;
use foldhash::HashMap;
use parking_lot::Mutex;

/// From one warning about a port to the next.
const PAUSE: Duration = Duration::from_secs(600);
/// Ports that are remembered. Beyond it all are forgotten, and warned of again.
const MOST: usize = 1024;

/// Which ports were warned of, and when.
#[derive(Default)]
pub struct Warnings(Mutex<HashMap<ServicePortRef, Port>>);

struct Port {
    told: Instant,
    /// Clients since then.
    count: u64,
}

impl Warnings {
    /// One client more. How many there were since the last warning, when it is time for another one.
    pub fn count(&self, service: &ServicePortRef, now: Instant) -> Option<u64> {
        let mut ports = self.0.lock();
        if let Some(port) = ports.get_mut(service) {
            port.count += 1;
            if now.saturating_duration_since(port.told) < PAUSE {
                return None;
            }
            port.told = now;
            return Some(std::mem::take(&mut port.count));
        }
        if ports.len() >= MOST {
            ports.clear();
        }
        ports.insert(service.clone(), Port { told: now, count: 0 });
        Some(1)
    }
}

/// What happened, and what to declare.
pub(super) fn sentence(service: &ServicePortRef, count: u64, limit: Duration) -> String {
    let ServicePortRef { service, port } = service;
    let clients = match count {
        1 => "a client".to_owned(),
        count => format!("{count} clients"),
    };
    format!(
        "port {port} of Service {service}: {clients} did not say within {limit:?} what they speak, and are treated as \
         TCP; declare appProtocol on that port (http, http2, grpc or tcp), or raise \
         TrafficPolicy.spec.inbound.detectTimeout"
    )
}

#[cfg(test)]
mod tests {
    use byrnie_plan::ObjectName;

    use super::*;

    fn port(port: u16) -> ServicePortRef {
        ServicePortRef { service: ObjectName::new("shop", "web"), port }
    }

    #[test]
    fn each_port_is_warned_of_once_in_a_while() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        assert_eq!(warnings.count(&port(80), start), Some(1));
        for second in 1..600 {
            assert_eq!(warnings.count(&port(80), start + Duration::from_secs(second)), None);
        }
        assert_eq!(warnings.count(&port(81), start), Some(1), "another port is another matter");
        assert_eq!(warnings.count(&port(80), start + PAUSE), Some(600));
        assert_eq!(warnings.count(&port(80), start + PAUSE), None);
        for number in 1..=u16::try_from(MOST).unwrap() * 2 {
            warnings.count(&port(number), start);
        }
        assert!(warnings.0.lock().len() <= MOST);
    }

    #[test]
    fn a_warning_says_what_to_declare() {
        let text = sentence(&port(80), 7, Duration::from_secs(1));
        assert!(text.starts_with("port 80 of Service shop/web: 7 clients did not say within 1s"), "{text}");
        assert!(text.contains("declare appProtocol on that port"), "{text}");
    }
}
