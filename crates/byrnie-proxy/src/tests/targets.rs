//! What a request is for: its target and its host, in all the forms that they may have and those that they may not.

use byrnie_plan::{AppProtocol, MeshSettings};
use byrnie_telemetry::RequestDelta;
use http::{Method, Request, Uri};

use super::client::{Client, Client2, ask, get, nothing};
use super::kit::{Roads, as_seen, counted, origin};
use super::limits::with;
use crate::tcp::tests::mesh::{run, until};

#[test]
fn a_target_of_the_wrong_form_is_refused() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each().into_iter().chain([("proxy", roads.proxy)]) {
            for line in [
                "GET admin",
                "GET web.shop:80",
                "GET *",
                "POST *",
                "PRI *",
                "OPTIONS **",
                "GET ftp://web.shop/x",
                "GET ws://web.shop/x",
                "GET https://web.shop/x",
                "GET http:///x",
                "CONNECT http://web.shop:80/x",
                "CONNECT /x",
                "CONNECT *",
                "CONNECT web.shop",
            ] {
                let mut client = Client::to(address).await;
                let head = format!("{line} HTTP/1.1\r\nhost: web.shop\r\n\r\n");
                let answer = client.ask(format!("{head}{}", get("http://web.shop/behind"))).await;
                assert_eq!((answer.status, answer.header("connection")), (400, "close"), "{road}: {line}");
                assert!(client.rest().await.is_empty(), "{road}: {line}");
            }
            let star =
                Uri::builder().scheme("http").authority("web.shop").path_and_query("*").build().unwrap();
            for (method, status) in [(Method::GET, 400), (Method::OPTIONS, 200)] {
                let request = Request::builder().method(&method).uri(star.clone()).body(nothing()).unwrap();
                assert_eq!(Client2::to(address).await.ask(request).await.status, status, "{road}: {method}");
            }
        }
    });
}

#[test]
fn each_form_becomes_what_the_application_understands() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each().into_iter().chain([("proxy", roads.proxy)]) {
            for (line, seen) in [
                ("GET http://web.shop/x?y", "GET /x?y"),
                ("GET HTTP://web.shop", "GET /"),
                ("OPTIONS http://web.shop", "OPTIONS *"),
                ("OPTIONS http://web.shop/", "OPTIONS /"),
                ("OPTIONS http://web.shop?x", "OPTIONS /?x"),
            ] {
                let text = ask(address, format!("{line} HTTP/1.1\r\nhost: other\r\n\r\n")).await.text();
                assert!(text.starts_with(&format!("{seen} HTTP/1.1\n")), "{road}: {line}: {text}");
                assert!(text.contains("host: web.shop\n"), "{road}: {line}: {text}");
            }
        }
    });
}

#[test]
fn https_is_asked_for_only_where_a_balancer_has_ended_tls() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        with(&roads.pair.client, MeshSettings { trusted_hops: 1, ..MeshSettings::default() });
        for (status, road, address) in
            [(200, "gateway", roads.gateway), (400, "mesh", roads.mesh), (400, "proxy", roads.proxy)]
        {
            assert_eq!(ask(address, get("https://web.shop/x")).await.status, status, "{road}");
            assert_eq!(ask(address, get("http://web.shop/x")).await.status, 200, "{road}");
        }
    });
}

#[test]
fn a_host_that_is_none_is_refused_beside_another_one() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each().into_iter().chain([("proxy", roads.proxy)]) {
            for host in
                ["host: u:p@a\r\n", "host: a/b\r\n", "host: a:99999\r\n", "host: a\r\nhost: b\r\n", ""]
            {
                for line in ["GET http://web.shop/x", "CONNECT web.shop:80"] {
                    let mut client = Client::to(address).await;
                    let answer = client.ask(format!("{line} HTTP/1.1\r\n{host}\r\n")).await;
                    assert_eq!(answer.status, 400, "{road}: {line}: {host:?}");
                    assert!(client.rest().await.is_empty(), "{road}: {line}: {host:?}");
                }
            }
        }
        // As some clients ask for a tunnel: HTTP/1.0 need not name a host.
        let mut client = Client::to(roads.proxy).await;
        client.say("CONNECT web.shop:80 HTTP/1.0\r\n\r\n").await;
        assert_eq!(client.head().await.status, 200);
    });
}

#[test]
fn who_names_no_host_asks_the_service() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for host in ["", "host:\r\n"] {
                let text = ask(address, format!("GET / HTTP/1.0\r\n{host}\r\n")).await.text();
                assert!(text.contains("host: web.shop:80\n"), "{road}: {host:?}: {text}");
            }
        }
    });
}

#[test]
fn a_long_target_is_told_from_a_long_head_and_both_are_counted() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        let target = |size: usize| format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "v".repeat(size));
        let header = |size: usize| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "v".repeat(size));
        let worker = &roads.pair.client;
        let refused = || worker.process.counters.limit_headers.get();
        for limit in [4_096, 8_192, 65_536] {
            with(worker, MeshSettings { max_header_bytes: limit, ..MeshSettings::default() });
            counted(worker);
            let size = limit as usize;
            for (status, words) in [
                (414, target(size)),
                (414, target(3 * size)),
                (431, header(size)),
                (431, header(3 * size)),
                // Together too long, but neither of them.
                (431, target(size - 20)),
            ] {
                let before = refused();
                let answer = ask(roads.gateway, &words).await;
                let heard = (answer.status, answer.header("connection"), answer.header("content-length"));
                assert_eq!(heard, (status, "close", "0"), "{limit}: {} bytes", words.len());
                until("it is counted", || refused() == before + 1).await;
                until("it is seen", || {
                    let is_it = |delta: &RequestDelta| {
                        (delta.outcome.error.as_str(), delta.outcome.status) == ("BYR0200", status)
                    };
                    counted(worker).iter().any(is_it)
                })
                .await;
            }
            assert_eq!(ask(roads.gateway, target(size - 64)).await.status, 200, "{limit}");
        }
        // Behind a whole request, and in pieces.
        with(worker, MeshSettings { max_header_bytes: 4_096, ..MeshSettings::default() });
        let mut client = Client::to(roads.gateway).await;
        client.say(get("/first")).await;
        for piece in target(5_000).as_bytes().chunks(1_000) {
            client.say(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await.status, 200);
        assert_eq!(client.answer().await.status, 414);
        assert!(client.rest().await.is_empty());
    });
}
