//! What holds a descriptor or memory without doing anything: it is counted, and does not stay.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use byrnie_plan::{AppProtocol, Dialect, Hop, MeshSettings, TrafficSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Client, get};
use super::kit::{Roads, direct, origin, text};
use super::limits::{gated, limits, with};
use crate::front::Entrance;
use crate::hop::dial;
use crate::pool;
use crate::tcp::tests::mesh::{Mesh, application, call, echo, endpoint, listen, meshed, run, until, web};
use crate::tls::Alpn;

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

#[test]
fn idle_connections_to_an_endpoint_wait_for_the_next_wave_and_do_not_stay() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (worker, address) = direct(limits(1000, 1000, 1000), &[app]).await;
        let mut clients = Vec::new();
        for _ in 0..140 {
            let mut client = Client::to(address).await;
            client.say(get("/")).await;
            clients.push(client);
        }
        until("all are in flight", || waiting.get() == 140).await;
        gate.add_permits(140);
        for client in &mut clients {
            assert_eq!(client.answer().await.text(), "ok");
        }
        let upstream = &worker.process.counters.upstream;
        until("all are given back", || worker.process.overload.requests() == 0).await;
        for client in &mut clients {
            client.say(get("/")).await;
        }
        until("all are in flight", || waiting.get() == 140).await;
        assert_eq!(upstream.get(), 140, "none was opened for them");
        gate.add_permits(140);
        for client in &mut clients {
            assert_eq!(client.answer().await.text(), "ok");
        }
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
