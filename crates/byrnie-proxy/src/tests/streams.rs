//! Large bodies, slow readers, and ends in the middle.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use byrnie_plan::AppProtocol;
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Client, Client2, ask, get, whole};
use super::kit::{Reply, Roads, counted, origin, read_head};
use crate::tcp::tests::mesh::{application, run, until};

const LARGE: usize = 10 << 20;

/// Bytes in which a lost or doubled piece shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Sends the body back as it comes.
async fn echo(request: Request<Incoming>) -> Reply {
    let frames = request.into_body().map_frame(|frame| frame);
    let frames = futures_util::StreamExt::filter_map(frames.into_data_stream(), async |data| data.ok());
    let frames = futures_util::StreamExt::map(frames, |data| Ok::<_, Infallible>(Frame::data(data)));
    Reply::new(StreamBody::new(frames).boxed_unsync())
}

#[test]
fn ten_megabytes_pass_both_ways_at_once() {
    run(async {
        let roads = Roads::new(origin(echo).await, AppProtocol::Http1).await;
        let sent = Rc::new(pattern(LARGE));
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n")).await;
            let copy = Rc::clone(&sent);
            let (read, mut write) = client.stream.into_split();
            let writing = tokio::task::spawn_local(async move {
                write.write_all(&copy).await.unwrap();
                write
            });
            let answer = Client::reading(read).answer().await.body;
            assert!(answer == *sent, "{road}: {} bytes of {}", answer.len(), sent.len());
            drop(writing.await.unwrap());
            let request = Request::post("http://web.shop/").body(whole(Bytes::from(pattern(LARGE)))).unwrap();
            let answer = Client2::to(address).await.ask(request).await;
            assert!(answer.body == *sent, "{road}: {} bytes of {} on HTTP/2", answer.body.len(), sent.len());
        }
    });
}

/// An application that sends without end, and how much it could send.
async fn flood() -> (std::net::SocketAddr, Rc<Cell<usize>>) {
    let sent = Rc::new(Cell::new(0));
    let counter = Rc::clone(&sent);
    let address = application(move |mut stream: TcpStream| {
        let counter = Rc::clone(&counter);
        async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {
                counter.set(counter.get() + chunk.len());
            }
        }
    })
    .await;
    (address, sent)
}

#[test]
fn a_reader_that_stops_stops_the_application() {
    run(async {
        let (app, sent) = flood().await;
        let roads = Roads::new(app, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            sent.set(0);
            let mut client = Client::to(address).await;
            client.say(get("/")).await;
            assert_eq!(client.head().await.status, 200);
            let (mut before, mut quiet) = (0, 0);
            while quiet < 10 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                quiet = if sent.get() == before { quiet + 1 } else { 0 };
                before = sent.get();
            }
            // What the kernel's buffers of four sockets hold, and less than 2 MiB of ours.
            assert!(before < 40 << 20, "{road}: {before} bytes");
            drop(client);
        }
        until("nothing is left in flight", || roads.pair.endpoint.load.in_flight() == 0).await;
    });
}

#[test]
fn a_response_that_breaks_off_is_not_taken_for_a_whole_one() {
    run(async {
        let heard = Rc::new(tokio::sync::Notify::new());
        let ear = Rc::clone(&heard);
        let app = application(move |mut stream: TcpStream| {
            let ear = Rc::clone(&ear);
            async move {
                super::kit::read_head(&mut stream).await;
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
                stream.write_all(head).await.unwrap();
                ear.notified().await;
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say(get("/")).await;
            assert_eq!(client.head().await.status, 200, "{road}");
            heard.notify_one();
            assert_eq!(client.rest().await, b"3\r\nabc\r\n", "{road}: no last chunk");
            let request = Request::get("http://web.shop/").body(super::client::nothing()).unwrap();
            let answer = Client2::to(address).await.send(request).await.unwrap();
            heard.notify_one();
            answer.into_body().collect().await.unwrap_err();
        }
        let errors: Vec<_> =
            counted(&roads.pair.client).into_iter().map(|delta| delta.outcome.error).collect();
        assert_eq!(errors, ["BYR0206"]);
    });
}

#[test]
fn a_caller_that_breaks_off_is_not_the_endpoints_fault() {
    run(async {
        let roads = Roads::new(origin(echo).await, AppProtocol::Http1).await;
        let app = origin(super::kit::as_seen).await;
        let waiting = Roads::new(app, AppProtocol::Http1).await;
        for roads in [&roads, &waiting] {
            let mut client = Client::to(roads.mesh).await;
            client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome").await;
            until("it is on its way", || roads.pair.endpoint.load.in_flight() == 1).await;
            drop(client);
            until("it is given up", || roads.pair.endpoint.load.in_flight() == 0).await;
            let errors: Vec<_> =
                counted(&roads.pair.client).into_iter().map(|delta| delta.outcome.error).collect();
            assert_eq!(errors, ["BYR0213"]);
        }
        assert_eq!(ask(roads.mesh, super::client::post("/", "hello")).await.text(), "hello");
    });
}

#[test]
fn an_early_answer_does_not_wait_for_the_body() {
    run(async {
        let app = origin(async |_: Request<Incoming>| super::kit::status(413));
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let answer =
                ask(address, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome").await;
            assert_eq!(answer.status, 413, "{road}");
        }
    });
}

#[test]
fn a_body_that_goes_on_after_its_answer_keeps_nobody_else_waiting() {
    run(async {
        // Whatever the body is, it answers when the head is there.
        let app = application(async |mut stream: TcpStream| {
            while read_head(&mut stream).await.is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for method in ["GET", "POST"] {
                let mut client = Client2::to(address).await;
                let endless = StreamBody::new(futures_util::stream::pending()).boxed_unsync();
                let request =
                    Request::builder().method(method).uri("http://web.shop/").body(endless).unwrap();
                assert_eq!(client.ask(request).await.status, 200, "{road}");
                let others = tokio::time::timeout(Duration::from_secs(5), ask(address, get("/")));
                assert_eq!(others.await.expect("it is not stuck").status, 200, "{road}");
            }
        }
    });
}
