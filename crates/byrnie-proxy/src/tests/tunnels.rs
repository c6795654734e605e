//! CONNECT: a tunnel to what an application makes of it, where that is allowed.

use byrnie_plan::{AppProtocol, MeshSettings};
use http::{Method, Request};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Client, get};
use super::kit::{Roads, counted, echo_and_bye, read_head};
use super::limits::with;
use crate::tcp::tests::mesh::{application, run, until};

const ASK: &str = "CONNECT db.example:5432 HTTP/1.1\r\nhost: other\r\nx-mine: 1\r\n\r\n";

/// A forward proxy of sorts: tells what it was asked for, echoes until the client has said all, then says `bye`. It
/// refuses what is not for port 5432.
async fn forward(mut stream: TcpStream) {
    while let Some(head) = read_head(&mut stream).await {
        if !head.starts_with("CONNECT db.example:5432 HTTP/1.1\r\n") {
            let refusal = b"HTTP/1.1 407 No\r\ncontent-length: 2\r\n\r\nno";
            let _ = stream.write_all(refusal).await;
            continue;
        }
        assert!(head.contains("host: db.example:5432\r\n") && head.contains("x-mine: 1"), "{head}");
        // A length that everybody must ignore.
        let _ = stream.write_all(b"HTTP/1.1 200 Fine\r\ncontent-length: 3\r\nx-more: 1\r\n\r\nwelcome").await;
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.write_all(b"bye").await;
        return;
    }
}

fn allow(roads: &Roads) {
    for worker in [&roads.pair.client, &roads.plain_worker] {
        with(worker, MeshSettings { allow_connect: true, ..MeshSettings::default() });
    }
}

#[test]
fn a_tunnel_carries_bytes_both_ways_and_each_end_by_itself() {
    run(async {
        let roads = Roads::new(application(forward).await, AppProtocol::Http1).await;
        allow(&roads);
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say(format!("{ASK}early")).await;
            let answer = client.head().await;
            assert_eq!((answer.status, answer.header("x-more")), (200, "1"), "{road}: {answer:?}");
            for name in ["content-length", "transfer-encoding", "upgrade", "byrnie-upgrade"] {
                assert!(!answer.headers.contains_key(name), "{road}: {answer:?}");
            }
            assert_eq!(client.take(12).await, b"welcomeearly", "{road}");
            client.say("hello").await;
            assert_eq!(client.take(5).await, b"hello", "{road}");
            client.stream.shutdown().await.unwrap();
            assert_eq!(client.rest().await, b"bye", "{road}: the other direction goes on");
        }
        until("nothing is left in flight", || roads.pair.endpoint.load.in_flight() == 0).await;
        let counts = counted(&roads.pair.server);
        assert!(!counts.is_empty());
        for delta in counts {
            assert_eq!((delta.outcome.error.as_str(), delta.outcome.status), ("", 200), "{delta:?}");
        }
    });
}

#[test]
fn what_the_application_answers_else_is_an_answer() {
    run(async {
        let roads = Roads::new(application(forward).await, AppProtocol::Http1).await;
        allow(&roads);
        for (road, address) in roads.each() {
            for _ in 0..2 {
                let mut client = Client::to(address).await;
                let answer = client.ask("CONNECT db.example:1 HTTP/1.1\r\nhost: db.example:1\r\n\r\n").await;
                assert_eq!((answer.status, answer.text().as_str()), (407, "no"), "{road}");
                // Whatever comes now was meant for the tunnel.
                assert_eq!(answer.header("connection"), "close", "{road}");
                let _ = client.stream.write_all(get("/").as_bytes()).await;
                assert_eq!(client.rest().await, b"", "{road}");
            }
        }
    });
}

#[test]
fn an_http2_client_has_its_tunnel_too() {
    run(async {
        let roads = Roads::new(application(forward).await, AppProtocol::Http1).await;
        allow(&roads);
        for (road, address) in roads.each() {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::task::spawn_local(connection);
            let mut sender = sender.ready().await.unwrap();
            let request = Request::builder().method(Method::CONNECT).uri("db.example:5432");
            let request = request.header("x-mine", "1").body(()).unwrap();
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

/// An HTTP/2 application gets CONNECT as HTTP/2 has it.
async fn forward2(stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::task::spawn_local(async move {
            assert_eq!(
                (request.method(), request.uri().to_string().as_str()),
                (&Method::CONNECT, "db.example:5432")
            );
            let stream = respond.send_response(http::Response::new(()), false).unwrap();
            echo_and_bye(request.into_body(), stream).await;
        });
    }
}

#[test]
fn an_http2_application_gets_the_tunnel_as_http2_has_it() {
    run(async {
        let roads = Roads::new(application(forward2).await, AppProtocol::Http2).await;
        allow(&roads);
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say(format!("{ASK}early")).await;
            assert_eq!(client.head().await.status, 200, "{road}");
            assert_eq!(client.take(5).await, b"early", "{road}");
            client.stream.shutdown().await.unwrap();
            assert_eq!(client.rest().await, b"bye", "{road}");
        }
    });
}

#[test]
fn a_connect_that_is_not_allowed_or_malformed_is_refused() {
    run(async {
        let roads = Roads::new(application(forward).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            assert_eq!(Client::to(address).await.ask(ASK).await.status, 501, "{road}");
        }
        // Where it is always allowed, no body is.
        let odd = "CONNECT web.shop:80 HTTP/1.1\r\nhost: web.shop:80\r\ncontent-length: 2\r\n\r\nab";
        assert_eq!(Client::to(roads.proxy).await.ask(odd).await.status, 400);
        allow(&roads);
        for (road, address) in roads.each() {
            for head in [
                "CONNECT db.example HTTP/1.1\r\nhost: db.example\r\n\r\n",
                "CONNECT db.example:1 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
                "CONNECT db.example:1 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab",
            ] {
                assert_eq!(Client::to(address).await.ask(head).await.status, 400, "{road}: {head}");
            }
            // No upgrade is a CONNECT in disguise.
            let head = get("/").replace("\r\n\r\n", "\r\nconnection: upgrade\r\nupgrade: :connect\r\n\r\n");
            assert_eq!(Client::to(address).await.ask(head).await.status, 407, "{road}: an ordinary request");
        }
    });
}
