//! Bounded work on hostile input, and how much less one change costs than everything.

use byrnie_api::codes;
use serde_json::{Value, json};

use super::*;

fn parents() -> Value {
    json!([{"group": "", "kind": "Service", "name": "web"}])
}

#[test]
fn ten_thousand_rules() {
    let rules: Vec<Value> = (0..10_000)
        .map(|i| {
            json!({"matches": [{"path": {"type": "Exact", "value": format!("/{i}")}}],
            "backendRefs": [{"name": "web", "port": 80, "weight": u32::MAX}]})
        })
        .collect();
    let spec = json!({"parentRefs": parents(), "rules": rules});
    let compiler = compile(&[backend("shop/web"), object("HTTPRoute", "shop/r", 1, spec)]);
    assert_eq!(table(&compiler, "shop/web", 80).matches.len(), 10_000);
}

#[test]
fn a_table_has_a_largest_size() {
    let way = json!({"path": {"type": "Exact", "value": "/"}});
    let rules = json!([{"matches": vec![way; 40_000]}]);
    let route = |name: &str, created: i64| {
        object("HTTPRoute", name, created, json!({"parentRefs": parents(), "rules": rules}))
    };
    let compiler = compile(&[backend("shop/web"), route("shop/young", 2), route("shop/old", 1)]);
    assert_eq!(table(&compiler, "shop/web", 80).matches.len(), 40_000);
    assert_eq!(
        parent_conditions(&compiler, "HTTPRoute", "shop/young", 0)[0],
        "Accepted=False/UnsupportedValue"
    );
    assert!(has_code(&compiler, codes::TABLE_FULL));
}

#[test]
fn empty_backend_lists_and_weights_of_nothing() {
    let rules = json!([
        {"backendRefs": []},
        {"backendRefs": [{"name": "web", "port": 80, "weight": 0}, {"name": "gone", "port": 80,
            "weight": 0}]},
    ]);
    let spec = json!({"parentRefs": parents(), "rules": rules});
    let compiler = compile(&[backend("shop/web"), object("HTTPRoute", "shop/r", 1, spec)]);
    let rules = &table(&compiler, "shop/web", 80).rules;
    assert!(rules[0].backends.is_empty());
    assert_eq!(rules[1].backends.iter().map(|b| b.weight).collect::<Vec<_>>(), [0, 0]);
    let found: Vec<&str> =
        compiler.findings().filter(|f| f.code == codes::WEIGHTS_ZERO).map(|f| f.field.as_str()).collect();
    assert_eq!(found, ["spec.rules[1].backendRefs"]);
}

#[test]
fn one_change_of_many_services_computes_a_handful() {
    let mut objects = Vec::new();
    for i in 0..1_000 {
        let app = format!("s{i}");
        objects.push(service(&format!("shop/{app}"), &app, json!([{"port": 80}])));
        let parents = json!([{"group": "", "kind": "Service", "name": app}]);
        let rules = json!([{"backendRefs": [{"name": app, "port": 80}]}]);
        objects.push(object(
            "HTTPRoute",
            &format!("shop/{app}"),
            1,
            json!({"parentRefs": parents, "rules": rules}),
        ));
        let spec = json!({"ports": [{"port": 80}], "upstreams": []});
        objects.push(workload(&format!("shop/{app}-1"), json!({"app": app}), 1, spec));
    }
    let mut compiler = compile(&objects);
    let everything = compiler.last_computed();
    let spec = json!({"ports": [{"port": 80}], "upstreams": [], "weight": 2});
    let output = apply(&mut compiler, &[workload("shop/s7-1", json!({"app": "s7"}), 1, spec)]);
    assert_eq!(output.updates.len(), 1);
    let one = compiler.last_computed();
    assert!(one * 500 < everything, "{one} of {everything}");
}
