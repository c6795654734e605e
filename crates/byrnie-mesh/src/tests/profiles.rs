//! ServiceProfiles: tables in the order written, retries and timeouts, whom they hold for.

use std::time::Duration;

use byrnie_api::codes;
use byrnie_plan::{BackendTarget, HttpRule, PathMatch, RouteKind};
use serde_json::{Value, json};

use super::*;

fn profile(name: &str, created: i64, routes: Value) -> Object {
    object("ServiceProfile", name, created, json!({"routes": routes}))
}

fn get(path: &str) -> Value {
    json!({"name": format!("GET {path}"), "condition": {"method": "GET", "pathRegex": path}})
}

const WEB: &str = "shop/web.shop.svc.cluster.local";

fn names(compiler: &Compiler, key: &str) -> Vec<String> {
    table(compiler, key, 80).rules.iter().map(|rule| rule.name.to_string()).collect()
}

fn rule<'a>(compiler: &'a Compiler, name: &str) -> &'a HttpRule {
    table(compiler, "shop/web", 80).rules.iter().find(|rule| rule.name.rule == name).unwrap()
}

#[test]
fn routes_in_the_order_written_and_the_service_for_the_rest() {
    let routes = json!([get("/a/.*"), get("/a/b"), {"name": "any", "condition": {"pathRegex": "/x"}}]);
    let compiler = compile(&[backend("shop/web"), profile(WEB, 1, routes)]);
    assert_eq!(names(&compiler, "shop/web"), ["GET /a/.*", "GET /a/b", "any", "default"]);
    let table = table(&compiler, "shop/web", 80);
    assert_eq!(table.matches[0].path, PathMatch::Regex("/a/.*".to_owned()));
    assert_eq!((table.matches[0].method.as_deref(), table.matches[2].method.as_deref()), (Some("GET"), None));
    assert_eq!(table.matches[3].path, PathMatch::Prefix("/".to_owned()));
    for rule in &table.rules {
        let target =
            BackendTarget::Service { service: super::name("shop/web"), port: 80, subset: Vec::new() };
        assert_eq!((rule.backends.len(), &rule.backends[0].target), (1, &target));
        assert_eq!(rule.name.kind, RouteKind::Profile);
    }
    assert_eq!(codes(&compiler), ["BYR0120 Service shop/web"], "nothing about the profile");
    let status = status(&compiler, "ServiceProfile", WEB);
    assert_eq!(conditions(&status["conditions"]), ["Accepted=True/Accepted"]);
}

#[test]
fn retries_and_timeouts() {
    let mut objects = vec![backend("shop/web")];
    let mut retried = get("/a");
    retried["isRetryable"] = json!(true);
    let mut limited = get("/b");
    limited["timeout"] = json!("1.5s");
    objects.push(profile(WEB, 1, json!([retried.clone(), limited])));
    let compiler = compile(&objects);
    let retry = rule(&compiler, "GET /a").retry.as_ref().unwrap();
    assert!(retry.on.unsafe_methods && retry.on.connection_error);
    assert_eq!(retry.on.statuses, (500..=599).collect::<Vec<u16>>());
    assert_eq!((retry.budget.percent, retry.budget.min_per_second), (20, 10));
    assert_eq!(rule(&compiler, "GET /b").timeouts.request, Some(Duration::from_millis(1500)));
    assert!(rule(&compiler, "GET /b").retry.is_none() && rule(&compiler, "default").retry.is_none());

    retried["responseClasses"] = json!([{"condition": {"status": {"min": 429, "max": 429}}, "isFailure": true},
        {"condition": {"status": {"min": 500, "max": 500}}}]);
    let spec = json!({"routes": [retried],
        "retryBudget": {"retryRatio": 0.5, "minRetriesPerSecond": 1, "ttl": "10s"}});
    objects[1] = object("ServiceProfile", WEB, 1, spec);
    let compiler = compile(&objects);
    let retry = rule(&compiler, "GET /a").retry.as_ref().unwrap();
    assert!(retry.on.statuses.contains(&429) && !retry.on.statuses.contains(&500));
    assert_eq!((retry.budget.percent, retry.budget.min_per_second), (50, 1));
    assert!(has_code(&compiler, codes::PROFILE_CLASSES));
}

#[test]
fn a_profile_in_another_namespace_is_for_callers_there() {
    let objects = [
        backend("shop/web"),
        profile(WEB, 1, json!([get("/own")])),
        profile("store/web.shop.svc.cluster.local", 1, json!([get("/theirs")])),
    ];
    let compiler = compile(&objects);
    assert_eq!(names(&compiler, "shop/web"), ["GET /own", "default"]);
    assert_eq!(names(&compiler, "shop/web@store"), ["GET /theirs", "default"]);
}

#[test]
fn ports_that_carry_bytes_are_left_alone() {
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81, "appProtocol": "tcp"},
        {"name": "c", "port": 82, "appProtocol": "grpc"}]);
    let compiler = compile(&[service("shop/web", "web", ports), profile(WEB, 1, json!([get("/a")]))]);
    let ports: Vec<u16> = routes(&compiler, "shop/web").unwrap().ports.iter().map(|port| port.port).collect();
    assert_eq!(ports, [80, 82]);
}

#[test]
fn standard_routes_hold_instead() {
    let route = json!({"parentRefs": [{"group": "", "kind": "Service", "name": "web"}],
        "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]});
    let compiler = compile(&[
        backend("shop/web"),
        profile(WEB, 1, json!([get("/a")])),
        object("HTTPRoute", "shop/r", 2, route),
    ]);
    assert_eq!(names(&compiler, "shop/web"), ["r/0"]);
    let status = status(&compiler, "ServiceProfile", WEB);
    assert_eq!(conditions(&status["conditions"]), ["Accepted=False/Conflicted"]);
    assert!(has_code(&compiler, codes::ROUTE_OVERRULED));
}

#[test]
fn what_cannot_be_followed_is_said_and_the_rest_holds() {
    let negated = json!({"name": "n", "condition": {"not": {"pathRegex": "/a"}}});
    let compiler = compile(&[backend("shop/web"), profile(WEB, 1, json!([negated, get("/a")]))]);
    assert_eq!(names(&compiler, "shop/web"), ["GET /a", "default"]);
    assert!(has_code(&compiler, codes::RULE_REFUSED));
    let status_of =
        |compiler: &Compiler, name: &str| conditions(&status(compiler, "ServiceProfile", name)["conditions"]);
    let partly = ["Accepted=True/Accepted", "PartiallyInvalid=True/UnsupportedValue"];
    assert_eq!(status_of(&compiler, WEB), partly);
    for (name, accepted, code) in [
        ("shop/api.example.com", "Accepted=False/UnsupportedValue", codes::RULE_REFUSED),
        ("shop/gone.shop.svc.cluster.local", "Accepted=False/NoMatchingParent", codes::PARENT_MISSING),
    ] {
        let compiler = compile(&[backend("shop/web"), profile(name, 1, json!([get("/a")]))]);
        assert_eq!(status_of(&compiler, name), [accepted]);
        assert!(has_code(&compiler, code), "{name}");
        assert!(routes(&compiler, "shop/web").is_none());
    }
    // Of two names for one Service the older one holds.
    let two = [
        backend("shop/web"),
        profile(WEB, 2, json!([get("/young")])),
        profile("shop/web.shop.svc", 1, json!([get("/old")])),
    ];
    let compiler = compile(&two);
    assert_eq!(names(&compiler, "shop/web"), ["GET /old", "default"]);
    assert_eq!(status_of(&compiler, WEB), ["Accepted=False/Conflicted"]);
}

#[test]
fn a_profile_that_goes_leaves_nothing() {
    let mut compiler = compile(&[backend("shop/web")]);
    let before = state(&compiler);
    let profile = profile(WEB, 1, json!([get("/a")]));
    apply(&mut compiler, std::slice::from_ref(&profile));
    assert!(routes(&compiler, "shop/web").is_some());
    compiler.apply(&[Change::Deleted(profile.key())]);
    assert_eq!(state(&compiler), before);
}
