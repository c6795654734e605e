//! HTTP/2 messages that HTTP/1 would read in another way.

use std::net::SocketAddr;

use byrnie_plan::AppProtocol;
use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream};
use http::uri::{Authority, Parts, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use tokio::net::TcpStream;

use super::client::{Client2, nothing};
use super::kit::{Roads, as_seen, origin};
use super::upgrades::extended;
use crate::tcp::tests::mesh::{application, run};

/// One request on a connection of its own.
async fn ask(
    address: SocketAddr,
    request: Request<()>,
    body: &'static str,
) -> Result<Response<RecvStream>, h2::Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await?;
    tokio::task::spawn_local(connection);
    let (answer, mut stream) = sender.ready().await?.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::from_static(body.as_bytes()), true)?;
    }
    answer.await
}

async fn text(answer: Response<RecvStream>) -> String {
    let (mut body, mut all) = (answer.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        all.extend(data.unwrap());
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn on_http2_a_message_has_one_plain_length() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for (lengths, body, status) in [
                (&["4"][..], "body", 200),
                (&["0"], "", 200),
                (&["4", "4"], "body", 400),
                (&["4", "5"], "body", 400),
                (&["04"], "body", 400),
                (&["00"], "", 400),
                (&[""], "", 400),
                (&["+4"], "body", 400),
                (&["4, 4"], "body", 400),
            ] {
                let mut request = Request::post("http://web.shop/").body(()).unwrap();
                for length in lengths {
                    request.headers_mut().append("content-length", HeaderValue::from_static(length));
                }
                match ask(address, request, body).await {
                    Ok(answer) => assert_eq!(answer.status(), status, "{road}: {lengths:?}"),
                    // The codec's own refusal.
                    Err(error) => {
                        assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR), "{road}: {lengths:?}");
                        assert_eq!(status, 400, "{road}: {lengths:?}");
                    }
                }
            }
        }
    });
}

#[test]
fn on_http2_there_is_one_host_and_the_target_is_a_path() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for hosts in [["web.shop", "web.shop"], ["web.shop", "evil"], ["evil", "web.shop"]] {
                let mut request = Request::get("http://web.shop/").body(()).unwrap();
                for host in hosts {
                    request.headers_mut().append("host", HeaderValue::from_static(host));
                }
                let answer = ask(address, request, "").await.unwrap();
                assert_eq!(answer.status(), 400, "{road}: {hosts:?}");
            }
            for (method, target, status) in [
                (Method::GET, "/?x=1", 200),
                (Method::GET, "?x=1", 400),
                (Method::GET, "*", 400),
                (Method::OPTIONS, "*", 200),
            ] {
                let mut parts = Parts::default();
                parts.scheme = Some(Scheme::HTTP);
                parts.authority = Some(Authority::from_static("web.shop"));
                parts.path_and_query = Some(target.parse().unwrap());
                let uri = Uri::from_parts(parts).unwrap();
                let request = Request::builder().method(method).uri(uri).body(()).unwrap();
                let answer = ask(address, request, "").await.unwrap();
                assert_eq!(answer.status(), status, "{road}: {target}");
            }
        }
    });
}

#[test]
fn on_http2_header_lines_are_limited_and_a_cookie_is_one_line() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        let request = |lines: usize, crumbs: usize| {
            let mut request = Request::get("http://web.shop/");
            for line in 0..lines {
                request = request.header(format!("x-{line}"), "1");
            }
            for crumb in 0..crumbs {
                request = request.header("cookie", format!("c{crumb}=1"));
            }
            request
        };
        for (road, address) in roads.each() {
            let mut client = Client2::to(address).await;
            assert_eq!(client.ask(request(95, 0).body(nothing()).unwrap()).await.status, 200, "{road}");
            let answer = client.ask(request(101, 0).body(nothing()).unwrap()).await;
            assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (431, "BYR0200"), "{road}");
            let answer = client.ask(request(1, 300).body(nothing()).unwrap()).await;
            assert_eq!(answer.status, 200, "{road}");
            let cookies: Vec<_> = (0..300).map(|crumb| format!("c{crumb}=1")).collect();
            let (seen, line) = (answer.text(), format!("\ncookie: {}\n", cookies.join("; ")));
            assert!(seen.contains(&line), "{road}: {seen}");
            let call = request(101, 0).header("content-type", "application/grpc").body(nothing()).unwrap();
            let answer = client.ask(call).await;
            assert_eq!((answer.status, answer.header("grpc-status")), (200, "8"), "{road}");
        }
        assert_eq!(roads.pair.client.process.counters.limit_headers.get(), 4, "two on each of two roads");
    });
}

#[test]
fn http_is_no_protocol_to_switch_to() {
    run(async {
        let roads = Roads::new(application(super::upgrades::chat).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for protocol in ["h2c", "H2C", "h2", "h2c/1", "http", "HTTP/2.0"] {
                let (mut sender, _) = extended(address).await;
                let request = Request::builder().method(Method::CONNECT).uri("http://web.shop/chat");
                let request = request.extension(Protocol::from(protocol)).body(()).unwrap();
                let (answer, _stream) = sender.send_request(request, false).unwrap();
                let answer = answer.await.unwrap();
                assert_eq!(answer.status(), 501, "{road}: {protocol}");
                assert_eq!(&answer.headers()["byrnie-error"].as_bytes()[..7], b"BYR0214");
            }
        }
    });
}

/// An application of HTTP/2 whose answer's body is `body`, whatever its head says.
async fn careless() -> SocketAddr {
    application(async |stream: TcpStream| {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let (status, lengths) = match request.uri().path() {
                "/twice" => (200, &["4", "4"][..]),
                "/zeros" => (200, &["04"][..]),
                "/fine" => (200, &["4"][..]),
                "/204" => (204, &[][..]),
                "/304" => (304, &[][..]),
                _ => (200, &[][..]),
            };
            let mut answer = Response::builder().status(status).body(()).unwrap();
            let lines = lengths.iter().map(|length| ("content-length", *length));
            let lines =
                lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let mut headers = HeaderMap::new();
            lines.for_each(|(name, value)| {
                headers.append(name, value);
            });
            *answer.headers_mut() = headers;
            let mut stream = respond.send_response(answer, false).unwrap();
            let _ = stream.send_data(Bytes::from_static(b"body"), true);
        }
    })
    .await
}

#[test]
fn an_application_of_http2_says_one_plain_length() {
    run(async {
        let roads = Roads::new(careless().await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            for (path, status) in [("/fine", 200), ("/twice", 502), ("/zeros", 502)] {
                let answer = super::client::ask(address, super::client::get(path)).await;
                assert_eq!(answer.status, status, "{road}: {path}");
                if status == 502 && road != "gateway" {
                    assert_eq!(&answer.header("byrnie-error")[..7], "BYR0207", "{road}: {path}");
                }
            }
        }
    });
}

#[test]
fn an_answer_without_a_body_has_none_whatever_an_application_of_http2_sends() {
    run(async {
        let roads = Roads::new(careless().await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            for (method, path, status) in
                [(Method::GET, "/204", 204), (Method::GET, "/304", 304), (Method::HEAD, "/", 200)]
            {
                let uri = format!("http://web.shop{path}");
                let request = Request::builder().method(method).uri(uri).body(()).unwrap();
                let answer = ask(address, request, "").await.unwrap();
                assert_eq!(answer.status(), status, "{road}: {path}");
                assert_eq!(text(answer).await, "", "{road}: {path}");
            }
            let mut client = super::client::Client::to(address).await;
            for _ in 0..2 {
                assert_eq!(client.ask(super::client::get("/204")).await.status, 204, "{road}");
                assert_eq!(client.ask(super::client::get("/fine")).await.text(), "body", "{road}");
            }
        }
    });
}
