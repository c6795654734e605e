//! `Expect: 100-continue` from end to end.

use std::cell::Cell;
use std::rc::Rc;

use byrnie_plan::AppProtocol;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::client::{Client, Client2, ask, get, whole};
use super::kit::{Roads, as_seen, origin, read_head};
use crate::tcp::tests::mesh::{application, run, until};

const ASK: &str = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";

/// Says 100 when it is allowed to, reads three bytes and sends them back; says `417` to `/no` at once.
async fn patient(mut stream: TcpStream, asked: Rc<Cell<u32>>, may: Rc<Semaphore>) {
    while let Some(head) = read_head(&mut stream).await {
        if head.starts_with("GET ") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            continue;
        }
        assert!(head.contains("expect: 100-continue"), "{head}");
        if head.starts_with("POST /no ") {
            let _ = stream.write_all(b"HTTP/1.1 417 No\r\ncontent-length: 2\r\n\r\nno").await;
            // Nothing of the body comes: the connection is given up.
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
            return;
        }
        asked.set(asked.get() + 1);
        may.acquire().await.unwrap().forget();
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        let mut body = [0; 3];
        stream.read_exact(&mut body).await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n").await;
        let _ = stream.write_all(&body).await;
    }
}

async fn roads() -> (Roads, Rc<Cell<u32>>, Rc<Semaphore>) {
    let (asked, may) = (Rc::new(Cell::new(0)), Rc::new(Semaphore::new(0)));
    let shared = (Rc::clone(&asked), Rc::clone(&may));
    let app = application(move |stream| patient(stream, Rc::clone(&shared.0), Rc::clone(&shared.1))).await;
    (Roads::new(app, AppProtocol::Http1).await, asked, may)
}

#[test]
fn continue_is_the_applications_word() {
    run(async {
        let (roads, asked, may) = roads().await;
        for (count, (road, address)) in roads.each().into_iter().enumerate() {
            let mut client = Client::to(address).await;
            for again in 0..2 {
                client.say(ASK).await;
                let now = u32::try_from(count * 2 + again + 1).unwrap();
                until("the application has the head", || asked.get() == now).await;
                // It has not said that it wants the body: so nobody says it.
                let early = client.stream.try_read(&mut [0; 1]).map_err(|error| error.kind());
                assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "{road}");
                may.add_permits(1);
                assert_eq!(client.head().await.status, 100, "{road}");
                let answer = client.ask("abc").await;
                assert_eq!((answer.status, answer.text().as_str()), (200, "abc"), "{road}");
            }
        }
    });
}

#[test]
fn an_application_that_does_not_want_the_body_does_not_get_it() {
    run(async {
        let (roads, ..) = roads().await;
        for (road, address) in roads.each() {
            for _ in 0..3 {
                let answer = ask(address, ASK.replace("POST / ", "POST /no ")).await;
                assert_eq!((answer.status, answer.text().as_str()), (417, "no"), "{road}");
                assert_eq!(
                    answer.header("connection"),
                    "close",
                    "{road}: nobody knows whether the body comes"
                );
                assert_eq!(ask(address, get("/")).await.status, 200, "{road}");
            }
        }
    });
}

#[test]
fn http_1_0_expects_nothing() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for value in ["100-continue", "100-continue, more"] {
                let head = format!("POST / HTTP/1.0\r\nexpect: {value}\r\ncontent-length: 3\r\n\r\n");
                let seen = ask(address, format!("{head}abc")).await.text();
                assert!(seen.ends_with("\nabc") && !seen.contains("expect"), "{road}: {seen}");
            }
        }
    });
}

#[test]
fn what_nobody_can_promise_is_refused() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            for line in
                ["100-continue, more", "more", "100-continue\r\nexpect: more", "more\r\nexpect: 100-continue"]
            {
                let mut client = Client::to(address).await;
                let answer = client.ask(ASK.replace("100-continue", line)).await;
                assert_eq!((answer.status, answer.header("connection")), (417, "close"), "{road}: {line:?}");
                assert!(client.rest().await.is_empty(), "{road}: {line:?}");
            }
            let request =
                Request::post("http://web.shop/").header("expect", "more").body(whole("abc")).unwrap();
            assert_eq!(Client2::to(address).await.ask(request).await.status, 417, "{road}");
            // Without a body it is between client and application.
            let seen = ask(address, get("/").replace("\r\n\r\n", "\r\nexpect: more\r\n\r\n")).await.text();
            assert!(seen.contains("expect: more"), "{road}: {seen}");
        }
    });
}

#[test]
fn an_http2_client_hears_it_too() {
    run(async {
        let (roads, _, may) = roads().await;
        for (road, address) in roads.each() {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::task::spawn_local(connection);
            let mut sender = sender.ready().await.unwrap();
            let request = Request::post("http://web.shop/").header("expect", "100-continue");
            let request = request.header("content-length", "3").body(()).unwrap();
            let (mut answer, mut body) = sender.send_request(request, false).unwrap();
            may.add_permits(1);
            let interim = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
            assert_eq!(interim.unwrap().unwrap().status(), StatusCode::CONTINUE, "{road}");
            body.send_data("abc".into(), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200, "{road}");
        }
    });
}
