//! Who gets how much.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use byrnie_plan::TrafficSettings;
use http::Request;
use hyper::body::Incoming;

use super::client::{Client, get};
use super::kit::{Reply, direct, origin, status, text};
use crate::tcp::tests::mesh::{run, until};

async fn endpoint<F: Future<Output = Reply> + 'static>(
    answer: impl Fn() -> F + Clone + 'static,
) -> (SocketAddr, Rc<Cell<u32>>) {
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    let address = origin(move |_: Request<Incoming>| {
        counter.set(counter.get() + 1);
        answer()
    })
    .await;
    (address, count)
}

async fn after(millis: u64) -> Reply {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    text("ok")
}

/// Many clients at once, one request after the other each; gives the endpoints' counts.
async fn load(address: SocketAddr, requests: u32) {
    let clients = (0..20).map(|_| async {
        let mut client = Client::to(address).await;
        for _ in 0..requests / 20 {
            client.ask(get("/")).await;
        }
    });
    futures_util::future::join_all(clients).await;
}

#[test]
fn an_endpoint_that_is_ten_times_slower_gets_little() {
    // Long enough that what the machine does beside does not blur the difference.
    run(async {
        let endpoints =
            [endpoint(|| after(20)).await, endpoint(|| after(20)).await, endpoint(|| after(200)).await];
        let (_worker, address) = direct(TrafficSettings::default(), &endpoints.each_ref().map(|e| e.0)).await;
        load(address, 1500).await;
        let [a, b, slow] = endpoints.map(|e| e.1.get());
        assert!(slow <= 150, "{a} {b} {slow}");
        assert!(a.abs_diff(b) < 400, "{a} {b} {slow}");
    });
}

#[test]
fn an_endpoint_that_fails_at_once_gets_next_to_nothing() {
    run(async {
        let failing = || async { status(503) };
        let endpoints = [endpoint(|| after(5)).await, endpoint(|| after(5)).await, endpoint(failing).await];
        let (_worker, address) = direct(TrafficSettings::default(), &endpoints.each_ref().map(|e| e.0)).await;
        load(address, 3000).await;
        let [a, b, failing] = endpoints.map(|e| e.1.get());
        assert!(failing <= 60, "{a} {b} {failing}");
    });
}

#[test]
fn the_same_holds_for_grpc_statuses() {
    run(async {
        let unavailable = || async {
            let mut reply = Reply::default();
            reply.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            reply.headers_mut().insert("grpc-status", "14".parse().unwrap());
            reply
        };
        let endpoints =
            [endpoint(|| after(5)).await, endpoint(|| after(5)).await, endpoint(unavailable).await];
        let (_worker, address) = direct(TrafficSettings::default(), &endpoints.each_ref().map(|e| e.0)).await;
        let clients = (0..20).map(|_| async {
            let mut client = Client::to(address).await;
            for _ in 0..50 {
                let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n";
                client.ask(head).await;
            }
        });
        futures_util::future::join_all(clients).await;
        let [a, b, failing] = endpoints.map(|e| e.1.get());
        assert!(failing <= 50, "{a} {b} {failing}");
    });
}

#[test]
fn a_request_is_load_until_its_body_ends() {
    run(async {
        let endpoints = [endpoint(|| async { text("x".repeat(20 << 20)) }).await];
        let (worker, address) = direct(TrafficSettings::default(), &[endpoints[0].0]).await;
        let mut client = Client::to(address).await;
        client.say(get("/")).await;
        client.head().await;
        let config = worker.config();
        let set = config.destinations[&crate::tcp::tests::mesh::web()].cluster.endpoints.load();
        assert_eq!(set.endpoints[0].load.in_flight(), 1);
        client.take(20 << 20).await;
        until("it is over", || set.endpoints[0].load.in_flight() == 0).await;
    });
}
