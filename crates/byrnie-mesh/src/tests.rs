//! Tests of the whole compiler: objects in, resources, statuses and findings out.

mod analysis;
mod attached;
mod bounds;
mod controls;
mod endpoints;
mod gateways;
mod inbound_settings;
mod listener_sets;
mod mesh_routes;
mod names;
mod policies;
mod profiles;
mod property;
mod subsets;
mod tls;
mod upstreams;

use std::collections::BTreeMap;

use byrnie_api::{Finding, Object, ObjectKey};
use byrnie_plan::{Endpoints, GatewayRoutes, HttpTable, InboundPolicy, Key, ObjectName, Resource, Routes};
use serde_json::{Value, json};

use crate::{Change, Compiler, Options, Output};

pub(crate) const RUN: &str = "run-1";

/// An object; `created` in seconds decides its age.
pub(crate) fn object(kind: &str, name: &str, created: i64, spec: Value) -> Object {
    with_labels(kind, name, created, json!({}), spec)
}

pub(crate) fn with_labels(kind: &str, name: &str, created: i64, labels: Value, spec: Value) -> Object {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let api_version = match kind {
        "Namespace" | "Service" | "ServiceAccount" => "v1",
        "ServiceProfile" => "linkerd.io/v1alpha2",
        "Mesh"
        | "Workload"
        | "TrafficPolicy"
        | "ServiceSubset"
        | "AuthorizationPolicy"
        | "RateLimitPolicy"
        | "FaultPolicy" => "mesh.byrnie.dev/v1alpha1",
        _ => "gateway.networking.k8s.io/v1",
    };
    let mut metadata = json!({
        "name": name,
        "labels": labels,
        "generation": 1,
        "creationTimestamp": jiff::Timestamp::from_second(created).unwrap().to_string(),
    });
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    Object::from_value(json!({
        "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec,
    }))
    .unwrap()
}

/// A meshed workload whose proxy listens on 127.0.0.1 at `mesh_port`.
pub(crate) fn workload(name: &str, labels: Value, mesh_port: u16, spec: Value) -> Object {
    let status = json!({"proxy": {"meshAddress": format!("127.0.0.1:{mesh_port}"), "run": RUN}});
    with_labels("Workload", name, 1, labels, spec).with_status(Some(status)).unwrap()
}

pub(crate) fn service(name: &str, app: &str, ports: Value) -> Object {
    object("Service", name, 1, json!({"selector": {"app": app}, "ports": ports}))
}

/// A Service of one port 80 of its own, selecting nothing: a backend that resolves.
pub(crate) fn backend(name: &str) -> Object {
    service(name, name.split('/').next_back().unwrap(), json!([{"port": 80}]))
}

pub(crate) fn new() -> Compiler {
    Compiler::new(Options { run_id: RUN.to_owned(), transparent: false })
}

/// One for proxies that capture traffic.
pub(crate) fn transparent() -> Compiler {
    Compiler::new(Options { run_id: RUN.to_owned(), transparent: true })
}

pub(crate) fn compile(objects: &[Object]) -> Compiler {
    let mut compiler = new();
    apply(&mut compiler, objects);
    compiler
}

pub(crate) fn apply(compiler: &mut Compiler, objects: &[Object]) -> Output {
    let changes: Vec<Change> = objects.iter().cloned().map(Change::Applied).collect();
    compiler.apply(&changes)
}

pub(crate) fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

pub(crate) fn endpoints<'a>(compiler: &'a Compiler, service: &str) -> &'a Endpoints {
    match compiler.resource(&Key::Endpoints(name(service))) {
        Some(Resource::Endpoints(endpoints)) => endpoints,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn routes<'a>(compiler: &'a Compiler, key: &str) -> Option<&'a Routes> {
    match compiler.resource(&format!("Routes/{key}").parse().unwrap()) {
        Some(Resource::Routes(routes)) => Some(routes),
        None => None,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn table<'a>(compiler: &'a Compiler, key: &str, port: u16) -> &'a HttpTable {
    let ports = &routes(compiler, key).unwrap().ports;
    ports.iter().find(|p| p.port == port).unwrap().http.as_ref().unwrap()
}

pub(crate) fn gateway<'a>(compiler: &'a Compiler, gateway: &str) -> Option<&'a GatewayRoutes> {
    match compiler.resource(&Key::GatewayRoutes(name(gateway))) {
        Some(Resource::GatewayRoutes(routes)) => Some(routes),
        None => None,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn inbound<'a>(compiler: &'a Compiler, workload: &str) -> Option<&'a InboundPolicy> {
    match compiler.resource(&Key::InboundPolicy(name(workload))) {
        Some(Resource::InboundPolicy(policy)) => Some(policy),
        None => None,
        other => panic!("{other:?}"),
    }
}

/// `Accepted=True/Accepted` and so on, for one list of conditions.
pub(crate) fn conditions(list: &Value) -> Vec<String> {
    let text = |c: &Value, field: &str| c[field].as_str().unwrap_or_default().to_owned();
    let list = list.as_array().unwrap();
    list.iter().map(|c| format!("{}={}/{}", text(c, "type"), text(c, "status"), text(c, "reason"))).collect()
}

pub(crate) fn status<'a>(compiler: &'a Compiler, kind: &str, object: &str) -> &'a Value {
    let (namespace, name) = object.split_once('/').unwrap_or(("", object));
    let kind = byrnie_api::Kind::from_word(kind).unwrap();
    compiler.status(&ObjectKey::new(kind, namespace, name)).unwrap_or_else(|| panic!("no status of {object}"))
}

/// The conditions of a route towards its n-th parent.
pub(crate) fn parent_conditions(compiler: &Compiler, kind: &str, route: &str, parent: usize) -> Vec<String> {
    conditions(&status(compiler, kind, route)["parents"][parent]["conditions"])
}

/// The codes of all findings, sorted, each with its object.
pub(crate) fn codes(compiler: &Compiler) -> Vec<String> {
    let mut codes: Vec<String> =
        compiler.findings().map(|f| format!("{} {}", f.code, f.object.as_ref().unwrap())).collect();
    codes.sort();
    codes
}

pub(crate) fn has_code(compiler: &Compiler, code: byrnie_api::Code) -> bool {
    compiler.findings().any(|finding: &Finding| finding.code == code)
}

pub(crate) type State = (BTreeMap<String, Resource>, BTreeMap<ObjectKey, Value>, Vec<Finding>);

/// Everything that a compiler holds, for comparison.
pub(crate) fn state(compiler: &Compiler) -> State {
    let resources = compiler.resources().map(|r| (r.key().to_string(), r.clone())).collect();
    let statuses = compiler.statuses().map(|s| (s.key.clone(), s.status.clone())).collect();
    (resources, statuses, compiler.findings().cloned().collect())
}

/// The file of issue 3, as it stands there.
pub(crate) fn first_file() -> Vec<Object> {
    vec![
        workload(
            "shop/web-1",
            json!({"app": "web", "version": "v1"}),
            40_001,
            json!({
                "serviceAccount": "web",
                "address": "127.0.0.1",
                "ports": [{"name": "http", "port": 18081}],
                "command": ["python3", "-m", "http.server", "18081", "--bind", "127.0.0.1"],
            }),
        ),
        service(
            "shop/web",
            "web",
            json!([{"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}]),
        ),
        object(
            "Gateway",
            "shop/front",
            1,
            json!({"gatewayClassName": "byrnie", "listeners": [{"name": "http", "port": 18080,
                "protocol": "HTTP"}]}),
        ),
        object(
            "HTTPRoute",
            "shop/front",
            1,
            json!({"parentRefs": [{"name": "front"}], "rules": [{"backendRefs": [{"name": "web",
                "port": 80}]}]}),
        ),
    ]
}

#[test]
fn the_first_file_gives_every_resource() {
    let compiler = compile(&first_file());
    let keys: Vec<String> = compiler.resources().map(|r| r.key().to_string()).collect();
    assert_eq!(
        keys,
        [
            "Service/shop/web",
            "Endpoints/shop/web",
            "GatewayRoutes/shop/front",
            "InboundPolicy/shop/front",
            "InboundPolicy/shop/web-1",
            "Upstreams/shop/web-1",
            "MeshSettings",
        ]
    );
    assert_eq!(codes(&compiler), [""; 0]);
    let gateway = gateway(&compiler, "shop/front").unwrap();
    assert_eq!((gateway.listeners[0].port, gateway.listeners[0].http.matches.len()), (18080, 1));
    assert_eq!(inbound(&compiler, "shop/front").unwrap().identity.service_account, "front-byrnie");
    for (kind, object) in [("Gateway", "shop/front"), ("Workload", "shop/web-1")] {
        let status = status(&compiler, kind, object);
        assert!(conditions(&status["conditions"]).contains(&"Accepted=True/Accepted".to_owned()));
        assert_eq!(status["conditions"][0]["observedGeneration"], 1);
    }
    let said = parent_conditions(&compiler, "HTTPRoute", "shop/front", 0);
    assert_eq!(said, ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"]);
}

#[test]
fn the_same_object_again_says_nothing() {
    let mut compiler = compile(&first_file());
    assert_eq!(apply(&mut compiler, &first_file()), Output::default());
}

#[test]
fn a_batch_that_undoes_itself_says_nothing() {
    let mut compiler = compile(&first_file());
    let web = first_file().remove(1);
    let output = compiler.apply(&[Change::Deleted(web.key()), Change::Applied(web)]);
    assert_eq!(output, Output::default());
}

#[test]
fn an_object_made_anew_gets_its_status() {
    let mut compiler = compile(&first_file());
    let gateway = first_file().remove(2);
    let output = compiler.apply(&[Change::Deleted(gateway.key()), Change::Applied(gateway.clone())]);
    assert_eq!((output.updates.len(), output.statuses.len()), (0, 1));
    // The deletion was missed, as after a gap of the watch.
    let other = gateway.with_metadata(|meta| meta.uid = Some("other".to_owned())).unwrap();
    assert_eq!(apply(&mut compiler, std::slice::from_ref(&other)).statuses.len(), 1);
    assert_eq!(apply(&mut compiler, &[other]), Output::default());
}

#[test]
fn what_is_deleted_is_forgotten() {
    let mut compiler = compile(&first_file());
    let changes: Vec<Change> = first_file().iter().map(|o| Change::Deleted(o.key())).collect();
    let output = compiler.apply(&changes);
    assert_eq!(output.updates.len(), 6);
    assert!(output.updates.iter().all(|u| u.resource.is_none()) && output.statuses.is_empty());
    assert_eq!(state(&compiler), state(&new()));
    assert_eq!(compiler.size(), new().size());
}

#[test]
fn one_change_touches_only_what_reads_it() {
    let mut objects = first_file();
    for i in 0..50 {
        objects.push(backend(&format!("shop/other-{i}")));
    }
    let mut compiler = compile(&objects);
    let moved = workload(
        "shop/web-1",
        json!({"app": "web", "version": "v1"}),
        40_002,
        json!({"serviceAccount": "web", "ports": [{"name": "http", "port": 18081}]}),
    );
    let output = apply(&mut compiler, &[moved]);
    let keys: Vec<String> = output.updates.iter().map(|u| u.key.to_string()).collect();
    assert_eq!(keys, ["Endpoints/shop/web"]);
    assert!(compiler.last_computed() < 10, "{} nodes", compiler.last_computed());
}

#[test]
fn the_trust_bundle_is_a_resource() {
    let mut compiler = new();
    let bundle = byrnie_plan::TrustBundle { trust_domain: "a".to_owned(), roots_der: vec![vec![1]] };
    assert_eq!(compiler.set_trust_bundle(bundle.clone()).updates.len(), 1);
    assert_eq!(compiler.set_trust_bundle(bundle), Output::default());
    assert!(compiler.resource(&Key::TrustBundle).is_some());
}
