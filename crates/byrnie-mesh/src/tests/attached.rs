//! What a policy is attached to, which of several holds, and what the others say.

use std::time::Duration;

use byrnie_api::codes;
use byrnie_plan::{HttpRule, Key, Resource, TrafficSettings};
use serde_json::{Value, json};

use super::*;

fn policy(name: &str, created: i64, target: Value, says: Value) -> Object {
    let mut spec = says;
    spec["targetRefs"] = json!([target]);
    object("TrafficPolicy", name, created, spec)
}

fn attempts(number: u32) -> Value {
    json!({"retry": {"attempts": number}})
}

/// Service `a/s` with a route that has a named rule and a nameless one, at `a/s` and at two listeners of `a/g`.
fn world() -> Vec<Object> {
    let listeners = json!([
        {"name": "one", "port": 80, "protocol": "HTTP", "hostname": "one.com"},
        {"name": "two", "port": 80, "protocol": "HTTP", "hostname": "two.com"},
    ]);
    let rules = json!([
        {"name": "named", "matches": [{"path": {"value": "/named"}}], "backendRefs": [{"name": "s", "port": 80}]},
        {"backendRefs": [{"name": "s", "port": 80}]},
    ]);
    let parents = json!([{"group": "", "kind": "Service", "name": "s"}, {"name": "g"}]);
    vec![
        backend("a/s"),
        object("Gateway", "a/g", 1, json!({"gatewayClassName": "byrnie", "listeners": listeners})),
        object("HTTPRoute", "a/r", 1, json!({"parentRefs": parents, "rules": rules})),
    ]
}

/// The attempts of a rule as a Gateway's table has them for a host; `None`: the Service's settings hold.
fn at_gateway(compiler: &Compiler, host: &str, rule: &str) -> Option<u32> {
    let table = &gateway(compiler, "a/g").unwrap().listeners[0].http;
    let host = byrnie_plan::HostPattern::Exact(host.to_owned());
    let rules = table.matches.iter().filter(|m| m.host == host).map(|m| &table.rules[m.rule as usize]);
    let found: Vec<&HttpRule> = rules.filter(|r| r.name.rule == rule).collect();
    found[0].retry.as_ref().map(|retry| retry.attempts)
}

fn at_service(compiler: &Compiler, rule: &str) -> Option<u32> {
    let rules = &table(compiler, "a/s", 80).rules;
    rules.iter().find(|r| r.name.rule == rule).unwrap().retry.as_ref().map(|retry| retry.attempts)
}

fn settings(compiler: &Compiler, service: &str) -> TrafficSettings {
    match compiler.resource(&Key::Service(name(service))) {
        Some(Resource::Service(service)) => (*service.settings).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_nearest_policy_holds() {
    let mut compiler = compile(&world());
    let here = |compiler: &Compiler| {
        (
            [at_gateway(compiler, "one.com", "named"), at_gateway(compiler, "two.com", "named")],
            [at_service(compiler, "named"), at_service(compiler, "1")],
            settings(compiler, "a/s").retry.attempts,
        )
    };
    assert_eq!(here(&compiler), ([None, None], [None, None], 2));
    // From the farthest to the nearest; each is younger than the ones before.
    let steps = [
        (json!({"kind": "Mesh", "name": "default"}), ([None, None], [None, None], 3)),
        (json!({"kind": "Namespace", "name": "a"}), ([None, None], [None, None], 4)),
        (json!({"kind": "Service", "name": "s"}), ([None, None], [None, None], 5)),
        (json!({"kind": "Gateway", "name": "g"}), ([Some(6), Some(6)], [None, None], 5)),
        (
            json!({"kind": "Gateway", "name": "g", "sectionName": "two"}),
            ([Some(6), Some(7)], [None, None], 5),
        ),
        (json!({"kind": "HTTPRoute", "name": "r"}), ([Some(8), Some(8)], [Some(8), Some(8)], 5)),
        (
            json!({"kind": "HTTPRoute", "name": "r", "sectionName": "named"}),
            ([Some(9), Some(9)], [Some(9), Some(8)], 5),
        ),
    ];
    let mut objects = world();
    for (number, (target, wanted)) in (3..).zip(steps) {
        let policy = policy(&format!("a/p{number}"), i64::from(number), target.clone(), attempts(number));
        objects.push(policy.clone());
        apply(&mut compiler, &[policy]);
        assert_eq!(here(&compiler), wanted, "{target}");
        let said = &status(&compiler, "TrafficPolicy", &format!("a/p{number}"))["conditions"];
        assert_eq!(conditions(said)[0], "Accepted=True/Accepted", "{target}");
    }
    assert_eq!(state(&compiler), state(&compile(&objects)));
}

#[test]
fn a_rule_can_be_named_by_its_index_and_says_more_than_a_policy() {
    let mut objects = world();
    let target = json!({"kind": "HTTPRoute", "name": "r", "sectionName": "1"});
    objects.push(policy("a/p", 1, target, json!({"retry": {"attempts": 7}, "timeouts": {"request": "5s"}})));
    let compiler = compile(&objects);
    assert_eq!((at_service(&compiler, "named"), at_service(&compiler, "1")), (None, Some(7)));
    let mut spec = json!({"parentRefs": [{"group": "", "kind": "Service", "name": "s"}], "rules": [
        {"backendRefs": [{"name": "s", "port": 80}]},
        {"timeouts": {"request": "1s"}, "retry": {"attempts": 1}, "backendRefs": [{"name": "s", "port": 80}]}]});
    objects[2] = object("HTTPRoute", "a/r", 1, spec.clone());
    let compiler = compile(&objects);
    let rule = &table(&compiler, "a/s", 80).rules[1];
    assert_eq!(rule.timeouts.request, Some(Duration::from_secs(1)), "the route's own word comes first");
    assert_eq!(rule.retry.as_ref().unwrap().attempts, 1);
    spec["rules"][1]["retry"] = Value::Null;
    spec["rules"][1].as_object_mut().unwrap().remove("retry");
    objects[2] = object("HTTPRoute", "a/r", 1, spec);
    let compiler = compile(&objects);
    let rule = &table(&compiler, "a/s", 80).rules[1];
    assert_eq!(rule.retry.as_ref().unwrap().attempts, 7, "each setting on its own");
}

#[test]
fn each_setting_comes_from_the_nearest_policy_that_has_it() {
    let mut objects = world();
    for (number, target, says) in [
        (
            1,
            json!({"kind": "Mesh", "name": "default"}),
            json!({"limits": {"maxInFlight": 1, "maxPending": 1}}),
        ),
        (
            2,
            json!({"kind": "Namespace", "name": "a"}),
            json!({"timeouts": {"idle": "2s", "connect": "2s"},
            "limits": {"maxPending": 2}, "retry": {"attempts": 9, "backoff": "50ms"}}),
        ),
        (
            3,
            json!({"kind": "Service", "name": "s"}),
            json!({"timeouts": {"connect": "3s"},
            "limits": {"maxConnections": 3}, "retry": {"attempts": 3}}),
        ),
    ] {
        objects.push(policy(&format!("a/p{number}"), number, target, says));
    }
    let found = settings(&compile(&objects), "a/s");
    assert_eq!(found.connect_timeout, Duration::from_secs(3));
    assert_eq!(found.idle_timeout, Some(Duration::from_secs(2)));
    let limits = found.limits;
    assert_eq!((limits.max_connections, limits.max_pending, limits.max_in_flight), (3, 2, 1));
    assert_eq!(found.retry.attempts, 3);
    assert_eq!(found.retry.backoff, Duration::from_millis(25), "retry is one setting");
}

#[test]
fn the_oldest_holds_and_the_loser_names_it() {
    for target in [
        json!({"kind": "HTTPRoute", "name": "r", "sectionName": "named"}),
        json!({"kind": "HTTPRoute", "name": "r"}),
        json!({"kind": "Gateway", "name": "g", "sectionName": "one"}),
        json!({"kind": "Gateway", "name": "g"}),
        json!({"kind": "Service", "name": "s"}),
        json!({"kind": "Namespace", "name": "a"}),
        json!({"kind": "Mesh", "name": "default"}),
    ] {
        let mut objects = world();
        objects.push(policy("a/young", 9, target.clone(), attempts(9)));
        objects.push(policy("a/z", 5, target.clone(), attempts(5)));
        objects.push(policy("a/b", 5, target.clone(), attempts(4)));
        let mut compiler = compile(&objects);
        let said = |compiler: &Compiler, policy: &str| {
            let list = status(compiler, "TrafficPolicy", policy)["conditions"].clone();
            (conditions(&list)[0].clone(), list[0]["message"].as_str().unwrap().to_owned())
        };
        assert_eq!(said(&compiler, "a/b"), ("Accepted=True/Accepted".to_owned(), String::new()), "{target}");
        for loser in ["a/young", "a/z"] {
            let (condition, message) = said(&compiler, loser);
            assert_eq!(condition, "Accepted=False/Conflicted", "{target}");
            assert!(message.contains("TrafficPolicy a/b holds"), "{message}");
        }
        assert!(has_code(&compiler, codes::POLICY_OVERRULED));
        compiler.apply(&[Change::Deleted(objects[5].key())]);
        assert_eq!(said(&compiler, "a/z").0, "Accepted=True/Accepted", "{target}");
        assert_eq!(said(&compiler, "a/young").0, "Accepted=False/Conflicted", "{target}");
    }
}

#[test]
fn a_policy_that_holds_for_one_of_its_targets_names_who_holds_for_the_other() {
    let mut objects = world();
    objects.push(backend("a/t"));
    objects.push(policy("a/old", 1, json!({"kind": "Service", "name": "s"}), attempts(1)));
    let both = json!([{"kind": "Service", "name": "s"}, {"kind": "Service", "name": "t"}]);
    objects.push(object("TrafficPolicy", "a/both", 2, json!({"targetRefs": both, "retry": {"attempts": 2}})));
    let compiler = compile(&objects);
    let said = &status(&compiler, "TrafficPolicy", "a/both")["conditions"];
    assert_eq!(conditions(said)[0], "Accepted=True/Accepted");
    let message = said[0]["message"].as_str().unwrap();
    assert!(message.contains("TrafficPolicy a/old holds for Service a/s"), "{message}");
}

#[test]
fn a_part_or_target_that_is_not_there() {
    for (target, named) in [
        (json!({"kind": "HTTPRoute", "name": "gone"}), "HTTPRoute a/gone"),
        (json!({"kind": "HTTPRoute", "name": "r", "sectionName": "x"}), "rule x of HTTPRoute a/r"),
        (json!({"kind": "GRPCRoute", "name": "r"}), "GRPCRoute a/r"),
        (json!({"kind": "Gateway", "name": "gone"}), "Gateway a/gone"),
        (json!({"kind": "Gateway", "name": "g", "sectionName": "x"}), "listener x of Gateway a/g"),
        (json!({"kind": "Service", "name": "gone"}), "Service a/gone"),
    ] {
        let mut objects = world();
        objects.push(policy("a/p", 1, target, attempts(1)));
        let compiler = compile(&objects);
        let said = &status(&compiler, "TrafficPolicy", "a/p")["conditions"];
        let wanted = ["Accepted=False/TargetNotFound", "ResolvedRefs=False/TargetNotFound"];
        assert_eq!(conditions(said), wanted, "{named}");
        assert_eq!(said[1]["message"], format!("not found: {named}"));
        assert!(has_code(&compiler, codes::POLICY_WITHOUT_TARGET));
    }
}

#[test]
fn a_setting_that_means_nothing_at_its_target() {
    let mut objects = world();
    let target = json!({"kind": "HTTPRoute", "name": "r"});
    let says = json!({"balancer": {"type": "random"}, "timeouts": {"connect": "1s"}});
    objects.push(policy("a/p", 1, target.clone(), says.clone()));
    let mut compiler = compile(&objects);
    let said = |compiler: &Compiler| status(compiler, "TrafficPolicy", "a/p")["conditions"].clone();
    assert_eq!(conditions(&said(&compiler))[0], "Accepted=False/Invalid");
    let fields: Vec<String> = compiler
        .findings()
        .filter(|f| f.code == codes::POLICY_FIELD_POINTLESS)
        .map(|f| f.field.clone())
        .collect();
    assert_eq!(fields, ["spec.balancer", "spec.timeouts.connect"]);

    let mut mixed = says;
    mixed["retry"] = json!({"attempts": 3});
    apply(&mut compiler, &[policy("a/p", 1, target, mixed)]);
    assert_eq!(conditions(&said(&compiler))[0], "Accepted=True/Accepted");
    let message = said(&compiler)[0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("spec.balancer has no effect at HTTPRoute a/r"), "{message}");
    assert_eq!(at_service(&compiler, "1"), Some(3));
}

#[test]
fn listeners_with_policies_do_not_share_rules_and_others_do() {
    let mut objects = world();
    let compiler = compile(&objects);
    assert_eq!(gateway(&compiler, "a/g").unwrap().listeners[0].http.rules.len(), 2);
    let target = json!({"kind": "Gateway", "name": "g", "sectionName": "two"});
    objects.push(policy("a/p", 1, target, attempts(7)));
    let compiler = compile(&objects);
    assert_eq!(gateway(&compiler, "a/g").unwrap().listeners[0].http.rules.len(), 4);
    assert_eq!(at_gateway(&compiler, "one.com", "1"), None);
    assert_eq!(at_gateway(&compiler, "two.com", "1"), Some(7));
}

#[test]
fn a_change_of_a_policy_computes_only_what_reads_it() {
    let mut objects = world();
    for index in 0..50 {
        objects.push(backend(&format!("a/other-{index}")));
    }
    objects.push(policy("a/p", 1, json!({"kind": "HTTPRoute", "name": "r"}), attempts(1)));
    let mut compiler = compile(&objects);
    apply(&mut compiler, &[policy("a/p", 1, json!({"kind": "HTTPRoute", "name": "r"}), attempts(2))]);
    assert_eq!(at_service(&compiler, "1"), Some(2));
    assert!(compiler.last_computed() <= 8, "{}", compiler.last_computed());
}
