//! TLS: passed through by name, and everything else refused, with nothing in plaintext instead.

use byrnie_api::codes;
use byrnie_plan::{BackendTarget, InvalidBackend, ListenerProtocol};
use serde_json::{Value, json};

use super::*;

fn edge(listeners: Value) -> Object {
    object("Gateway", "a/g", 1, json!({"gatewayClassName": "byrnie", "listeners": listeners}))
}

fn listener(name: &str, host: Option<&str>) -> Value {
    let mut listener = json!({"name": name, "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}});
    if let Some(host) = host {
        listener["hostname"] = host.into();
    }
    listener
}

fn route(name: &str, created: i64, hosts: Value, parent: Value) -> Object {
    let rules = json!([{"backendRefs": [{"name": "s", "port": 80}]}]);
    object("TLSRoute", name, created, json!({"parentRefs": [parent], "hostnames": hosts, "rules": rules}))
}

/// Host and route of each entry of the one port.
fn entries(compiler: &Compiler) -> Vec<(String, String)> {
    let listener = &gateway(compiler, "a/g").unwrap().listeners[0];
    assert_eq!(listener.protocol, ListenerProtocol::TlsPassthrough);
    listener
        .tcp
        .iter()
        .map(|(host, rule)| {
            let route = rule.name.as_ref().map_or("refused".to_owned(), |name| name.route.to_string());
            (crate::hosts::text(host), route)
        })
        .collect()
}

#[test]
fn names_lead_to_routes() {
    let all = json!({"name": "g"});
    let compiler = compile(&[
        edge(json!([listener("any", None), listener("wild", Some("*.x.com"))])),
        route("a/exact", 1, json!(["a.com", "b.x.com"]), all.clone()),
        route("a/wild", 2, json!(["*.x.com", "a.com"]), all.clone()),
        route("a/late", 3, json!(["a.com"]), all),
        route("a/named", 4, json!(["deep.y.x.com"]), json!({"name": "g", "sectionName": "any"})),
        route("a/other", 5, json!(["z.com"]), json!({"name": "g", "sectionName": "wild"})),
        backend("a/s"),
    ]);
    let wanted = [("*", "refused"), ("a.com", "a/exact"), ("b.x.com", "a/exact"), ("*.x.com", "a/wild")];
    assert_eq!(entries(&compiler), wanted.map(|(host, route)| (host.to_owned(), route.to_owned())));
    for (route, wanted) in [
        ("a/exact", "True/Accepted"),
        ("a/wild", "True/Accepted"),
        ("a/late", "False/Conflicted"),
        // The name is the more specific listener's.
        ("a/named", "False/NoMatchingListenerHostname"),
        ("a/other", "False/NoMatchingListenerHostname"),
    ] {
        assert_eq!(
            parent_conditions(&compiler, "TLSRoute", route, 0)[0],
            format!("Accepted={wanted}"),
            "{route}"
        );
    }
    let listeners = &status(&compiler, "Gateway", "a/g")["listeners"];
    assert_eq!(listeners[0]["supportedKinds"][0]["kind"], "TLSRoute");
    assert_eq!((&listeners[0]["attachedRoutes"], &listeners[1]["attachedRoutes"]), (&json!(1), &json!(2)));
}

#[test]
fn a_listener_without_route_keeps_its_names_from_others() {
    let compiler = compile(&[
        edge(json!([listener("wild", Some("*.x.com")), listener("one", Some("a.x.com"))])),
        route("a/r", 1, json!(["*.x.com"]), json!({"name": "g", "sectionName": "wild"})),
        backend("a/s"),
    ]);
    let wanted = [("a.x.com", "refused"), ("*.x.com", "a/r")];
    assert_eq!(entries(&compiler), wanted.map(|(host, route)| (host.to_owned(), route.to_owned())));
}

#[test]
fn tls_listeners_take_tls_routes_and_share_no_port_with_http() {
    let http = json!({"name": "http", "port": 443, "protocol": "HTTP"});
    let mut kinds = listener("kinds", None);
    kinds["port"] = 444.into();
    kinds["allowedRoutes"] = json!({"kinds": [{"kind": "HTTPRoute"}]});
    let rules = json!([{"backendRefs": [{"name": "s", "port": 80}]}]);
    let compiler = compile(&[
        edge(json!([listener("tls", None), http, kinds])),
        object(
            "HTTPRoute",
            "a/h",
            1,
            json!({"parentRefs": [{"name": "g", "sectionName": "tls"}], "rules": rules}),
        ),
        backend("a/s"),
    ]);
    let listeners = &status(&compiler, "Gateway", "a/g")["listeners"];
    let said = |index: usize| conditions(&listeners[index]["conditions"]);
    assert_eq!(said(0)[0], "Accepted=False/ProtocolConflict");
    assert_eq!(said(1)[0], "Accepted=False/ProtocolConflict");
    assert_eq!(said(2)[2], "ResolvedRefs=False/InvalidRouteKinds");
    assert_eq!(
        parent_conditions(&compiler, "HTTPRoute", "a/h", 0)[0],
        "Accepted=False/NotAllowedByListeners"
    );
}

#[test]
fn a_gateway_that_asks_for_more_is_not_served() {
    let http = json!([{"name": "l", "port": 80, "protocol": "HTTP"}]);
    for (more, reason) in [
        (
            json!({"tls": {"frontend": {"default": {"validation": {"caCertificateRefs": [
            {"group": "", "kind": "ConfigMap", "name": "ca"}]}}}}}),
            "Invalid",
        ),
        (json!({"tls": {"backend": {"clientCertificateRef": {"name": "c"}}}}), "Invalid"),
        (
            json!({"infrastructure": {"parametersRef": {"group": "a.b", "kind": "P", "name": "p"}}}),
            "InvalidParameters",
        ),
    ] {
        let mut spec = json!({"gatewayClassName": "byrnie", "listeners": http});
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let rules = json!([{"backendRefs": [{"name": "s", "port": 80}]}]);
        let compiler = compile(&[
            object("Gateway", "a/g", 1, spec),
            object("HTTPRoute", "a/r", 1, json!({"parentRefs": [{"name": "g"}], "rules": rules})),
            backend("a/s"),
        ]);
        let said = conditions(&status(&compiler, "Gateway", "a/g")["conditions"]);
        assert_eq!(
            said,
            [format!("Accepted=False/{reason}"), "Programmed=False/Invalid".to_owned()],
            "{more}"
        );
        assert!(gateway(&compiler, "a/g").is_none(), "{more}: no port is opened");
        assert!(has_code(&compiler, codes::GATEWAY_UNSUPPORTED));
        assert_eq!(parent_conditions(&compiler, "HTTPRoute", "a/r", 0)[0], "Accepted=False/NoMatchingParent");
    }
    let class = object(
        "GatewayClass",
        "c",
        1,
        json!({"controllerName": crate::CONTROLLER_NAME,
        "parametersRef": {"group": "a.b", "kind": "P", "name": "p"}}),
    );
    let compiler = compile(&[class]);
    let status = status(&compiler, "GatewayClass", "c");
    assert_eq!(conditions(&status["conditions"]), ["Accepted=False/InvalidParameters"]);
    let names: Vec<&str> =
        status["supportedFeatures"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.contains(&"HTTPRouteCORS") && names.len() <= 64, "{names:?}");
}

#[test]
fn udp_routes_say_what_there_is_not() {
    let rules = json!([{"backendRefs": [{"name": "s", "port": 80}]}]);
    let parents = json!([{"name": "g"}, {"name": "foreign"}, {"name": "s", "kind": "Service", "group": ""}]);
    let foreign =
        json!({"gatewayClassName": "other", "listeners": [{"name": "l", "port": 1, "protocol": "UDP"}]});
    let compiler = compile(&[
        edge(json!([{"name": "l", "port": 53, "protocol": "UDP"}])),
        object("Gateway", "a/foreign", 1, foreign),
        object("UDPRoute", "a/u", 1, json!({"parentRefs": parents, "rules": rules})),
    ]);
    let parents = status(&compiler, "UDPRoute", "a/u")["parents"].as_array().unwrap();
    let names: Vec<&str> = parents.iter().map(|p| p["parentRef"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["g", "s"], "another controller's parents are its own");
    assert_eq!(parent_conditions(&compiler, "UDPRoute", "a/u", 0), ["Accepted=False/UnsupportedValue"]);
    assert!(has_code(&compiler, codes::UDP_UNSUPPORTED));
    assert!(gateway(&compiler, "a/g").unwrap().listeners.is_empty());
}

#[test]
fn where_a_backend_is_to_be_encrypted_nothing_goes_unencrypted() {
    let policy = |section: Option<&str>| {
        let mut target = json!({"group": "", "kind": "Service", "name": "s"});
        if let Some(section) = section {
            target["sectionName"] = section.into();
        }
        let validation = json!({"hostname": "a.b", "wellKnownCACertificates": "System"});
        object("BackendTLSPolicy", "a/tls", 1, json!({"targetRefs": [target], "validation": validation}))
    };
    let ports = json!([{"name": "web", "port": 80}, {"name": "other", "port": 81}]);
    let rules = json!([{"backendRefs": [{"name": "s", "port": 80}]}]);
    let parents = json!([{"name": "g"}, {"group": "", "kind": "Service", "name": "s"}]);
    let mut compiler = compile(&[
        edge(json!([{"name": "l", "port": 80, "protocol": "HTTP"}])),
        service("a/s", "s", ports),
        object("HTTPRoute", "a/r", 1, json!({"parentRefs": parents, "rules": rules})),
        policy(Some("web")),
    ]);
    let target = |compiler: &Compiler| {
        gateway(compiler, "a/g").unwrap().listeners[0].http.rules[0].backends[0].target.clone()
    };
    assert_eq!(target(&compiler), BackendTarget::Invalid(InvalidBackend::TlsUnsupported));
    let said = parent_conditions(&compiler, "HTTPRoute", "a/r", 0);
    assert_eq!(said, ["Accepted=True/Accepted", "ResolvedRefs=False/UnsupportedProtocol"]);
    // Within the mesh all is encrypted by the proxies; the policy is for Gateways.
    assert_eq!(parent_conditions(&compiler, "HTTPRoute", "a/r", 1)[1], "ResolvedRefs=True/ResolvedRefs");
    let ancestors = status(&compiler, "BackendTLSPolicy", "a/tls")["ancestors"].as_array().unwrap();
    assert_eq!(ancestors.len(), 1);
    assert_eq!(ancestors[0]["ancestorRef"]["name"], "g");
    assert_eq!(conditions(&ancestors[0]["conditions"]), ["Accepted=False/Invalid"]);
    assert_eq!(ancestors[0]["conditions"][0]["observedGeneration"], 1);
    assert!(has_code(&compiler, codes::BACKEND_TLS_UNSUPPORTED));
    apply(&mut compiler, &[policy(Some("other"))]);
    assert!(matches!(target(&compiler), BackendTarget::Service { .. }));
    apply(&mut compiler, &[policy(None)]);
    assert!(matches!(target(&compiler), BackendTarget::Invalid(_)));
    compiler.apply(&[Change::Deleted(policy(None).key())]);
    assert!(matches!(target(&compiler), BackendTarget::Service { .. }));
    assert!(!has_code(&compiler, codes::BACKEND_TLS_UNSUPPORTED));
}
