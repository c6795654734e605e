//! ListenerSets: who may add listeners, which of two holds, what routes and statuses say.

use byrnie_api::codes;
use serde_json::{Value, json};

use super::*;

fn front(allowed: Value, listeners: Value) -> Object {
    let mut spec = json!({"gatewayClassName": "byrnie", "listeners": listeners});
    if !allowed.is_null() {
        spec["allowedListeners"] = json!({"namespaces": allowed});
    }
    object("Gateway", "a/g", 5, spec)
}

fn own() -> Value {
    json!([{"name": "own", "port": 80, "protocol": "HTTP", "hostname": "own.com"}])
}

fn set(name: &str, created: i64, listeners: Value) -> Object {
    let parent = json!({"name": "g", "namespace": "a"});
    object("ListenerSet", name, created, json!({"parentRef": parent, "listeners": listeners}))
}

fn http(host: &str, port: u16) -> Value {
    json!([{"name": "l", "port": port, "protocol": "HTTP", "hostname": host}])
}

fn said(compiler: &Compiler, set: &str) -> Vec<String> {
    conditions(&status(compiler, "ListenerSet", set)["conditions"])
}

fn route(name: &str, parent: Value) -> Object {
    let rules = json!([{"backendRefs": [{"name": "s", "port": 80}]}]);
    object("HTTPRoute", name, 1, json!({"parentRefs": [parent], "rules": rules}))
}

#[test]
fn a_set_is_let_in_by_allowed_listeners_only() {
    let label = json!({"from": "Selector", "selector": {"matchLabels": {"team": "x"}}});
    for (allowed, name, is_in) in [
        (Value::Null, "a/set", false),
        (json!({"from": "None"}), "a/set", false),
        (json!({"from": "Same"}), "a/set", true),
        (json!({"from": "Same"}), "b/set", false),
        (json!({"from": "All"}), "b/set", true),
        (label.clone(), "b/set", true),
        (label, "c/set", false),
    ] {
        let namespace = with_labels("Namespace", "b", 1, json!({"team": "x"}), json!({}));
        let parts: Vec<&str> = name.split('/').collect();
        let (own_namespace, set_name) = (parts[0], parts[1]);
        let compiler = compile(&[
            front(allowed.clone(), own()),
            set(name, 1, http("more.com", 8080)),
            namespace,
            route(&format!("{own_namespace}/r"), json!({"kind": "ListenerSet", "name": set_name})),
            backend(&format!("{own_namespace}/s")),
        ]);
        let wanted = match is_in {
            true => ["Accepted=True/Accepted", "Programmed=True/Programmed"],
            false => ["Accepted=False/NotAllowed", "Programmed=False/NotAllowed"],
        };
        assert_eq!(said(&compiler, name), wanted, "{allowed} {name}");
        let ports: Vec<u16> = gateway(&compiler, "a/g").unwrap().listeners.iter().map(|l| l.port).collect();
        assert_eq!(ports, if is_in { vec![80, 8080] } else { vec![80] }, "{allowed} {name}");
        let count = &status(&compiler, "Gateway", "a/g")["attachedListenerSets"];
        assert_eq!(*count, json!(u8::from(is_in)));
        let parent = &parent_conditions(&compiler, "HTTPRoute", &format!("{own_namespace}/r"), 0)[0];
        let wanted = if is_in { "Accepted=True/Accepted" } else { "Accepted=False/NoMatchingParent" };
        assert_eq!(parent, wanted, "{allowed} {name}");
        assert_eq!(has_code(&compiler, codes::LISTENER_SET_REFUSED), !is_in);
        for status in [status(&compiler, "ListenerSet", name), status(&compiler, "Gateway", "a/g")] {
            assert!(status["conditions"].as_array().unwrap().iter().all(|c| c["observedGeneration"] == 1));
        }
    }
}

#[test]
fn the_gateways_listeners_hold_then_the_older_sets() {
    let listeners = json!([
        {"name": "host", "port": 80, "protocol": "HTTP", "hostname": "own.com"},
        {"name": "protocol", "port": 80, "protocol": "TCP"},
        {"name": "fine", "port": 80, "protocol": "HTTP", "hostname": "fine.com"},
        {"name": "later", "port": 81, "protocol": "HTTP"},
    ]);
    // The set is older than the Gateway, and its listeners still come after the Gateway's.
    let mut compiler = compile(&[
        front(json!({"from": "Same"}), own()),
        set("a/old", 1, listeners),
        set("a/young", 9, json!([{"name": "l", "port": 81, "protocol": "HTTP"}])),
    ]);
    let entries = |compiler: &Compiler, set: &str| -> Vec<String> {
        let listeners = status(compiler, "ListenerSet", set)["listeners"].as_array().unwrap().clone();
        listeners
            .iter()
            .map(|l| {
                let said = conditions(&l["conditions"]);
                format!("{} {} {}", l["name"].as_str().unwrap(), said[0], said[3])
            })
            .collect()
    };
    assert_eq!(
        entries(&compiler, "a/old"),
        [
            "host Accepted=False/HostnameConflict Conflicted=True/HostnameConflict",
            "protocol Accepted=False/ProtocolConflict Conflicted=True/ProtocolConflict",
            "fine Accepted=True/Accepted Conflicted=False/NoConflicts",
            "later Accepted=True/Accepted Conflicted=False/NoConflicts",
        ]
    );
    assert_eq!(said(&compiler, "a/old"), ["Accepted=True/ListenersNotValid", "Programmed=True/Programmed"]);
    let wanted = ["l Accepted=False/HostnameConflict Conflicted=True/HostnameConflict"];
    assert_eq!(entries(&compiler, "a/young"), wanted);
    let none = ["Accepted=False/ListenersNotValid", "Programmed=False/ListenersNotValid"];
    assert_eq!(said(&compiler, "a/young"), none);
    assert_eq!(status(&compiler, "Gateway", "a/g")["attachedListenerSets"], 1);
    assert_eq!(status(&compiler, "Gateway", "a/g")["listeners"].as_array().unwrap().len(), 1);
    assert_eq!(
        conditions(&status(&compiler, "Gateway", "a/g")["conditions"])[0],
        "Accepted=True/Accepted",
        "a set's mistakes are the set's"
    );
    // What an older set gives free the younger one takes.
    compiler.apply(&[Change::Deleted(set("a/old", 1, http("x.com", 1)).key())]);
    assert_eq!(said(&compiler, "a/young"), ["Accepted=True/Accepted", "Programmed=True/Programmed"]);
}

#[test]
fn routes_hear_from_the_set_that_they_name() {
    let all = |host: &str| {
        json!([{"name": "l", "port": 80, "protocol": "HTTP", "hostname": host,
            "allowedRoutes": {"namespaces": {"from": "All"}}}])
    };
    let mut both = route("b/both", json!({"kind": "ListenerSet", "name": "set"}));
    both = Object::from_value({
        let mut value = both.to_value();
        value["spec"]["parentRefs"].as_array_mut().unwrap().push(json!({"name": "g", "namespace": "a"}));
        value
    })
    .unwrap();
    let compiler = compile(&[
        front(json!({"from": "All"}), own()),
        set("b/set", 1, http("set.com", 80)),
        set("b/open", 2, all("open.com")),
        // The set's own namespace is `Same` for its listeners.
        route("b/near", json!({"kind": "ListenerSet", "name": "set"})),
        route("c/far", json!({"kind": "ListenerSet", "name": "set", "namespace": "b"})),
        route("c/let-in", json!({"kind": "ListenerSet", "name": "open", "namespace": "b"})),
        route("b/section", json!({"kind": "ListenerSet", "name": "set", "sectionName": "own"})),
        route("b/gone", json!({"kind": "ListenerSet", "name": "gone"})),
        route("a/gateway", json!({"name": "g"})),
        both,
    ]);
    for (route, wanted) in [
        ("b/near", "True/Accepted"),
        ("c/far", "False/NotAllowedByListeners"),
        ("c/let-in", "True/Accepted"),
        ("b/section", "False/NoMatchingParent"),
        ("b/gone", "False/NoMatchingParent"),
        ("a/gateway", "True/Accepted"),
        ("b/both", "True/Accepted"),
    ] {
        let said = &parent_conditions(&compiler, "HTTPRoute", route, 0)[0];
        assert_eq!(*said, format!("Accepted={wanted}"), "{route}");
    }
    let second = &parent_conditions(&compiler, "HTTPRoute", "b/both", 1)[0];
    assert_eq!(second, "Accepted=False/NotAllowedByListeners", "each parent answers for itself");
    let parents = &status(&compiler, "HTTPRoute", "b/near")["parents"];
    assert_eq!(parents[0]["parentRef"]["kind"], "ListenerSet");
    // A route of the Gateway is not on the sets' listeners, nor the other way round.
    let listener = &gateway(&compiler, "a/g").unwrap().listeners[0];
    let hosts: Vec<(String, String)> = listener
        .http
        .matches
        .iter()
        .map(|m| (crate::hosts::text(&m.host), listener.http.rules[m.rule as usize].name.route.to_string()))
        .collect();
    let wanted =
        [("open.com", "c/let-in"), ("own.com", "a/gateway"), ("set.com", "b/both"), ("set.com", "b/near")];
    let mut hosts = hosts;
    hosts.sort();
    assert_eq!(hosts, wanted.map(|(host, route)| (host.to_owned(), route.to_owned())));
    let attached =
        |set: &str| status(&compiler, "ListenerSet", set)["listeners"][0]["attachedRoutes"].clone();
    assert_eq!((attached("b/set"), attached("b/open")), (json!(2), json!(1)));
}

#[test]
fn a_set_without_gateway_waits_for_it() {
    let mut compiler = compile(&[
        set("a/set", 1, http("x.com", 80)),
        route("a/r", json!({"kind": "ListenerSet", "name": "set"})),
    ]);
    let waits = ["Accepted=False/ParentNotAccepted", "Programmed=False/ParentNotProgrammed"];
    assert_eq!(said(&compiler, "a/set"), waits);
    assert_eq!(parent_conditions(&compiler, "HTTPRoute", "a/r", 0)[0], "Accepted=False/NoMatchingParent");
    apply(&mut compiler, &[front(json!({"from": "Same"}), own())]);
    assert_eq!(said(&compiler, "a/set")[0], "Accepted=True/Accepted");
    assert_eq!(parent_conditions(&compiler, "HTTPRoute", "a/r", 0)[0], "Accepted=True/Accepted");
    // A Gateway that is not served takes its sets along; one of another class is not our business.
    let mut refused = front(json!({"from": "Same"}), own()).to_value();
    refused["spec"]["tls"] = json!({"frontend": {"default": {}}});
    apply(&mut compiler, &[Object::from_value(refused).unwrap()]);
    assert_eq!(said(&compiler, "a/set"), waits);
    let mut other = front(json!({"from": "Same"}), own()).to_value();
    other["spec"]["gatewayClassName"] = "other".into();
    apply(&mut compiler, &[Object::from_value(other).unwrap()]);
    assert!(compiler.statuses().all(|status| status.key.name != "set"));
}

#[test]
fn the_port_of_a_set_is_the_gateways() {
    let other = |created| {
        let listeners = json!([{"name": "l", "port": 8080, "protocol": "HTTP"}]);
        object("Gateway", "b/other", created, json!({"gatewayClassName": "byrnie", "listeners": listeners}))
    };
    for (created, wanted) in [(9, "Accepted=True/Accepted"), (1, "Accepted=False/PortUnavailable")] {
        let compiler = compile(&[
            front(json!({"from": "Same"}), own()),
            set("a/set", 1, http("x.com", 8080)),
            other(created),
        ]);
        let listener = &status(&compiler, "ListenerSet", "a/set")["listeners"][0];
        assert_eq!(conditions(&listener["conditions"])[0], wanted);
    }
}

/// Nearest first: the set's listener, the set, the Gateway.
#[test]
fn a_policy_may_name_a_set_or_one_of_its_listeners() {
    let listeners = json!([
        {"name": "one", "port": 81, "protocol": "HTTP"},
        {"name": "two", "port": 82, "protocol": "HTTP"},
    ]);
    let policy = |name: &str, target: Value, attempts: u32| {
        let spec = json!({"targetRefs": [target], "retry": {"attempts": attempts}});
        object("TrafficPolicy", name, 1, spec)
    };
    let limit = json!({"targetRefs": [{"kind": "ListenerSet", "name": "set"}], "limits": [{"requests": 5}]});
    let mut objects = vec![
        front(json!({"from": "Same"}), own()),
        set("a/set", 1, listeners),
        route("a/own", json!({"name": "g"})),
        route("a/r", json!({"kind": "ListenerSet", "name": "set"})),
        backend("a/s"),
        policy("a/whole", json!({"kind": "Gateway", "name": "g"}), 3),
        policy("a/set", json!({"kind": "ListenerSet", "name": "set"}), 4),
        policy("a/part", json!({"kind": "ListenerSet", "name": "set", "sectionName": "two"}), 5),
        policy("a/none", json!({"kind": "ListenerSet", "name": "set", "sectionName": "gone"}), 6),
        object("RateLimitPolicy", "a/limit", 1, limit),
    ];
    let mut compiler = compile(&objects);
    let here = |compiler: &Compiler| -> Vec<(u16, Option<u32>, bool)> {
        let listeners = &gateway(compiler, "a/g").unwrap().listeners;
        let of = |listener: &byrnie_plan::GatewayListener| {
            let rule = &listener.http.rules[0];
            (listener.port, rule.retry.as_ref().map(|retry| retry.attempts), rule.controls.is_some())
        };
        listeners.iter().map(of).collect()
    };
    assert_eq!(here(&compiler), [(80, Some(3), false), (81, Some(4), true), (82, Some(5), true)]);
    let accepted =
        |name: &str| conditions(&status(&compiler, "TrafficPolicy", name)["conditions"])[0].clone();
    assert_eq!(accepted("a/set"), "Accepted=True/Accepted");
    assert_eq!(accepted("a/part"), "Accepted=True/Accepted");
    assert_eq!(accepted("a/none"), "Accepted=False/TargetNotFound");
    // What is told to people comes from the same places.
    let told: Vec<(String, String)> = compiler
        .rule_values(byrnie_plan::RouteKind::Http, &name("a/r"), "0")
        .into_iter()
        .map(|held| (held.at, held.origins["retry.attempts"].clone()))
        .collect();
    let of = |listener: &str, policy: &str| {
        (format!("listener {listener} of ListenerSet a/set"), format!("TrafficPolicy {policy}"))
    };
    let wanted =
        [of("one", "a/set (ListenerSet a/set)"), of("two", "a/part (listener two of ListenerSet a/set)")];
    assert_eq!(told, wanted);
    let gone = byrnie_api::ObjectKey::new(byrnie_api::Kind::TrafficPolicy, "a", "part");
    compiler.apply(&[Change::Deleted(gone)]);
    assert_eq!(here(&compiler)[2], (82, Some(4), true));
    objects.remove(7);
    assert_eq!(state(&compiler), state(&compile(&objects)));
}
