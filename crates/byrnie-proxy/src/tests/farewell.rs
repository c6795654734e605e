//! Clients of HTTP/2 that do not acknowledge that a connection is to end.

use std::net::SocketAddr;
use std::time::Duration;

use byrnie_plan::{MeshSettings, TrafficSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::{as_seen, direct, origin};
use super::limits::{gated, with};
use crate::tcp::tests::mesh::{run, until};

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// Asks for `/`, and says nothing more.
async fn mute(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let host = b"\x41\x08web.shop";
    let mut words = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    words.extend([0, 0, 3 + host.len() as u8, HEADERS, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84]);
    words.extend(host);
    stream.write_all(&words).await.unwrap();
    stream
}

/// The next frame: its kind, and what it says. `None`: the connection has ended.
async fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let mut rest = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut rest).await.ok()?;
    Some((head[3], rest))
}

/// The frames of this kind, to the end of the connection.
async fn all(stream: &mut TcpStream, wanted: u8) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((kind, rest)) = frame(stream).await {
        if kind == wanted {
            found.push(rest);
        }
    }
    found
}

/// First that it is about to end, and then where it has ended: after stream 1, with no error.
const FAREWELLS: [[u8; 8]; 2] = [[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]];

#[test]
fn an_idle_client_that_does_not_answer_is_closed() {
    run(async {
        let (worker, address) = direct(TrafficSettings::default(), &[origin(as_seen).await]).await;
        let client_idle_timeout = Duration::from_millis(200);
        with(&worker, MeshSettings { client_idle_timeout, ..MeshSettings::default() });
        assert_eq!(all(&mut mute(address).await, GOAWAY).await, FAREWELLS);
    });
}

#[test]
fn a_drain_does_not_wait_for_who_does_not_answer_but_for_what_is_under_way() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (worker, address) = direct(TrafficSettings::default(), &[app]).await;
        let (mut idle, mut busy) = (mute(address).await, mute(address).await);
        until("both are served", || waiting.get() == 2).await;
        gate.add_permits(1);
        // Whose answer comes first is the idle one.
        tokio::select! {
            kind = until_headers(&mut idle) => assert!(kind),
            kind = until_headers(&mut busy) => {
                assert!(kind);
                std::mem::swap(&mut idle, &mut busy);
            }
        }
        worker.process.draining.cancel();
        assert_eq!(all(&mut idle, GOAWAY).await, FAREWELLS);
        // The other one was told in the same moment, and had as much time.
        gate.add_permits(1);
        assert!(until_headers(&mut busy).await, "it is still answered");
        assert_eq!(all(&mut busy, GOAWAY).await, FAREWELLS[1..]);
    });
}

async fn until_headers(stream: &mut TcpStream) -> bool {
    while let Some((kind, _)) = frame(stream).await {
        if kind == HEADERS {
            return true;
        }
    }
    false
}
