//! What must not get through: requests with two readings, and what only the mesh may say.

use byrnie_plan::AppProtocol;
use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Client, Client2, ask, get, nothing, post};
use super::kit::{Reply, Roads, as_seen, counted, origin, read_head};
use crate::tcp::tests::mesh::{application, run, until};

#[test]
fn ambiguous_requests_are_refused_on_every_road() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for (status, words) in [
                (400, "GET / HTTP/1.1\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
                (400, "GET http://a/ HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: a b\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: user@a\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost : a\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n folded: 2\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: a\r\nx\0: 1\r\n\r\n"),
                (400, "GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET /a%00 HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET /a%2fb HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET /a%5Cb HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET /%zz HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\na"),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 2\r\n\r\na"),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\na"),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\na"),
                (400, "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
                (400, "GARBAGE\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost:\r\n\r\n"),
                (400, "GET / HTTP/1.1\nhost: a\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: a\n\n"),
                (400, "\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET  / HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET / HTTP/1.1 \r\nhost: a\r\n\r\n"),
                (400, "GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\n: x\r\nhost: a\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\n host: a\r\n\r\n"),
                (400, "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n"),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na"),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 01\r\n\r\na"),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n"),
                (
                    400,
                    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                ),
                (
                    400,
                    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
                ),
                (400, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n"),
                (
                    400,
                    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
                ),
                (501, "CONNECT web.shop:80 HTTP/1.1\r\nhost: web.shop:80\r\n\r\n"),
            ] {
                let mut client = Client::to(address).await;
                assert_eq!(client.ask(words).await.status, status, "{road}: {words:?}");
                // The connection is closed: what follows is nobody's request.
                let _ = client.stream.write_all(get("/behind").as_bytes()).await;
                assert!(status == 501 || client.rest().await.is_empty(), "{road}: {words:?}");
            }
        }
    });
}

#[test]
fn a_message_has_one_length() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for lines in [
                "content-length: 4\r\ntransfer-encoding: chunked",
                "transfer-encoding: chunked\r\ncontent-length: 4",
                "transfer-encoding: Chunked\r\ncontent-length: 0",
            ] {
                let mut client = Client::to(address).await;
                let head = format!("POST /one HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n");
                client.say(format!("{head}3\r\nabc\r\n0\r\n\r\nGET /two HTTP/1.1\r\nhost: a\r\n\r\n")).await;
                assert_eq!(client.answer().await.status, 400, "{road}: {lines:?}");
                assert!(client.rest().await.is_empty(), "{road}: {lines:?}");
            }
        }
    });
}

#[test]
fn a_bad_chunk_ends_the_request_and_its_connection() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for chunk in
                ["xyz\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\na"]
            {
                let mut client = Client::to(address).await;
                client.say("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
                client.say(format!("{chunk}{}", get("/smuggled"))).await;
                let all = String::from_utf8(client.rest().await).unwrap();
                assert!(
                    !all.contains("HTTP/1.1 200") && !all.contains("/smuggled"),
                    "{road}: {chunk:?}: {all}"
                );
            }
        }
    });
}

#[test]
fn heads_have_a_limit_that_is_the_same_on_every_road() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let with = |size: usize| {
                let value = "v".repeat(size);
                format!("GET / HTTP/1.1\r\nhost: a\r\nx-large: {value}\r\n\r\n")
            };
            assert_eq!(ask(address, with(60 * 1024)).await.status, 200, "{road}");
            assert_eq!(ask(address, with(70 * 1024)).await.status, 431, "{road}");
            let lines = |count: usize| {
                let lines: String =
                    (0..count).map(|line| format!("x-{line}: {}\r\n", "v".repeat(400))).collect();
                format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n")
            };
            assert_eq!(ask(address, lines(98)).await.status, 200, "{road}");
            assert_eq!(ask(address, lines(140)).await.status, 431, "{road}");
            let request = |size: usize| {
                let request = Request::get("http://web.shop/").header("x-large", "v".repeat(size));
                request.body(nothing()).unwrap()
            };
            assert_eq!(Client2::to(address).await.ask(request(60 * 1024)).await.status, 200, "{road}");
            assert_eq!(Client2::to(address).await.ask(request(70 * 1024)).await.status, 431, "{road}");
        }
        let refused = roads.pair.client.process.counters.limit_headers.get();
        assert_eq!(refused, 4, "two roads of this proxy, two kinds, on HTTP/1");
    });
}

#[test]
fn the_applications_large_head_is_not_passed_on() {
    run(async {
        let app = origin(async |request: http::Request<hyper::body::Incoming>| {
            let size = request.uri().path()[1..].parse().unwrap();
            let mut reply = Reply::default();
            reply.headers_mut().insert("x-large", "v".repeat(size).parse().unwrap());
            reply
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            assert_eq!(ask(address, get("/60000")).await.status, 200, "{road}");
            assert_eq!(ask(address, get("/70000")).await.status, 502, "{road}");
        }
    });
}

#[test]
fn what_only_the_mesh_says_does_not_come_from_outside() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let words = "GET / HTTP/1.1\r\nhost: a\r\nbyrnie-hop: v=1;s=shop/other:80;p=1\r\nByrnie-Upgrade: x\r\n\
                         byrnie-anything: 1\r\nbyrnie_hop: 1\r\nX_Forwarded-Client_Cert: URI=evil\r\n\
                         connection: keep-alive, X-Mine, te\r\nx-mine: 1\r\nkeep-alive: 5\r\n\
                         te: gzip, trailers\r\nproxy-connection: a\r\nproxy-authorization: b\r\nupgrade: h2c\r\n\
                         http2-settings: AAMAAABkAAQAAP__\r\nx-stays: 1\r\n\r\n";
            let text = ask(address, words).await.text();
            let mut seen: Vec<_> = text.lines().filter(|line| !line.starts_with("x-forwarded-")).collect();
            seen.sort();
            assert_eq!(seen, ["", "GET / HTTP/1.1", "host: a", "te: trailers", "x-stays: 1"], "{road}");
            let request = Request::get("http://web.shop/").header("byrnie-hop", "v=1").header("x-stays", "1");
            let request = request.header("x_forwarded_client_cert", "byrnie").header("byrnie_x", "1");
            let seen = Client2::to(address).await.ask(request.body(nothing()).unwrap()).await.text();
            assert!(seen.contains("x-stays: 1") && !seen.contains("byrnie"), "{road}: {seen}");
        }
    });
}

#[test]
fn what_only_the_mesh_says_does_not_come_from_applications() {
    run(async {
        let tries = std::rc::Rc::new(std::cell::Cell::new(0));
        let counter = std::rc::Rc::clone(&tries);
        let app = origin(move |_| {
            counter.set(counter.get() + 1);
            async {
                let mut reply = super::kit::text("hello");
                for (name, value) in [
                    ("byrnie-unprocessed", "1"),
                    ("byrnie-upgrade", "websocket"),
                    ("byrnie-error", "BYR0200"),
                    ("connection", "x-mine"),
                    ("x-mine", "1"),
                    ("keep-alive", "timeout=5"),
                ] {
                    reply.headers_mut().insert(name, value.parse().unwrap());
                }
                reply
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (count, (road, address)) in roads.each().into_iter().enumerate() {
            let answer = ask(address, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{road}");
            for name in answer.headers.keys() {
                assert!(["content-length", "date"].contains(&name.as_str()), "{road}: {name}");
            }
            assert_eq!(tries.get(), count + 1, "{road}: an application cannot make us try again");
        }
    });
}

#[test]
fn the_path_that_is_decided_on_is_the_path_that_is_sent() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for (path, seen) in [
                ("/a/%2e%2e/admin", "/admin"),
                ("/a//b", "/a/b"),
                ("/a/./b/../c?x=%2e%2e//", "/a/c?x=%2e%2e//"),
                ("/%61dmin", "/admin"),
                ("/../../x", "/x"),
                ("/%e2%82%ac", "/%E2%82%AC"),
                ("/a%252e", "/a%252e"),
                ("http://other/a/../b", "/b"),
                ("http://other", "/"),
                ("/a;b=c/d", "/a;b=c/d"),
            ] {
                let text = ask(address, get(path)).await.text();
                assert!(text.starts_with(&format!("GET {seen} HTTP/1.1\n")), "{road}: {path}: {text}");
                let host = if path.starts_with("http") { "host: other\n" } else { "host: web.shop\n" };
                assert!(text.contains(host), "{road}: {path}: {text}");
            }
            let text = ask(address, "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").await.text();
            assert!(text.starts_with("OPTIONS * "), "{road}: {text}");
        }
    });
}

#[test]
fn on_http2_the_authority_is_the_host() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let request = |host: &str| {
                let request = Request::get("http://web.shop/").header("host", host);
                request.body(nothing()).unwrap()
            };
            let seen = Client2::to(address).await.ask(request("WEB.shop")).await.text();
            assert!(seen.contains("host: web.shop\n") && !seen.contains("WEB"), "{road}: {seen}");
            for other in ["other", "web.shop.", "web.shop:80", ""] {
                let answer = Client2::to(address).await.ask(request(other)).await;
                assert_eq!(answer.status, 400, "{road}: two hosts: {other:?}");
            }
        }
    });
}

#[test]
fn on_http2_no_value_begins_or_ends_with_a_space() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for (value, status) in
                [(" a", 400), ("a ", 400), ("\ta", 400), ("a\t", 400), ("a b", 200), ("", 200)]
            {
                let request = Request::get("http://web.shop/").header("x-value", value);
                let answer = Client2::to(address).await.ask(request.body(nothing()).unwrap()).await;
                assert_eq!(answer.status, status, "{road}: {value:?}");
            }
        }
    });
}

#[test]
fn applications_are_judged_like_clients() {
    run(async {
        let words = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
        let said = std::rc::Rc::clone(&words);
        let app = application(move |mut stream: TcpStream| {
            let said = std::rc::Rc::clone(&said);
            async move {
                while read_head(&mut stream).await.is_some() {
                    let words = said.borrow().clone();
                    let _ = stream.write_all(words.as_bytes()).await;
                }
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (status, answer) in [
            (200, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"),
            (502, "HTTP/1.1 200 OK\ncontent-length: 1\r\n\r\na"),
            (502, "HTTP/1.1 200 OK\r\ncontent-length: 1\n\na"),
            (502, "\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"),
            (502, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na"),
            (502, "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na"),
            (502, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            (502, "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\na"),
            (502, "HTTP/1.1 200 OK\r\nx: 1\r\n folded\r\ncontent-length: 1\r\n\r\na"),
            (502, "HTTP/1.1 200 OK\r\nx : 1\r\ncontent-length: 1\r\n\r\na"),
            (502, "HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 1\r\n\r\na"),
            (502, "HTTP/2 200 OK\r\ncontent-length: 1\r\n\r\na"),
        ] {
            words.replace(answer.to_owned());
            for (road, address) in roads.each() {
                assert_eq!(ask(address, post("/", "")).await.status, status, "{road}: {answer:?}");
            }
        }
    });
}

#[test]
fn no_answer_is_taken_for_the_next_requests() {
    run(async {
        let app = application(async |mut stream: TcpStream| {
            while let Some(head) = read_head(&mut stream).await {
                let own = if head.starts_with("GET /first") { "first" } else { "other" };
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{own}");
                let more = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
                let _ = stream.write_all(format!("{answer}{more}").as_bytes()).await;
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            assert_eq!(client.ask(get("/first")).await.text(), "first", "{road}");
            for _ in 0..20 {
                assert_eq!(client.ask(get("/")).await.text(), "other", "{road}");
            }
        }
    });
}

#[test]
fn what_the_codec_refuses_is_seen() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        counted(&roads.pair.client);
        for words in ["GET / HTTP/1.1\nhost: a\r\n\r\n", "GARBAGE\r\n\r\n"] {
            assert_eq!(ask(roads.gateway, words).await.status, 400, "{words:?}");
        }
        let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "v".repeat(70 * 1024));
        assert_eq!(ask(roads.gateway, large).await.status, 431);
        let seen = std::cell::Cell::new(0);
        until("all are seen", || {
            let refused = counted(&roads.pair.client);
            let refused = refused.iter().filter(|delta| delta.outcome.error == "BYR0200");
            seen.set(seen.get() + refused.map(|delta| delta.tally.count()).sum::<u64>());
            seen.get() == 3
        })
        .await;
    });
}
