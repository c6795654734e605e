//! What a workload calls.

use byrnie_api::codes;
use byrnie_plan::{Key, Resource};
use serde_json::json;

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
