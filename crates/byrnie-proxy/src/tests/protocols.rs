//! Every version on every entrance, and what each makes of bodies, ends and keep-alive.

use byrnie_plan::AppProtocol;
use http::{HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;

use super::client::{Client, Client2, ask, get, nothing, post, whole};
use super::kit::{Reply, Roads, as_seen, origin, origin2, text};
use crate::tcp::tests::mesh::run;

#[test]
fn every_version_is_spoken_on_every_entrance() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        let all = roads.each().into_iter().chain([("proxy", roads.proxy)]);
        for (road, address) in all {
            let target = if road == "proxy" { "http://web.shop/a" } else { "/a" };
            let mut client = Client::to(address).await;
            for _ in 0..2 {
                let answer = client.ask(format!("GET {target} HTTP/1.1\r\nhost: web.shop\r\n\r\n")).await;
                assert!(answer.line.starts_with("HTTP/1.1 200"), "{road}: {answer:?}");
                let seen = answer.text();
                let host = seen.contains("\nhost: web.shop\n");
                assert!(host && seen.starts_with("GET /a HTTP/1.1\n"), "{road}: {seen}");
            }
            let old = format!("GET {target} HTTP/1.0\r\nhost: web.shop\r\n");
            let mut client = Client::to(address).await;
            let answer = client.ask(format!("{old}\r\n")).await;
            assert!(
                answer.line.starts_with("HTTP/1.0 200") && answer.text().starts_with("GET /a"),
                "{answer:?}"
            );
            assert!(client.rest().await.is_empty(), "{road}: HTTP/1.0 closes");
            let mut client = Client::to(address).await;
            for _ in 0..2 {
                let answer = client.ask(format!("{old}connection: keep-alive\r\n\r\n")).await;
                assert_eq!(answer.header("connection"), "keep-alive", "{road}");
            }
            let mut client = Client2::to(address).await;
            for _ in 0..2 {
                let answer = client.get("/a").await;
                assert!(
                    answer.text().starts_with("GET /a HTTP/1.1\n")
                        && answer.text().contains("\nhost: web.shop\n"),
                    "{road}: {}",
                    answer.text()
                );
            }
        }
    });
}

#[test]
fn a_get_may_have_a_body_of_any_length() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            for _ in 0..2 {
                let chunked =
                    "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
                let answer = client.ask(chunked).await;
                assert!(answer.text().ends_with("\n\nbody"), "{road}: {}", answer.text());
                let empty = "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
                let answer = client.ask(empty).await;
                assert!(answer.text().ends_with("\n\n"), "{road}: {}", answer.text());
            }
        }
    });
}

#[test]
fn http_1_0_needs_no_host_and_gets_no_chunks() {
    run(async {
        let app = origin(async |_: Request<Incoming>| {
            let frames = ["one ", "two"].map(|word| Ok(Frame::data(word.into())));
            Reply::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let answer = ask(address, "GET / HTTP/1.0\r\n\r\n").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "one two"), "{road}");
            assert!(!answer.headers.contains_key("transfer-encoding"), "{road}");
            // Where its body ends only the connection's end says, whoever asks for more.
            let answer = ask(address, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
            assert_eq!((answer.header("connection"), answer.text().as_str()), ("", "one two"), "{road}");
            let answer = ask(address, get("/")).await;
            assert_eq!((answer.header("transfer-encoding"), answer.text().as_str()), ("chunked", "one two"));
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say(format!("{}{}{}", get("/1"), post("/2", "two"), get("/3"))).await;
            for path in ["GET /1", "POST /2", "GET /3"] {
                let answer = client.answer().await;
                assert!(answer.text().starts_with(path), "{road}: {}", answer.text());
            }
        }
    });
}

#[test]
fn a_client_that_has_said_all_still_hears_the_answer() {
    run(async {
        let app = origin(async |request: Request<Incoming>| {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            as_seen(request).await
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say(post("/", "all")).await;
            tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
            assert!(client.answer().await.text().ends_with("\n\nall"), "{road}");
            assert!(client.rest().await.is_empty(), "{road}");
        }
    });
}

/// Answers whose length is said without a body.
async fn bodiless(request: Request<Incoming>) -> Reply {
    let mut reply = text(match request.uri().path() {
        "/head" => "hello",
        _ => "",
    });
    match request.uri().path() {
        "/204" => *reply.status_mut() = http::StatusCode::NO_CONTENT,
        "/304" => {
            *reply.status_mut() = http::StatusCode::NOT_MODIFIED;
            reply.headers_mut().insert("etag", HeaderValue::from_static("\"1\""));
        }
        _ => {}
    }
    reply
}

#[test]
fn head_204_and_304_have_no_body_and_the_connection_goes_on() {
    run(async {
        let roads = Roads::new(origin(bodiless).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            for _ in 0..2 {
                client.say("HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n").await;
                let answer = client.head().await;
                assert_eq!((answer.status, answer.header("content-length")), (200, "5"), "{road}");
                assert_eq!(client.ask(get("/204")).await.status, 204, "{road}");
                let answer = client.ask(get("/304")).await;
                assert_eq!((answer.status, answer.header("etag")), (304, "\"1\""), "{road}");
            }
            let mut client = Client2::to(address).await;
            let head = Request::head("http://web.shop/head").body(nothing()).unwrap();
            let answer = client.ask(head).await;
            assert_eq!((answer.status, answer.header("content-length")), (200, "5"), "{road}");
            assert_eq!(client.get("/204").await.status, 204, "{road}");
            assert_eq!(client.get("/304").await.status, 304, "{road}");
        }
        // None of them was counted as broken off.
        for delta in super::kit::counted(&roads.pair.client) {
            assert_eq!(delta.outcome.error, "", "{delta:?}");
        }
    });
}

#[test]
fn a_refused_head_request_has_no_body_on_http2() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        roads.pair.server.process.config.store(std::sync::Arc::default());
        for (road, address) in [("mesh", roads.mesh), ("gateway", roads.gateway)] {
            let head = || Request::head("http://web.shop/").body(nothing()).unwrap();
            let answer = Client2::to(address).await.ask(head()).await;
            assert_eq!(answer.status, 503, "{road}");
            let mut client = Client::to(address).await;
            client.say("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(client.head().await.status, 503, "{road}");
        }
    });
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    run(async {
        let app = origin(async |request: Request<Incoming>| {
            let seen = as_seen(request).await.into_body().collect().await.unwrap().to_bytes();
            let trailers =
                [("x-end".parse().unwrap(), HeaderValue::from_static("yes"))].into_iter().collect();
            let frames = [Ok(Frame::data(seen)), Ok(Frame::trailers(trailers))];
            let mut reply = Reply::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
            reply.headers_mut().insert("trailer", HeaderValue::from_static("x-end"));
            reply
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let words = "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                         3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n";
            let answer = ask(address, words).await;
            assert!(answer.text().ends_with("\n\nabcdefg"), "{road}: {}", answer.text());
            assert!(answer.text().contains("trailer x-sum: 7\n"), "{road}: {}", answer.text());
            assert_eq!(answer.trailers, ["x-end: yes"], "{road}");
        }
    });
}

#[test]
fn continue_is_said_before_the_body_comes() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            for _ in 0..2 {
                let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
                assert_eq!(client.ask(head).await.status, 100, "{road}");
                let answer = client.ask("abc").await;
                assert!(answer.status == 200 && answer.text().ends_with("\n\nabc"), "{road}: {answer:?}");
            }
        }
    });
}

#[test]
fn an_http2_application_is_spoken_to_in_http2() {
    run(async {
        let roads = Roads::new(origin2(as_seen).await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let answer = ask(address, post("/a", "hello")).await;
            assert!(
                answer.text().starts_with("POST http://web.shop/a HTTP/2.0\n"),
                "{road}: {}",
                answer.text()
            );
            assert!(answer.text().ends_with("\n\nhello"), "{road}");
            let request = Request::post("http://web.shop/b").body(whole("two")).unwrap();
            let answer = Client2::to(address).await.ask(request).await;
            assert!(answer.text().ends_with("\n\ntwo"), "{road}: {}", answer.text());
            let head = Request::head("http://web.shop/").body(nothing()).unwrap();
            assert_eq!(Client2::to(address).await.ask(head).await.status, 200, "{road}");
        }
    });
}

#[test]
fn trailers_bring_nothing_that_heads_are_cleared_of() {
    run(async {
        let evil = [
            "x-forwarded-client-cert",
            "byrnie-source",
            "byrnie-hop",
            "x-forwarded-for",
            "connection",
            "keep-alive",
            "te",
            "upgrade",
            "authorization",
            "cookie",
            "expect",
        ];
        for (app, protocol) in
            [(origin(as_seen).await, AppProtocol::Http1), (origin2(as_seen).await, AppProtocol::Http2)]
        {
            let roads = Roads::new(app, protocol).await;
            for (road, address) in roads.each() {
                for name in evil {
                    let words = format!(
                        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, {name}\r\n\r\n\
                         3\r\nabc\r\n0\r\nx-sum: 7\r\n{name}: close\r\n\r\n"
                    );
                    let answer = ask(address, words).await;
                    let trailers = answer.text();
                    let trailers =
                        trailers.lines().filter(|line| line.starts_with("trailer ")).collect::<Vec<_>>();
                    assert_eq!(trailers, ["trailer x-sum: 7"], "{road} {protocol:?}: {name}");
                }
            }
        }
    });
}

#[test]
fn crumbs_of_a_cookie_are_one_line_for_http1() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let request = Request::get("http://web.shop/").header("cookie", "a=1").header("cookie", "b=2");
            let answer = Client2::to(address).await.ask(request.body(nothing()).unwrap()).await;
            let seen = answer.text();
            let cookies = seen.lines().filter(|line| line.starts_with("cookie: ")).collect::<Vec<_>>();
            assert_eq!(cookies, ["cookie: a=1; b=2"], "{road}");
        }
    });
}

#[test]
fn a_post_without_a_body_says_so_to_an_application_of_http1() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for (method, says) in
                [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("DELETE", false)]
            {
                let request =
                    Request::builder().method(method).uri("http://web.shop/").body(nothing()).unwrap();
                let seen = Client2::to(address).await.ask(request).await.text();
                assert_eq!(seen.contains("\ncontent-length: 0\n"), says, "{road}: {seen}");
                let seen = ask(address, format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await.text();
                assert_eq!(seen.contains("\ncontent-length: 0\n"), says, "{road}: {seen}");
            }
        }
    });
}
