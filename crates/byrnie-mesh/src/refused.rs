//! Kinds that are refused as a whole: what they ask for comes later, and until then their status says so. Nothing is
//! served in their place.

use std::collections::BTreeMap;

use byrnie_plan::ObjectName;
use serde_json::{Value, json};

use crate::findings::{self, finding};
use crate::graph::{Parent, Refused};
use crate::model::RefusedObject;
use crate::outputs::Product;
use crate::status::{self, Verdict};
use crate::view::View;

/// Entries that a policy's status may have (Gateway API).
const ANCESTORS_MAX: usize = 16;

/// `Node::Refused`.
pub(crate) fn status(id: &Refused, view: &View<'_>) -> Option<Product> {
    let object = view.refused(id)?;
    match id {
        Refused::UdpRoute(_) => Some(udp_route(object, view)),
        Refused::BackendTls(_) => Some(backend_tls(object, view)),
    }
}

fn udp_route(route: &RefusedObject, view: &View<'_>) -> Product {
    let message = "UDPRoute is not supported yet: no UDP is proxied";
    let verdict = Verdict::no("UnsupportedValue", message);
    let ours = route.parents.iter().filter(|parent| match &parent.parent {
        Some(Parent::Gateway(name)) => is_ours(name, view),
        Some(Parent::ListenerSet(name)) => gateway_of(name, view).is_some_and(|name| is_ours(&name, view)),
        Some(Parent::Service(_)) => true,
        None => false,
    });
    let entries: Vec<Value> = ours
        .map(|parent| entry("parentRef", parent.written.clone(), &verdict, route.meta.generation))
        .collect();
    let status = status::update(&route.meta.key, json!({ "parents": entries }));
    let found = finding(findings::UDP_UNSUPPORTED, &route.meta, "spec", message);
    Product { status: Some(status), findings: vec![found], ..Product::default() }
}

fn backend_tls(policy: &RefusedObject, view: &View<'_>) -> Product {
    let message = "BackendTLSPolicy is not supported yet: requests of Gateways to its Services get 500, \
                   none is sent unencrypted";
    let verdict = Verdict::no("Invalid", message);
    let mut ancestors: BTreeMap<ObjectName, Value> = BTreeMap::new();
    for (service, _) in &policy.services {
        for route in view.routes_to(service) {
            for name in route.parents.iter().filter_map(|parent| match &parent.parent {
                Some(Parent::Gateway(name)) => Some(name.clone()),
                Some(Parent::ListenerSet(name)) => gateway_of(name, view),
                _ => None,
            }) {
                if is_ours(&name, view) {
                    let reference = json!({
                        "group": crate::GATEWAY_GROUP, "kind": "Gateway",
                        "namespace": name.namespace, "name": name.name,
                    });
                    ancestors.insert(name, reference);
                }
            }
        }
    }
    // Also a policy that no Gateway meets yet says what will become of it.
    let mut references: Vec<Value> = ancestors.into_values().collect();
    if references.is_empty() {
        references.extend(policy.services.iter().map(|(service, _)| {
            json!({ "group": "", "kind": "Service", "namespace": service.namespace, "name": service.name })
        }));
    }
    references.truncate(ANCESTORS_MAX);
    let entries: Vec<Value> = references
        .into_iter()
        .map(|reference| entry("ancestorRef", reference, &verdict, policy.meta.generation))
        .collect();
    let status = status::update(&policy.meta.key, json!({ "ancestors": entries }));
    let found = finding(findings::BACKEND_TLS_UNSUPPORTED, &policy.meta, "spec", message);
    Product { status: Some(status), findings: vec![found], ..Product::default() }
}

fn entry(field: &str, reference: Value, verdict: &Verdict, generation: Option<i64>) -> Value {
    json!({
        field: reference,
        "controllerName": crate::CONTROLLER_NAME,
        "conditions": [verdict.condition("Accepted", generation)],
    })
}

fn is_ours(gateway: &ObjectName, view: &View<'_>) -> bool {
    view.gateway(gateway).is_some_and(|gateway| view.is_our_class(&gateway.class))
}

fn gateway_of(set: &ObjectName, view: &View<'_>) -> Option<ObjectName> {
    view.listener_set(set)?.gateway.clone()
}
