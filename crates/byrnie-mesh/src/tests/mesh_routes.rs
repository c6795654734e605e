//! Routes attached to Services: producers, consumers, precedence, filters, references.

use byrnie_api::codes;
use byrnie_plan::{BackendTarget, Filter, HostPattern, InvalidBackend, PathMatch};
use serde_json::{Value, json};

use super::*;

fn to_service(name: &str, rules: Value) -> Value {
    json!({"parentRefs": [{"group": "", "kind": "Service", "name": name, "port": 80}], "rules": rules})
}

fn to(backend: &str) -> Value {
    json!([{"backendRefs": [{"name": backend, "port": 80}]}])
}

#[test]
fn producers_and_consumers() {
    let two_ports = json!([{"name": "x", "port": 80}, {"name": "y", "port": 8080}]);
    let consumer = json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web",
        "namespace": "shop", "port": 80}],
        "hostnames": ["ignored.example.com"], "rules": to("mock")});
    let producer =
        json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": to("web")});
    let compiler = compile(&[
        service("shop/web", "web", two_ports),
        object("HTTPRoute", "shop/all", 1, producer),
        object("HTTPRoute", "store/own", 1, consumer),
        backend("store/mock"),
    ]);
    let ports = |key: &str| routes(&compiler, key).unwrap().ports.iter().map(|p| p.port).collect::<Vec<_>>();
    assert_eq!((ports("shop/web"), ports("shop/web@store")), (vec![80, 8080], vec![80, 8080]));
    assert!(routes(&compiler, "shop/web@other").is_none());
    let names = |key: &str, port: u16| table(&compiler, key, port).rules[0].name.route.to_string();
    assert_eq!(names("shop/web", 80), "shop/all");
    assert_eq!(names("shop/web@store", 80), "store/own", "a consumer's route replaces");
    assert_eq!(names("shop/web@store", 8080), "shop/all", "where there is one");
    assert_eq!(table(&compiler, "shop/web@store", 80).matches[0].host, HostPattern::Any);
    assert!(table(&compiler, "shop/web", 80).scopes.is_empty());
}

#[test]
fn a_mesh_route_needs_no_grant() {
    let spec = to_service("web", json!([{"backendRefs": [{"name": "far", "namespace": "b", "port": 80}]}]));
    let compiler = compile(&[backend("shop/web"), backend("b/far"), object("HTTPRoute", "shop/r", 1, spec)]);
    assert_eq!(parent_conditions(&compiler, "HTTPRoute", "shop/r", 0)[1], "ResolvedRefs=True/ResolvedRefs");
}

#[test]
fn parents_that_take_no_routes() {
    for (service, wanted) in [
        (None, codes::PARENT_MISSING),
        (Some(json!({"clusterIP": "None", "ports": [{"port": 80}]})), codes::ROUTE_NOT_ATTACHED),
        (Some(json!({"type": "ExternalName", "ports": [{"port": 80}]})), codes::ROUTE_NOT_ATTACHED),
        (Some(json!({"ports": [{"port": 81}]})), codes::ROUTE_NOT_ATTACHED),
    ] {
        let mut compiler = compile(&[object("HTTPRoute", "shop/r", 1, to_service("web", to("web")))]);
        if let Some(spec) = service {
            apply(&mut compiler, &[object("Service", "shop/web", 1, spec)]);
        }
        assert_eq!(
            parent_conditions(&compiler, "HTTPRoute", "shop/r", 0)[0],
            "Accepted=False/NoMatchingParent"
        );
        assert!(has_code(&compiler, wanted));
        assert!(routes(&compiler, "shop/web").is_none());
    }
}

#[test]
fn one_kind_holds_on_a_port() {
    let tcp = json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}],
        "rules": to("web")});
    for (kinds, winner) in [
        (&["HTTPRoute", "GRPCRoute", "TCPRoute"][..], "GRPCRoute"),
        (&["HTTPRoute", "TCPRoute"], "HTTPRoute"),
        (&["TCPRoute"], "TCPRoute"),
    ] {
        let mut objects = vec![backend("shop/web")];
        for (age, kind) in kinds.iter().rev().enumerate() {
            objects.push(object(kind, "shop/r", i64::try_from(age).unwrap(), tcp.clone()));
        }
        let compiler = compile(&objects);
        for kind in kinds {
            let wanted = if *kind == winner { "Accepted=True/Accepted" } else { "Accepted=False/Conflicted" };
            assert_eq!(parent_conditions(&compiler, kind, "shop/r", 0)[0], wanted, "{kind} of {kinds:?}");
        }
        let port = &routes(&compiler, "shop/web").unwrap().ports[0];
        assert_eq!((port.http.is_some(), !port.tcp.is_empty()), (winner != "TCPRoute", winner == "TCPRoute"));
    }
}

#[test]
fn a_route_without_its_port_attaches_to_all() {
    let mut spec = to_service("web", to("web"));
    spec["parentRefs"][0].as_object_mut().unwrap().remove("port");
    let ports = json!([{"name": "x", "port": 80}, {"name": "y", "port": 81}]);
    let grpc = to_service("web", to("web"));
    let compiler = compile(&[
        service("shop/web", "web", ports),
        object("HTTPRoute", "shop/http", 1, spec),
        object("GRPCRoute", "shop/grpc", 1, grpc),
    ]);
    assert_eq!(parent_conditions(&compiler, "HTTPRoute", "shop/http", 0)[0], "Accepted=True/Accepted");
    assert_eq!(table(&compiler, "shop/web", 80).rules[0].name.route.name, "grpc");
    assert_eq!(table(&compiler, "shop/web", 81).rules[0].name.route.name, "http");
}

#[test]
fn references_that_do_not_resolve_cost_their_share() {
    for (reference, invalid, reason) in [
        (json!({"name": "web", "port": 80, "weight": 3}), None, "True/ResolvedRefs"),
        (json!({"name": "gone", "port": 80}), Some(InvalidBackend::NotFound), "False/BackendNotFound"),
        (json!({"name": "web", "port": 81}), Some(InvalidBackend::NotFound), "False/BackendNotFound"),
        (json!({"name": "web"}), Some(InvalidBackend::NotFound), "False/BackendNotFound"),
        (
            json!({"name": "x", "kind": "Bucket", "group": "x.y", "port": 80}),
            Some(InvalidBackend::InvalidKind),
            "False/InvalidKind",
        ),
        (json!({"name": "alias", "port": 80}), Some(InvalidBackend::InvalidKind), "False/InvalidKind"),
    ] {
        let compiler = compile(&[
            backend("shop/web"),
            object("Service", "shop/alias", 1, json!({"type": "ExternalName", "ports": [{"port": 80}]})),
            object("HTTPRoute", "shop/r", 1, to_service("web", json!([{"backendRefs": [reference]}]))),
        ]);
        let backend = &table(&compiler, "shop/web", 80).rules[0].backends[0];
        match &backend.target {
            BackendTarget::Service { port, .. } => {
                assert_eq!((*port, backend.weight, invalid), (80, 3, None))
            }
            BackendTarget::Invalid(why) => assert_eq!(Some(*why), invalid, "{reference}"),
        }
        let said = &parent_conditions(&compiler, "HTTPRoute", "shop/r", 0);
        assert_eq!(*said, ["Accepted=True/Accepted".to_owned(), format!("ResolvedRefs={reason}")]);
    }
}

#[test]
fn an_unsupported_filter_is_never_served_as_if_absent() {
    let other = json!({"type": "ExtensionRef", "extensionRef": {"group": "a.b", "kind": "A", "name": "a"}});
    let bad = json!({"filters": [other], "backendRefs": [{"name": "web", "port": 80}],
        "matches": [{"path": {"value": "/bad"}}]});
    let good = json!({"backendRefs": [{"name": "web", "port": 80}]});
    for (rules, accepted) in [(json!([bad]), "False/UnsupportedValue"), (json!([bad, good]), "True/Accepted")]
    {
        let compiler = compile(&[
            backend("shop/web"),
            object("HTTPRoute", "shop/r", 1, to_service("web", rules.clone())),
        ]);
        let table = table(&compiler, "shop/web", 80);
        assert_eq!(table.rules.len(), rules.as_array().unwrap().len());
        assert_eq!(
            table.rules[0].backends[0].target,
            BackendTarget::Invalid(InvalidBackend::UnsupportedFilter)
        );
        let said = parent_conditions(&compiler, "HTTPRoute", "shop/r", 0);
        assert_eq!(said[0], format!("Accepted={accepted}"));
        assert_eq!(
            said.len() == 3,
            accepted.starts_with("True"),
            "PartiallyInvalid where some rules are fine"
        );
        assert!(has_code(&compiler, codes::FILTER_UNSUPPORTED));
    }
}

#[test]
fn a_rule_that_cannot_be_understood_is_left_out() {
    let bad = json!({"matches": [{"path": {"type": "RegularExpression", "value": "/(["}}]});
    let huge = json!({"matches": [{"path": {"type": "RegularExpression", "value": "/(\\w{100}){100}"}}]});
    let escape = json!({"matches": [{"path": {"type": "RegularExpression", "value": "/a)|(b"}}]});
    let good = json!({"backendRefs": [{"name": "web", "port": 80}]});
    for (rules, accepted, served) in [
        (json!([bad, good]), "True/Accepted", 1),
        (json!([huge, good]), "True/Accepted", 1),
        (json!([escape, good]), "True/Accepted", 1),
        (json!([bad]), "False/UnsupportedValue", 0),
    ] {
        let compiler =
            compile(&[backend("shop/web"), object("HTTPRoute", "shop/r", 1, to_service("web", rules))]);
        let said = parent_conditions(&compiler, "HTTPRoute", "shop/r", 0);
        assert_eq!(said[0], format!("Accepted={accepted}"));
        let rules = routes(&compiler, "shop/web").map_or(0, |_| table(&compiler, "shop/web", 80).rules.len());
        assert_eq!(rules, served);
        if served > 0 {
            assert_eq!(said[2], "PartiallyInvalid=True/UnsupportedValue");
            let parents = &status(&compiler, "HTTPRoute", "shop/r")["parents"];
            assert!(parents[0]["conditions"][2]["message"].as_str().unwrap().starts_with("Dropped Rule"));
        }
        assert!(has_code(&compiler, codes::RULE_REFUSED));
    }
}

#[test]
fn grpc_matches_become_paths() {
    for (method, wanted) in [
        (json!({"service": "p.S", "method": "M"}), PathMatch::Exact("/p.S/M".to_owned())),
        (json!({"service": "p.S"}), PathMatch::Prefix("/p.S".to_owned())),
        (json!({"method": "M"}), PathMatch::Regex("/[^/]+/M".to_owned())),
        (
            json!({"type": "RegularExpression", "service": "p|q", "method": "M.*"}),
            PathMatch::Regex("/(?:p|q)/(?:M.*)".to_owned()),
        ),
    ] {
        let rules = json!([{"matches": [{"method": method}], "backendRefs": [{"name": "web", "port": 80}]}]);
        let compiler =
            compile(&[backend("shop/web"), object("GRPCRoute", "shop/r", 1, to_service("web", rules))]);
        let table = table(&compiler, "shop/web", 80);
        assert_eq!(table.matches[0].path, wanted);
        assert_eq!(table.matches[0].method, None);
    }
}

#[test]
fn filters_limits_and_names_of_a_rule() {
    let rules = json!([{
        "name": "main",
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-A",
                "value": "1"}, {"name": "x-a", "value": "2"}], "remove": ["X-B"]}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web", "port": 80},
                "percent": 5}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "gone", "port": 80}}},
        ],
        "timeouts": {"request": "0s", "backendRequest": "2s"},
        "retry": {"codes": [503], "attempts": 0},
        "backendRefs": [{"name": "web", "port": 80, "filters": [
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "Y",
                "value": "2"}]}}]}],
    }]);
    let compiler =
        compile(&[backend("shop/web"), object("HTTPRoute", "shop/r", 1, to_service("web", rules))]);
    let rule = &table(&compiler, "shop/web", 80).rules[0];
    assert_eq!(rule.name.to_string(), "r/main");
    let Filter::RequestHeaders(modifier) = &rule.filters[0] else { panic!() };
    assert_eq!(modifier.set, [("x-a".to_owned(), "1".to_owned())], "the first of one name holds");
    assert_eq!(modifier.remove, ["x-b"]);
    assert!(matches!(&rule.filters[1], Filter::Mirror(m) if (m.numerator, m.denominator) == (5, 100)));
    assert_eq!(rule.filters.len(), 2, "a mirror that leads nowhere copies nothing");
    assert_eq!(rule.timeouts.request, Some(std::time::Duration::ZERO));
    assert_eq!(rule.retry.as_ref().unwrap().attempts, 0);
    assert!(matches!(rule.backends[0].filters[0], Filter::ResponseHeaders(_)));
    assert_eq!(
        parent_conditions(&compiler, "HTTPRoute", "shop/r", 0)[1],
        "ResolvedRefs=False/BackendNotFound"
    );
}

#[test]
fn replacing_a_prefix_needs_a_prefix() {
    let rewrite = json!({"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch",
        "replacePrefixMatch": "/"}}});
    for (kind, fine) in [("PathPrefix", true), ("Exact", false), ("RegularExpression", false)] {
        let rules = json!([{"matches": [{"path": {"type": kind, "value": "/a"}}], "filters": [rewrite],
            "backendRefs": [{"name": "web", "port": 80}]}]);
        let compiler =
            compile(&[backend("shop/web"), object("HTTPRoute", "shop/r", 1, to_service("web", rules))]);
        let rule = &table(&compiler, "shop/web", 80).rules[0];
        assert_eq!(rule.filters.len() == 1, fine, "{kind}");
        assert_eq!(matches!(rule.backends[0].target, BackendTarget::Invalid(_)), !fine, "{kind}");
    }
}

#[test]
fn a_route_attached_to_nothing() {
    let compiler = compile(&[object("HTTPRoute", "shop/r", 1, json!({"rules": to("web")}))]);
    assert_eq!(codes(&compiler), ["BYR0101 HTTPRoute shop/r", "BYR0105 HTTPRoute shop/r"][1..]);
}

#[test]
fn tls_routes_of_a_service_are_followed_by_name() {
    let route = |name: &str, created: i64, hosts: Value| {
        let spec = json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "hostnames": hosts,
            "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]});
        object("TLSRoute", name, created, spec)
    };
    let compiler = compile(&[
        backend("shop/web"),
        route("shop/old", 1, json!(["a.com", "*.b.com"])),
        route("shop/new", 2, json!(["*.b.com", "x.b.com"])),
        route("shop/late", 3, json!(["a.com"])),
    ]);
    for (name, said) in [
        ("shop/old", "Accepted=True/Accepted"),
        ("shop/new", "Accepted=True/Accepted"),
        ("shop/late", "Accepted=False/Conflicted"),
    ] {
        assert_eq!(parent_conditions(&compiler, "TLSRoute", name, 0)[0], said, "{name}");
    }
    let tcp = &routes(&compiler, "shop/web").unwrap().ports[0].tcp;
    let held: Vec<String> = tcp
        .iter()
        .map(|(host, rule)| {
            format!("{} {}", crate::hosts::text(host), rule.name.as_ref().unwrap().route.name)
        })
        .collect();
    assert_eq!(held, ["a.com old", "x.b.com new", "*.b.com old"]);
}
