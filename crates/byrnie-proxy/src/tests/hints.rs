//! 103 (Early Hints), where both ends speak HTTP/2.

use byrnie_plan::AppProtocol;
use http::{Request, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Client, get};
use super::kit::{Roads, read_head};
use crate::http::hints::MOST;
use crate::tcp::tests::mesh::{application, run};

/// Says as many hints as the path names, and answers once it is asked to with a body.
async fn hinting(stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let count: usize = request.uri().path().trim_start_matches('/').parse().unwrap();
        for number in 0..count {
            let hint = Response::builder().status(103).header("link", format!("</{number}>; rel=preload"));
            let hint = hint.header("byrnie-error", "made up").body(()).unwrap();
            respond.send_informational(hint).unwrap();
        }
        respond.send_response(Response::new(()), true).unwrap();
    }
}

async fn hints(address: std::net::SocketAddr, path: &str) -> Vec<String> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = Request::get(format!("http://web.shop{path}")).body(()).unwrap();
    let (mut answer, _) = sender.send_request(request, true).unwrap();
    let mut heard = Vec::new();
    while let Some(hint) = std::future::poll_fn(|cx| answer.poll_informational(cx)).await {
        let hint = hint.unwrap();
        assert!(hint.status() == 103 && !hint.headers().contains_key("byrnie-error"), "{hint:?}");
        heard.push(hint.headers()["link"].to_str().unwrap().to_owned());
    }
    assert_eq!(answer.await.unwrap().status(), 200);
    heard
}

/// Says two hints and then the answer, all in one breath, for each request of its connection.
async fn hinting1(mut stream: TcpStream) {
    while let Some(head) = read_head(&mut stream).await {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n".repeat(2);
        let body = if head.starts_with("HEAD") { "" } else { "ok" };
        let answer = format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-final: 1\r\n\r\n{body}");
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

/// HTTP/1's codec hears of no hint, so none is passed on; what follows is untouched, also the next answer.
#[test]
fn hints_of_an_http1_application_harm_no_answer() {
    run(async {
        let roads = Roads::new(application(hinting1).await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            for _ in 0..3 {
                let answer = client.ask(get("/")).await;
                assert_eq!((answer.status, answer.header("x-final")), (200, "1"), "{road}");
                assert_eq!(answer.text(), "ok", "{road}");
                assert_eq!(answer.header("link"), "", "{road}: of the hint nothing gets into the answer");
            }
            assert_eq!(hints(address, "/").await, [""; 0], "{road}");
        }
    });
}

#[test]
fn early_hints_pass_from_http2_to_http2() {
    run(async {
        let roads = Roads::new(application(hinting).await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            assert_eq!(hints(address, "/0").await, [""; 0], "{road}");
            assert_eq!(hints(address, "/2").await, ["</0>; rel=preload", "</1>; rel=preload"], "{road}");
            // No more than that.
            assert_eq!(hints(address, "/40").await.len(), MOST, "{road}");
            // A client of HTTP/1 gets the answer, and nothing before it.
            assert_eq!(Client::to(address).await.ask(get("/3")).await.status, 200, "{road}");
            assert_eq!(hints(address, "/0").await, [""; 0], "{road}: what was not for it");
        }
    });
}
