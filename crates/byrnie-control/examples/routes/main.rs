//! What routes cost, for `cargo xtask bench --routes`.
//!
//! - `routes lookup ROUTES COUNT`: finds the rule of COUNT requests among that many routes, each of a host of its own;
//!   prints nanoseconds for each.
//! - `routes compile SERVICES`: compiles that many Services with a route each, then single changes; prints JSON.

use std::hint::black_box;
use std::time::Instant;

use byrnie_api::Object;
use byrnie_decide::{NoHeaders, RequestView, Router};
use byrnie_mesh::{Change, Compiler, Options};
use byrnie_plan::{
    HostPattern, HttpMatch, HttpRule, HttpTable, ObjectName, PathMatch, RouteKind, RouteName, Timeouts,
};
use serde_json::{Value, json};

/// Single changes that are timed.
const CHANGES: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    match (arguments.first().map(String::as_str), number(1), number(2)) {
        (Some("lookup"), Some(routes), Some(count)) => lookup(routes, count),
        (Some("compile"), Some(services), None) => compile(services),
        _ => eprintln!("routes lookup ROUTES COUNT | routes compile SERVICES"),
    }
}

fn lookup(routes: usize, count: usize) {
    let matches = (0..routes).map(|index| HttpMatch {
        host_scope: 0,
        host: HostPattern::Exact(format!("h{index}.example.com")),
        path: PathMatch::Prefix("/shop".to_owned()),
        method: None,
        headers: Vec::new(),
        queries: Vec::new(),
        rule: u32::try_from(index).unwrap_or(u32::MAX),
    });
    let rule = |index: usize| HttpRule {
        name: RouteName {
            kind: RouteKind::Http,
            route: ObjectName::new("shop", format!("r{index}").as_str()),
            rule: "0".to_owned(),
        },
        filters: Vec::new(),
        backends: Vec::new(),
        timeouts: Timeouts::default(),
        retry: None,
        controls: None,
    };
    let table =
        HttpTable { matches: matches.collect(), rules: (0..routes).map(rule).collect(), scopes: Vec::new() };
    let router = match Router::compile(&table) {
        Ok(router) => router,
        Err(error) => return eprintln!("{error}"),
    };
    let host = format!("h{}.example.com", routes / 2);
    let request =
        RequestView { method: "GET", host: &host, path: "/shop/cart", query: None, headers: &NoHeaders };
    let start = Instant::now();
    for _ in 0..count {
        black_box(router.find(black_box(&request)));
    }
    println!("{:.1}", start.elapsed().as_secs_f64() * 1e9 / count.max(1) as f64);
}

fn compile(services: usize) {
    let mut objects = Vec::with_capacity(services * 2);
    for index in 0..services {
        objects.extend(read("v1", "Service", index, service(index)));
        objects.extend(read("gateway.networking.k8s.io/v1", "HTTPRoute", index, route(index, 1)));
    }
    let all: Vec<Change> = objects.into_iter().map(Change::Applied).collect();
    let mut compiler = Compiler::new(Options::default());
    let start = Instant::now();
    let output = compiler.apply(&all);
    let full = start.elapsed().as_secs_f64() * 1e3;
    let (updates, nodes) = (output.updates.len(), compiler.last_computed());
    let mut times = Vec::new();
    let mut one = 0;
    for change in 0..CHANGES {
        let index = change * 37 % services.max(1);
        let changed = read("gateway.networking.k8s.io/v1", "HTTPRoute", index, route(index, change + 2));
        let changed: Vec<Change> = changed.into_iter().map(Change::Applied).collect();
        let start = Instant::now();
        black_box(compiler.apply(&changed));
        times.push(start.elapsed().as_secs_f64() * 1e3);
        one = compiler.last_computed();
    }
    times.sort_by(f64::total_cmp);
    let report = json!({
        "fullMs": full, "oneMs": times[CHANGES / 2], "updates": updates, "nodes": nodes, "nodesOfOne": one,
    });
    println!("{report}");
}

fn service(index: usize) -> Value {
    json!({"selector": {"app": format!("s{index}")}, "ports": [{"port": 80, "appProtocol": "http"}]})
}

fn route(index: usize, weight: usize) -> Value {
    let name = format!("s{index}");
    let other = format!("s{}", index / 2);
    json!({
        "parentRefs": [{"group": "", "kind": "Service", "name": name}],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/a"}}],
            "backendRefs": [{"name": name, "port": 80, "weight": weight}, {"name": other, "port": 80}],
        }],
    })
}

fn read(version: &str, kind: &str, index: usize, spec: Value) -> Option<Object> {
    let metadata = json!({"name": format!("s{index}"), "namespace": "shop", "generation": 1});
    let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
    Object::from_value(object).map_err(|error| eprintln!("{error}")).ok()
}
