//! WebSocket and other upgrades: switched, refused, half-closed.

use std::net::SocketAddr;

use byrnie_plan::AppProtocol;
use h2::ext::Protocol;
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::client::{Client, get};
use super::kit::{Roads, counted, echo_and_bye, read_head};
use crate::tcp::tests::mesh::{application, run, until};

pub(super) const ASK: &str = "GET /chat HTTP/1.1\r\nhost: web.shop\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

/// Switches, says `welcome` in the same breath, and echoes until the client has said all; then says `bye`.
pub(super) async fn chat(mut stream: TcpStream) {
    while let Some(head) = read_head(&mut stream).await {
        if !head.contains("upgrade: websocket") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            continue;
        }
        assert!(head.contains("connection: upgrade") && head.contains("sec-websocket-key: "), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nx-more: 1\r\n\r\n";
        let _ = stream.write_all(format!("{answer}welcome").as_bytes()).await;
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.write_all(b"bye").await;
        return;
    }
}

#[test]
fn an_upgrade_carries_bytes_both_ways_and_each_end_by_itself() {
    run(async {
        let roads = Roads::new(application(chat).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            assert_eq!(client.ask(get("/")).await.text(), "ok");
            // What follows the request at once belongs to the new protocol.
            client.say(format!("{ASK}early")).await;
            let answer = client.head().await;
            assert_eq!((answer.status, answer.header("upgrade")), (101, "websocket"), "{road}");
            assert!(
                answer.header("connection").eq_ignore_ascii_case("upgrade") && answer.header("x-more") == "1"
            );
            assert_eq!(client.take(12).await, b"welcomeearly", "{road}");
            for _ in 0..3 {
                client.say("hello").await;
                assert_eq!(client.take(5).await, b"hello", "{road}");
            }
            client.stream.shutdown().await.unwrap();
            assert_eq!(client.rest().await, b"bye", "{road}: the other direction goes on");
        }
        until("nothing is left in flight", || roads.pair.endpoint.load.in_flight() == 0).await;
        for delta in counted(&roads.pair.client) {
            assert_eq!(delta.outcome.error, "", "{delta:?}");
        }
    });
}

#[test]
fn a_switched_connection_is_seen_while_it_lasts() {
    run(async {
        let roads = Roads::new(application(chat).await, AppProtocol::Http1).await;
        let open = || {
            let text = roads.pair.client.process.metrics.render(std::time::Instant::now());
            let lines = text.lines().filter(|line| line.starts_with("byrnie_tcp_open_connections{"));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum::<u32>()
        };
        let (_, address) = roads.each().into_iter().nth(1).unwrap();
        let mut client = Client::to(address).await;
        client.say(ASK).await;
        assert_eq!(client.head().await.status, 101);
        assert_eq!(open(), 1);
        client.stream.shutdown().await.unwrap();
        client.rest().await;
        until("it is over", || open() == 0).await;
    });
}

#[test]
fn an_upgrade_that_is_refused_is_an_answer() {
    run(async {
        let app = application(async |mut stream: TcpStream| {
            while read_head(&mut stream).await.is_some() {
                let _ =
                    stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno").await;
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            for _ in 0..2 {
                let answer = client.ask(ASK).await;
                assert_eq!((answer.status, answer.text().as_str()), (426, "no"), "{road}");
            }
        }
    });
}

/// Answers the first connection's first request and closes in the moment in which the next one is sent.
async fn closing() -> SocketAddr {
    let first = std::rc::Rc::new(std::cell::Cell::new(true));
    application(move |mut stream: TcpStream| {
        let first = std::rc::Rc::clone(&first);
        async move {
            if !first.replace(false) {
                return chat(stream).await;
            }
            let _ = read_head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.read_u8().await;
        }
    })
    .await
}

#[test]
fn an_upgrade_survives_an_idle_connection_that_the_application_closes() {
    run(async {
        let roads = Roads::new(closing().await, AppProtocol::Http1).await;
        let mut client = Client::to(roads.plain).await;
        assert_eq!(client.ask(get("/")).await.text(), "ok");
        client.say(ASK).await;
        assert_eq!(client.head().await.status, 101);
        client.say("hello").await;
        assert_eq!(client.take(12).await, b"welcomehello");
    });
}

#[test]
fn an_http2_client_upgrades_by_extended_connect() {
    run(async {
        let roads = Roads::new(application(chat).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::task::spawn_local(connection);
            let mut sender = sender.ready().await.unwrap();
            while !sender.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
            let request = Request::builder().method(Method::CONNECT).uri("http://web.shop/chat");
            let request = request.extension(Protocol::from_static("websocket")).body(()).unwrap();
            let (answer, mut stream) = sender.send_request(request, false).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["x-more"]),
                (200, &"1".parse().unwrap()),
                "{road}"
            );
            stream.send_data("hello".into(), true).unwrap();
            let (mut body, mut all) = (answer.into_body(), Vec::new());
            while let Some(data) = body.data().await {
                all.extend(data.unwrap());
            }
            assert_eq!(all, b"welcomehellobye", "{road}");
            // An ordinary CONNECT asks for a tunnel to anywhere: that is not offered.
            let request = Request::builder().method(Method::CONNECT).uri("web.shop:80").body(()).unwrap();
            let (answer, _) = sender.send_request(request, true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 501, "{road}");
        }
    });
}

/// An application of HTTP/2: as `chat`, by extended CONNECT.
async fn chat2(stream: TcpStream) {
    let mut connection =
        h2::server::Builder::new().enable_connect_protocol().handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        if head.method != Method::CONNECT {
            respond.send_response(Response::new(()), true).unwrap();
            continue;
        }
        assert_eq!(head.extensions.get::<Protocol>().map(Protocol::as_str), Some("websocket"));
        assert_eq!(head.uri.path(), "/chat");
        assert!(!head.headers.contains_key("sec-websocket-key"), "HTTP/2 has none: {head:?}");
        assert_eq!(head.headers["sec-websocket-version"], "13");
        let answer = Response::builder().header("x-more", "1").body(()).unwrap();
        let mut stream = respond.send_response(answer, false).unwrap();
        tokio::task::spawn_local(async move {
            stream.send_data("welcome".into(), false).unwrap();
            echo_and_bye(body, stream).await;
        });
    }
}

#[test]
fn an_http2_application_is_asked_by_extended_connect() {
    run(async {
        let roads = Roads::new(application(chat2).await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say(format!("{ASK}early")).await;
            let answer = client.head().await;
            assert_eq!((answer.status, answer.header("upgrade")), (101, "websocket"), "{road}");
            assert_eq!(answer.header("x-more"), "1");
            // RFC 6455 section 1.3: the key is that of its example.
            assert_eq!(answer.header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "{road}");
            assert_eq!(client.take(12).await, b"welcomeearly", "{road}");
            client.say("hello").await;
            assert_eq!(client.take(5).await, b"hello", "{road}");
            client.stream.shutdown().await.unwrap();
            assert_eq!(client.rest().await, b"bye", "{road}");

            let (mut sender, _) = extended(address).await;
            let request = Request::builder().method(Method::CONNECT).uri("http://web.shop/chat");
            let request = request.header("sec-websocket-version", "13");
            let request = request.extension(Protocol::from_static("websocket")).body(()).unwrap();
            let (answer, mut stream) = sender.send_request(request, false).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200, "{road}");
            stream.send_data("hello".into(), true).unwrap();
            let (mut body, mut all) = (answer.into_body(), Vec::new());
            while let Some(data) = body.data().await {
                all.extend(data.unwrap());
            }
            assert_eq!(all, b"welcomehellobye", "{road}");
        }
    });
}

/// It speaks HTTP/2 and does not offer extended CONNECT: then it is asked as it always was.
#[test]
fn an_application_that_does_not_offer_it_is_asked_over_http1() {
    run(async {
        let app = application(async |stream: TcpStream| {
            let mut first = [0; 3];
            while stream.peek(&mut first).await.is_ok_and(|length| (1..3).contains(&length)) {
                tokio::task::yield_now().await;
            }
            if first != *b"PRI" {
                return chat(stream).await;
            }
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_response(Response::new(()), true).unwrap();
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            assert_eq!(client.ask(get("/")).await.status, 200, "{road}");
            client.say(ASK).await;
            assert_eq!(client.head().await.status, 101, "{road}");
            client.say("hello").await;
            assert_eq!(client.take(12).await, b"welcomehello", "{road}");
        }
    });
}

/// A connection on which extended CONNECT is offered.
pub(super) async fn extended(address: SocketAddr) -> (h2::client::SendRequest<bytes::Bytes>, JoinHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let driven = tokio::task::spawn_local(async move { drop(connection.await) });
    let sender = sender.ready().await.unwrap();
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    (sender, driven)
}

#[test]
fn to_an_extended_connect_no_success_is_said_without_a_switch() {
    run(async {
        let app = application(async |mut stream: TcpStream| {
            while read_head(&mut stream).await.is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await;
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::task::spawn_local(connection);
            let mut sender = sender.ready().await.unwrap();
            while !sender.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
            let request = Request::builder().method(Method::CONNECT).uri("http://web.shop/chat");
            let request = request.extension(Protocol::from_static("websocket")).body(()).unwrap();
            let (answer, _stream) = sender.send_request(request, false).unwrap();
            assert_eq!(answer.await.unwrap().status(), 502, "{road}");
        }
    });
}

#[test]
fn a_tunnel_through_the_proxys_port_leads_to_the_service() {
    run(async {
        let roads = Roads::new(application(chat).await, AppProtocol::Http1).await;
        let mut client = Client::to(roads.proxy).await;
        client.say("CONNECT web.shop:80 HTTP/1.1\r\nhost: web.shop:80\r\n\r\n").await;
        let answer = client.head().await;
        assert_eq!(answer.status, 200);
        assert!(
            !answer.headers.contains_key("content-length")
                && !answer.headers.contains_key("transfer-encoding")
        );
        assert_eq!(client.ask(get("/")).await.text(), "ok");
        client.say(ASK).await;
        assert_eq!(client.head().await.status, 101);
        client.say("hello").await;
        assert_eq!(client.take(12).await, b"welcomehello");
        let mut client = Client::to(roads.proxy).await;
        let answer = client.ask("CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n").await;
        assert_eq!(answer.status, 404);
    });
}

#[test]
fn a_switch_to_what_nobody_asked_for_is_no_switch() {
    run(async {
        let answers = ["", "upgrade: h2c\r\n", "upgrade: :connect\r\n", "upgrade: acme\r\nupgrade: acme\r\n"];
        for upgrade in answers {
            let app = application(move |mut stream: TcpStream| async move {
                while let Some(head) = read_head(&mut stream).await {
                    assert!(head.starts_with("GET /chat "), "smuggled: {head}");
                    let answer = format!("HTTP/1.1 101 Well\r\nconnection: upgrade\r\n{upgrade}\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
            let roads = Roads::new(app.await, AppProtocol::Http1).await;
            for (road, address) in roads.each() {
                let mut client = Client::to(address).await;
                let ask = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: acme\r\n\r\n";
                client.say(format!("{ask}{}", get("/smuggled"))).await;
                assert_eq!(client.answer().await.status, 502, "{road}: {upgrade:?}");
                assert_eq!(client.rest().await, b"", "{road}: {upgrade:?}");
            }
        }
        // A name may be spelled otherwise.
        let app = application(async move |mut stream: TcpStream| {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 101 Well\r\nconnection: upgrade\r\nupgrade: ACME\r\n\r\n";
            let _ = stream.write_all(answer).await;
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: acme\r\n\r\n").await;
            assert_eq!(client.head().await.status, 101, "{road}");
        }
    });
}
