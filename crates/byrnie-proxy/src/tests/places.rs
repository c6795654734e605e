//! What holds a descriptor or memory without doing anything: it is counted, and does not stay.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use byrnie_plan::{AppProtocol, Dialect, Hop, MeshSettings, TrafficSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::client::{Client, get};
use super::kit::{Roads, direct, origin, text};
use super::limits::{gated, limits, with};
use crate::front::Entrance;
use crate::hop::dial;
use crate::pool;
use crate::tcp::tests::mesh::{Mesh, application, call, echo, endpoint, listen, meshed, run, until, web};
use crate::tls::Alpn;
use crate::worker::Worker;

/// Far longer than any of these limits.
const LONG: Duration = Duration::from_secs(50);

/// Waits for the other side to close.
async fn closes(mut stream: impl AsyncReadExt + Unpin) {
    let end = async { while stream.read(&mut [0; 512]).await.is_ok_and(|read| read > 0) {} };
    timeout(LONG, end).await.expect("it is not closed");
}

#[test]
fn a_peer_that_begins_no_handshake_or_no_http_is_closed() {
    run(async {
        let roads = Roads::new(origin(async |_| text("ok")).await, AppProtocol::Http1).await;
        let port = roads.pair.endpoint.plan.address;
        let without_tls = TcpStream::connect(port).await.unwrap();
        let requests =
            dial::tls(&roads.pair.client, &roads.pair.endpoint, Alpn::Requests, false).await.unwrap();
        tokio::join!(closes(without_tls), closes(requests));
    });
}

/// As many requests at once as there are clients, until all are answered.
async fn wave(worker: &Worker, gated: &(Rc<Semaphore>, Rc<Cell<usize>>), clients: &mut [Client]) {
    let (gate, waiting) = gated;
    for client in &mut *clients {
        client.say(get("/")).await;
    }
    until("all are in flight", || waiting.get() == clients.len()).await;
    gate.add_permits(clients.len());
    for client in &mut *clients {
        assert_eq!(client.answer().await.text(), "ok");
    }
    until("all are given back", || worker.process.overload.requests() == 0).await;
}

#[test]
fn idle_connections_to_an_endpoint_wait_for_the_next_wave_and_do_not_stay() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (worker, address) = direct(limits(1000, 1000, 1000), &[app]).await;
        let gated = (gate, waiting);
        let mut clients = Vec::new();
        for _ in 0..140 {
            clients.push(Client::to(address).await);
        }
        wave(&worker, &gated, &mut clients).await;
        let upstream = &worker.process.counters.upstream;
        assert_eq!(upstream.get(), 140);
        wave(&worker, &gated, &mut clients).await;
        assert_eq!(upstream.get(), 140, "none was opened for them");

        // They were needed since the last look; then half of those beyond eight go at a time.
        let timeout = MeshSettings::default().upstream_idle_timeout;
        for left in [140, 74, 41, 24, 16, 12, 10, 9, 8, 8] {
            worker.pools.sweep(timeout, Instant::now());
            until("they are closed", || upstream.get() == left).await;
        }
        wave(&worker, &gated, &mut clients[..8]).await;
        assert_eq!(upstream.get(), 8, "none was opened for them");
        wave(&worker, &gated, &mut clients[..30]).await;
        assert_eq!(upstream.get(), 30);
        // Not so if they are needed between two looks.
        for _ in 0..3 {
            wave(&worker, &gated, &mut clients[..25]).await;
            worker.pools.sweep(timeout, Instant::now());
        }
        assert_eq!(upstream.get(), 30);

        let upstream_idle_timeout = Duration::from_millis(10);
        with(&worker, MeshSettings { upstream_idle_timeout, ..MeshSettings::default() });
        tokio::task::spawn_local(pool::sweep(Rc::downgrade(&worker)));
        until("none has been used for so long", || upstream.get() == 0).await;
    });
}

#[test]
fn a_connection_of_bytes_counts_from_before_its_socket_is_made() {
    run(async {
        let worker = Mesh::new().proxy("front");
        let upstream = &worker.process.counters.upstream;
        let address = listen(&worker, Entrance::Upstream(web())).await;
        let plain = endpoint(application(echo).await, Hop::Plaintext);
        call(&worker, AppProtocol::Tcp, TrafficSettings::default(), vec![plain]);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.read_exact(&mut [0; 5]).await.unwrap();
        assert_eq!(upstream.get(), 1);
        drop(client);
        until("it is closed", || upstream.get() == 0).await;

        // A peer that does not answer: nothing is open yet.
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let silent = application(move |stream| {
            count.set(count.get() + 1);
            async move { closes(stream).await }
        });
        let silent = meshed(silent.await, "web", Dialect::Byrnie);
        let mut settings = TrafficSettings { connect_timeout: Duration::from_secs(5), ..Default::default() };
        settings.retry.attempts = 0;
        call(&worker, AppProtocol::Tcp, settings, vec![silent]);
        let mut client = TcpStream::connect(address).await.unwrap();
        until("it is dialed", || asked.get() > 0).await;
        assert_eq!(upstream.get(), 1, "it has a descriptor");
        assert_eq!(client.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        until("it is given up", || upstream.get() == 0).await;
    });
}
