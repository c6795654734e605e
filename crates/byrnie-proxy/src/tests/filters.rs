//! What rules do to requests and responses: headers, redirects, rewrites, copies.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use byrnie_plan::{
    AppProtocol, Filter, HeaderModifier, HttpTable, Mirror, PathRewrite, Redirect, Rewrite, TrafficSettings,
};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::client::{Client, ask, get, post};
use super::kit::{as_seen, cluster_of, obey, origin, plain, routed, rule, target, text, under};
use crate::front::Entrance;
use crate::tcp::tests::mesh::{application, listen, run, until};

fn table(path: &str, filters: Vec<Filter>) -> HttpTable {
    let mut rule = rule(&[("web", 1)]);
    rule.filters = filters;
    HttpTable { matches: vec![under(path, 0)], rules: vec![rule], scopes: Vec::new() }
}

fn edits(prefix: &str) -> HeaderModifier {
    let pair = |name: &str, value: &str| (format!("{prefix}-{name}"), value.to_owned());
    HeaderModifier {
        set: vec![pair("set", "new")],
        add: vec![pair("add", "more")],
        remove: vec![format!("{prefix}-gone")],
    }
}

#[test]
fn headers_are_set_added_and_removed_both_ways() {
    run(async {
        let app = origin(async |request: Request<Incoming>| {
            let mut reply = as_seen(request).await;
            for name in ["b-set", "b-add", "b-gone"] {
                reply.headers_mut().insert(name, HeaderValue::from_static("old"));
            }
            reply
        });
        let table = table("/", vec![Filter::RequestHeaders(edits("a")), Filter::ResponseHeaders(edits("b"))]);
        let (_worker, address) = routed(&table, &[plain("web", app.await)]).await;
        let words =
            "GET / HTTP/1.1\r\nhost: h\r\na-set: old\r\nA-Set: older\r\na-add: old\r\na-gone: 1\r\n\r\n";
        let answer = ask(address, words).await;
        let mut seen: Vec<_> = answer.text().lines().skip(1).map(str::to_owned).collect();
        seen.sort();
        assert_eq!(seen, ["", "a-add: more", "a-add: old", "a-set: new", "host: h"]);
        let values: Vec<_> = answer.headers.get_all("b-add").iter().collect();
        assert_eq!(values, ["old", "more"]);
        assert_eq!((answer.header("b-set"), answer.headers.contains_key("b-gone")), ("new", false));
    });
}

#[test]
fn redirects_say_what_the_gateway_api_says() {
    run(async {
        let none = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
        let prefix = |to: &str| Some(PathRewrite::Prefix(to.to_owned()));
        let some = |text: &str| Some(text.to_owned());
        let (worker, service) =
            routed(&table("/a", Vec::new()), &[plain("web", origin(as_seen).await)]).await;
        let gateway = listen(&worker, Entrance::Gateway(8000)).await;
        let cases = [
            (none.clone(), "http://h:8000/a/b?q=1", "http://h:81/a/b?q=1"),
            (Redirect { scheme: some("https"), ..none.clone() }, "https://h/a/b?q=1", "https://h/a/b?q=1"),
            (Redirect { port: Some(80), ..none.clone() }, "http://h/a/b?q=1", "http://h/a/b?q=1"),
            (
                Redirect { port: Some(8443), scheme: some("https"), ..none.clone() },
                "https://h:8443/a/b?q=1",
                "https://h:8443/a/b?q=1",
            ),
            (
                Redirect { hostname: some("new"), ..none.clone() },
                "http://new:8000/a/b?q=1",
                "http://new/a/b?q=1",
            ),
            (
                Redirect { path: Some(PathRewrite::Full("/x".to_owned())), ..none.clone() },
                "http://h:8000/x?q=1",
                "http://h:81/x?q=1",
            ),
            (Redirect { path: prefix("/x"), ..none.clone() }, "http://h:8000/x/b?q=1", "http://h:81/x/b?q=1"),
            (Redirect { path: prefix("/"), ..none.clone() }, "http://h:8000/b?q=1", "http://h:81/b?q=1"),
            (Redirect { status: 308, ..none }, "http://h:8000/a/b?q=1", "http://h:81/a/b?q=1"),
        ];
        for (redirect, at_gateway, at_service) in cases {
            let status = redirect.status;
            obey(&worker, &table("/a", vec![Filter::Redirect(redirect)]), &[]);
            for (address, location) in [(gateway, at_gateway), (service, at_service)] {
                let answer = ask(address, "GET /a/b?q=1 HTTP/1.1\r\nhost: H:81\r\n\r\n").await;
                assert_eq!((answer.status, answer.header("location")), (status, location));
            }
        }
    });
}

#[test]
fn rewrites_change_what_the_application_sees() {
    run(async {
        let cluster = [plain("web", origin(as_seen).await)];
        let (worker, address) = routed(&table("/a", Vec::new()), &cluster).await;
        for (rewrite, seen) in [
            (PathRewrite::Full("/x".to_owned()), "GET /x?q=1 HTTP/1.1\nhost: new.host\n"),
            (PathRewrite::Prefix("/x/".to_owned()), "GET /x/b?q=1 HTTP/1.1\nhost: new.host\n"),
            (PathRewrite::Prefix("/".to_owned()), "GET /b?q=1 HTTP/1.1\nhost: new.host\n"),
        ] {
            let rewrite = Rewrite { hostname: Some("new.host".to_owned()), path: Some(rewrite) };
            obey(&worker, &table("/a", vec![Filter::Rewrite(rewrite)]), &cluster);
            let text = ask(address, get("/a/b?q=1")).await.text();
            assert!(text.starts_with(seen), "{text}");
        }
    });
}

#[test]
fn a_copy_hears_the_body_and_its_answer_does_not_count() {
    run(async {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let copies = Rc::clone(&heard);
        let shadow = origin(move |request: Request<Incoming>| {
            let copies = Rc::clone(&copies);
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                copies.borrow_mut().push(body);
                super::kit::status(500)
            }
        });
        let mirror = Mirror { target: target("shadow"), numerator: 1, denominator: 2 };
        let clusters = [plain("web", origin(as_seen).await), plain("shadow", shadow.await)];
        let (_worker, address) = routed(&table("/", vec![Filter::Mirror(mirror)]), &clusters).await;
        let mut client = Client::to(address).await;
        for _ in 0..400 {
            let answer = client.ask(post("/", "the body")).await;
            assert!(answer.status == 200 && answer.text().ends_with("\n\nthe body"));
        }
        until("half of them are heard", || (140..=260).contains(&heard.borrow().len())).await;
        assert!(heard.borrow().iter().all(|body| body == "the body"));
    });
}

#[test]
fn a_copy_that_is_slow_or_fails_slows_and_fails_nobody() {
    run(async {
        let hanging = application(async |stream| {
            std::future::pending::<()>().await;
            drop(stream);
        });
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mirror = |name| Filter::Mirror(Mirror { target: target(name), numerator: 1, denominator: 1 });
        let app = origin(async |request: Request<Incoming>| {
            text(request.into_body().collect().await.unwrap().to_bytes().len().to_string())
        });
        let empty = cluster_of("empty", AppProtocol::Http1, TrafficSettings::default(), Vec::new());
        let clusters =
            [plain("web", app.await), plain("hang", hanging.await), plain("closed", closed), empty];
        let filters = vec![mirror("hang"), mirror("closed"), mirror("empty"), mirror("unknown")];
        let (_worker, address) = routed(&table("/", filters), &clusters).await;
        let took = Rc::new(Cell::new(std::time::Duration::ZERO));
        let mut client = Client::to(address).await;
        for _ in 0..5 {
            let began = std::time::Instant::now();
            let body = "x".repeat(5 << 20);
            assert_eq!(client.ask(post("/", &body)).await.text(), (5 << 20).to_string());
            took.set(took.get() + began.elapsed());
        }
        assert!(took.get() < std::time::Duration::from_secs(8), "{took:?}");
    });
}

#[test]
fn copies_have_a_limit_and_connections_of_their_own() {
    run(async {
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let hanging = origin(move |_: Request<Incoming>| {
            count.set(count.get() + 1);
            std::future::pending()
        });
        let mirror = Mirror { target: target("shadow"), numerator: 1, denominator: 1 };
        let clusters = [plain("web", origin(as_seen).await), plain("shadow", hanging.await)];
        let (worker, address) = routed(&table("/", vec![Filter::Mirror(mirror)]), &clusters).await;
        let mut client = Client::to(address).await;
        let (copies, counters) = (&worker.process.copies, &worker.process.counters);
        copies.store(crate::mirror::COPIES - 3, Relaxed);
        for _ in 0..5 {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        assert_eq!((counters.limit_mirror.get(), counters.mirrored_given_up.get()), (2, 2));
        until("the others are on their way", || asked.get() == 3).await;
        assert_eq!(copies.load(Relaxed), crate::mirror::COPIES);
        // In the counts of requests there are only the requests themselves.
        let requests: u64 = super::kit::counted(&worker).iter().map(|one| one.tally.count()).sum();
        assert_eq!(requests, 5);
    });
}

/// Each share of a rule has what its own backend says, beside what the rule says.
#[test]
fn a_backend_has_filters_of_its_own() {
    run(async {
        let copies = Rc::new(Cell::new(0));
        let count = Rc::clone(&copies);
        let shadow = origin(move |_: Request<Incoming>| {
            count.set(count.get() + 1);
            async { text("") }
        });
        let redirect = Redirect {
            scheme: None,
            hostname: Some("new".to_owned()),
            path: Some(PathRewrite::Prefix("/moved".to_owned())),
            port: None,
            status: 307,
        };
        let rewrite = Rewrite { hostname: None, path: Some(PathRewrite::Prefix("/x".to_owned())) };
        let mirror = Mirror { target: target("shadow"), numerator: 1, denominator: 1 };
        let mut rule = rule(&[("web", 1), ("web", 1), ("web", 1)]);
        rule.filters = vec![Filter::RequestHeaders(edits("rule"))];
        rule.backends[0].filters = vec![Filter::Redirect(redirect)];
        rule.backends[1].filters = vec![
            Filter::Rewrite(rewrite),
            Filter::RequestHeaders(edits("a")),
            Filter::ResponseHeaders(edits("b")),
        ];
        rule.backends[2].filters = vec![Filter::Mirror(mirror)];
        let table = HttpTable { matches: vec![under("/a", 0)], rules: vec![rule], scopes: Vec::new() };
        let clusters = [plain("web", origin(as_seen).await), plain("shadow", shadow.await)];
        let (_worker, address) = routed(&table, &clusters).await;
        let mut seen = [0; 3];
        for _ in 0..30 {
            let answer = ask(address, get("/a/b")).await;
            let text = answer.text();
            if answer.status == 307 {
                assert!(answer.header("location").ends_with("/moved/b"), "{}", answer.header("location"));
                seen[0] += 1;
            } else if text.starts_with("GET /x/b ") {
                assert!(text.contains("a-set: new") && text.contains("rule-set: new"), "{text}");
                assert_eq!(answer.header("b-set"), "new");
                seen[1] += 1;
            } else {
                assert!(text.starts_with("GET /a/b ") && text.contains("rule-set: new"), "{text}");
                assert!(!text.contains("a-set") && answer.header("b-set").is_empty(), "{text}");
                seen[2] += 1;
            }
        }
        assert!(seen.iter().all(|share| (5..=15).contains(share)), "{seen:?}");
        until("the requests of one backend were copied", || copies.get() == seen[2]).await;
    });
}
