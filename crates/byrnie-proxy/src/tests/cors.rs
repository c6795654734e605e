//! Pages of other origins: preflight requests, and what other responses say.

use byrnie_plan::{Controls, Cors, Filter, HttpMatch, HttpTable};
use http::{HeaderValue, Request};
use hyper::body::Incoming;

use super::client::{Answer, ask};
use super::kit::{origin, plain, routed, rule, text, under};
use crate::tcp::tests::mesh::run;

fn filter() -> Cors {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Cors {
        allow_origins: list(&["https://shop.example", "https://*.shop.example"]),
        allow_methods: list(&["GET", "PUT"]),
        allow_headers: list(&["x-cart"]),
        expose_headers: list(&["x-total"]),
        allow_credentials: true,
        max_age: 60,
    }
}

fn said(answer: &Answer) -> Vec<(String, String)> {
    let headers = answer.headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control-"));
    let mut said: Vec<_> = headers
        .map(|(name, value)| (name.as_str()[15..].to_owned(), value.to_str().unwrap().to_owned()))
        .collect();
    said.sort();
    said
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An application with an opinion of its own, behind a filter on the rule or on the backend.
async fn service(on_backend: bool) -> (std::rc::Rc<crate::worker::Worker>, std::net::SocketAddr) {
    let app = origin(async |request: Request<Incoming>| {
        let mut reply = text(request.method().to_string());
        let headers = reply.headers_mut();
        headers.insert("access-control-allow-origin", HeaderValue::from_static("https://app.says"));
        headers.insert("access-control-allow-credentials", HeaderValue::from_static("true"));
        reply
    });
    let mut with = rule(&[("web", 1)]);
    let filters = if on_backend { &mut with.backends[0].filters } else { &mut with.filters };
    filters.push(Filter::Cors(filter()));
    let put = HttpMatch { method: Some("PUT".to_owned()), ..under("/put", 0) };
    let matches = vec![put, under("/cors", 0), under("/", 1)];
    let table = HttpTable { matches, rules: vec![with, rule(&[("web", 1)])], scopes: Vec::new() };
    routed(&table, &[plain("web", app.await)]).await
}

#[test]
fn a_preflight_request_is_answered_by_the_proxy() {
    run(async {
        for on_backend in [false, true] {
            let (_worker, address) = service(on_backend).await;
            let asking = |path: &str, origin: &str, more: &str| {
                format!("OPTIONS {path} HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\n{more}\r\n")
            };
            let method = "access-control-request-method: PUT\r\n";
            let headers = "access-control-request-headers: x-cart\r\n";
            let allowed = [
                ("allow-credentials", "true"),
                ("allow-headers", "x-cart"),
                ("allow-methods", "GET, PUT"),
                ("allow-origin", "https://a.shop.example"),
                ("max-age", "60"),
            ];
            let both = format!("{method}{headers}");
            for path in ["/cors", "/put"] {
                let answer = ask(address, asking(path, "https://a.shop.example", &both)).await;
                assert_eq!((answer.status, answer.text().as_str()), (204, ""), "{path}");
                assert_eq!(said(&answer), pairs(&allowed), "{path}");
                assert!(answer.header("vary").contains("origin"));
            }
            let answer = ask(address, asking("/cors", "https://a.shop.example", method)).await;
            assert!(said(&answer).iter().all(|(name, _)| name != "allow-headers"));
            let answer = ask(address, asking("/cors", "https://evil.example", &both)).await;
            assert_eq!((answer.status, said(&answer)), (204, Vec::new()));
            // Without a question it is the application's request; the same where no filter is.
            let answer = ask(address, asking("/cors", "https://shop.example", "")).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "OPTIONS"));
            let answer = ask(address, asking("/other", "https://shop.example", &both)).await;
            assert_eq!(answer.header("access-control-allow-origin"), "https://app.says");
        }
    });
}

#[test]
fn responses_say_what_the_filter_says_and_not_the_application() {
    run(async {
        for on_backend in [false, true] {
            let (_worker, address) = service(on_backend).await;
            let get = |origin: &str| format!("GET /cors HTTP/1.1\r\nhost: h\r\n{origin}\r\n");
            let answer = ask(address, get("origin: https://shop.example\r\n")).await;
            let wanted = [
                ("allow-credentials", "true"),
                ("allow-origin", "https://shop.example"),
                ("expose-headers", "x-total"),
            ];
            assert_eq!((answer.text().as_str(), said(&answer)), ("GET", pairs(&wanted)));
            for other in ["origin: https://evil.example\r\n", "origin: null\r\n", ""] {
                let answer = ask(address, get(other)).await;
                assert_eq!((answer.status, said(&answer)), (200, Vec::new()), "{other}");
                assert_eq!(answer.header("vary"), "origin");
            }
        }
    });
}

/// Without this a page's program is told of a network error, and nobody sees the 429.
#[test]
fn a_page_can_read_the_proxys_own_failures() {
    run(async {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for on_backend in [false, true] {
            let shared = |mut rule: byrnie_plan::HttpRule| {
                let filters = if on_backend { &mut rule.backends[0].filters } else { &mut rule.filters };
                filters.push(Filter::Cors(filter()));
                rule
            };
            let mut limited = shared(rule(&[("web", 1)]));
            let limits = super::controls::limits(1, Vec::new());
            limited.controls = Some(Box::new(Controls { limits: Some(limits), faults: None }));
            let rules = vec![limited, shared(rule(&[("gone", 1)]))];
            let matches = vec![under("/limited", 0), under("/", 1)];
            let table = HttpTable { matches, rules, scopes: Vec::new() };
            let app = origin(async |_: Request<Incoming>| text("")).await;
            let (_worker, address) = routed(&table, &[plain("web", app), plain("gone", nobody)]).await;
            let get = |path: &str, origin: &str| {
                format!("GET {path} HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\n\r\n")
            };
            let origin = "https://shop.example";
            assert_eq!(ask(address, get("/limited", origin)).await.status, 200);
            // The limit refuses before a backend, and with it that one's filter, is chosen.
            for (path, status, told) in [("/limited", 429, !on_backend), ("/", 503, true)] {
                let answer = ask(address, get(path, origin)).await;
                let allowed = answer.header("access-control-allow-origin");
                assert_eq!((answer.status, allowed == origin), (status, told), "{path} {on_backend}");
                let answer = ask(address, get(path, "https://evil.example")).await;
                assert_eq!((answer.status, said(&answer)), (status, Vec::new()), "{path}");
            }
        }
    });
}
