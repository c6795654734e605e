//! Traffic and authorization policies.

use std::time::Duration;

use byrnie_api::codes;
use byrnie_plan::{
    Action, AuthorizationPolicy, Balancer, HashSource, Key, Resource, SessionCarrier, TextMatch,
    TrafficSettings,
};
use serde_json::{Value, json};

use super::*;

fn settings(compiler: &Compiler, service: &str) -> TrafficSettings {
    match compiler.resource(&Key::Service(name(service))) {
        Some(Resource::Service(service)) => (*service.settings).clone(),
        other => panic!("{other:?}"),
    }
}

fn on_service(service: &str, mut spec: Value) -> Value {
    spec["targetRefs"] = json!([{"kind": "Service", "name": service}]);
    spec
}

#[test]
fn effective_settings_with_their_defaults() {
    let default = TrafficSettings::default();
    let spec = json!({
        "balancer": {"type": "ringHash", "hashKey": {"type": "header", "name": "X-User"}},
        "timeouts": {"connect": "0s", "request": "3s", "idle": "0s"},
        "retry": {"attempts": 5, "on": {"statuses": [503]}, "backoff": "1s", "budget": {"percent": 50}},
        "limits": {"maxPending": 0},
        "outlierEjection": {"baseEjection": "10m"},
        "slowStart": "30s",
    });
    let compiler = compile(&[backend("a/s"), object("TrafficPolicy", "a/p", 1, on_service("s", spec))]);
    let found = settings(&compiler, "a/s");
    assert_eq!(found.balancer, Balancer::RingHash(HashSource::Header("x-user".to_owned())));
    assert_eq!(
        (found.connect_timeout, found.request_timeout),
        (default.connect_timeout, Some(Duration::from_secs(3)))
    );
    assert_eq!(
        (found.retry.attempts, found.retry.budget.percent, found.retry.budget.min_per_second),
        (5, 50, 3)
    );
    assert_eq!(found.retry.backoff_max, Duration::from_secs(1), "never below the first");
    assert_eq!((found.limits.max_pending, found.limits.max_in_flight), (0, 1024));
    let outlier = found.outlier.unwrap();
    assert_eq!((outlier.consecutive_failures, outlier.max_ejection), (5, Duration::from_secs(600)));
}

#[test]
fn settings_of_balancing_and_resilience() {
    let spec = json!({
        "locality": {"failover": ["us", "ap/ap-1"]},
        "sessionPersistence": {"sessionName": "sid", "absoluteTimeout": "1h",
                               "cookieConfig": {"lifetimeType": "Permanent"}},
        "retryAfterMax": "5s",
        "retry": {"on": {"statuses": [409], "conditions": ["gateway-error", "5xx", "retriable-4xx"]},
                  "otherLocality": true},
        "outlierEjection": {"panicThreshold": 30, "interval": "2s", "successRate": {"threshold": 80},
                            "latency": {"factorPercent": 500}},
    });
    let compiler = compile(&[backend("a/s"), object("TrafficPolicy", "a/p", 1, on_service("s", spec))]);
    let found = settings(&compiler, "a/s");
    let near = found.locality.unwrap();
    assert_eq!(
        (near.failover, near.overprovisioning_percent),
        (vec!["us".to_owned(), "ap/ap-1".to_owned()], 140)
    );
    let session = found.session.unwrap();
    assert_eq!((session.name.as_str(), session.carrier), ("sid", SessionCarrier::PermanentCookie));
    assert_eq!((session.absolute_timeout, session.idle_timeout), (Some(Duration::from_secs(3600)), None));
    assert_eq!(found.retry_after_max, Duration::from_secs(5));
    assert_eq!(found.retry.on.statuses, [409, 502, 503, 504]);
    assert!(
        found.retry.on.has_status(500) && found.retry.on.has_status(599) && !found.retry.on.has_status(404)
    );
    assert!(found.retry.on.connection_error && found.retry.on.timeout && found.retry.other_locality);
    let outlier = found.outlier.unwrap();
    assert_eq!((outlier.panic_percent, outlier.interval), (30, Duration::from_secs(2)));
    let (rate, latency) = (outlier.success_rate.unwrap(), outlier.latency.unwrap());
    assert_eq!((rate.threshold_percent, rate.minimum_endpoints, rate.deviation_thousandths), (80, 5, 1_900));
    assert_eq!((latency.factor_percent, latency.minimum), (500, Duration::from_millis(50)));
    let empty = json!({"sessionPersistence": {}, "locality": {}, "outlierEjection": {}});
    let compiler = compile(&[backend("a/s"), object("TrafficPolicy", "a/p", 1, on_service("s", empty))]);
    let found = settings(&compiler, "a/s");
    let session = found.session.unwrap();
    assert_eq!((session.name.as_str(), session.carrier), ("mesh-session", SessionCarrier::Cookie));
    assert_eq!(found.outlier, Some(byrnie_plan::Outlier::default()));
}

#[test]
fn nearest_then_oldest_then_name() {
    let attempts = |n: u32| json!({"retry": {"attempts": n}});
    let whole = |n: u32| {
        let mut spec = attempts(n);
        spec["targetRefs"] = json!([{"kind": "Namespace", "name": "a"}]);
        spec
    };
    let mut compiler = compile(&[backend("a/s"), object("TrafficPolicy", "a/ns", 1, whole(1))]);
    assert_eq!(settings(&compiler, "a/s").retry.attempts, 1);
    apply(&mut compiler, &[object("TrafficPolicy", "a/z", 9, on_service("s", attempts(9)))]);
    assert_eq!(settings(&compiler, "a/s").retry.attempts, 9, "nearest");
    apply(&mut compiler, &[object("TrafficPolicy", "a/y", 5, on_service("s", attempts(5)))]);
    assert_eq!(settings(&compiler, "a/s").retry.attempts, 5, "oldest");
    apply(&mut compiler, &[object("TrafficPolicy", "a/x", 5, on_service("s", attempts(4)))]);
    assert_eq!(settings(&compiler, "a/s").retry.attempts, 4, "name");
    let said =
        |policy: &str| conditions(&status(&compiler, "TrafficPolicy", policy)["conditions"])[0].clone();
    assert_eq!(said("a/x"), "Accepted=True/Accepted");
    assert_eq!(said("a/y"), "Accepted=False/Conflicted");
    assert!(has_code(&compiler, codes::POLICY_OVERRULED));
}

#[test]
fn a_policy_without_target_says_so() {
    for kind in ["TrafficPolicy", "AuthorizationPolicy"] {
        let mut compiler = compile(&[object(kind, "a/p", 1, on_service("gone", json!({})))]);
        assert_eq!(
            conditions(&status(&compiler, kind, "a/p")["conditions"]),
            ["Accepted=False/TargetNotFound", "ResolvedRefs=False/TargetNotFound"]
        );
        assert!(has_code(&compiler, codes::POLICY_WITHOUT_TARGET));
        let output = apply(&mut compiler, &[backend("a/gone")]);
        assert!(output.statuses.iter().any(|s| s.key.name == "p"));
        assert!(!has_code(&compiler, codes::POLICY_WITHOUT_TARGET));
    }
}

fn world() -> Vec<Object> {
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    vec![
        workload("a/web-1", json!({"app": "web"}), 1, json!({"ports": [{"port": 80}]})),
        workload("a/api-1", json!({"app": "api"}), 2, json!({"ports": [{"port": 80}]})),
        workload("b/web-1", json!({"app": "web"}), 3, json!({"ports": [{"port": 80}]})),
        service("a/web", "web", json!([{"port": 80}])),
        object("Gateway", "a/g", 1, json!({"gatewayClassName": "byrnie", "listeners": listeners})),
    ]
}

#[test]
fn whom_a_policy_selects() {
    let labels = |value: &str| json!({"matchLabels": {"app": value}});
    for (spec, wanted) in [
        (json!({}), &["a/api-1", "a/g", "a/web-1"][..]),
        (json!({"selector": labels("web")}), &["a/web-1"]),
        (json!({"targetRefs": [{"kind": "Service", "name": "web"}]}), &["a/web-1"]),
        (json!({"targetRefs": [{"kind": "Workload", "name": "api-1"}]}), &["a/api-1"]),
        (json!({"targetRefs": [{"kind": "Gateway", "name": "g"}]}), &["a/g"]),
        (
            json!({"targetRefs": [{"kind": "Mesh", "name": "default"}]}),
            &["a/api-1", "a/g", "a/web-1", "b/web-1"],
        ),
        (
            json!({"targetRefs": [{"kind": "Mesh", "name": "default"}], "selector": labels("web")}),
            &["a/web-1", "b/web-1"],
        ),
        (
            json!({"targetRefs": [{"kind": "Service", "name": "web"}, {"kind": "Workload",
                "name": "web-1"}]}),
            &["a/web-1"],
        ),
        (json!({"targetRefs": [{"kind": "Service", "name": "gone"}]}), &[]),
    ] {
        let mut objects = world();
        objects.push(object("AuthorizationPolicy", "a/p", 1, spec.clone()));
        let compiler = compile(&objects);
        let all = ["a/api-1", "a/g", "a/web-1", "b/web-1"];
        let selected: Vec<&str> =
            all.into_iter().filter(|w| !inbound(&compiler, w).unwrap().authorization.is_empty()).collect();
        assert_eq!(selected, wanted, "{spec}");
    }
}

fn policy_of(spec: Value) -> (AuthorizationPolicy, Compiler) {
    let mut objects = world();
    objects.push(object("AuthorizationPolicy", "a/p", 1, spec));
    let compiler = compile(&objects);
    (inbound(&compiler, "a/web-1").unwrap().authorization[0].clone(), compiler)
}

#[test]
fn a_policy_that_cannot_be_understood_refuses_everything() {
    for spec in [
        json!({"targetRefs": [{"kind": "Pod", "name": "x"}], "rules": [{}]}),
        json!({"targetRefs": [{"kind": "Service", "group": "x.y", "name": "web"}], "rules": [{}]}),
        json!({"selector": {"matchExpressions": [{"key": "app", "operator": "Near"}]}, "rules": [{}]}),
        json!({"rules": [{"from": [{"identities": ["a*b"]}]}]}),
        json!({"rules": [{"to": [{"paths": ["/a/*/b"]}]}]}),
    ] {
        let (policy, compiler) = policy_of(spec.clone());
        assert_eq!((policy.action, policy.rules.len()), (Action::Deny, 1), "{spec}");
        assert!(policy.rules[0].from.is_empty() && policy.rules[0].to.is_empty(), "{spec}");
        assert!(has_code(&compiler, codes::POLICY_NOT_UNDERSTOOD));
        let said = &conditions(&status(&compiler, "AuthorizationPolicy", "a/p")["conditions"])[0];
        assert_eq!(said, "Accepted=False/Invalid");
    }
}

#[test]
fn texts_of_rules() {
    let (policy, _) = policy_of(json!({"action": "DENY", "dryRun": true, "rules": [{
        "from": [{
            "identities": ["spiffe://x/ns/a/sa/b", "a/web", "a/*", "a/w*", "*/web", "*b", "*"],
            "notNamespaces": ["kube-*"],
        }],
        "to": [{"methods": ["GET"], "paths": ["/a", "/a/*", "*.png", "*"], "notPorts": [1]}],
    }]}));
    let source = &policy.rules[0].from[0];
    let exact = |text: &str| TextMatch::Exact(text.to_owned());
    let prefix = |text: &str| TextMatch::Prefix(text.to_owned());
    let suffix = |text: &str| TextMatch::Suffix(text.to_owned());
    assert_eq!(
        source.identities,
        [
            exact("spiffe://x/ns/a/sa/b"),
            exact("spiffe://cluster.local/ns/a/sa/web"),
            prefix("spiffe://cluster.local/ns/a/sa/"),
            prefix("spiffe://cluster.local/ns/a/sa/w"),
            suffix("/sa/web"),
            suffix("b"),
            TextMatch::Present,
        ]
    );
    assert_eq!(source.not_namespaces, [prefix("kube-")]);
    let operation = &policy.rules[0].to[0];
    assert_eq!(operation.paths, [exact("/a"), prefix("/a/"), suffix(".png"), TextMatch::Present]);
    assert_eq!((policy.action, policy.dry_run, &operation.not_ports), (Action::Deny, true, &vec![1]));
}

#[test]
fn policies_stand_in_order_of_name() {
    let mut objects = world();
    for policy in ["a/z", "a/b", "b/a"] {
        let target = json!({"targetRefs": [{"kind": "Mesh", "name": "default"}]});
        objects.push(object("AuthorizationPolicy", policy, 1, target));
    }
    let compiler = compile(&objects);
    let names: Vec<&str> =
        inbound(&compiler, "a/g").unwrap().authorization.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["a/b", "a/z", "b/a"]);
}

#[test]
fn a_selector_that_chooses_nobody() {
    let mut objects = world();
    objects.push(object("AuthorizationPolicy", "a/p", 1, json!({"selector": {"matchLabels": {"app": "x"}}})));
    let mut compiler = compile(&objects);
    assert!(has_code(&compiler, codes::POLICY_WITHOUT_TARGET));
    apply(&mut compiler, &[workload("a/x-1", json!({"app": "x"}), 9, json!({}))]);
    assert!(!has_code(&compiler, codes::POLICY_WITHOUT_TARGET));
}
