//! `Service`: ports, target ports, protocols.

use std::collections::BTreeSet;

use byrnie_api::kinds as api;
use byrnie_api::meta::{ConditionStatus, IntOrString};
use byrnie_plan::{AppProtocol, ObjectName, name_shard};

use crate::Finding;
use crate::findings::{self, finding};
use crate::model::{Meta, Service, ServicePort, ServiceShape, Subset, TargetPort};

/// Ports whose protocols do not begin with the client, or are never HTTP: SMTP (25, 587), MySQL (3306, also
/// 4444 for Galera), PostgreSQL (5432), Redis (6379), Elasticsearch's transport (9300), memcached (11211).
/// Treated as TCP without sniffing unless `appProtocol` says otherwise; the list is Linkerd's default of
/// opaque ports.
const OPAQUE_PORTS: [u16; 8] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

pub(super) fn service(meta: Meta, service: &api::Service, transparent: bool) -> Service {
    let spec = &service.spec;
    let shape = if spec.type_ == Some(api::ServiceType::ExternalName) {
        ServiceShape::External
    } else if spec.cluster_ip.as_deref() == Some("None") {
        ServiceShape::Headless
    } else {
        ServiceShape::Virtual
    };
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, port) in spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let protocol = port.protocol.unwrap_or_default();
        if protocol != api::IpProtocol::TCP {
            let message = format!("port {} is {protocol:?}, and only TCP is proxied", port.port);
            found.push(finding(findings::PORT_NOT_PROXIED, &meta, path, message));
        } else if !seen.insert(port.port) {
            let message = format!("port {} is there already; this entry is ignored", port.port);
            found.push(finding(findings::SERVICE_PORT_TWICE, &meta, path, message));
        } else {
            ports.push(service_port(&meta, port, &path, &mut found));
        }
    }
    ports.sort_by_key(|port| port.port);
    let (mut shard, mut addresses) = (None, Vec::new());
    if transparent {
        shard = Some(name_shard(&meta.name.namespace, &meta.name.name));
        addresses.extend(service.status.iter().flat_map(|status| status.virtual_addresses.iter().copied()));
        found.extend(unaddressed(&meta, service));
    }
    let alias = spec.external_name.clone().filter(|_| shape == ServiceShape::External);
    Service { shape, selector: spec.selector.clone(), ports, shard, addresses, alias, findings: found, meta }
}

/// What the allocation of addresses wrote into the status.
fn unaddressed(meta: &Meta, service: &api::Service) -> Option<Finding> {
    let conditions = service.status.iter().flat_map(|status| &status.conditions);
    let mut refusals = conditions.filter(|c| c.type_ == "Addressed" && c.status == ConditionStatus::False);
    let message = refusals.next()?.message.clone();
    Some(finding(findings::ADDRESSES_EXHAUSTED, meta, "status.virtualAddresses", message))
}

pub(super) fn subset(meta: Meta, subset: &api::ServiceSubset) -> Subset {
    let service = ObjectName::new(meta.name.namespace.as_str(), subset.spec.service.as_str());
    Subset { service, labels: subset.spec.labels.clone(), meta }
}

fn service_port(meta: &Meta, port: &api::ServicePort, path: &str, found: &mut Vec<Finding>) -> ServicePort {
    let target = match &port.target_port {
        None => TargetPort::Number(port.port),
        Some(IntOrString::Int(number)) => number_or_name(u16::try_from(*number).ok(), || number.to_string()),
        // Kubernetes takes a number written as text for a name; no name consists of digits only, so nothing
        // is lost by understanding it.
        Some(IntOrString::String(name)) => number_or_name(name.parse().ok(), || name.clone()),
    };
    let protocol = match &port.app_protocol {
        Some(name) => app_protocol(name).unwrap_or_else(|| {
            let message = format!("appProtocol {name:?} is not known; the port is treated as TCP");
            found.push(finding(findings::APP_PROTOCOL_UNKNOWN, meta, format!("{path}.appProtocol"), message));
            AppProtocol::Tcp
        }),
        None if OPAQUE_PORTS.contains(&port.port) => AppProtocol::Tcp,
        None => AppProtocol::Detect,
    };
    ServicePort { name: port.name.clone().unwrap_or_default(), port: port.port, target, protocol }
}

/// 0 means the same as the port that callers name in Kubernetes' defaulting only when absent; as a number it
/// leads nowhere, like a name that nobody has.
fn number_or_name(number: Option<u16>, name: impl FnOnce() -> String) -> TargetPort {
    match number {
        Some(number) if number > 0 => TargetPort::Number(number),
        _ => TargetPort::Name(name()),
    }
}

/// `None`: a protocol that is not known.
pub(super) fn app_protocol(name: &str) -> Option<AppProtocol> {
    Some(match name.to_ascii_lowercase().as_str() {
        "http" | "http1" | "http/1.1" | "kubernetes.io/ws" => AppProtocol::Http1,
        "http2" | "h2c" | "kubernetes.io/h2c" => AppProtocol::Http2,
        "grpc" => AppProtocol::Grpc,
        "tcp" => AppProtocol::Tcp,
        // Encrypted by the application itself.
        "tls" | "https" | "kubernetes.io/wss" => AppProtocol::Tls,
        _ => return None,
    })
}
