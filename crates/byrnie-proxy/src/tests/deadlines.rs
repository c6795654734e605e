//! The time of gRPC calls: what the caller allows, the route and retries leave of it, and what happens at its end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use byrnie_decide::parse_grpc_timeout;
use byrnie_plan::{AppProtocol, Retry, RetryOn, TrafficSettings};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::net::TcpStream;

use super::kit::{Reply, Roads, cluster_of, counted, everything, obey, origin2};
use crate::tcp::tests::mesh::run;

async fn connect(address: std::net::SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    sender.ready().await.unwrap()
}

async fn call(sender: &mut SendRequest<Bytes>, timeout: &str) -> Response<h2::RecvStream> {
    let mut request = Request::post("http://web.shop/a.B/C").header("content-type", "application/grpc");
    if !timeout.is_empty() {
        request = request.header("grpc-timeout", timeout);
    }
    let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    answer.await.unwrap()
}

/// Ends the call at once, with the timeout that it was given in `x-timeout`.
fn told(request: &Request<Incoming>, status: &'static str) -> Reply {
    let mut reply = Reply::default();
    let headers = reply.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status));
    if let Some(timeout) = request.headers().get("grpc-timeout") {
        headers.insert("x-timeout", timeout.clone());
    }
    reply
}

fn seen(answer: &Response<h2::RecvStream>) -> Option<Duration> {
    let value = answer.headers().get("x-timeout")?.to_str().unwrap();
    Some(parse_grpc_timeout(value).unwrap_or_else(|| panic!("{value}")))
}

fn limited(roads: &Roads, settings: TrafficSettings) {
    let endpoints = vec![roads.pair.endpoint.clone()];
    let cluster = cluster_of("web", AppProtocol::Grpc, settings, endpoints);
    obey(&roads.pair.client, &everything(), &[cluster]);
}

#[test]
fn a_calls_time_is_shortened_to_the_routes_and_passed_on() {
    run(async {
        let roads = Roads::new(origin2(async |request| told(&request, "0")).await, AppProtocol::Grpc).await;
        for address in [roads.plain, roads.mesh, roads.gateway] {
            let mut sender = connect(address).await;
            assert_eq!(seen(&call(&mut sender, "").await), None, "nobody limits it");
            let five = seen(&call(&mut sender, "5S").await).unwrap();
            assert!(five <= Duration::from_secs(5) && five > Duration::from_secs(1), "{five:?}");
        }
        let two = Duration::from_secs(2);
        limited(&roads, TrafficSettings { request_timeout: Some(two), ..TrafficSettings::default() });
        for address in [roads.mesh, roads.gateway] {
            let mut sender = connect(address).await;
            for (given, most) in
                [("5S", two), ("1M", two), ("", two), ("soon", two), ("900m", Duration::from_millis(900))]
            {
                let left = seen(&call(&mut sender, given).await).unwrap();
                assert!(left <= most && left > most / 10, "{given}: {left:?}");
            }
        }
    });
}

#[test]
fn another_try_has_what_is_left() {
    run(async {
        let tries = Rc::new(Cell::new(0));
        let count = Rc::clone(&tries);
        let app = origin2(move |request: Request<Incoming>| {
            count.set(count.get() + 1);
            let is_first = count.get() % 2 == 1;
            async move {
                if is_first {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                told(&request, if is_first { "14" } else { "0" })
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Grpc).await;
        let on = RetryOn { grpc_codes: vec![14], unsafe_methods: true, ..RetryOn::default() };
        let retry = Retry { on, ..Retry::default() };
        limited(&roads, TrafficSettings { retry, ..TrafficSettings::default() });
        for (address, calls) in [(roads.mesh, 1), (roads.gateway, 2)] {
            let answer = call(&mut connect(address).await, "10S").await;
            assert_eq!((&answer.headers()["grpc-status"], tries.get()), (&"0".parse().unwrap(), calls * 2));
            let left = seen(&answer).unwrap();
            assert!(left <= Duration::from_millis(9800) && left > Duration::from_secs(1), "{left:?}");
        }
    });
}

#[test]
fn a_call_whose_time_is_over_ends_with_deadline_exceeded() {
    run(async {
        let app = origin2(async |_| std::future::pending().await);
        let roads = Roads::new(app.await, AppProtocol::Grpc).await;
        for address in [roads.plain, roads.mesh, roads.gateway] {
            for timeout in ["200m", "0m"] {
                let answer = call(&mut connect(address).await, timeout).await;
                assert_eq!(
                    (answer.status().as_u16(), &answer.headers()["grpc-status"]),
                    (200, &HeaderValue::from(4))
                );
            }
        }
    });
}

/// Begins to answer, and never ends.
async fn endless(_: Request<Incoming>) -> Reply {
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"one")))]);
    let frames = futures_util::StreamExt::chain(first, futures_util::stream::pending());
    let mut reply = Reply::new(StreamBody::new(frames).boxed_unsync());
    reply.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    reply
}

#[test]
fn a_stream_whose_time_is_over_is_told_so_in_its_trailers() {
    run(async {
        let roads = Roads::new(origin2(endless).await, AppProtocol::Grpc).await;
        for address in [roads.plain, roads.mesh, roads.gateway] {
            let mut body = call(&mut connect(address).await, "300m").await.into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "one");
            assert!(body.data().await.is_none(), "no more of it");
            let trailers = body.trailers().await.unwrap().unwrap();
            assert_eq!(trailers["grpc-status"], "4");
        }
        // Whichever side's clock is first.
        let counts = [counted(&roads.pair.client), counted(&roads.pair.server)].concat();
        assert!(counts.iter().any(|delta| delta.outcome.error == "BYR0208"), "{counts:?}");
    });
}
