//! Status of Gateways and GatewayClasses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use byrnie_plan::ObjectName;

use serde_json::{Value, json};

use super::listeners::Judged;
use super::sets::SetFound;
use crate::StatusUpdate;
use crate::model::Gateway;
use crate::outputs::Product;
use crate::routes::kind_name;
use crate::status::{self, Verdict};
use crate::view::View;

/// What of the Gateway API a class of ours does, by the names of its conformance suite, ascending. Names of the mesh do
/// not belong here.
const FEATURES: [&str; 39] = [
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayHTTPListenerIsolation",
    "GatewayPort8080",
    "GatewayRouteHostnameIntersectionPrecedence",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteBackendURLRewrite",
    "HTTPRouteCORS",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetryCodes",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
];

pub(crate) fn gateway_status(
    gateway: &Gateway,
    usable: &Verdict,
    judged: &[Judged<'_>],
    sets: &BTreeMap<ObjectName, SetFound>,
) -> StatusUpdate {
    let generation = gateway.meta.generation;
    let own: Vec<&Judged<'_>> = judged.iter().filter(|listener| listener.set.is_none()).collect();
    let served = judged.iter().filter(|listener| listener.is_served()).count();
    let accepted = accepted(usable, &own);
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
    let listeners: Vec<Value> = own.iter().map(|listener| listener_status(listener, generation)).collect();
    let status = json!({
        "addresses": addresses,
        "attachedListenerSets": sets.values().filter(|set| set.attached).count(),
        "conditions": [
            accepted.condition("Accepted", generation),
            programmed.condition("Programmed", generation),
        ],
        "listeners": listeners,
    });
    status::update(&gateway.meta.key, status)
}

fn accepted(usable: &Verdict, own: &[&Judged<'_>]) -> Verdict {
    if !usable.holds {
        return usable.clone();
    }
    let served = own.iter().filter(|listener| listener.is_served()).count();
    match own.iter().find(|listener| !listener.is_served() || !listener.resolved.holds) {
        None => Verdict::yes("Accepted"),
        Some(listener) => {
            let why = if listener.is_served() { &listener.resolved } else { &listener.accepted };
            Verdict { holds: served > 0, reason: "ListenersNotValid", message: why.message.clone() }
        }
    }
}

pub(super) fn listener_status(judged: &Judged<'_>, generation: Option<i64>) -> Value {
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
    let accepted = match &class.parameters {
        None => Verdict::yes("Accepted"),
        Some(kind) => Verdict::no("InvalidParameters", format!("there are no parameters of kind {kind}")),
    };
    let features: Vec<Value> = FEATURES.iter().map(|name| json!({ "name": name })).collect();
    let status = json!({
        "conditions": [accepted.condition("Accepted", class.meta.generation)],
        "supportedFeatures": features,
    });
    let status = status::update(&class.meta.key, status);
    Some(Product { status: Some(status), ..Product::default() })
}
