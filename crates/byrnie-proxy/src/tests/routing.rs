//! Which rule and which backend take a request.

use byrnie_plan::{
    AppProtocol, Backend, BackendTarget, HeaderMatch, HostPattern, HttpMatch, HttpTable, InvalidBackend,
    PathMatch, QueryMatch, TrafficSettings, ValueMatch,
};
use http::Request;
use hyper::body::Incoming;

use super::client::{Client, ask, get};
use super::kit::{cluster_of, counted, obey, origin, plain, routed, rule, target, text, under};
use crate::tcp::tests::mesh::run;

async fn named(name: &'static str) -> std::sync::Arc<crate::config::Cluster> {
    plain(name, origin(move |_: Request<Incoming>| async move { text(name) }).await)
}

#[test]
fn each_kind_of_match_leads_to_its_rule() {
    run(async {
        let names = ["web", "host", "exact", "prefix", "regex", "header", "query", "method"];
        let mut clusters = Vec::new();
        for name in names {
            clusters.push(named(name).await);
        }
        let exact = |value: &str| ValueMatch::Exact(value.to_owned());
        let header = HeaderMatch { name: "x-user".to_owned(), value: exact("ann") };
        let query = QueryMatch { name: "q".to_owned(), value: ValueMatch::Regex("[0-9]+".to_owned()) };
        // In the order of precedence in which the compiler puts them.
        let matches = vec![
            HttpMatch { host: HostPattern::Exact("api.shop".to_owned()), ..under("/", 1) },
            HttpMatch { path: PathMatch::Exact("/exact".to_owned()), ..under("/", 2) },
            under("/prefix", 3),
            HttpMatch { path: PathMatch::Regex("/r[0-9]+".to_owned()), ..under("/", 4) },
            HttpMatch { method: Some("DELETE".to_owned()), ..under("/", 7) },
            HttpMatch { headers: vec![header], ..under("/", 5) },
            HttpMatch { queries: vec![query], ..under("/", 6) },
            under("/", 0),
        ];
        let rules = names.iter().map(|name| rule(&[(name, 1)])).collect();
        let (_worker, address) = routed(&HttpTable { matches, rules, scopes: Vec::new() }, &clusters).await;
        for (target, host, more, served) in [
            ("GET /", "a", "", "web"),
            ("GET /exact", "API.shop.:81", "", "host"),
            ("GET /exact", "a", "", "exact"),
            ("GET /x/../exact", "a", "", "exact"),
            ("GET /exact/", "a", "", "web"),
            ("GET /prefix", "a", "", "prefix"),
            ("GET /prefix/a?q=1", "a", "x-user: ann\r\n", "prefix"),
            ("GET /prefixa", "a", "", "web"),
            ("GET /r12", "a", "", "regex"),
            ("GET /r12x", "a", "", "web"),
            ("DELETE /", "a", "", "method"),
            ("GET /", "a", "X-User: ann\r\n", "header"),
            ("GET /", "a", "x-user: ann, bob\r\n", "web"),
            ("GET /?q=12", "a", "", "query"),
            ("GET /?q=12a", "a", "", "web"),
            ("GET /?q=%31", "a", "", "query"),
        ] {
            let answer = ask(address, format!("{target} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n")).await;
            assert_eq!(answer.text(), served, "{target} {host} {more}");
        }
    });
}

#[test]
fn what_leads_nowhere_is_said_so() {
    run(async {
        let empty = cluster_of("empty", AppProtocol::Http1, TrafficSettings::default(), Vec::new());
        let mut invalid = rule(&[("web", 1)]);
        invalid.backends.push(Backend {
            target: BackendTarget::Invalid(InvalidBackend::NotFound),
            weight: 0,
            filters: Vec::new(),
        });
        invalid.backends[0].weight = 0;
        invalid.backends[1].weight = 1;
        let table = HttpTable {
            matches: vec![under("/empty", 0), under("/invalid", 1), under("/none", 2)],
            rules: vec![rule(&[("empty", 1)]), invalid, rule(&[])],
            scopes: Vec::new(),
        };
        let (worker, address) = routed(&table, &[named("web").await, empty]).await;
        for (path, status, error, flag) in [
            ("/empty", 503, "BYR0203", "no_endpoint"),
            ("/invalid", 500, "BYR0202", "invalid_backend"),
            ("/none", 500, "BYR0202", "invalid_backend"),
            ("/other", 404, "BYR0201", "no_route"),
        ] {
            let answer = ask(address, get(path)).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.header("byrnie-error").starts_with(&format!("{error} {flag}")), "{answer:?}");
            let counts = counted(&worker);
            assert_eq!(counts.len(), 1, "{counts:?}");
            assert_eq!((counts[0].outcome.error.as_str(), counts[0].tally.retries), (error, 0), "{path}");
        }
    });
}

#[test]
fn a_share_is_a_share() {
    run(async {
        let clusters = [named("web").await, named("canary").await];
        let mut shares = rule(&[("web", 70), ("canary", 20)]);
        shares.backends.push(Backend {
            target: BackendTarget::Invalid(InvalidBackend::NotFound),
            weight: 10,
            filters: Vec::new(),
        });
        let table = HttpTable { matches: vec![under("/", 0)], rules: vec![shares], scopes: Vec::new() };
        let (_worker, address) = routed(&table, &clusters).await;
        let (mut web, mut canary, mut invalid) = (0, 0, 0);
        let mut client = Client::to(address).await;
        for _ in 0..500 {
            // Twenty at once: a system call serves many.
            client.say(get("/").repeat(20)).await;
            for _ in 0..20 {
                let answer = client.answer().await;
                match (answer.status, answer.text().as_str()) {
                    (200, "web") => web += 1,
                    (200, "canary") => canary += 1,
                    (500, _) => invalid += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        for (count, share) in [(web, 7000), (canary, 2000), (invalid, 1000)] {
            // In turns, not by chance: far within one point.
            assert!((i32::abs_diff(count, share)) <= 20, "{web} {canary} {invalid}");
        }
    });
}

#[test]
fn a_change_of_routes_holds_for_the_next_request_of_a_connection() {
    run(async {
        let clusters = [named("web").await, named("canary").await];
        let table = |name| HttpTable {
            matches: vec![under("/", 0)],
            rules: vec![rule(&[(name, 1)])],
            scopes: Vec::new(),
        };
        let (worker, address) = routed(&table("web"), &clusters).await;
        let mut client = Client::to(address).await;
        assert_eq!(client.ask(get("/")).await.text(), "web");
        obey(&worker, &table("canary"), &clusters);
        assert_eq!(client.ask(get("/")).await.text(), "canary");
        assert!(matches!(target("web"), BackendTarget::Service { .. }));
    });
}
