//! Rules of a Gateway.

use std::net::IpAddr;

use super::Issues;
use crate::codes;
use crate::generated::GatewaySpec;

pub(super) fn gateway(spec: &GatewaySpec, issues: &mut Issues) {
    let listeners = || spec.listeners.iter().enumerate();
    let names =
        listeners().map(|(index, listener)| (Some(&listener.name), format!("spec.listeners[{index}].name")));
    issues.unique(codes::LISTENER_CONFLICT, names, "name");
    let sockets = listeners().map(|(index, listener)| {
        let hostname = listener.hostname.as_deref().unwrap_or_default();
        (Some((listener.port, listener.protocol.as_str(), hostname)), format!("spec.listeners[{index}]"))
    });
    issues.unique(codes::LISTENER_CONFLICT, sockets, "port, protocol and hostname");
    for (index, listener) in listeners() {
        let path = format!("spec.listeners[{index}]");
        match (listener.protocol.as_str(), &listener.tls) {
            ("HTTP" | "TCP" | "UDP", Some(_)) => {
                let message = format!("a listener of protocol {} has no tls", listener.protocol);
                issues.error(codes::LISTENER_TLS, format!("{path}.tls"), message);
            }
            ("HTTPS" | "TLS", None) => {
                let message = format!("a listener of protocol {} needs tls", listener.protocol);
                issues.error(codes::LISTENER_TLS, format!("{path}.tls"), message);
            }
            _ => {}
        }
        let hostname = listener.hostname.as_deref().unwrap_or_default();
        if matches!(listener.protocol.as_str(), "TCP" | "UDP") && !hostname.is_empty() {
            let message = format!("a listener of protocol {} has no hostname", listener.protocol);
            issues.error(codes::LISTENER_HOSTNAME, format!("{path}.hostname"), message);
        }
    }
    addresses(spec, issues);
}

fn addresses(spec: &GatewaySpec, issues: &mut Issues) {
    for (index, address) in spec.addresses.iter().enumerate() {
        let path = format!("spec.addresses[{index}].value");
        match (address.type_.as_str(), &address.value) {
            ("IPAddress", Some(value)) if value.parse::<IpAddr>().is_err() => {
                issues.error(codes::BAD_ADDRESS, path, format!("{value:.64?} is no IP address"));
            }
            _ => {}
        }
    }
    let keys = spec.addresses.iter().enumerate().map(|(index, address)| {
        let key = address.value.as_ref().map(|value| (&address.type_, value));
        (key, format!("spec.addresses[{index}]"))
    });
    issues.unique(codes::DUPLICATE_ENTRY, keys, "address");
}
