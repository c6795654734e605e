//! The order of precedence, as a table of examples.

use byrnie_plan::{HostPattern, HttpMatch, PathMatch};
use serde_json::{Value, json};

use crate::hosts;
use crate::tests::{backend, compile, gateway, object, table};

fn show(m: &HttpMatch) -> String {
    let path = match &m.path {
        PathMatch::Exact(path) => format!("={path}"),
        PathMatch::Prefix(path) => format!("{path}*"),
        PathMatch::Regex(path) => format!("~{path}"),
    };
    let method = m.method.as_deref().unwrap_or("-");
    let host = if m.host == HostPattern::Any { String::new() } else { hosts::text(&m.host) };
    format!("{host}{path} {method} {}h {}q", m.headers.len(), m.queries.len())
}

fn path(kind: &str, value: &str) -> Value {
    json!({"path": {"type": kind, "value": value}})
}

#[test]
fn matches_stand_in_the_order_of_the_gateway_api() {
    let header =
        |n: usize| -> Vec<Value> { (0..n).map(|i| json!({"name": format!("h{i}"), "value": "x"})).collect() };
    let mut one_header = path("PathPrefix", "/a");
    one_header["headers"] = header(1).into();
    let mut two_headers = path("PathPrefix", "/a");
    two_headers["headers"] = header(2).into();
    let mut query = path("PathPrefix", "/a");
    query["queryParams"] = header(1).into();
    let mut method = path("PathPrefix", "/a");
    method["method"] = "GET".into();
    let rule = |m: Value| json!({"matches": [m], "backendRefs": [{"name": "web", "port": 80}]});
    let ways = [
        json!({}),
        path("RegularExpression", "/r.*"),
        path("PathPrefix", "/a"),
        query,
        one_header,
        two_headers,
        method,
        path("PathPrefix", "/a/longer/"),
        path("Exact", "/a"),
        path("RegularExpression", "/.*"),
    ];
    let rules: Vec<Value> = ways.into_iter().map(rule).collect();
    let parents = json!([{"group": "", "kind": "Service", "name": "web"}]);
    let compiler = compile(&[
        backend("shop/web"),
        object("HTTPRoute", "shop/r", 1, json!({"parentRefs": parents, "rules": rules})),
    ]);
    let shown: Vec<String> = table(&compiler, "shop/web", 80).matches.iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "=/a - 0h 0q",
            "/a/longer* - 0h 0q",
            "/a* GET 0h 0q",
            "/a* - 2h 0q",
            "/a* - 1h 0q",
            "/a* - 0h 1q",
            "/a* - 0h 0q",
            "~/r.* - 0h 0q",
            "~/.* - 0h 0q",
            "/* - 0h 0q",
        ]
    );
}

#[test]
fn hosts_come_before_paths() {
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let route = |name: &str, hosts: Value, path: &str| {
        let rules = json!([{"matches": [{"path": {"type": "Exact", "value": path}}]}]);
        object(
            "HTTPRoute",
            name,
            1,
            json!({"parentRefs": [{"name": "g"}], "hostnames": hosts, "rules": rules}),
        )
    };
    let compiler = compile(&[
        object("Gateway", "a/g", 1, json!({"gatewayClassName": "byrnie", "listeners": listeners})),
        route("a/any", json!([]), "/x"),
        route("a/wild", json!(["*.com", "*.a.com"]), "/x"),
        route("a/exact", json!(["B.a.com"]), "/x"),
    ]);
    let shown: Vec<String> =
        gateway(&compiler, "a/g").unwrap().listeners[0].http.matches.iter().map(show).collect();
    assert_eq!(shown, ["b.a.com=/x - 0h 0q", "*.a.com=/x - 0h 0q", "*.com=/x - 0h 0q", "=/x - 0h 0q"]);
}

#[test]
fn the_older_route_wins_then_the_name_then_the_rule() {
    let rule = json!({"backendRefs": [{"name": "web", "port": 80}]});
    let spec =
        json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": [rule, rule]});
    let compiler = compile(&[
        backend("shop/web"),
        object("HTTPRoute", "shop/a-young", 9, spec.clone()),
        object("HTTPRoute", "shop/z-old", 1, spec.clone()),
        object("HTTPRoute", "shop/b-old", 1, spec),
    ]);
    let table = table(&compiler, "shop/web", 80);
    let order: Vec<String> =
        table.matches.iter().map(|m| table.rules[m.rule as usize].name.to_string()).collect();
    assert_eq!(order, ["b-old/0", "b-old/1", "z-old/0", "z-old/1", "a-young/0", "a-young/1"]);
}
