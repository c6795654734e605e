use byrnie_plan::{
    HeaderMatch, HostPattern, HttpMatch, HttpRule, HttpTable, ObjectName, PathMatch, QueryMatch,
    REGEX_PATTERN_LIMIT, RouteKind, RouteName, Timeouts, ValueMatch,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn rules(count: usize) -> Vec<HttpRule> {
    let rule = |index: usize| HttpRule {
        name: RouteName {
            kind: RouteKind::Http,
            route: ObjectName::new("shop", "web"),
            rule: index.to_string(),
        },
        filters: Vec::new(),
        backends: Vec::new(),
        timeouts: Timeouts::default(),
        retry: None,
        controls: None,
    };
    (0..count).map(rule).collect()
}

fn any_match(rule: u32) -> HttpMatch {
    HttpMatch {
        host_scope: 0,
        host: HostPattern::Any,
        path: PathMatch::Prefix("/".to_owned()),
        method: None,
        headers: Vec::new(),
        queries: Vec::new(),
        rule,
    }
}

fn path_match(rule: u32, path: PathMatch) -> HttpMatch {
    HttpMatch { path, ..any_match(rule) }
}

fn compile(matches: Vec<HttpMatch>) -> Router {
    let rules = rules(matches.len());
    Router::compile(&HttpTable { matches, rules, scopes: Vec::new() }).unwrap()
}

fn rule_for(router: &Router, host: &str, path: &str) -> Option<u32> {
    let headers: &[(String, String)] = &[];
    router.find(&RequestView { method: "GET", host, path, query: None, headers }).map(|found| found.rule)
}

#[test]
fn prefixes_match_by_segment() {
    let router = compile(vec![
        path_match(0, PathMatch::Exact("/a/b".to_owned())),
        path_match(1, PathMatch::Prefix("/a".to_owned())),
        path_match(2, PathMatch::Prefix("/".to_owned())),
    ]);
    for (path, rule) in [("/a/b", 0), ("/a", 1), ("/a/", 1), ("/a/c", 1), ("/ab", 2), ("/", 2), ("*", 2)] {
        assert_eq!(rule_for(&router, "", path), Some(rule), "{path}");
    }
}

#[test]
fn the_first_in_order_wins_whatever_its_place() {
    let router = compile(vec![
        path_match(0, PathMatch::Regex("/a.*".to_owned())),
        path_match(1, PathMatch::Exact("/a".to_owned())),
        path_match(2, PathMatch::Regex("/b".to_owned())),
        path_match(3, PathMatch::Regex(".*".to_owned())),
    ]);
    for (path, rule) in [("/a", 0), ("/b", 2), ("/bb", 3)] {
        assert_eq!(rule_for(&router, "", path), Some(rule), "{path}");
    }
}

#[test]
fn hosts_by_label_and_listener_isolation() {
    let host = |rule, host_scope, host| HttpMatch { host, host_scope, ..any_match(rule) };
    let table = HttpTable {
        scopes: vec![
            HostPattern::Any,
            HostPattern::Wildcard("example.com".to_owned()),
            HostPattern::Exact("a.example.com".to_owned()),
        ],
        matches: vec![
            host(0, 2, HostPattern::Exact("a.example.com".to_owned())),
            host(1, 1, HostPattern::Wildcard("b.example.com".to_owned())),
            host(2, 0, HostPattern::Any),
        ],
        rules: rules(3),
    };
    let router = Router::compile(&table).unwrap();
    for (host, rule) in [
        ("a.example.com", Some(0)),
        ("x.b.example.com", Some(1)),
        ("y.x.b.example.com", Some(1)),
        // Belongs to the second listener, which has no route for it: never offered to the first.
        ("b.example.com", None),
        ("example.com", Some(2)),
        ("notexample.com", Some(2)),
        ("", Some(2)),
    ] {
        assert_eq!(rule_for(&router, host, "/"), rule, "{host}");
    }
}

#[test]
fn regular_expressions_match_the_whole_value_and_are_bounded() {
    let router = compile(vec![path_match(0, PathMatch::Regex("/a|/b".to_owned()))]);
    for (path, rule) in [("/a", Some(0)), ("/b", Some(0)), ("/ab", None), ("/a/b", None)] {
        assert_eq!(rule_for(&router, "", path), rule, "{path}");
    }
    for bad in ["a)|(b", "(", "(a{1000}){1000}", "\\pL{999}{99}", &"a".repeat(REGEX_PATTERN_LIMIT + 1)] {
        let matches = vec![any_match(0), path_match(0, PathMatch::Regex(bad.to_owned()))];
        let error = Router::compile(&HttpTable { matches, rules: rules(1), scopes: Vec::new() }).unwrap_err();
        assert!(matches!(error, RouterError::Regex { match_index: 1, .. }), "{bad}: {error}");
    }
}

#[test]
fn tables_that_point_nowhere_are_refused() {
    let table = HttpTable { matches: vec![any_match(1)], rules: rules(1), scopes: Vec::new() };
    assert_eq!(Router::compile(&table).unwrap_err(), RouterError::NoSuchRule { match_index: 0 });
    let matches = vec![HttpMatch { host_scope: 1, ..any_match(0) }];
    let table = HttpTable { matches, rules: rules(1), scopes: vec![HostPattern::Any] };
    assert_eq!(Router::compile(&table).unwrap_err(), RouterError::NoSuchScope { match_index: 0 });
}

#[test]
fn headers_and_queries() {
    let header = |value| HeaderMatch { name: "X-A".to_owned(), value };
    let query = |value| QueryMatch { name: "q ü".to_owned(), value };
    let exact = |text: &str| ValueMatch::Exact(text.to_owned());
    let router = compile(vec![
        HttpMatch { headers: vec![header(exact("1,2"))], ..any_match(0) },
        HttpMatch { headers: vec![header(ValueMatch::Regex("[0-9]".to_owned()))], ..any_match(1) },
        HttpMatch { queries: vec![query(exact("a b"))], ..any_match(2) },
        HttpMatch { queries: vec![query(ValueMatch::Regex("x+".to_owned()))], ..any_match(3) },
    ]);
    let find = |headers: &[(&str, &str)], query: Option<&str>| {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let request = RequestView { method: "GET", host: "", path: "/", query, headers: headers.as_slice() };
        router.find(&request).map(|found| found.rule)
    };
    assert_eq!(find(&[("x-a", "1"), ("x-b", "9"), ("x-a", "2")], None), Some(0));
    assert_eq!(find(&[("x-a", "1,2")], None), Some(0));
    assert_eq!(find(&[("x-a", "7")], None), Some(1));
    assert_eq!(find(&[("x-a", "77")], None), None);
    assert_eq!(find(&[], Some("q%20%C3%BC=a%20b")), Some(2));
    assert_eq!(find(&[], Some("z&q%20ü=xx&q%20ü=a%20b")), Some(3));
    assert_eq!(find(&[], Some("q%20ü=nothing&q%20ü=a%20b")), None);
    assert_eq!(find(&[], Some("q%20ü")), None);
    assert_eq!(find(&[], None), None);
}

#[test]
fn ten_thousand_routes() {
    let mut matches = Vec::new();
    for index in 0..5_000u32 {
        let host = HostPattern::Exact(format!("h{index}.example.com"));
        let path = PathMatch::Exact(format!("/p{index}"));
        matches.push(HttpMatch { host, path, ..any_match(index * 2) });
        let path = PathMatch::Prefix(format!("/p{index}/x"));
        matches.push(HttpMatch { path, ..any_match(index * 2 + 1) });
    }
    let router = compile(matches);
    assert_eq!(router.len(), 10_000);
    for index in [0, 17, 4_999] {
        let host = format!("h{index}.example.com");
        assert_eq!(rule_for(&router, &host, &format!("/p{index}")), Some(index * 2));
        assert_eq!(rule_for(&router, &host, &format!("/p{index}/x/y")), Some(index * 2 + 1));
        assert_eq!(rule_for(&router, "", &format!("/p{index}")), None);
    }
}

// What the documentation of the plan says, one entry after the other, with nothing clever.
mod reference {
    use super::*;

    pub(super) fn find(table: &HttpTable, request: &RequestView<'_, [(String, String)]>) -> Option<usize> {
        let scope = most_specific(&table.scopes, request.host);
        table.matches.iter().position(|m| {
            let in_scope = table.scopes.is_empty() || scope == Some(&table.scopes[m.host_scope as usize]);
            in_scope
                && host(&m.host, request.host)
                && path(&m.path, request.path)
                && m.method.as_ref().is_none_or(|method| method == request.method)
                && m.headers.iter().all(|h| header(h, request.headers))
                && m.queries.iter().all(|q| query(q, request.query.unwrap_or("")))
        })
    }

    fn most_specific<'a>(scopes: &'a [HostPattern], name: &str) -> Option<&'a HostPattern> {
        scopes.iter().filter(|scope| host(scope, name)).max_by_key(|scope| match scope {
            HostPattern::Exact(_) => usize::MAX,
            HostPattern::Wildcard(parent) => parent.len(),
            HostPattern::Any => 0,
        })
    }

    fn host(pattern: &HostPattern, name: &str) -> bool {
        match pattern {
            HostPattern::Any => true,
            HostPattern::Exact(exact) => exact == name,
            HostPattern::Wildcard(parent) => {
                let dotted = format!(".{parent}");
                name.len() > dotted.len() && name.ends_with(&dotted)
            }
        }
    }

    fn path(pattern: &PathMatch, path: &str) -> bool {
        match pattern {
            PathMatch::Exact(exact) => exact == path,
            PathMatch::Prefix(prefix) if prefix == "/" => true,
            PathMatch::Prefix(prefix) => path == prefix || path.starts_with(&format!("{prefix}/")),
            PathMatch::Regex(pattern) => whole(pattern, path),
        }
    }

    fn header(wanted: &HeaderMatch, headers: &[(String, String)]) -> bool {
        let lines: Vec<&str> =
            headers.iter().filter(|(name, _)| *name == wanted.name).map(|(_, v)| v.as_str()).collect();
        !lines.is_empty() && value(&wanted.value, &lines.join(","))
    }

    fn query(wanted: &QueryMatch, query: &str) -> bool {
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(name, _)| *name == wanted.name).is_some_and(|(_, v)| value(&wanted.value, v))
    }

    fn value(wanted: &ValueMatch, given: &str) -> bool {
        match wanted {
            ValueMatch::Exact(exact) => exact == given,
            ValueMatch::Regex(pattern) => whole(pattern, given),
        }
    }

    fn whole(pattern: &str, text: &str) -> bool {
        regex::Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text)
    }
}

fn host_pattern() -> impl Strategy<Value = HostPattern> {
    prop_oneof![
        Just(HostPattern::Any),
        select(vec!["a.com", "b.a.com", "x.org"]).prop_map(|h| HostPattern::Exact(h.to_owned())),
        select(vec!["a.com", "b.a.com", "com"]).prop_map(|h| HostPattern::Wildcard(h.to_owned())),
    ]
}

fn path_pattern() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        select(vec!["/", "/a", "/a/", "/a/b", "/ab"]).prop_map(|p| PathMatch::Exact(p.to_owned())),
        select(vec!["/", "/a", "/a/b", "/ab"]).prop_map(|p| PathMatch::Prefix(p.to_owned())),
        select(vec!["/a.*", "/[ab]+", "/a/(b|c)", ".*"]).prop_map(|p| PathMatch::Regex(p.to_owned())),
    ]
}

fn value_pattern() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        select(vec!["1", "2", "1,2", ""]).prop_map(|v| ValueMatch::Exact(v.to_owned())),
        select(vec!["[12]", "1.*", ""]).prop_map(|v| ValueMatch::Regex(v.to_owned())),
    ]
}

fn http_match(scopes: u32) -> impl Strategy<Value = HttpMatch> {
    let named = || proptest::collection::vec((select(vec!["x", "y"]), value_pattern()), 0..2);
    (
        0..scopes.max(1),
        host_pattern(),
        path_pattern(),
        proptest::option::of(select(vec!["GET", "POST"])),
        named(),
        named(),
    )
        .prop_map(|(host_scope, host, path, method, headers, queries)| HttpMatch {
            host_scope,
            host,
            path,
            method: method.map(str::to_owned),
            headers: headers
                .into_iter()
                .map(|(name, value)| HeaderMatch { name: name.to_owned(), value })
                .collect(),
            queries: queries
                .into_iter()
                .map(|(name, value)| QueryMatch { name: name.to_owned(), value })
                .collect(),
            rule: 0,
        })
}

fn table() -> impl Strategy<Value = HttpTable> {
    proptest::collection::vec(host_pattern(), 0..4).prop_flat_map(|scopes| {
        let matches = proptest::collection::vec(http_match(scopes.len() as u32), 0..24);
        matches.prop_map(move |mut matches| {
            for (index, entry) in matches.iter_mut().enumerate() {
                entry.rule = index as u32;
            }
            HttpTable { rules: rules(matches.len()), matches, scopes: scopes.clone() }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn finds_exactly_the_first_that_matches(
        table in table(),
        host in select(vec!["", "a.com", "b.a.com", "c.b.a.com", "x.org", "y.x.org"]),
        path in select(vec!["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "*"]),
        method in select(vec!["GET", "POST", "PUT"]),
        query in proptest::option::of(select(vec!["", "x=1", "x=2&x=1", "y=12&x", "y=1"])),
        headers in proptest::collection::vec((select(vec!["x", "y"]), select(vec!["1", "2", ""])), 0..3),
    ) {
        let headers: Vec<(String, String)> =
            headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let request = RequestView { method, host, path, query, headers: headers.as_slice() };
        let router = Router::compile(&table).unwrap();
        let found = router.find(&request);
        let expected = reference::find(&table, &request);
        prop_assert_eq!(found.map(|f| f.match_index as usize), expected);
        prop_assert_eq!(found.map(|f| f.rule as usize), expected);
        // The explanation agrees: all before the winner miss, the winner does not.
        for index in 0..table.matches.len() {
            let miss = router.miss(index as u32, &request);
            prop_assert!(expected.is_some_and(|e| index > e) || miss.is_none() == (Some(index) == expected));
        }
    }
}
