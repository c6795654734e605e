//! gRPC: the four kinds of calls, and errors as gRPC callers expect them.

use std::net::SocketAddr;

use byrnie_plan::{AppProtocol, MeshSettings, ObjectName, ServicePortRef};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::kit::{DATA, END_HEADERS, HEADERS, Reply, Roads, begin_by_hand, by_hand, counted, origin2};
use crate::tcp::tests::mesh::{Accepts, application, run, until};

/// Sends each message back as it comes, then the status.
async fn echo(request: Request<Incoming>) -> Reply {
    assert_eq!(request.headers()["te"], "trailers");
    let (sender, mut frames) = mpsc::channel::<Frame<Bytes>>(1);
    let mut body = request.into_body();
    tokio::task::spawn_local(async move {
        while let Some(Ok(frame)) = body.frame().await {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
        let trailers: HeaderMap = [
            ("grpc-status".parse().unwrap(), HeaderValue::from_static("0")),
            ("x-more".parse().unwrap(), HeaderValue::from_static("yes")),
        ]
        .into_iter()
        .collect();
        let _ = sender.send(Frame::trailers(trailers)).await;
    });
    let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx).map(|frame| frame.map(Ok)));
    let mut reply = Reply::new(StreamBody::new(frames).boxed_unsync());
    reply.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    reply
}

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    sender.ready().await.unwrap()
}

fn request() -> Request<()> {
    let request = Request::post("http://web.shop/echo.Echo/Call").header("te", "trailers");
    request.header("content-type", "application/grpc+proto").body(()).unwrap()
}

async fn call(address: SocketAddr) -> (Response<RecvStream>, SendStream<Bytes>) {
    let (answer, stream) = connect(address).await.send_request(request(), false).unwrap();
    (answer.await.unwrap(), stream)
}

async fn next(body: &mut RecvStream) -> Bytes {
    let data = body.data().await.unwrap().unwrap();
    body.flow_control().release_capacity(data.len()).unwrap();
    data
}

async fn status(mut body: RecvStream) -> HeaderMap {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    body.trailers().await.unwrap().unwrap()
}

#[test]
fn messages_pass_one_by_one_both_ways_and_trailers_end_them() {
    run(async {
        let roads = Roads::new(origin2(echo).await, AppProtocol::Grpc).await;
        for (road, address) in roads.each() {
            let (answer, mut stream) = call(address).await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["content-type"]),
                (200, &HeaderValue::from_static("application/grpc"))
            );
            let mut body = answer.into_body();
            for message in ["one", "two", "three"] {
                stream.send_data(message.into(), false).unwrap();
                assert_eq!(next(&mut body).await, message, "{road}");
            }
            stream.send_data("last".into(), true).unwrap();
            let trailers = status(body).await;
            assert_eq!(
                (&trailers["grpc-status"], &trailers["x-more"]),
                (&"0".parse().unwrap(), &"yes".parse().unwrap()),
                "{road}"
            );
        }
        for delta in counted(&roads.pair.client) {
            assert_eq!((delta.outcome.grpc_status, delta.outcome.error.as_str()), (Some(0), ""), "{delta:?}");
        }
    });
}

#[test]
fn many_calls_share_a_connection() {
    run(async {
        let roads = Roads::new(origin2(echo).await, AppProtocol::Grpc).await;
        let sender = connect(roads.gateway).await;
        let calls = (0..100).map(|number: u32| {
            let mut sender = sender.clone();
            async move {
                let (answer, mut stream) = sender.send_request(request(), false).unwrap();
                stream.send_data(Bytes::from(vec![b'x'; 20_000]), false).unwrap();
                stream.send_data(number.to_string().into(), true).unwrap();
                let mut body = answer.await.unwrap().into_body();
                let mut all = Vec::new();
                while let Some(data) = body.data().await {
                    let data = data.unwrap();
                    body.flow_control().release_capacity(data.len()).unwrap();
                    all.extend(data);
                }
                assert_eq!(all.len(), 20_000 + number.to_string().len());
                assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
            }
        });
        futures_util::future::join_all(calls).await;
        assert_eq!(roads.pair.endpoint.load.in_flight(), 0);
    });
}

#[test]
fn a_call_that_is_cancelled_is_cancelled_at_the_application() {
    run(async {
        let (begun, cancelled) = (CancellationToken::new(), CancellationToken::new());
        let (begins, seen) = (begun.clone(), cancelled.clone());
        let app = origin2(move |request: Request<Incoming>| {
            begins.cancel();
            let guard = seen.clone().drop_guard();
            async move {
                let _guard = guard;
                let _ = request.into_body().collect().await;
                std::future::pending().await
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Grpc).await;
        let mut sender = connect(roads.gateway).await;
        let (answer, mut stream) = sender.send_request(request(), false).unwrap();
        stream.send_data("one".into(), false).unwrap();
        begun.cancelled().await;
        stream.send_reset(h2::Reason::CANCEL);
        answer.await.unwrap_err();
        cancelled.cancelled().await;
        until("nothing is left", || roads.pair.endpoint.load.in_flight() == 0).await;
    });
}

#[test]
fn errors_are_grpc_statuses() {
    run(async {
        let app = origin2(echo).await;
        let roads = Roads::new(app, AppProtocol::Grpc).await;
        let ask = async |code: &str| {
            for (road, address) in [("mesh", roads.mesh), ("gateway", roads.gateway)] {
                let mut sender = connect(address).await;
                let (answer, _) = sender.send_request(request(), true).unwrap();
                let answer = answer.await.unwrap();
                assert_eq!(answer.status(), 200, "{road}");
                assert_eq!(answer.headers()["grpc-status"], code, "{road}");
                assert_eq!(answer.headers()["content-type"], "application/grpc", "{road}");
                assert!(answer.headers().contains_key("grpc-message") && answer.body().is_end_stream());
            }
        };
        // More requests than the process takes, and one that nobody may write so.
        let none = MeshSettings { max_requests: 0, ..MeshSettings::default() };
        super::limits::with(&roads.pair.client, none);
        ask("14").await;
        super::limits::with(&roads.pair.client, MeshSettings::default());
        for address in [roads.mesh, roads.gateway] {
            let mut odd = request();
            odd.headers_mut().insert("x-odd", HeaderValue::from_static(" a"));
            let (answer, _) = connect(address).await.send_request(odd, true).unwrap();
            assert_eq!(answer.await.unwrap().headers()["grpc-status"], "13");
        }
        let other = ServicePortRef { service: ObjectName::new("shop", "other"), port: 80 };
        Accepts { services: vec![other], ..Accepts::new(app) }.put_in_force(&roads.pair.server);
        ask("7").await;
        roads.pair.server.process.config.store(Default::default());
        ask("14").await;
        let empty = super::kit::cluster_of("web", AppProtocol::Grpc, Default::default(), Vec::new());
        super::kit::obey(&roads.pair.client, &super::kit::everything(), &[empty]);
        ask("14").await;
        super::kit::obey(&roads.pair.client, &Default::default(), &[]);
        ask("12").await;
    });
}

#[test]
fn a_code_that_is_named_is_tried_again() {
    run(async {
        let calls = std::rc::Rc::new(std::cell::Cell::new(0));
        let count = std::rc::Rc::clone(&calls);
        let app = origin2(move |request: Request<Incoming>| {
            count.set(count.get() + 1);
            let first = count.get() == 1;
            async move {
                if !first {
                    return echo(request).await;
                }
                let mut reply = Reply::default();
                reply.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
                reply.headers_mut().insert("grpc-status", HeaderValue::from_static("14"));
                reply
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Grpc).await;
        let on = byrnie_plan::RetryOn { grpc_codes: vec![14], ..Default::default() };
        let retry = byrnie_plan::Retry { on, ..Default::default() };
        let settings = byrnie_plan::TrafficSettings { retry, ..Default::default() };
        let endpoints = vec![roads.pair.endpoint.clone()];
        crate::tcp::tests::mesh::call(&roads.pair.client, AppProtocol::Grpc, settings, endpoints);
        let mut sender = connect(roads.mesh).await;
        let (answer, mut stream) = sender.send_request(request(), false).unwrap();
        stream.send_data("hello".into(), true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!((next(&mut body).await, calls.get()), ("hello".into(), 2));
        assert_eq!(status(body).await["grpc-status"], "0");
    });
}

#[test]
fn a_call_whose_application_goes_away_is_unavailable() {
    run(async {
        // `:status: 200`, `content-type: application/grpc`; a message, and that was it.
        const HEAD: &[u8] = b"\x88\x0f\x10\x10application/grpc";
        let app = application(async |mut stream: TcpStream| {
            begin_by_hand(&mut stream).await;
            let head = [(HEADERS, END_HEADERS, HEAD), (DATA, 0, &b"one"[..])];
            while by_hand(&mut stream, &head).await.is_some_and(|answered| !answered) {}
        });
        let roads = Roads::new(app.await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let (answer, _stream) = call(address).await;
            let mut body = answer.into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "one", "{road}");
            assert!(body.data().await.is_none(), "{road}");
            let trailers = body.trailers().await.unwrap().unwrap();
            assert_eq!(trailers["grpc-status"], "14", "{road}: {trailers:?}");
        }
    });
}
