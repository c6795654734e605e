//! A panic ends the connection or stream that it happens on, and nothing else.

use byrnie_plan::{AppProtocol, TrafficSettings};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client2, nothing};
use super::kit::{as_seen, origin};
use crate::accept::Workers;
use crate::front::Entrance;
use crate::tcp::tests::mesh::{Mesh, call, endpoint, run, until, web};

/// The path that the proxy of the tests breaks at.
const BREAKS: &str = "/a-defect-of-the-proxy";

/// Called by the proxy where it works on a request, in tests only.
pub(crate) fn panic_if_asked(head: &http::request::Parts) {
    assert_ne!(head.uri.path(), BREAKS, "the test wants it so");
}

/// GET on a connection of its own; the answer's first line, empty when there is none.
async fn line_of(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let words = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(words.as_bytes()).await.unwrap();
    let mut all = String::new();
    let _ = stream.read_to_string(&mut all).await;
    all.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_panic_ends_what_it_happens_on_and_is_counted() {
    run(async {
        let app = origin(as_seen).await;
        let worker = Mesh::new().proxy("front");
        let endpoints = vec![endpoint(app, byrnie_plan::Hop::Plaintext)];
        call(&worker, AppProtocol::Http1, TrafficSettings::default(), endpoints);
        let process = std::sync::Arc::clone(&worker.process);
        let workers = Workers::start(&process, 1).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        workers.listen(listener, Entrance::Upstream(web()));
        // An HTTP/2 connection of an innocent: another stream of it breaks.
        let mut client = Client2::to(address).await;
        assert_eq!(client.get("/").await.status, 200);
        let request = Request::get(format!("http://web.shop{BREAKS}")).body(nothing()).unwrap();
        assert!(client.send(request).await.is_err());
        assert_eq!(client.get("/").await.status, 200, "the connection lives");
        assert_eq!(process.counters.panics.get(), 1);
        for broken in 2..5 {
            assert_eq!(line_of(address, BREAKS).await, "");
            assert_eq!(line_of(address, "/").await, "HTTP/1.1 200 OK");
            assert_eq!(client.get("/").await.status, 200);
            assert_eq!(process.counters.panics.get(), broken);
        }
        drop(client);
        until("all places are free", || process.open.load(std::sync::atomic::Ordering::Relaxed) == 0).await;
        tokio::task::spawn_blocking(move || workers.join()).await.unwrap();
    });
}

#[test]
fn a_worker_beats_while_it_lives() {
    run(async {
        let worker = Mesh::new().proxy("front");
        let workers = Workers::start(&worker.process, 2).unwrap();
        let start: Vec<u64> = workers.beats().collect();
        until("both move", || workers.beats().zip(&start).all(|(now, start)| now > *start)).await;
        tokio::task::spawn_blocking(move || workers.join()).await.unwrap();
    });
}
