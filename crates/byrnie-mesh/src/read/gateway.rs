//! `Gateway`, `ListenerSet` and `ReferenceGrant`.

use std::net::IpAddr;

use byrnie_api::generated as api;
use byrnie_api::labels::Selector;
use byrnie_plan::ObjectName;

use crate::hosts;
use crate::model::{AllowedNamespaces, Gateway, Grant, Listener, ListenerSet, Meta, Speaks, Unsupported};

/// Where a Gateway's proxy is, as `spec.locality` of a Workload says it.
const LOCALITY: &str = "byrnie.dev/locality";

pub(super) fn gateway(meta: Meta, gateway: &api::Gateway) -> Gateway {
    let spec = &gateway.spec;
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut bad_address = None;
    for address in &spec.addresses {
        match (&address.value, address.type_.as_str()) {
            // Without a value the implementation chooses: loopback.
            (None, "IPAddress") => {}
            (Some(value), "IPAddress") if value.is_empty() => {}
            (Some(value), "IPAddress") => match value.parse() {
                Ok(ip) if !addresses.contains(&ip) => addresses.push(ip),
                Ok(_) => {}
                Err(_) => bad_address = Some(value.clone()),
            },
            (value, kind) => bad_address = Some(format!("{kind} {}", value.as_deref().unwrap_or_default())),
        }
    }
    addresses.sort();
    Gateway {
        meta,
        class: spec.gateway_class_name.clone(),
        listeners: spec.listeners.iter().map(listener).collect(),
        addresses,
        bad_address,
        allowed_sets: allowed_sets(spec.allowed_listeners.as_ref()),
        unsupported: unsupported(spec),
        locality: gateway.metadata.annotations.get(LOCALITY).cloned().unwrap_or_default(),
    }
}

pub(super) fn listener_set(meta: Meta, set: &api::ListenerSet) -> ListenerSet {
    let parent = &set.spec.parent_ref;
    let namespace = parent.namespace.as_deref().unwrap_or(&meta.name.namespace);
    let is_gateway = parent.group == byrnie_api::GATEWAY_GROUP && parent.kind == "Gateway";
    ListenerSet {
        gateway: is_gateway.then(|| ObjectName::new(namespace, parent.name.as_str())),
        listeners: set.spec.listeners.iter().map(|entry| listener(&as_listener(entry))).collect(),
        meta,
    }
}

/// What a Gateway as a whole asks for and what there is not. None of it may be left out silently: a door that asks
/// for certificates must not stand open without them.
fn unsupported(spec: &api::GatewaySpec) -> Option<Unsupported> {
    let tls = spec.tls.as_ref();
    if tls.is_some_and(|tls| tls.frontend.is_some()) {
        let message = "client certificates at the edge (spec.tls.frontend) are not supported yet".to_owned();
        return Some(Unsupported { field: "spec.tls.frontend", reason: "Invalid", message });
    }
    if tls.is_some_and(|tls| tls.backend.is_some()) {
        let message = "a client certificate for backends (spec.tls.backend) is not supported yet".to_owned();
        return Some(Unsupported { field: "spec.tls.backend", reason: "Invalid", message });
    }
    let parameters = spec.infrastructure.as_ref()?.parameters_ref.as_ref()?;
    let message = format!("there are no parameters of kind {}.{}", parameters.kind, parameters.group);
    let field = "spec.infrastructure.parametersRef";
    Some(Unsupported { field, reason: "InvalidParameters", message })
}

fn listener(listener: &api::Listener) -> Listener {
    let protocol = speaks(&listener.protocol, listener.tls.as_ref());
    let hostname = match protocol {
        Speaks::Tcp => Some(byrnie_plan::HostPattern::Any),
        _ => hosts::parse(listener.hostname.as_deref().unwrap_or_default()),
    };
    let (namespaces, kinds) = (&listener.allowed_routes.namespaces, &listener.allowed_routes.kinds);
    Listener {
        name: listener.name.clone(),
        port: listener.port,
        protocol,
        hostname,
        namespaces: match namespaces.from {
            api::FromNamespaces::All => AllowedNamespaces::All,
            api::FromNamespaces::Same => AllowedNamespaces::Same,
            api::FromNamespaces::Selector => selected(namespaces.selector.as_ref()),
        },
        kinds: (!kinds.is_empty())
            .then(|| kinds.iter().map(|kind| (kind.group.clone(), kind.kind.clone())).collect()),
    }
}

/// An entry of a ListenerSet as the listener of a Gateway that it becomes: the standard has two types for one thing.
fn as_listener(entry: &api::ListenerEntry) -> api::Listener {
    // No `..`: who adds a field to one of them decides about it here.
    let api::ListenerEntry { allowed_routes, hostname, name, port, protocol, tls } = entry.clone();
    api::Listener { allowed_routes, hostname, name, port, protocol, tls }
}

fn speaks(protocol: &str, tls: Option<&api::ListenerTLSConfig>) -> Speaks {
    let passes = tls.is_some_and(|tls| tls.mode == api::TLSMode::Passthrough);
    match (protocol, tls) {
        ("HTTP", None) => Speaks::Http,
        ("TCP", None) => Speaks::Tcp,
        ("TLS", Some(_)) if passes => Speaks::TlsPassthrough,
        (protocol @ ("HTTP" | "TCP"), Some(_)) => {
            Speaks::Unsupported(format!("TLS on an {protocol} listener is not supported"))
        }
        ("TLS", _) => Speaks::Unsupported(
            "protocol TLS with mode Terminate is not supported yet, only mode Passthrough".to_owned(),
        ),
        ("HTTPS", _) => {
            Speaks::Unsupported("protocol HTTPS (TLS termination) is not supported yet".to_owned())
        }
        (protocol, _) => Speaks::Unsupported(format!("protocol {protocol} is not supported")),
    }
}

/// A selector that is missing or cannot be understood lets nobody in from elsewhere.
fn selected(selector: Option<&byrnie_api::meta::LabelSelector>) -> AllowedNamespaces {
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    selector.map_or(AllowedNamespaces::Same, AllowedNamespaces::Selector)
}

fn allowed_sets(allowed: Option<&api::AllowedListeners>) -> Option<AllowedNamespaces> {
    let namespaces = &allowed?.namespaces;
    match namespaces.from {
        api::FromListenerNamespaces::All => Some(AllowedNamespaces::All),
        api::FromListenerNamespaces::Same => Some(AllowedNamespaces::Same),
        api::FromListenerNamespaces::Selector => Some(selected(namespaces.selector.as_ref())),
        api::FromListenerNamespaces::None => None,
    }
}

pub(super) fn grant(meta: Meta, grant: &api::ReferenceGrant) -> Grant {
    let from = grant.spec.from.iter().map(|f| (f.group.clone(), f.kind.clone(), f.namespace.clone()));
    let to = grant.spec.to.iter().map(|t| (t.group.clone(), t.kind.clone(), t.name.clone()));
    Grant { meta, from: from.collect(), to: to.collect() }
}
