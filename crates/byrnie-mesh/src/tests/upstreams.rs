//! What a workload calls.

use byrnie_api::codes;
use byrnie_plan::{Key, Resource};
use serde_json::{Value, json};

use super::*;

fn upstreams(compiler: &Compiler, workload: &str) -> Vec<String> {
    match compiler.resource(&Key::Upstreams(name(workload))) {
        Some(Resource::Upstreams(u)) => {
            u.upstreams.iter().map(|u| format!("{}:{}", u.service, u.port)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_whole_namespace_port_by_port() {
    let compiler = compile(&[
        workload("shop/web-1", json!({}), 1, json!({})),
        service("shop/b", "b", json!([{"name": "x", "port": 90}, {"name": "y", "port": 80}])),
        service("shop/a", "a", json!([{"port": 80}])),
        service("store/c", "c", json!([{"port": 80}])),
    ]);
    assert_eq!(upstreams(&compiler, "shop/web-1"), ["shop/a:80", "shop/b:80", "shop/b:90"]);
}

#[test]
fn beyond_the_limit_a_finding_says_so() {
    let mut objects: Vec<_> = (0..70).map(|i| backend(&format!("shop/s{i:02}"))).collect();
    objects.push(workload("shop/web-1", json!({}), 1, json!({})));
    let compiler = compile(&objects);
    assert_eq!(upstreams(&compiler, "shop/web-1").len(), 64);
    assert!(has_code(&compiler, codes::TOO_MANY_UPSTREAMS));
}

#[test]
fn named_ones_in_their_order_also_while_missing() {
    let compiler = compile(&[
        workload(
            "shop/web-1",
            json!({}),
            1,
            json!({"upstreams": [
                {"service": "store/c"}, {"service": "a", "port": 80}, {"service": "a", "port": 80},
                {"service": "gone", "port": 70}, {"service": "gone-too"}, {"service": "a", "port": 81},
            ]}),
        ),
        service("shop/a", "a", json!([{"port": 80}])),
        service("store/c", "c", json!([{"port": 1}, {"name": "z", "port": 2}])),
    ]);
    assert_eq!(
        upstreams(&compiler, "shop/web-1"),
        ["store/c:1", "store/c:2", "shop/a:80", "shop/gone:70", "shop/a:81"]
    );
    let unknown = compiler.findings().filter(|f| f.code == codes::UPSTREAM_UNKNOWN);
    assert_eq!(
        unknown.map(|f| f.field.as_str()).collect::<Vec<_>>(),
        ["spec.upstreams[3]", "spec.upstreams[4]", "spec.upstreams[5]"]
    );
}

#[test]
fn an_empty_list_means_nothing() {
    let compiler = compile(&[
        workload("shop/web-1", json!({}), 1, json!({"upstreams": [], "httpProxy": true})),
        service("shop/a", "a", json!([{"port": 80}])),
    ]);
    assert!(upstreams(&compiler, "shop/web-1").is_empty());
    let Some(Resource::Upstreams(found)) = compiler.resource(&Key::Upstreams(name("shop/web-1"))) else {
        panic!()
    };
    assert!(found.http_proxy);
}

#[test]
fn only_named_identities_hear_where_they_may_send_requests_instead() {
    let policy = |from: Value, target: Value| {
        let spec = json!({"targetRefs": [target], "override": {"from": from,
            "to": [{"name": "staged", "port": 81}, {"name": "staged", "namespace": "lab", "port": 80}]}});
        object("TrafficPolicy", "shop/staging", 1, spec)
    };
    let on_web = json!({"kind": "Service", "name": "web"});
    let caller = |name: &str, account: &str| {
        workload(&format!("shop/{name}"), json!({"app": name}), 1, json!({"serviceAccount": account}))
    };
    let mut compiler = compile(&[
        backend("shop/web"),
        backend("shop/other"),
        caller("tester", "tester"),
        caller("bot", "bot"),
        policy(json!(["shop/tester"]), on_web.clone()),
    ]);
    let overrides = |compiler: &Compiler, workload: &str| -> Vec<(String, Vec<String>)> {
        match compiler.resource(&format!("Upstreams/shop/{workload}").parse().unwrap()) {
            Some(byrnie_plan::Resource::Upstreams(upstreams)) => upstreams
                .overrides
                .iter()
                .map(|one| {
                    let to = one.targets.iter().map(|to| format!("{}:{}", to.service, to.port)).collect();
                    (one.service.to_string(), to)
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    };
    let wanted = vec![("shop/web".to_owned(), vec!["shop/staged:81".to_owned(), "lab/staged:80".to_owned()])];
    assert_eq!(overrides(&compiler, "tester"), wanted);
    assert!(overrides(&compiler, "bot").is_empty());
    let whole = json!(["spiffe://cluster.local/ns/shop/sa/bot"]);
    apply(&mut compiler, &[policy(whole, on_web.clone())]);
    assert_eq!((overrides(&compiler, "tester"), overrides(&compiler, "bot")), (vec![], wanted));
    apply(&mut compiler, &[policy(json!(["shop/tester"]), json!({"kind": "Namespace", "name": "shop"}))]);
    assert_eq!(overrides(&compiler, "tester").len(), 2, "every Service of the namespace");
}
