//! `Gateway` and `ReferenceGrant`.

use std::net::IpAddr;

use byrnie_api::generated as api;
use byrnie_api::labels::Selector;

use crate::hosts;
use crate::model::{AllowedNamespaces, Gateway, Grant, Listener, Meta, Speaks};

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
    }
}

fn listener(listener: &api::Listener) -> Listener {
    let allowed = &listener.allowed_routes;
    let protocol = match listener.protocol.as_str() {
        "HTTP" if listener.tls.is_none() => Speaks::Http,
        "TCP" if listener.tls.is_none() => Speaks::Tcp,
        protocol @ ("HTTP" | "TCP") => {
            Speaks::Unsupported(format!("TLS on an {protocol} listener is not supported"))
        }
        "HTTPS" => Speaks::Unsupported("protocol HTTPS (TLS termination) is not supported yet".to_owned()),
        protocol => Speaks::Unsupported(format!("protocol {protocol} is not supported")),
    };
    let hostname = match protocol {
        Speaks::Tcp => Some(byrnie_plan::HostPattern::Any),
        _ => hosts::parse(listener.hostname.as_deref().unwrap_or_default()),
    };
    let selector =
        || allowed.namespaces.selector.as_ref().and_then(|selector| Selector::try_from(selector).ok());
    Listener {
        name: listener.name.clone(),
        port: listener.port,
        protocol,
        hostname,
        namespaces: match allowed.namespaces.from {
            api::FromNamespaces::All => AllowedNamespaces::All,
            api::FromNamespaces::Same => AllowedNamespaces::Same,
            // A selector that is missing or cannot be understood lets nobody in from elsewhere.
            api::FromNamespaces::Selector => {
                selector().map_or(AllowedNamespaces::Same, AllowedNamespaces::Selector)
            }
        },
        kinds: (!allowed.kinds.is_empty())
            .then(|| allowed.kinds.iter().map(|kind| (kind.group.clone(), kind.kind.clone())).collect()),
    }
}

pub(super) fn grant(meta: Meta, grant: &api::ReferenceGrant) -> Grant {
    let from = grant.spec.from.iter().map(|f| (f.group.clone(), f.kind.clone(), f.namespace.clone()));
    let to = grant.spec.to.iter().map(|t| (t.group.clone(), t.kind.clone(), t.name.clone()));
    Grant { meta, from: from.collect(), to: to.collect() }
}
