use byrnie_plan::{
    Action, AuthorizationPolicy, DefaultAction, HeaderMatch, HostPattern, HttpMatch, HttpRule, ObjectName,
    PathMatch, RouteKind, Timeouts, ValueMatch,
};

use super::*;
use crate::Decision;

fn rule(name: &str) -> HttpRule {
    let name =
        RouteName { kind: RouteKind::Http, route: ObjectName::new("shop", "web"), rule: name.to_owned() };
    HttpRule {
        name,
        filters: Vec::new(),
        backends: Vec::new(),
        timeouts: Timeouts::default(),
        retry: None,
        controls: None,
    }
}

fn entry(path: &str, headers: Vec<HeaderMatch>, rule: u32) -> HttpMatch {
    let (host, path) = (HostPattern::Any, PathMatch::Prefix(path.to_owned()));
    HttpMatch { host_scope: 0, host, path, method: None, headers, queries: Vec::new(), rule }
}

#[test]
fn tells_what_won_and_what_failed_before_it() {
    let canary = HeaderMatch { name: "x-canary".to_owned(), value: ValueMatch::Exact("yes".to_owned()) };
    let table = HttpTable {
        matches: vec![
            entry("/admin", vec![], 0),
            entry("/", vec![canary], 1),
            entry("/", vec![], 2),
            entry("/", vec![], 0),
        ],
        rules: vec![rule("admin"), rule("canary"), rule("main")],
        scopes: Vec::new(),
    };
    let router = Router::compile(&table).unwrap();
    let deny = AuthorizationPolicy {
        name: "shop/nobody".to_owned(),
        action: Action::Allow,
        rules: Vec::new(),
        dry_run: false,
    };
    let authorizer = Authorizer::compile(&[deny], DefaultAction::AllowAll);
    let request =
        RequestView { method: "GET", host: "web", path: "/x", query: None, headers: &crate::NoHeaders };
    let told = explain(&request, &table, &router, Some((&authorizer, None, 80)));
    assert_eq!(told.found, Some(Found { rule: 2, match_index: 2 }));
    let misses: Vec<Option<Miss>> = told.routes.iter().map(|step| step.miss.clone()).collect();
    assert_eq!(misses, [Some(Miss::Path), Some(Miss::Header("x-canary".to_owned())), None]);
    assert_eq!(told.routes[1].route.as_ref().map(ToString::to_string).as_deref(), Some("web/canary"));
    let (steps, verdict) = told.authorization.unwrap();
    assert_eq!((verdict.decision, verdict.policy), (Decision::Deny, "shop/nobody"));
    assert_eq!(steps[0].matched_rule, None);
}

#[test]
fn without_a_match_all_entries_are_told() {
    let table =
        HttpTable { matches: vec![entry("/a", vec![], 0)], rules: vec![rule("a")], scopes: Vec::new() };
    let router = Router::compile(&table).unwrap();
    let request =
        RequestView { method: "GET", host: "", path: "/b", query: None, headers: &crate::NoHeaders };
    let told = explain(&request, &table, &router, None);
    assert_eq!((told.found, told.routes.len(), told.authorization), (None, 1, None));
}
