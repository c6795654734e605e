//! Rules of a Gateway and of a ListenerSet.

use std::net::IpAddr;

use super::Issues;
use super::route::is_dns_name;
use crate::codes;
use crate::generated::{GatewaySpec, Listener, ListenerEntry, ListenerSetSpec, ListenerTLSConfig, TLSMode};
use crate::names::is_label_key;

/// Bytes of a key's prefix: fewer than this.
const KEY_PREFIX_LIMIT: usize = 253;

pub(super) fn gateway(spec: &GatewaySpec, issues: &mut Issues) {
    listeners(&spec.listeners.iter().map(Shared::from).collect::<Vec<_>>(), issues);
    addresses(spec, issues);
    if let Some(infrastructure) = &spec.infrastructure {
        for (field, map) in [("labels", &infrastructure.labels), ("annotations", &infrastructure.annotations)]
        {
            for key in map.keys() {
                let prefix = key.split('/').next().unwrap_or_default();
                if !is_label_key(key) || prefix.len() >= KEY_PREFIX_LIMIT {
                    let message = format!("{key:.64?} is no key of a label or annotation");
                    issues.error(codes::BAD_LABEL, format!("spec.infrastructure.{field}"), message);
                }
            }
        }
    }
    let frontend = spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref());
    let ports = frontend.iter().flat_map(|frontend| &frontend.per_port).enumerate();
    let ports = ports.map(|(i, port)| (Some(port.port), format!("spec.tls.frontend.perPort[{i}].port")));
    issues.unique(codes::DUPLICATE_ENTRY, ports, "port");
}

pub(super) fn listener_set(spec: &ListenerSetSpec, issues: &mut Issues) {
    listeners(&spec.listeners.iter().map(Shared::from).collect::<Vec<_>>(), issues);
}

/// What a Gateway's listener and a ListenerSet's entry have in common.
struct Shared<'a> {
    name: &'a str,
    port: u16,
    protocol: &'a str,
    hostname: Option<&'a str>,
    tls: Option<&'a ListenerTLSConfig>,
}

macro_rules! shared {
    ($($type:ty),*) => {
        $(impl<'a> From<&'a $type> for Shared<'a> {
            fn from(listener: &'a $type) -> Self {
                Self {
                    name: &listener.name,
                    port: listener.port,
                    protocol: &listener.protocol,
                    hostname: listener.hostname.as_deref(),
                    tls: listener.tls.as_ref(),
                }
            }
        })*
    };
}

shared!(Listener, ListenerEntry);

fn listeners(all: &[Shared<'_>], issues: &mut Issues) {
    let listeners = || all.iter().enumerate();
    let names = listeners().map(|(index, one)| (Some(one.name), format!("spec.listeners[{index}].name")));
    issues.unique(codes::LISTENER_CONFLICT, names, "name");
    let sockets = listeners().map(|(index, one)| {
        (Some((one.port, one.protocol, one.hostname)), format!("spec.listeners[{index}]"))
    });
    issues.unique(codes::LISTENER_CONFLICT, sockets, "port, protocol and hostname");
    for (index, listener) in listeners() {
        let path = format!("spec.listeners[{index}]");
        tls(&path, listener, issues);
        let hostname = listener.hostname.unwrap_or_default();
        if matches!(listener.protocol, "TCP" | "UDP") && !hostname.is_empty() {
            let message = format!("a listener of protocol {} has no hostname", listener.protocol);
            issues.error(codes::LISTENER_HOSTNAME, format!("{path}.hostname"), message);
        }
    }
}

fn tls(path: &str, listener: &Shared<'_>, issues: &mut Issues) {
    let message = match (listener.protocol, listener.tls) {
        ("HTTP" | "TCP" | "UDP", Some(_)) => {
            format!("a listener of protocol {} has no tls", listener.protocol)
        }
        ("TLS", None) => "a listener of protocol TLS needs tls".to_owned(),
        ("HTTPS", Some(tls)) if tls.mode != TLSMode::Terminate => {
            "a listener of protocol HTTPS ends TLS: its mode is Terminate".to_owned()
        }
        (_, Some(tls))
            if tls.mode == TLSMode::Terminate
                && tls.certificate_refs.is_empty()
                && tls.options.is_empty() =>
        {
            "mode Terminate needs certificateRefs or options".to_owned()
        }
        _ => return,
    };
    issues.error(codes::LISTENER_TLS, format!("{path}.tls"), message);
}

fn addresses(spec: &GatewaySpec, issues: &mut Issues) {
    for (index, address) in spec.addresses.iter().enumerate() {
        let path = format!("spec.addresses[{index}].value");
        match (address.type_.as_str(), &address.value) {
            ("IPAddress", Some(value)) if value.parse::<IpAddr>().is_err() => {
                issues.error(codes::BAD_ADDRESS, path, format!("{value:.64?} is no IP address"));
            }
            ("Hostname", Some(value)) if !is_dns_name(value.strip_prefix("*.").unwrap_or(value)) => {
                issues.error(codes::BAD_ADDRESS, path, format!("{value:.64?} is no hostname"));
            }
            _ => {}
        }
    }
    let keys = spec.addresses.iter().enumerate().map(|(index, address)| {
        let is_told_apart = ["IPAddress", "Hostname"].contains(&address.type_.as_str());
        let key = address.value.as_ref().filter(|_| is_told_apart).map(|value| (&address.type_, value));
        (key, format!("spec.addresses[{index}]"))
    });
    issues.unique(codes::DUPLICATE_ENTRY, keys, "address");
}
