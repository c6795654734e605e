//! Status of Gateways and GatewayClasses.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::listeners::Judged;
use crate::StatusUpdate;
use crate::model::Gateway;
use crate::outputs::Product;
use crate::routes::kind_name;
use crate::status::{self, Verdict, conditions};
use crate::view::View;

pub(crate) fn gateway_status(gateway: &Gateway, usable: &Verdict, judged: &[Judged<'_>]) -> StatusUpdate {
    let generation = gateway.meta.generation;
    let served = judged.iter().filter(|listener| listener.is_served()).count();
    let accepted = accepted(usable, judged, served);
    let programmed = if served > 0 {
        Verdict::yes("Programmed")
    } else {
        Verdict::no("Invalid", "no listener can be served")
    };
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let addresses = if gateway.addresses.is_empty() { &loopback[..] } else { &gateway.addresses };
    let addresses = addresses.iter().filter(|_| served > 0);
    let addresses: Vec<Value> =
        addresses.map(|ip| json!({ "type": "IPAddress", "value": ip.to_string() })).collect();
    let listeners: Vec<Value> = judged.iter().map(|listener| listener_status(listener, generation)).collect();
    let status = json!({
        "addresses": addresses,
        "conditions": [
            accepted.condition("Accepted", generation),
            programmed.condition("Programmed", generation),
        ],
        "listeners": listeners,
    });
    status::update(&gateway.meta.key, status)
}

fn accepted(usable: &Verdict, judged: &[Judged<'_>], served: usize) -> Verdict {
    if !usable.holds {
        return usable.clone();
    }
    match judged.iter().find(|listener| !listener.is_served() || !listener.resolved.holds) {
        None => Verdict::yes("Accepted"),
        Some(listener) => {
            let why = if listener.is_served() { &listener.resolved } else { &listener.accepted };
            Verdict { holds: served > 0, reason: "ListenersNotValid", message: why.message.clone() }
        }
    }
}

fn listener_status(judged: &Judged<'_>, generation: Option<i64>) -> Value {
    let programmed = if judged.is_served() {
        Verdict::yes("Programmed")
    } else {
        Verdict::no("Invalid", judged.accepted.message.clone())
    };
    let conflicted = match &judged.conflicted {
        Some(conflict) => Verdict { holds: true, ..conflict.clone() },
        None => Verdict::no("NoConflicts", ""),
    };
    let kinds: Vec<Value> = judged
        .kinds
        .iter()
        .map(|kind| json!({ "group": crate::GATEWAY_GROUP, "kind": kind_name(*kind) }))
        .collect();
    json!({
        "name": judged.listener.name,
        "supportedKinds": kinds,
        "attachedRoutes": judged.attached,
        "conditions": [
            judged.accepted.condition("Accepted", generation),
            programmed.condition("Programmed", generation),
            judged.resolved.condition("ResolvedRefs", generation),
            conflicted.condition("Conflicted", generation),
        ],
    })
}

/// Status of a GatewayClass of ours; one of another controller is none of our business.
pub(crate) fn class_status(name: &String, view: &View<'_>) -> Option<Product> {
    let class = view.class(name)?;
    if class.controller != crate::CONTROLLER_NAME {
        return Some(Product::default());
    }
    let status = conditions(&class.meta, &[("Accepted", Verdict::yes("Accepted"))]);
    Some(Product { status: Some(status), ..Product::default() })
}
