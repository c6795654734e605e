//! 103 (Early Hints), where both ends speak HTTP/2.

use byrnie_plan::AppProtocol;
use http::{Request, Response};
use tokio::net::TcpStream;

use super::client::{Client, get};
use super::kit::Roads;
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
