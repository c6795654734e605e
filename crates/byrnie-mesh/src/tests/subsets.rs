//! Subsets of a Service by label, as backends.

use byrnie_api::codes;
use byrnie_plan::{BackendTarget, InvalidBackend};
use serde_json::{Value, json};

use super::*;

fn subset(name: &str, labels: Value) -> Object {
    object("ServiceSubset", name, 1, json!({"service": "web", "labels": labels}))
}

fn to(backend: Value) -> Value {
    json!([{"backendRefs": [backend]}])
}

fn reference(name: &str, port: Option<u16>) -> Value {
    let mut reference = json!({"group": "mesh.byrnie.dev", "kind": "ServiceSubset", "name": name});
    if let Some(port) = port {
        reference["port"] = port.into();
    }
    reference
}

fn front() -> Object {
    let listeners = json!([{"name": "l", "port": 80, "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "All"}}}]);
    object("Gateway", "shop/g", 1, json!({"gatewayClassName": "byrnie", "listeners": listeners}))
}

fn route(name: &str, backend: Value) -> Object {
    let parents = json!([{"name": "g", "namespace": "shop"}]);
    object("HTTPRoute", name, 1, json!({"parentRefs": parents, "rules": to(backend)}))
}

fn target(compiler: &Compiler) -> BackendTarget {
    gateway(compiler, "shop/g").unwrap().listeners[0].http.rules[0].backends[0].target.clone()
}

#[test]
fn a_subset_is_the_service_with_labels_more() {
    let workload =
        workload("shop/web-2", json!({"app": "web", "version": "v2"}), 1, json!({"ports": [{"port": 80}]}));
    let mut compiler = compile(&[
        front(),
        service("shop/web", "web", json!([{"port": 80}])),
        workload,
        subset("shop/v2", json!({"version": "v2"})),
        route("shop/r", reference("v2", Some(80))),
    ]);
    let wanted = |value: &str| BackendTarget::Service {
        service: name("shop/web"),
        port: 80,
        subset: vec![("version".to_owned(), value.to_owned())],
    };
    assert_eq!(target(&compiler), wanted("v2"));
    assert_eq!(codes(&compiler), [""; 0]);
    let said = conditions(&status(&compiler, "ServiceSubset", "shop/v2")["conditions"]);
    assert_eq!(said, ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"]);
    // One change of the subset reaches the route, and says that nobody is left.
    apply(&mut compiler, &[subset("shop/v2", json!({"version": "v3"}))]);
    assert_eq!(target(&compiler), wanted("v3"));
    assert!(has_code(&compiler, codes::SUBSET_EMPTY));
}

#[test]
fn what_a_subset_refers_to_must_be_there() {
    let web = || service("shop/web", "web", json!([{"port": 80}]));
    for (objects, backend, wanted) in [
        (vec![web()], reference("v2", Some(80)), InvalidBackend::NotFound),
        (
            vec![web(), subset("shop/v2", json!({"a": "b"}))],
            reference("v2", Some(81)),
            InvalidBackend::NotFound,
        ),
        (vec![web(), subset("shop/v2", json!({"a": "b"}))], reference("v2", None), InvalidBackend::NotFound),
        (vec![subset("shop/v2", json!({"a": "b"}))], reference("v2", Some(80)), InvalidBackend::NotFound),
        (
            vec![web()],
            json!({"group": "mesh.byrnie.dev", "kind": "Workload", "name": "v2", "port": 80}),
            InvalidBackend::InvalidKind,
        ),
    ] {
        let mut objects = objects;
        objects.extend([front(), route("shop/r", backend.clone())]);
        let compiler = compile(&objects);
        assert_eq!(target(&compiler), BackendTarget::Invalid(wanted), "{backend}");
    }
    let compiler = compile(&[subset("shop/v2", json!({"a": "b"}))]);
    let said = conditions(&status(&compiler, "ServiceSubset", "shop/v2")["conditions"]);
    assert_eq!(said[1], "ResolvedRefs=False/TargetNotFound");
}

#[test]
fn a_gateways_route_needs_a_grant_for_the_subset() {
    let mut foreign = reference("v2", Some(80));
    foreign["namespace"] = "shop".into();
    let grant = |to: Value| {
        let from = json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "other"}]);
        object("ReferenceGrant", "shop/grant", 1, json!({"from": from, "to": [to]}))
    };
    let mut compiler = compile(&[
        front(),
        service("shop/web", "web", json!([{"port": 80}])),
        subset("shop/v2", json!({"version": "v2"})),
        route("other/r", foreign),
        grant(json!({"group": "", "kind": "Service"})),
    ]);
    assert_eq!(target(&compiler), BackendTarget::Invalid(InvalidBackend::NotPermitted));
    let to = json!({"group": "mesh.byrnie.dev", "kind": "ServiceSubset", "name": "v2"});
    apply(&mut compiler, &[grant(to)]);
    assert!(matches!(target(&compiler), BackendTarget::Service { .. }));
}
