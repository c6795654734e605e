//! Gateways: listeners, ports, attached routes, status.

use byrnie_api::codes;
use byrnie_plan::{BackendTarget, HostPattern, InvalidBackend};
use serde_json::{Value, json};

use super::*;

fn http_gateway(name: &str, created: i64, listeners: Value) -> Object {
    object("Gateway", name, created, json!({"gatewayClassName": "byrnie", "listeners": listeners}))
}

fn one_listener(port: u16) -> Value {
    json!([{"name": "http", "port": port, "protocol": "HTTP"}])
}

fn route(name: &str, created: i64, spec: Value) -> Object {
    object("HTTPRoute", name, created, spec)
}

fn listener_conditions(compiler: &Compiler, gateway: &str, index: usize) -> Vec<String> {
    conditions(&status(compiler, "Gateway", gateway)["listeners"][index]["conditions"])
}

#[test]
fn classes_of_others_are_left_alone() {
    let spec = |class: &str| json!({"gatewayClassName": class, "listeners": one_listener(80)});
    let class =
        |name: &str, controller: &str| object("GatewayClass", name, 1, json!({"controllerName": controller}));
    for (objects, served) in [
        (vec![object("Gateway", "a/g", 1, spec("byrnie"))], true),
        (vec![object("Gateway", "a/g", 1, spec("other"))], false),
        (vec![object("Gateway", "a/g", 1, spec("mine")), class("mine", crate::CONTROLLER_NAME)], true),
        (vec![object("Gateway", "a/g", 1, spec("byrnie")), class("byrnie", "example.com/other")], false),
    ] {
        let compiler = compile(&objects);
        assert_eq!(gateway(&compiler, "a/g").is_some(), served);
        assert_eq!(inbound(&compiler, "a/g").is_some(), served);
        assert_eq!(compiler.statuses().any(|s| s.key.name == "g"), served);
    }
}

#[test]
fn a_route_hears_from_each_of_its_parents() {
    let gateways = [
        http_gateway(
            "a/g",
            1,
            json!([
                {"name": "all", "port": 80, "protocol": "HTTP",
                    "allowedRoutes": {"namespaces": {"from": "All"}}},
                {"name": "own", "port": 81, "protocol": "HTTP", "hostname": "*.own.com"},
                {"name": "tcp", "port": 82, "protocol": "TCP"},
            ]),
        ),
        object(
            "Gateway",
            "a/foreign",
            1,
            json!({"gatewayClassName": "other", "listeners": one_listener(80)}),
        ),
    ];
    for (namespace, parent, wanted) in [
        ("a", json!({"name": "g"}), Some("Accepted=True/Accepted")),
        ("b", json!({"name": "g", "namespace": "a"}), Some("Accepted=True/Accepted")),
        (
            "b",
            json!({"name": "g", "namespace": "a", "sectionName": "own"}),
            Some("Accepted=False/NotAllowedByListeners"),
        ),
        ("a", json!({"name": "g", "sectionName": "nope"}), Some("Accepted=False/NoMatchingParent")),
        ("a", json!({"name": "g", "port": 99}), Some("Accepted=False/NoMatchingParent")),
        (
            "a",
            json!({"name": "g", "sectionName": "all", "port": 81}),
            Some("Accepted=False/NoMatchingParent"),
        ),
        ("a", json!({"name": "g", "sectionName": "own"}), Some("Accepted=False/NoMatchingListenerHostname")),
        ("a", json!({"name": "g", "sectionName": "tcp"}), Some("Accepted=False/NotAllowedByListeners")),
        ("a", json!({"name": "gone"}), Some("Accepted=False/NoMatchingParent")),
        ("a", json!({"name": "foreign"}), None),
    ] {
        let spec = json!({"parentRefs": [parent], "hostnames": ["a.com"], "rules": []});
        let mut objects = gateways.to_vec();
        objects.push(route(&format!("{namespace}/r"), 1, spec));
        let compiler = compile(&objects);
        let parents = &status(&compiler, "HTTPRoute", &format!("{namespace}/r"))["parents"];
        let said = parents.get(0).map(|p| conditions(&p["conditions"])[0].clone());
        assert_eq!(said.as_deref(), wanted, "{namespace} {parent}");
    }
}

#[test]
fn namespaces_by_selector() {
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces":
        {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}}}]);
    let spec = json!({"parentRefs": [{"name": "g", "namespace": "a"}], "rules": []});
    let mut compiler = compile(&[http_gateway("a/g", 1, listeners), route("b/r", 1, spec)]);
    assert_eq!(
        parent_conditions(&compiler, "HTTPRoute", "b/r", 0)[0],
        "Accepted=False/NotAllowedByListeners"
    );
    apply(&mut compiler, &[with_labels("Namespace", "b", 1, json!({"team": "x"}), json!({}))]);
    assert_eq!(parent_conditions(&compiler, "HTTPRoute", "b/r", 0)[0], "Accepted=True/Accepted");
}

#[test]
fn listeners_of_one_port_share_a_table_with_scopes() {
    let listeners = json!([
        {"name": "any", "port": 80, "protocol": "HTTP"},
        {"name": "wild", "port": 80, "protocol": "HTTP", "hostname": "*.example.com"},
    ]);
    let compiler = compile(&[
        http_gateway("a/g", 1, listeners),
        route(
            "a/r",
            1,
            json!({"parentRefs": [{"name": "g"}], "hostnames": ["www.example.com", "other.com"],
            "rules": [{"backendRefs": [{"name": "s", "port": 80}]}]}),
        ),
        backend("a/s"),
    ]);
    let listener = &gateway(&compiler, "a/g").unwrap().listeners[0];
    assert_eq!((listener.name.as_str(), listener.http.rules.len()), ("any,wild", 1));
    assert_eq!(listener.http.scopes, [HostPattern::Any, HostPattern::Wildcard("example.com".to_owned())]);
    let matches: Vec<(u32, String)> =
        listener.http.matches.iter().map(|m| (m.host_scope, crate::hosts::text(&m.host))).collect();
    let wanted = [(0, "other.com"), (0, "www.example.com"), (1, "www.example.com")];
    assert_eq!(matches, wanted.map(|(scope, host)| (scope, host.to_owned())));
    let listeners = &status(&compiler, "Gateway", "a/g")["listeners"];
    assert_eq!((&listeners[0]["attachedRoutes"], &listeners[1]["attachedRoutes"]), (&json!(1), &json!(1)));
    assert_eq!(listeners[0]["supportedKinds"].as_array().unwrap().len(), 2);
}

#[test]
fn what_a_listener_may_ask_for() {
    for (listener, wanted) in [
        (json!({"protocol": "HTTP"}), "Accepted=True/Accepted"),
        (json!({"protocol": "TCP"}), "Accepted=True/Accepted"),
        (
            json!({"protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c"}]}}),
            "Accepted=False/UnsupportedProtocol",
        ),
        (json!({"protocol": "TLS", "tls": {"mode": "Passthrough"}}), "Accepted=True/Accepted"),
        (
            json!({"protocol": "TLS", "tls": {"mode": "Terminate", "certificateRefs": [{"name": "c"}]}}),
            "Accepted=False/UnsupportedProtocol",
        ),
        (json!({"protocol": "TLS"}), "Accepted=False/UnsupportedProtocol"),
        (json!({"protocol": "HTTPS"}), "Accepted=False/UnsupportedProtocol"),
        (json!({"protocol": "UDP"}), "Accepted=False/UnsupportedProtocol"),
        (json!({"protocol": "HTTP", "tls": {}}), "Accepted=False/UnsupportedProtocol"),
        (json!({"protocol": "HTTP", "hostname": "a b"}), "Accepted=False/UnsupportedValue"),
    ] {
        let mut one = listener.clone();
        one["name"] = "l".into();
        one["port"] = 80.into();
        let compiler = compile(&[http_gateway("a/g", 1, json!([one]))]);
        assert_eq!(listener_conditions(&compiler, "a/g", 0)[0], wanted, "{listener}");
        let served = !gateway(&compiler, "a/g").unwrap().listeners.is_empty();
        assert_eq!(served, wanted.contains("True"), "{listener}: nothing is served in plaintext instead");
        assert_eq!(has_code(&compiler, codes::LISTENER_UNSUPPORTED), !served);
    }
}

#[test]
fn kinds_that_a_listener_cannot_take() {
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP",
        "allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}, {"kind": "TCPRoute"}]}}]);
    let compiler = compile(&[http_gateway("a/g", 1, listeners)]);
    assert!(
        listener_conditions(&compiler, "a/g", 0).contains(&"ResolvedRefs=False/InvalidRouteKinds".to_owned())
    );
    let kinds = &status(&compiler, "Gateway", "a/g")["listeners"][0]["supportedKinds"];
    assert_eq!(*kinds, json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}]));
}

#[test]
fn listeners_in_conflict() {
    let compiler = compile(&[http_gateway(
        "a/g",
        1,
        json!([
            {"name": "first", "port": 80, "protocol": "HTTP"},
            {"name": "same", "port": 80, "protocol": "HTTP"},
            {"name": "other", "port": 80, "protocol": "TCP"},
            {"name": "fine", "port": 80, "protocol": "HTTP", "hostname": "a.com"},
            {"name": "tcp", "port": 81, "protocol": "TCP"},
            {"name": "tcp2", "port": 81, "protocol": "TCP"},
            {"name": "http", "port": 82, "protocol": "HTTP", "hostname": "a.com"},
            {"name": "more", "port": 82, "protocol": "HTTP", "hostname": "*.com"},
            {"name": "udp", "port": 82, "protocol": "UDP"},
        ]),
    )]);
    let accepted: Vec<String> =
        (0..8).map(|i| listener_conditions(&compiler, "a/g", i)[0].replace("Accepted=", "")).collect();
    assert_eq!(
        accepted,
        [
            "False/HostnameConflict",
            "False/HostnameConflict",
            "False/ProtocolConflict",
            "False/ProtocolConflict",
            "False/ProtocolConflict",
            "False/ProtocolConflict",
            "True/Accepted",
            "True/Accepted",
        ],
        "none of those in conflict is a winner"
    );
    let ports: Vec<u16> = gateway(&compiler, "a/g").unwrap().listeners.iter().map(|l| l.port).collect();
    assert_eq!(ports, [82]);
    assert_eq!(listener_conditions(&compiler, "a/g", 1)[3], "Conflicted=True/HostnameConflict");
    assert_eq!(
        conditions(&status(&compiler, "Gateway", "a/g")["conditions"])[0],
        "Accepted=True/ListenersNotValid"
    );
}

#[test]
fn the_older_gateway_holds_a_port() {
    let with = |name: &str, created: i64, address: Option<&str>| {
        let mut spec = json!({"gatewayClassName": "byrnie", "listeners": one_listener(80)});
        if let Some(address) = address {
            spec["addresses"] = json!([{"value": address}]);
        }
        object("Gateway", name, created, spec)
    };
    for (first, second, both) in [
        (None, None, false),
        (None, Some("127.0.0.1"), false),
        (None, Some("0.0.0.0"), false),
        (None, Some("::"), false),
        (None, Some("127.0.0.2"), true),
        (Some("192.0.2.1"), Some("192.0.2.1"), false),
        (Some("0.0.0.0"), Some("2001:db8::1"), true),
    ] {
        // The younger one arrives first.
        let mut compiler = compile(&[with("a/young", 2, second)]);
        let output = apply(&mut compiler, &[with("b/old", 1, first)]);
        let served = |name: &str| !gateway(&compiler, name).unwrap().listeners.is_empty();
        assert_eq!((served("b/old"), served("a/young")), (true, both), "{first:?} {second:?}");
        assert_eq!(output.updates.iter().any(|u| u.key.to_string() == "GatewayRoutes/a/young"), !both);
        if !both {
            assert_eq!(listener_conditions(&compiler, "a/young", 0)[0], "Accepted=False/PortUnavailable");
            let finding = compiler.findings().find(|f| f.code == codes::GATEWAY_PORT_TAKEN).unwrap();
            assert!(finding.message.contains("a/young") && finding.message.contains("b/old"));
        }
    }
}

#[test]
fn addresses_that_cannot_be_listened_on() {
    for (address, served) in [
        (json!({"value": "127.0.0.9"}), true),
        (json!({"type": "IPAddress"}), true),
        (json!({"type": "Hostname", "value": "a.com"}), false),
        (json!({"type": "test/fake-invalid-type", "value": "x"}), false),
        (json!({"value": "nowhere"}), false),
    ] {
        let spec = json!({"gatewayClassName": "byrnie", "addresses": [address.clone()], "listeners": one_listener(80)});
        let compiler = compile(&[object("Gateway", "a/g", 1, spec)]);
        assert_eq!(gateway(&compiler, "a/g").is_some(), served, "{address}");
        let accepted = &conditions(&status(&compiler, "Gateway", "a/g")["conditions"])[0];
        assert_eq!(accepted == "Accepted=False/UnsupportedAddress", !served, "{address}");
        let said = match (served, address["value"].as_str()) {
            (true, value) => json!([{"type": "IPAddress", "value": value.unwrap_or("127.0.0.1")}]),
            (false, _) => json!([]),
        };
        assert_eq!(status(&compiler, "Gateway", "a/g")["addresses"], said, "where its proxy listens");
    }
}

#[test]
fn a_workload_and_a_gateway_of_one_name() {
    for (gateway_created, workload_holds) in [(0, false), (2, true)] {
        let compiler = compile(&[
            http_gateway("a/x", gateway_created, one_listener(80)),
            workload("a/x", json!({"app": "x"}), 1, json!({"ports": [{"port": 80}]})),
            service("a/x", "x", json!([{"port": 80}])),
        ]);
        assert_eq!(gateway(&compiler, "a/x").is_some(), !workload_holds);
        let account = &inbound(&compiler, "a/x").unwrap().identity.service_account;
        assert_eq!(account == "default", workload_holds);
        assert_eq!(endpoints(&compiler, "a/x").ports[0].endpoints.len(), usize::from(workload_holds));
        assert!(has_code(&compiler, codes::NAME_TAKEN));
    }
}

#[test]
fn backends_of_other_namespaces_need_a_grant() {
    let route = route(
        "a/r",
        1,
        json!({"parentRefs": [{"name": "g"}],
        "rules": [{"backendRefs": [{"name": "s", "namespace": "b", "port": 80}]}]}),
    );
    let grant = |kind: &str, to: Value| {
        let from = json!([{"group": "gateway.networking.k8s.io", "kind": kind, "namespace": "a"}]);
        object("ReferenceGrant", "b/grant", 1, json!({"from": from, "to": [to]}))
    };
    let service_kind = json!({"group": "", "kind": "Service"});
    for (grant, wanted) in [
        (None, "ResolvedRefs=False/RefNotPermitted"),
        (Some(grant("HTTPRoute", service_kind.clone())), "ResolvedRefs=True/ResolvedRefs"),
        (Some(grant("GRPCRoute", service_kind)), "ResolvedRefs=False/RefNotPermitted"),
        (
            Some(grant("HTTPRoute", json!({"group": "", "kind": "Service", "name": "s"}))),
            "ResolvedRefs=True/ResolvedRefs",
        ),
        (
            Some(grant("HTTPRoute", json!({"group": "", "kind": "Service", "name": "t"}))),
            "ResolvedRefs=False/RefNotPermitted",
        ),
    ] {
        let mut compiler =
            compile(&[http_gateway("a/g", 1, one_listener(80)), route.clone(), backend("b/s")]);
        apply(&mut compiler, grant.as_slice());
        assert_eq!(parent_conditions(&compiler, "HTTPRoute", "a/r", 0)[1], wanted);
        let target = &gateway(&compiler, "a/g").unwrap().listeners[0].http.rules[0].backends[0].target;
        assert_eq!(*target == BackendTarget::Invalid(InvalidBackend::NotPermitted), wanted.contains("False"));
    }
}

#[test]
fn one_kind_of_route_for_one_host() {
    let spec = |host: &str| json!({"parentRefs": [{"name": "g"}], "hostnames": [host], "rules": []});
    for (grpc_host, http_created, wanted) in [
        ("*.a.com", 2, "Accepted=False/Conflicted"),
        ("*.a.com", 0, "Accepted=True/Accepted"),
        ("x.b.com", 2, "Accepted=True/Accepted"),
    ] {
        let compiler = compile(&[
            http_gateway("a/g", 1, one_listener(80)),
            route("a/http", http_created, spec("x.a.com")),
            object("GRPCRoute", "a/grpc", 1, spec(grpc_host)),
        ]);
        assert_eq!(
            parent_conditions(&compiler, "HTTPRoute", "a/http", 0)[0],
            wanted,
            "{grpc_host} {http_created}"
        );
    }
}

#[test]
fn connections_follow_the_oldest_route() {
    let listeners = json!([{"name": "tcp", "port": 9000, "protocol": "TCP"}]);
    let tcp = |name: &str, created: i64, backend: &str| {
        object(
            "TCPRoute",
            name,
            created,
            json!({"parentRefs": [{"name": "g"}],
            "rules": [{"backendRefs": [{"name": backend, "port": 80}]}]}),
        )
    };
    let compiler = compile(&[
        http_gateway("a/g", 1, listeners),
        tcp("a/young", 2, "s"),
        tcp("a/old", 1, "s"),
        backend("a/s"),
    ]);
    let listener = &gateway(&compiler, "a/g").unwrap().listeners[0];
    assert_eq!(listener.tcp.len(), 1);
    assert_eq!(listener.tcp[0].1.name.as_ref().unwrap().route, name("a/old"));
    assert_eq!(parent_conditions(&compiler, "TCPRoute", "a/young", 0)[0], "Accepted=False/Conflicted");
}
