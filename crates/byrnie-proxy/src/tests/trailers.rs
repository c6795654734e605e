//! Trailers that nobody announced: they pass from each version to each other.

use std::convert::Infallible;
use std::net::SocketAddr;

use byrnie_plan::AppProtocol;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpStream;

use super::client::{Client, Client2, Outgoing, ask, get};
use super::kit::{Reply, Roads, as_seen, everything, obey, origin2, plain};
use crate::front::{Entrance, Front};
use crate::fuzz::message;
use crate::tcp::tests::mesh::{Mesh, application, run};

/// A request with trailers that its head does not name, and data that looks like the end of a body.
const ASK: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\n0\r\n\r\n\r\n0\r\nx-sum: 7\r\nx-more: a\r\nx-more: b\r\n\r\n";

/// What an HTTP/1 application sees of it behind the head.
const SEEN: &str = "\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\nx-sum: 7\r\nx-more: a\r\nx-more: b\r\n\r\n";

/// An HTTP/1 application that answers with the bytes of the request, and trailers that it does not announce.
async fn mirror() -> SocketAddr {
    application(async |mut stream: TcpStream| {
        let mut buffer = Vec::new();
        while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
            while let Some(message) = message(&buffer) {
                let seen: Vec<u8> = buffer.drain(..message.end).collect();
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let size = format!("{:x}\r\n", seen.len());
                let end = b"\r\n0\r\nx-end: yes\r\nx-end: again\r\n\r\n";
                stream.write_all(&[head, size.as_bytes(), &seen, end].concat()).await.unwrap();
            }
        }
    })
    .await
}

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

/// A body of these pieces, and trailers.
fn ending(pieces: Vec<Bytes>, trailers: HeaderMap) -> Outgoing {
    let frames = pieces.into_iter().map(Frame::data).chain([Frame::trailers(trailers)]);
    StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))).boxed_unsync()
}

#[test]
fn from_http1_to_http1() {
    run(async {
        let roads = Roads::new(mirror().await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            for _ in 0..3 {
                let answer = client.ask(ASK).await;
                assert!(answer.text().ends_with(SEEN), "{road}: {}", answer.text());
                assert_eq!(answer.trailers, ["x-end: yes", "x-end: again"], "{road}");
            }
            // Neither body nor length, but trailers; and several requests at once.
            let bare = "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 0\r\n\r\n";
            client.say(format!("{bare}{ASK}{}", get("/"))).await;
            for seen in ["\r\n\r\n0\r\nx-sum: 0\r\n\r\n", SEEN, "\r\n\r\n"] {
                let answer = client.answer().await;
                assert!(answer.text().ends_with(seen), "{road}: {}", answer.text());
                assert_eq!(answer.trailers, ["x-end: yes", "x-end: again"], "{road}");
            }
        }
    });
}

#[test]
fn from_http2_to_http1() {
    run(async {
        let roads = Roads::new(mirror().await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client2::to(address).await;
            for pieces in [vec![], vec![Bytes::from("0\r\n\r\n")], vec!["x".into(); 100]] {
                let end = if pieces.is_empty() {
                    "\r\n\r\n0\r\nx-sum: 7\r\n\r\n"
                } else {
                    "\r\n0\r\nx-sum: 7\r\n\r\n"
                };
                let request = Request::post("http://web.shop/").body(ending(pieces, map(&[("x-sum", "7")])));
                let answer = client.ask(request.unwrap()).await;
                assert!(answer.text().ends_with(end), "{road}: {}", answer.text());
                assert_eq!(answer.trailers, ["x-end: yes", "x-end: again"], "{road}");
            }
        }
    });
}

/// Answers with what it sees, and trailers; under `/length` with the length of that.
async fn with_end(request: Request<Incoming>) -> Reply {
    if request.method() == http::Method::HEAD {
        return Reply::default();
    }
    let is_known = request.uri().path() == "/length";
    let seen = as_seen(request).await.into_body().collect().await.unwrap().to_bytes();
    // At the end what looks like an end.
    let seen = [&seen, &b"\r\n0\r\n\r\n"[..]].concat();
    let length = HeaderValue::from(seen.len());
    let mut reply = Reply::new(ending(vec![seen.into()], map(&[("x-end", "yes")])));
    if is_known {
        reply.headers_mut().insert("content-length", length);
    }
    reply
}

#[test]
fn from_http1_to_http2() {
    run(async {
        let roads = Roads::new(origin2(with_end).await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            for _ in 0..3 {
                let answer = client.ask(ASK).await;
                assert!(
                    answer.text().contains("trailer x-sum: 7\ntrailer x-more: a\n"),
                    "{road}: {answer:?}"
                );
                assert_eq!(answer.trailers, ["x-end: yes"], "{road}");
                // A message of known length has no place for them.
                let answer = client.ask(get("/length")).await;
                assert!(!answer.headers.contains_key("transfer-encoding"), "{road}: {answer:?}");
                assert!(answer.text().ends_with("\r\n0\r\n\r\n"), "{road}: {answer:?}");
                client.say("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
                assert_eq!(client.head().await.status, 200, "{road}");
            }
            let answer = ask(address, "GET / HTTP/1.0\r\n\r\n").await;
            assert!(answer.text().ends_with("\r\n0\r\n\r\n"), "{road}: {answer:?}");
        }
    });
}

/// Byte for byte, through pipes that hold so many.
#[test]
fn to_a_client_that_reads_byte_by_byte() {
    run(async {
        let application = mirror().await;
        let worker = Mesh::new().proxy("web");
        obey(&worker, &everything(), &[plain("web", application)]);
        for size in [1, 2, 3, 7, 64, 4_096] {
            let front = Front::new(Entrance::Gateway(8000), None, application);
            let (mut client, server) = duplex(size);
            let talking = async {
                for _ in 0..3 {
                    client.write_all(ASK.as_bytes()).await.unwrap();
                    // Of the request's data each piece that came has its own chunk.
                    let end = "0\r\nx-sum: 7\r\nx-more: a\r\nx-more: b\r\n\r\n\r\n\
                               0\r\nx-end: yes\r\nx-end: again\r\n\r\n";
                    let mut heard = Vec::new();
                    while !heard.ends_with(end.as_bytes()) {
                        heard.push(client.read_u8().await.unwrap());
                    }
                    let heard = String::from_utf8(heard).unwrap();
                    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n"), "{size}: {heard}");
                    assert_eq!(heard.matches("x-end: yes\r\n").count(), 1, "{size}: {heard}");
                }
                client.shutdown().await.unwrap();
                assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "{size}: nothing comes behind it");
            };
            tokio::join!(crate::http::serve(&worker, &front, server), talking);
        }
    });
}
