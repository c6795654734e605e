//! What holds for what comes in: everywhere, and what is otherwise at one port or for calls of one service.

use byrnie_plan::{InboundOverrides, MeshSettings};
use serde_json::{Value, json};

use crate::config::Config;

/// An item for each field of `spec.inbound`; of ports and services only those that differ from the proxy's own.
pub(super) fn all(config: &Config) -> Vec<Value> {
    let here = words(&config.settings);
    let mut all: Vec<Value> =
        here.iter().map(|(field, value)| json!({"at": "proxy", "field": field, "value": value})).collect();
    let mut otherwise = |at: String, name: &str, which: Value, settings: &MeshSettings| {
        for (field, value) in words(settings).into_iter().filter(|said| !here.contains(said)) {
            all.push(json!({"at": at, name: which, "field": field, "value": value}));
        }
    };
    let mut listeners: Vec<_> = config.listeners.values().collect();
    listeners.sort_by_key(|listener| listener.port);
    for listener in listeners {
        otherwise(format!("port {}", listener.port), "port", listener.port.into(), &listener.settings);
    }
    let mut ports: Vec<_> = config.inbound.iter().flat_map(|inbound| inbound.ports.values()).collect();
    ports.sort_by_key(|port| port.port);
    for port in ports {
        otherwise(format!("port {}", port.port), "port", port.port.into(), &port.settings);
    }
    let mut called: Vec<_> = config.destinations.values().collect();
    called.sort_by(|a, b| a.name.cmp(&b.name));
    for destination in called {
        let (service, port) = (destination.name.service.to_string(), destination.name.port);
        otherwise(format!("calls of {service}:{port}"), "service", service.into(), &destination.settings);
    }
    all
}

fn words(settings: &MeshSettings) -> Vec<(&'static str, String)> {
    InboundOverrides::in_force(settings).words()
}
