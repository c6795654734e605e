//! Ports and services that this workload has just given up: callers hear of it a moment later, and what they send
//! until then must not be lost. Policies are those of now, also for these.

use std::time::Duration;

use byrnie_decide::Time;
use byrnie_plan::{InboundPolicy, InboundPort};

/// How long what was given up is still accepted: a change reaches the last caller well within it.
const GRACE: Duration = Duration::from_secs(5);

/// What was given up, and until when it is accepted.
#[derive(Default)]
pub(super) struct Leaving(Vec<(Time, InboundPort)>);

impl Leaving {
    /// `new` takes the place of `old`. Another identity has nothing to do with what the old one accepted.
    pub(super) fn replaced(&mut self, old: &InboundPolicy, new: &InboundPolicy, now: Time) {
        if old.identity != new.identity {
            self.0.clear();
            return;
        }
        for port in &old.ports {
            let kept = new.ports.iter().find(|kept| kept.port == port.port);
            let kept = kept.map(|kept| kept.services.as_slice()).unwrap_or_default();
            let services = port.services.iter().filter(|service| !kept.contains(service)).cloned().collect();
            let gone = InboundPort { services, ..port.clone() };
            if !gone.services.is_empty() {
                self.0.push((now.plus(GRACE), gone));
            }
        }
    }

    /// Forgets what is over. True: there was something.
    pub(super) fn expire(&mut self, now: Time) -> bool {
        let before = self.0.len();
        self.0.retain(|(until, _)| *until > now);
        self.0.len() != before
    }

    /// Whether something is still accepted that the policy does not name.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The policy with all that is still accepted.
    pub(super) fn added_to(&self, policy: &InboundPolicy) -> InboundPolicy {
        let mut policy = policy.clone();
        for (_, gone) in &self.0 {
            match policy.ports.iter_mut().find(|port| port.port == gone.port) {
                Some(port) => {
                    let new = gone.services.iter().filter(|service| !port.services.contains(service));
                    let new: Vec<_> = new.cloned().collect();
                    port.services.extend(new);
                }
                None => policy.ports.push(gone.clone()),
            }
        }
        policy
    }
}

#[cfg(test)]
mod tests {
    use byrnie_plan::{AppProtocol, DefaultAction, ServicePortRef};

    use super::*;

    fn policy(account: &str, ports: &[(u16, &[&str])]) -> InboundPolicy {
        let service =
            |name: &&str| ServicePortRef { service: format!("shop/{name}").parse().unwrap(), port: 80 };
        let port = |(port, services): &(u16, &[&str])| InboundPort {
            port: *port,
            name: String::new(),
            address: ([127, 0, 0, 1], *port).into(),
            protocol: AppProtocol::Http1,
            services: services.iter().map(service).collect(),
            overrides: Default::default(),
        };
        InboundPolicy {
            locality: String::new(),
            health_checks: Vec::new(),
            overrides: Default::default(),
            workload: "shop/web-1".parse().unwrap(),
            identity: format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap(),
            ports: ports.iter().map(port).collect(),
            authorization: Default::default(),
            default_action: DefaultAction::Deny,
            controls: Vec::new(),
        }
    }

    #[test]
    fn what_was_given_up_is_accepted_for_a_while() {
        let mut leaving = Leaving::default();
        let first = policy("web", &[(1, &["a", "b"]), (2, &["c"])]);
        let second = policy("web", &[(1, &["a"]), (3, &["c"])]);
        leaving.replaced(&first, &second, Time::ZERO);
        assert_eq!(leaving.added_to(&second), policy("web", &[(1, &["a", "b"]), (3, &["c"]), (2, &["c"])]));
        // What comes back meanwhile is there once.
        assert_eq!(leaving.added_to(&first), first);
        assert!(!leaving.expire(Time::ZERO.plus(GRACE / 2)) && !leaving.is_empty());
        assert!(leaving.expire(Time::ZERO.plus(GRACE)) && leaving.is_empty());
        assert_eq!(leaving.added_to(&second), second);
    }

    #[test]
    fn another_identity_accepts_nothing_of_the_old_one() {
        let mut leaving = Leaving::default();
        let (first, second) = (policy("web", &[(1, &["a"])]), policy("web", &[]));
        leaving.replaced(&first, &second, Time::ZERO);
        leaving.replaced(&second, &policy("other", &[]), Time::ZERO);
        assert!(leaving.is_empty());
    }
}
