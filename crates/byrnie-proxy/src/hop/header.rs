//! `byrnie-hop`: what the client's proxy tells the server's proxy about one request.
//!
//! `v=1;s=shop/web:80;r=http/shop/front/0;p=8080;h=11;a=1;d=1500` — the service and the port that the caller named, the
//! route for telemetry, the workload's own port, the original HTTP version (10, 11, 20; absent for bytes), retries made
//! before, milliseconds left. `c` is the client's address (of requests without its port, and not for loopback): for the
//! log, and for applications that are to see it. It never says who calls (the certificate does) nor which workload is
//! meant (the address dialed does). What stays the same between the requests of a connection comes first, so that a
//! reader need not parse it again ([`split`]).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use byrnie_plan::{ObjectName, RouteKind, RouteName, ServicePortRef};
use http::{HeaderName, HeaderValue, Version};

/// The header's name.
pub const HOP: HeaderName = HeaderName::from_static("byrnie-hop");

/// Longest value that is read, in bytes.
const LIMIT: usize = 1024;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopHeader {
    /// The workload's own port.
    pub port: u16,
    /// What the caller asked for.
    pub service: ServicePortRef,
    /// The version that the caller spoke; `None` for bytes.
    pub version: Option<Version>,
    /// Retries made before this try.
    pub attempt: u32,
    /// What is left of the request's time; `None`: no limit.
    pub remaining: Option<Duration>,
    /// `kind/namespace/route/rule`, for telemetry.
    pub route: Option<String>,
    /// Where the client's proxy was called from; of requests without the port (0).
    pub client: Option<SocketAddr>,
}

/// What changes from request to request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The version that the caller spoke; `None` for bytes.
    pub version: Option<Version>,
    /// Retries made before this try.
    pub attempt: u32,
    /// What is left of the request's time; `None`: no limit.
    pub remaining: Option<Duration>,
    /// The client's address.
    pub client: Option<SocketAddr>,
}

/// The beginning of the headers of all requests to a service.
pub fn hop_prefix(service: &ServicePortRef) -> String {
    format!("v=1;s={}:{}", service.service, service.port)
}

/// What headers say of a route.
pub fn hop_part(route: &RouteName) -> String {
    let kind = match route.kind {
        RouteKind::Http => "http",
        RouteKind::Grpc => "grpc",
        RouteKind::Tcp => "tcp",
        RouteKind::Tls => "tls",
        RouteKind::Profile => "profile",
    };
    format!(";r={kind}/{}/{}", route.route, route.rule)
}

/// The header of one try of a request.
pub fn for_request(outgoing: &super::Outgoing<'_>) -> Option<HeaderValue> {
    let route = outgoing.rule.map_or("", |rule| rule.hop_part.as_str());
    let mut text = String::with_capacity(outgoing.cluster.hop_prefix.len() + route.len() + 40);
    text.push_str(&outgoing.cluster.hop_prefix);
    text.push_str(route);
    let _ = write!(text, ";p={}", outgoing.endpoint.plan.app_port);
    text.push_str(match outgoing.version {
        Version::HTTP_10 => ";h=10",
        Version::HTTP_2 => ";h=20",
        _ => ";h=11",
    });
    if let Some(client) = outgoing.client {
        text.push_str(";c=");
        text.push_str(client);
    }
    if outgoing.attempt > 0 {
        let _ = write!(text, ";a={}", outgoing.attempt);
    }
    if let Some(remaining) = outgoing.remaining {
        let _ = write!(text, ";d={}", remaining.as_millis());
    }
    HeaderValue::try_from(text).ok()
}

/// The header of a connection's bytes, which came from `client`.
pub fn for_bytes(
    prefix: &str,
    route: Option<&RouteName>,
    port: u16,
    client: SocketAddr,
) -> Option<HeaderValue> {
    let route = route.map(hop_part).unwrap_or_default();
    // A scope is of no use elsewhere, and its sign none of an address's.
    let client = SocketAddr::new(client.ip(), client.port());
    HeaderValue::try_from(format!("{prefix}{route};p={port};c={client}")).ok()
}

/// The part that stays the same between requests, and the rest (`h`, `a`, `d`).
pub fn split(text: &str) -> (&str, &str) {
    match text.find(";h=") {
        Some(at) => text.split_at(at),
        None => (text, ""),
    }
}

/// Reads what [`split`] splits off.
pub fn parse_rest(rest: &str) -> Option<Rest> {
    let mut read = Rest::default();
    for part in rest.split(';').filter(|part| !part.is_empty()) {
        match part.split_once('=')? {
            ("h", value) => read.version = Some(parse_version(value)?),
            ("c", value) => read.client = Some(parse_client(value)?),
            ("a", value) => read.attempt = value.parse().ok()?,
            ("d", value) => read.remaining = Some(Duration::from_millis(value.parse().ok()?)),
            _ => {}
        }
    }
    Some(read)
}

/// Reads a value. Strict: `None` for anything that our own proxies would not write, but for parts that a newer one may
/// add (unknown letters are skipped).
pub fn parse(value: &HeaderValue) -> Option<HopHeader> {
    let text = value.to_str().ok().filter(|text| text.len() <= LIMIT)?;
    let (fixed, rest) = split(text);
    let (mut known, mut port, mut service, mut route, mut client) = (false, None, None, None, None);
    for part in fixed.split(';') {
        match part.split_once('=')? {
            ("v", value) => known = value == "1",
            ("p", value) => port = Some(value.parse::<u16>().ok().filter(|p| *p != 0)?),
            ("s", value) => service = Some(parse_service(value)?),
            ("r", value) => route = Some(value.to_owned()),
            ("c", value) => client = Some(parse_client(value)?),
            // What changes from try to try comes behind the version, or the kept part would hide it.
            ("a" | "d", _) => return None,
            _ => {}
        }
    }
    let Rest { version, attempt, remaining, client: of_request } = parse_rest(rest)?;
    let client = of_request.or(client);
    known.then_some(HopHeader { port: port?, service: service?, version, attempt, remaining, route, client })
}

impl HopHeader {
    /// The route for telemetry: what the caller says, `None` when it is no route's name.
    pub fn route_name(&self) -> Option<RouteName> {
        let mut parts = self.route.as_deref()?.splitn(4, '/');
        let kind = match parts.next()? {
            "http" => RouteKind::Http,
            "grpc" => RouteKind::Grpc,
            "tcp" => RouteKind::Tcp,
            "tls" => RouteKind::Tls,
            "profile" => RouteKind::Profile,
            _ => return None,
        };
        let (namespace, name, rule) = (parts.next()?, parts.next()?, parts.next()?);
        if namespace.is_empty() || name.is_empty() {
            return None;
        }
        Some(RouteName { kind, route: ObjectName::new(namespace, name), rule: rule.to_owned() })
    }
}

fn parse_service(text: &str) -> Option<ServicePortRef> {
    let (name, port) = text.rsplit_once(':')?;
    let service: ObjectName = name.parse().ok()?;
    Some(ServicePortRef { service, port: port.parse().ok()? })
}

fn parse_client(text: &str) -> Option<SocketAddr> {
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    text.parse::<SocketAddr>().or_else(|_| alone()).ok()
}

fn parse_version(text: &str) -> Option<Version> {
    match text {
        "10" => Some(Version::HTTP_10),
        "11" => Some(Version::HTTP_11),
        "20" => Some(Version::HTTP_2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> ServicePortRef {
        ServicePortRef { service: ObjectName::new("shop", "web"), port: 80 }
    }

    #[test]
    fn what_is_written_is_read() {
        let route =
            RouteName { kind: RouteKind::Http, route: ObjectName::new("shop", "front"), rule: "0".into() };
        let text = format!("{}{};p=8080;h=20;c=fd00::7;a=2;d=1500", hop_prefix(&web()), hop_part(&route));
        let read = parse(&HeaderValue::from_str(&text).unwrap()).unwrap();
        assert_eq!((read.port, &read.service, read.version), (8080, &web(), Some(Version::HTTP_2)));
        assert_eq!(read.client, Some("[fd00::7]:0".parse().unwrap()));
        assert_eq!((read.attempt, read.remaining), (2, Some(Duration::from_millis(1500))));
        assert_eq!(read.route_name(), Some(route));
    }

    #[test]
    fn bytes_have_no_version() {
        let client: SocketAddr = "[fd00::1]:40000".parse().unwrap();
        let read = parse(&for_bytes(&hop_prefix(&web()), None, 5432, client).unwrap()).unwrap();
        assert_eq!(read.client, Some(client));
        assert_eq!(
            (read.port, read.version, read.attempt, read.remaining, read.route),
            (5432, None, 0, None, None)
        );
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for bad in [
            "",
            "v=1",
            "v=2;p=80;s=shop/web:80",
            "p=80;s=shop/web:80",
            "v=1;p=0;s=shop/web:80",
            "v=1;p=99999;s=shop/web:80",
            "v=1;p=80;s=web:80",
            "v=1;p=80;s=shop/web",
            "v=1;p=80;s=shop/web:80;h=30",
            "v=1;p=80;s=shop/web:80;h=11;a=-1",
            "v=1;p=80;;s=shop/web:80",
            "v=1;p=80;s=shop/web:80;c=somewhere",
            "v=1;p=80;s=shop/web:80;h=11;c=10.0.0",
        ] {
            assert_eq!(parse(&HeaderValue::from_static(bad)), None, "{bad}");
        }
        assert!(parse(&HeaderValue::from_static("v=1;p=80;s=shop/web:80;z=new")).is_some());
    }
}
