//! What `byrnie analyze` finds in objects that are each in order.

use byrnie_api::{Severity, codes};
use serde_json::{Value, json};

use super::*;

fn of_file(text: &str) -> Compiler {
    let reading = byrnie_api::read_documents(text, "f.yaml");
    assert_eq!(reading.findings, []);
    let objects: Vec<Object> = reading.objects.into_iter().map(|(object, _)| object).collect();
    compile(&objects)
}

/// `BYR0181 HTTPRoute shop/a spec.rules[0]`.
fn analyzed(compiler: &Compiler) -> Vec<String> {
    let said = compiler.analyze();
    said.iter().map(|f| format!("{} {} {}", f.code, f.object.as_ref().unwrap(), f.field)).collect()
}

#[test]
fn the_example_of_each_code_says_it() {
    for row in codes::CODES {
        let Some(example) = byrnie_api::code_example(row.code) else { continue };
        let compiler = of_file(example);
        let mut said: Vec<Finding> = compiler.findings().cloned().collect();
        said.extend(compiler.analyze());
        let found = said.iter().find(|finding| finding.code == row.code);
        let found = found.unwrap_or_else(|| panic!("{} is not said: {said:#?}", row.code));
        assert!(found.object.is_some() && !found.message.is_empty() && !found.remedy.is_empty());
    }
}

#[test]
fn objects_in_order_are_left_alone() {
    assert_eq!(analyzed(&compile(&first_file())), [""; 0]);
    assert_eq!(analyzed(&new()), [""; 0]);
}

fn route(rules: Value) -> Vec<Object> {
    let spec = json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": rules});
    vec![backend("shop/web"), object("HTTPRoute", "shop/r", 1, spec)]
}

fn rule(matches: Value) -> Value {
    json!({"matches": matches, "backendRefs": [{"name": "web", "port": 80}]})
}

fn path(kind: &str, value: &str) -> Value {
    json!({"path": {"type": kind, "value": value}})
}

#[test]
fn what_is_never_reached() {
    let cart = || path("PathPrefix", "/cart");
    let with = |extra: Value| {
        let mut way = cart();
        way.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        way
    };
    let header = json!({"headers": [{"name": "a", "value": "1"}]});
    for (rules, expected) in [
        (json!([rule(json!([cart()])), rule(json!([cart()]))]), &["spec.rules[1]"][..]),
        (
            json!([rule(json!([cart()])), rule(json!([path("Exact", "/x"), cart()]))]),
            &["spec.rules[1].matches[1]"],
        ),
        (
            json!([rule(json!([with(header.clone())])), rule(json!([with(header.clone())]))]),
            &["spec.rules[1]"],
        ),
        (
            json!([
                rule(json!([path("RegularExpression", "/a.*")])),
                rule(json!([path("RegularExpression", "/a.*")]))
            ]),
            &["spec.rules[1]"],
        ),
        (
            json!([rule(json!([path("RegularExpression", ".*")])), rule(json!([path("PathPrefix", "/")]))]),
            &["spec.rules[1]"],
        ),
        // The more specific one comes first, whatever the order in the file.
        (json!([rule(json!([cart()])), rule(json!([with(header)]))]), &[]),
        (json!([rule(json!([path("PathPrefix", "/")])), rule(json!([path("Exact", "/")]))]), &[]),
        (json!([rule(json!([cart()])), rule(json!([path("PathPrefix", "/cartoon")]))]), &[]),
        (json!([rule(json!([cart(), cart()]))]), &[]),
    ] {
        let fields: Vec<String> =
            compile(&route(rules.clone())).analyze().into_iter().map(|f| f.field).collect();
        assert_eq!(fields, expected, "{rules}");
    }
}

#[test]
fn an_older_route_takes_all() {
    let spec = || {
        json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web"}],
            "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]})
    };
    let compiler = compile(&[
        backend("shop/web"),
        object("HTTPRoute", "shop/new", 2, spec()),
        object("HTTPRoute", "shop/old", 1, spec()),
    ]);
    assert_eq!(analyzed(&compiler), ["BYR0181 HTTPRoute shop/new spec.rules[0]"]);
    assert!(compiler.analyze()[0].message.contains("old/0 (HTTPRoute shop/old)"));
}

#[test]
fn a_chain_of_retries() {
    let compiler = of_file(byrnie_api::code_example(codes::RETRIES_MULTIPLY).unwrap());
    let found = compiler.analyze();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].message.contains("25 tries at the end of shop/web (5) -> shop/stock (5)"), "{found:#?}");
    assert_eq!(found[0].severity, Severity::Warning);
}

#[test]
fn retries_that_are_bounded_are_in_order() {
    let rule = |timeouts: Value, retry: Value| json!([{"timeouts": timeouts, "retry": retry, "backendRefs": [{"name": "web", "port": 80}]}]);
    let retry = json!({"attempts": 2, "codes": [503]});
    for (rules, expected) in [
        (rule(json!({"request": "1s"}), retry.clone()), None),
        (rule(json!({"request": "1s", "backendRequest": "200ms"}), retry.clone()), None),
        (
            rule(json!({"request": "1s", "backendRequest": "1s"}), retry.clone()),
            Some(codes::RETRIES_WITHOUT_TIME),
        ),
        (rule(json!({"request": "0s"}), retry), Some(codes::RETRIES_UNBOUNDED)),
        (rule(json!({}), json!({"attempts": 0, "codes": [503]})), None),
    ] {
        let found: Vec<byrnie_api::Code> =
            compile(&route(rules.clone())).analyze().iter().map(|f| f.code).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{rules}");
    }
}

/// Ten thousand rules of one host, all in each other's way: linear work.
#[test]
fn a_large_table_is_analyzed_in_a_moment() {
    let mut objects = vec![backend("shop/web")];
    for i in 0..1_000 {
        let rules: Vec<Value> = (0..10).map(|_| rule(json!([path("PathPrefix", "/same")]))).collect();
        let spec = json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": rules});
        objects.push(object("HTTPRoute", &format!("shop/r{i}"), i, spec));
    }
    assert_eq!(compile(&objects).analyze().len(), 1_000, "and what is said is bounded");
}
