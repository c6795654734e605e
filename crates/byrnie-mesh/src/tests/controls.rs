//! Rate limits and faults: where they hold, what they come to, when they end.

use std::time::Duration;

use byrnie_api::codes;
use byrnie_plan::{
    Controls, FaultAbort, FaultDelay, Key, PathMatch, RateKey, RateUnit, Resource, TextMatch, ValueMatch,
};
use serde_json::{Value, json};

use super::*;

fn policy(kind: &str, name: &str, created: i64, target: Value, mut spec: Value) -> Object {
    spec["targetRefs"] = json!([target]);
    object(kind, name, created, spec)
}

fn limits(requests: u32) -> Value {
    json!({"limits": [{"requests": requests}]})
}

fn faults(status: u16) -> Value {
    json!({"expires": "1h", "faults": [{"abort": {"httpStatus": status}}]})
}

/// Service `a/s` in front of Workload `a/w`, Gateway `a/g` with two listeners, a route at both and one for bytes.
fn world() -> Vec<Object> {
    let listeners = json!([
        {"name": "one", "port": 80, "protocol": "HTTP", "hostname": "one.com"},
        {"name": "two", "port": 80, "protocol": "HTTP", "hostname": "two.com"},
        {"name": "tcp", "port": 81, "protocol": "TCP"},
    ]);
    let backends = json!([{"name": "s", "port": 80}]);
    let rules = json!([{"name": "named", "backendRefs": backends}]);
    let parents = json!([{"group": "", "kind": "Service", "name": "s", "port": 80}, {"name": "g"}]);
    let bytes = json!([{"name": "g", "sectionName": "tcp"}]);
    vec![
        service("a/s", "s", json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}])),
        service("a/t", "s", json!([{"port": 80}])),
        workload("a/w", json!({"app": "s"}), 1, json!({"ports": [{"port": 80}, {"port": 81}]})),
        object("Gateway", "a/g", 1, json!({"gatewayClassName": "byrnie", "listeners": listeners})),
        object("HTTPRoute", "a/r", 1, json!({"parentRefs": parents, "rules": rules})),
        object("TCPRoute", "a/b", 1, json!({"parentRefs": bytes, "rules": [{"backendRefs": backends}]})),
    ]
}

/// The policies of limits and of faults in some controls.
fn named(controls: Option<&Controls>) -> (String, String) {
    let limits = controls.and_then(|c| c.limits.as_ref()).map(|l| format!("{} {}", l.policy, l.scope));
    let faults = controls.and_then(|c| c.faults.as_ref()).map(|f| f.policy.clone());
    (limits.unwrap_or_default(), faults.unwrap_or_default())
}

/// Where policies can hold: at the Gateway's listeners, for bytes there, at callers by route and by Service, at the
/// Workload for each Service.
fn everywhere(compiler: &Compiler) -> Vec<(&'static str, String, String)> {
    let gateway = gateway(compiler, "a/g").unwrap();
    let at_host = |host: &str| {
        let table = &gateway.listeners[0].http;
        let host = byrnie_plan::HostPattern::Exact(host.to_owned());
        let found = table.matches.iter().find(|m| m.host == host).unwrap();
        named(table.rules[found.rule as usize].controls.as_deref())
    };
    let bytes = gateway.listeners[1].tcp.first().and_then(|(_, rule)| rule.controls.as_deref());
    let route = table(compiler, "a/s", 80).rules[0].controls.as_deref();
    let Some(Resource::Service(service)) = compiler.resource(&Key::Service(name("a/s"))) else { panic!() };
    let controls = &inbound(compiler, "a/w").unwrap().controls;
    let at_workload = |service: &str| {
        let own = controls.iter().find(|c| c.service == Some(name(service)));
        let entry = own.or_else(|| controls.iter().find(|c| c.service.is_none()));
        named(entry.map(|c| &c.controls))
    };
    let all = [
        ("listener one", at_host("one.com")),
        ("listener two", at_host("two.com")),
        ("listener tcp", named(bytes)),
        ("caller of the route", named(route)),
        ("caller", named(service.controls.as_deref())),
        ("workload for s", at_workload("a/s")),
        ("workload for t", at_workload("a/t")),
    ];
    let some = all.into_iter().filter(|(_, (limits, faults))| !limits.is_empty() || !faults.is_empty());
    some.map(|(place, (limits, faults))| (place, limits, faults)).collect()
}

fn with(kind: &str, target: Value, spec: Value) -> Vec<(&'static str, String, String)> {
    let mut objects = world();
    objects.push(policy(kind, "a/p", 1, target, spec));
    everywhere(&compile(&objects))
}

fn places(found: &[(&'static str, String, String)]) -> Vec<&'static str> {
    found.iter().map(|(place, ..)| *place).collect()
}

#[test]
fn where_a_rate_limit_holds() {
    let directed = |direction: &str| {
        let mut spec = limits(1);
        spec["direction"] = direction.into();
        spec
    };
    let http = ["listener one", "listener two"];
    let gateway = ["listener one", "listener two", "listener tcp"];
    let servers = ["workload for s", "workload for t"];
    for (target, default, inbound, outbound) in [
        (
            json!({"kind": "Service", "name": "s"}),
            vec!["workload for s"],
            vec!["workload for s"],
            vec!["caller"],
        ),
        (json!({"kind": "Workload", "name": "w"}), servers.to_vec(), servers.to_vec(), vec![]),
        (json!({"kind": "Gateway", "name": "g"}), gateway.to_vec(), gateway.to_vec(), vec![]),
        (
            json!({"kind": "Gateway", "name": "g", "sectionName": "two"}),
            vec!["listener two"],
            vec!["listener two"],
            vec![],
        ),
        (
            json!({"kind": "HTTPRoute", "name": "r"}),
            [&http[..], &["caller of the route"]].concat(),
            http.to_vec(),
            vec!["caller of the route"],
        ),
        (
            json!({"kind": "HTTPRoute", "name": "r", "sectionName": "named"}),
            [&http[..], &["caller of the route"]].concat(),
            http.to_vec(),
            vec!["caller of the route"],
        ),
        (json!({"kind": "TCPRoute", "name": "b"}), vec!["listener tcp"], vec!["listener tcp"], vec![]),
        (
            json!({"kind": "Namespace", "name": "a"}),
            [&gateway[..], &servers].concat(),
            [&gateway[..], &servers].concat(),
            vec!["caller"],
        ),
        (
            json!({"kind": "Mesh", "name": "default"}),
            [&gateway[..], &servers].concat(),
            [&gateway[..], &servers].concat(),
            vec!["caller"],
        ),
    ] {
        assert_eq!(places(&with("RateLimitPolicy", target.clone(), limits(1))), default, "{target}");
        assert_eq!(
            places(&with("RateLimitPolicy", target.clone(), directed("inbound"))),
            inbound,
            "{target}"
        );
        assert_eq!(
            places(&with("RateLimitPolicy", target.clone(), directed("outbound"))),
            outbound,
            "{target}"
        );
    }
}

#[test]
fn a_fault_is_the_callers_unless_it_is_said_otherwise() {
    for (target, wanted) in [
        (json!({"kind": "Service", "name": "s"}), vec!["caller"]),
        (json!({"kind": "Namespace", "name": "a"}), vec!["caller"]),
        (json!({"kind": "Workload", "name": "w"}), vec!["workload for s", "workload for t"]),
        (json!({"kind": "Gateway", "name": "g", "sectionName": "one"}), vec!["listener one"]),
    ] {
        assert_eq!(places(&with("FaultPolicy", target.clone(), faults(503))), wanted, "{target}");
    }
    let mut inbound = faults(503);
    inbound["direction"] = "inbound".into();
    let found = with("FaultPolicy", json!({"kind": "Service", "name": "s"}), inbound);
    assert_eq!(places(&found), ["workload for s"]);
}

#[test]
fn the_nearest_holds_and_what_it_is_for_shares_buckets() {
    let mut objects = world();
    let mut add = |name: &str, target: Value| {
        objects.push(policy("RateLimitPolicy", name, 1, target, limits(1)));
        everywhere(&compile(&objects))
            .into_iter()
            .map(|(place, limits, _)| (place, limits))
            .collect::<Vec<_>>()
    };
    let own = |place, text: &str| (place, text.to_owned());
    assert_eq!(
        add("a/mesh", json!({"kind": "Mesh", "name": "default"})),
        [
            own("listener one", "a/mesh Gateway a/g"),
            own("listener two", "a/mesh Gateway a/g"),
            own("listener tcp", "a/mesh Gateway a/g"),
            own("workload for s", "a/mesh Workload a/w"),
            own("workload for t", "a/mesh Workload a/w"),
        ]
    );
    add("a/service", json!({"kind": "Service", "name": "s"}));
    add("a/route", json!({"kind": "HTTPRoute", "name": "r"}));
    assert_eq!(
        add("a/listener", json!({"kind": "Gateway", "name": "g", "sectionName": "tcp"})),
        [
            own("listener one", "a/route HTTPRoute a/r"),
            own("listener two", "a/route HTTPRoute a/r"),
            own("listener tcp", "a/listener listener tcp of Gateway a/g"),
            own("caller of the route", "a/route HTTPRoute a/r"),
            own("workload for s", "a/service Service a/s"),
            own("workload for t", "a/mesh Workload a/w"),
        ]
    );
    let found = add("a/workload", json!({"kind": "Workload", "name": "w"}));
    assert_eq!(
        found[4..],
        [own("workload for s", "a/workload Workload a/w"), own("workload for t", "a/workload Workload a/w"),]
    );
}

#[test]
fn directions_do_not_overrule_each_other_and_kinds_neither() {
    let target = || json!({"kind": "Service", "name": "s"});
    let mut objects = world();
    let mut out = limits(5);
    out["direction"] = "outbound".into();
    objects.push(policy("RateLimitPolicy", "a/in", 1, target(), limits(1)));
    objects.push(policy("RateLimitPolicy", "a/out", 2, target(), out));
    objects.push(policy("RateLimitPolicy", "a/late", 3, target(), limits(9)));
    objects.push(policy("FaultPolicy", "a/fault", 4, target(), faults(500)));
    let compiler = compile(&objects);
    let found = everywhere(&compiler);
    assert_eq!(found[0], ("caller", "a/out Service a/s".to_owned(), "a/fault".to_owned()));
    assert_eq!(found[1], ("workload for s", "a/in Service a/s".to_owned(), String::new()));
    let accepted =
        |kind: &str, name: &str| conditions(&status(&compiler, kind, name)["conditions"])[0].clone();
    assert_eq!(accepted("RateLimitPolicy", "a/in"), "Accepted=True/Accepted");
    assert_eq!(accepted("RateLimitPolicy", "a/out"), "Accepted=True/Accepted");
    assert_eq!(accepted("RateLimitPolicy", "a/late"), "Accepted=False/Conflicted");
    assert_eq!(accepted("FaultPolicy", "a/fault"), "Accepted=True/Accepted");
}

fn controls_of(kind: &str, mut spec: Value) -> Controls {
    spec["direction"] = "outbound".into();
    let mut objects = world();
    objects.push(policy(kind, "a/p", 100, json!({"kind": "Service", "name": "s"}), spec));
    match compile(&objects).resource(&Key::Service(name("a/s"))) {
        Some(Resource::Service(service)) => *service.controls.clone().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_with_their_defaults() {
    let limits = controls_of(
        "RateLimitPolicy",
        json!({"shadow": true, "limits": [
            {"requests": 100},
            {"name": "users", "requests": 5, "per": "1m", "burst": 2, "maxKeys": 64,
             "key": [{"type": "header", "name": "X-User"}, {"type": "identity"}, {"type": "sourceAddress"}],
             "matches": [{"path": {"value": "/a/"}, "method": "GET", "identities": ["shop/web"],
                "headers": [{"name": "X-A", "value": "1"}],
                "queryParams": [{"name": "q", "value": "[0-9]+", "type": "RegularExpression"}]},
                {"identities": ["*"]}]},
            {"connections": 3},
        ]}),
    )
    .limits
    .unwrap();
    assert_eq!((limits.policy.as_str(), limits.shadow, limits.headers), ("a/p", true, true));
    let [first, users, connections] = &limits.limits[..] else { panic!("{limits:?}") };
    assert_eq!((first.name.as_str(), first.unit, first.number), ("p", RateUnit::Requests, 100));
    assert_eq!((first.per, first.burst, first.max_keys), (Duration::from_secs(1), 100, 10_000));
    assert_eq!((users.name.as_str(), users.number, users.burst, users.max_keys), ("users", 5, 2, 64));
    let keys = [RateKey::Header("x-user".to_owned()), RateKey::Identity, RateKey::SourceAddress];
    assert_eq!((users.per, &users.key[..]), (Duration::from_secs(60), &keys[..]));
    let request = users.matches[0].request.clone().unwrap();
    assert_eq!((request.path, request.method.as_deref()), (PathMatch::Prefix("/a".to_owned()), Some("GET")));
    assert_eq!(request.headers[0].name, "x-a");
    assert_eq!(request.queries[0].value, ValueMatch::Regex("[0-9]+".to_owned()));
    let caller = TextMatch::Exact("spiffe://cluster.local/ns/shop/sa/web".to_owned());
    assert_eq!(users.matches[0].identities, [caller]);
    assert_eq!(
        (&users.matches[1].request, &users.matches[1].identities[..]),
        (&None, &[TextMatch::Present][..])
    );
    assert_eq!((connections.name.as_str(), connections.unit), ("p-2", RateUnit::Connections));
}

#[test]
fn faults_with_their_defaults() {
    let faults = controls_of("FaultPolicy", json!({"faults": [
        {"percent": 0.01, "delay": {"fixed": "1s"}},
        {"percent": 12.34, "delay": {"normal": {"mean": "100ms", "deviation": "10ms"}}, "abort": {"grpcStatus": 14}},
        {"delay": {"exponential": {"mean": "1s"}}, "abort": {"reset": true}},
        {"delay": {"uniform": {"min": "1s", "max": "2s"}}},
    ]}))
    .faults
    .unwrap();
    assert_eq!(faults.expires_unix_ms, 100_000 + 3_600_000, "an hour after the creation");
    let shares: Vec<u32> = faults.faults.iter().map(|fault| fault.share).collect();
    assert_eq!(shares, [1, 1234, 10_000, 10_000]);
    let ms = Duration::from_millis;
    let delays: Vec<FaultDelay> = faults.faults.iter().filter_map(|fault| fault.delay).collect();
    assert_eq!(
        delays,
        [
            FaultDelay::Fixed(ms(1000)),
            FaultDelay::Normal { mean: ms(100), deviation: ms(10), max: ms(140) },
            FaultDelay::Exponential { mean: ms(1000), max: ms(10_000) },
            FaultDelay::Uniform { min: ms(1000), max: ms(2000) },
        ]
    );
    let aborts: Vec<FaultAbort> = faults.faults.iter().filter_map(|fault| fault.abort).collect();
    assert_eq!(aborts, [FaultAbort::Grpc(14), FaultAbort::Reset]);
}

#[test]
fn what_a_policy_says_in_vain() {
    for (kind, target, spec, field) in [
        (
            "RateLimitPolicy",
            json!({"kind": "Gateway", "name": "g"}),
            json!({"direction": "outbound",
            "limits": [{"requests": 1}]}),
            "spec.direction",
        ),
        ("RateLimitPolicy", json!({"kind": "TCPRoute", "name": "b"}), limits(1), "spec.limits[0]"),
        (
            "RateLimitPolicy",
            json!({"kind": "HTTPRoute", "name": "r"}),
            json!({"limits": [{"connections": 1}]}),
            "spec.limits[0]",
        ),
        (
            "FaultPolicy",
            json!({"kind": "HTTPRoute", "name": "r"}),
            json!({"faults": [{"abort": {"reset": true}}]}),
            "spec.faults[0]",
        ),
        ("FaultPolicy", json!({"kind": "TCPRoute", "name": "b"}), faults(503), "spec.faults[0]"),
    ] {
        let mut objects = world();
        objects.push(policy(kind, "a/p", 1, target, spec));
        let compiler = compile(&objects);
        let said = conditions(&status(&compiler, kind, "a/p")["conditions"])[0].clone();
        assert_eq!(said, "Accepted=False/Invalid", "{field}");
        let found = compiler.findings().find(|f| f.code == codes::POLICY_FIELD_POINTLESS).unwrap();
        assert_eq!(found.field, field);
    }
}

#[test]
fn an_expression_that_cannot_be_used_puts_the_policy_out_of_force() {
    let mut objects = world();
    let path = json!({"type": "RegularExpression", "value": "(("});
    let spec = json!({"limits": [{"requests": 1, "matches": [{"path": path}]}]});
    objects.push(policy("RateLimitPolicy", "a/p", 1, json!({"kind": "Service", "name": "s"}), spec));
    objects.push(policy("RateLimitPolicy", "a/q", 2, json!({"kind": "Service", "name": "s"}), limits(2)));
    let compiler = compile(&objects);
    assert_eq!(everywhere(&compiler)[0].1, "a/q Service a/s");
    assert_eq!(
        conditions(&status(&compiler, "RateLimitPolicy", "a/p")["conditions"])[0],
        "Accepted=False/Invalid"
    );
    assert!(has_code(&compiler, codes::POLICY_NOT_USED));
}

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

#[test]
fn an_experiment_ends_by_itself_and_the_next_one_holds() {
    let target = || json!({"kind": "Service", "name": "s"});
    let mut short = faults(500);
    short["expires"] = "10s".into();
    let mut long = faults(501);
    long["expires"] = "1970-01-01T00:00:50Z".into();
    let mut objects = world();
    objects.push(policy("FaultPolicy", "a/short", 1, target(), short));
    objects.push(policy("FaultPolicy", "a/long", 2, target(), long));
    let mut compiler = compile(&objects);
    let said = |compiler: &Compiler, name: &str| {
        conditions(&status(compiler, "FaultPolicy", name)["conditions"])[0].clone()
    };
    assert_eq!(everywhere(&compiler)[0].2, "a/short");
    assert_eq!(compiler.next_expiry(), Some(at(11)));
    assert_eq!(compiler.advance(at(10)), Output::default());
    let output = compiler.advance(at(11));
    assert!(!output.updates.is_empty());
    assert_eq!(said(&compiler, "a/short"), "Accepted=False/Expired");
    assert!(has_code(&compiler, codes::FAULT_EXPIRED));
    assert_eq!(
        (everywhere(&compiler)[0].2.as_str(), said(&compiler, "a/long").as_str()),
        ("a/long", "Accepted=True/Accepted")
    );
    compiler.advance(at(50));
    assert!(everywhere(&compiler).is_empty());
    assert_eq!(compiler.next_expiry(), None);
    // Whoever is applied when it is over never holds; time does not run backwards.
    compiler.advance(at(1));
    assert_eq!(said(&compiler, "a/long"), "Accepted=False/Expired");
    let mut fresh = new();
    fresh.advance(at(50));
    apply(&mut fresh, &objects);
    assert_eq!(state(&fresh), state(&compiler));
}

#[test]
fn no_experiment_is_forgotten() {
    let mut forever = faults(500);
    forever["expires"] = "2099-01-01T00:00:00Z".into();
    let mut objects = world();
    objects.push(policy("FaultPolicy", "a/p", 0, json!({"kind": "Service", "name": "s"}), forever));
    let compiler = compile(&objects);
    assert_eq!(compiler.next_expiry(), Some(at(7 * 24 * 3600)));
    assert!(has_code(&compiler, codes::EXPIRY_CUT));
}
