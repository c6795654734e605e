//! How long connections to endpoints are kept, who shares them, and what a request occupies meanwhile.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use byrnie_decide::Time;
use byrnie_plan::{AppProtocol, MeshSettings, TrafficSettings};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Client, ask, get};
use super::kit::{Roads, cluster_of, everything, obey, origin, read_head, text};
use super::limits::{direct2, with};
use crate::config::Endpoint;
use crate::front::{Entrance, Front};
use crate::http::body::Body;
use crate::http::{Message, answer};
use crate::tcp::tests::mesh::{application, run, until};

/// Answers slowly, and counts its connections.
async fn slow(pause: Duration) -> (std::net::SocketAddr, Rc<Cell<u32>>) {
    let connections = Rc::new(Cell::new(0));
    let counter = Rc::clone(&connections);
    let address = application(move |mut stream: TcpStream| {
        counter.set(counter.get() + 1);
        async move {
            while read_head(&mut stream).await.is_some() {
                tokio::time::sleep(pause).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    (address, connections)
}

#[test]
fn a_connection_that_is_too_old_takes_nothing_new() {
    run(async {
        let (address, connections) = slow(Duration::from_millis(60)).await;
        let roads = Roads::new(address, AppProtocol::Http1).await;
        let mut client = Client::to(roads.mesh).await;
        let settings =
            MeshSettings { upstream_max_age: Duration::from_millis(50), ..MeshSettings::default() };
        with(&roads.pair.server, settings);
        for asked in 1..=3 {
            assert_eq!(client.ask(get("/")).await.text(), "ok");
            assert_eq!(connections.get(), asked, "it was too old when its answer was complete");
        }
        with(&roads.pair.server, MeshSettings::default());
        for _ in 0..3 {
            assert_eq!(client.ask(get("/")).await.text(), "ok");
        }
        assert_eq!(connections.get(), 4, "kept for the next request");
    });
}

#[test]
fn services_behind_one_peer_share_its_connections() {
    run(async {
        let roads = Roads::new(origin(async |_| text("ok")).await, AppProtocol::Http1).await;
        let (client, known) = (&roads.pair.client, &roads.pair.endpoint);
        let sibling = Arc::new(Endpoint::behind(Arc::clone(&known.peer), known.plan.clone(), Time::ZERO));
        let clusters = [known, &sibling].map(|endpoint| {
            let settings = TrafficSettings::default();
            cluster_of("web", AppProtocol::Http1, settings, vec![Arc::clone(endpoint)])
        });
        for cluster in clusters {
            obey(client, &everything(), &[cluster]);
            assert_eq!(Client::to(roads.gateway).await.ask(get("/")).await.text(), "ok");
        }
        assert_eq!(known.peer.connections.load(Relaxed), 1, "one connection, whatever the service");
        known.leave();
        assert!(!sibling.peer.gone.is_cancelled());
        assert_eq!(Client::to(roads.gateway).await.ask(get("/")).await.text(), "ok");
        assert_eq!(known.peer.connections.load(Relaxed), 1, "still the same");
    });
}

/// An HTTP/2 application that takes one connection, and never answers `/hang`.
async fn for_one() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let service =
            hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                if request.uri().path() == "/hang" {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(text("ok"))
            });
        let builder = hyper::server::conn::http2::Builder::new(super::kit::Local);
        let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
    });
    address
}

#[test]
fn a_connection_that_cannot_be_opened_is_done_without() {
    run(async {
        let (worker, address) = direct2(TrafficSettings::default(), for_one().await).await;
        let mut hanging = Vec::new();
        for _ in 0..100 {
            let mut client = Client::to(address).await;
            client.say(get("/hang")).await;
            hanging.push(client);
        }
        until("the connection has as many as are good for it", || worker.process.overload.requests() == 100)
            .await;
        assert_eq!(ask(address, get("/")).await.text(), "ok");
    });
}

#[test]
fn the_future_of_a_request_stays_small() {
    run(async {
        let roads = Roads::new(origin(async |_| text("ok")).await, AppProtocol::Http1).await;
        for entrance in [Entrance::Gateway(8000), Entrance::Mesh] {
            let front = Front::new(entrance, None, roads.gateway);
            let mut message = Message::new(http::Request::new(()).into_parts().0, Body::Empty, None);
            let answering = answer(&roads.pair.client, &front, &mut message);
            // It is moved once for each request, and kept as long as the request lasts.
            assert!(size_of_val(&answering) <= 5120, "{} bytes", size_of_val(&answering));
        }
    });
}

#[test]
fn the_future_of_a_connection_stays_small() {
    run(async {
        let roads = Roads::new(origin(async |_| text("ok")).await, AppProtocol::Http1).await;
        let worker = &roads.pair.client;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        // What every connection holds as long as it lasts; what its protocol needs is boxed when it comes.
        let bytes = size_of_val(&crate::connection::serve(worker, stream, address, Entrance::Gateway(8000)));
        assert!(bytes <= 640, "{bytes} bytes");
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let front = Front::new(Entrance::Gateway(8000), None, roads.gateway);
        let http = size_of_val(&crate::http::serve(worker, &front, stream));
        assert!(http <= 512, "{http} bytes");
        // One for each service that a workload calls.
        let (seats, entrance) = (Arc::from([]), Entrance::Gateway(8000));
        let stop = tokio_util::sync::CancellationToken::new();
        let (worker, patience, tuned) = (Rc::clone(worker), Default::default(), Cell::default());
        let door = crate::accept::Door { worker, seats, listener, entrance, stop, patience, tuned };
        let accepting = size_of_val(&crate::accept::accept(Rc::new(door)));
        assert!(accepting <= 192, "{accepting} bytes");
    });
}
