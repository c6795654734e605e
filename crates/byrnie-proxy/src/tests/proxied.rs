//! The PROXY protocol of a Gateway's clients.

use std::time::Duration;

use byrnie_plan::{AppProtocol, MeshSettings};
use tokio::io::AsyncReadExt;

use super::client::{Client, get};
use super::kit::{Roads, as_seen, origin};
use super::limits::with;
use crate::tcp::tests::mesh::run;

const V1: &[u8] = b"PROXY TCP4 203.0.113.9 10.0.0.1 4000 80\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x0a\0\0\x01\x0f\xa0\0\x50";

async fn roads() -> Roads {
    let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
    let header_timeout = Duration::from_millis(300);
    let settings = MeshSettings { accept_proxy_protocol: true, header_timeout, ..MeshSettings::default() };
    with(&roads.pair.client, settings);
    roads
}

fn refused(roads: &Roads) -> u64 {
    roads.pair.client.process.counters.limit_proxy_protocol.get()
}

#[test]
fn the_client_is_where_the_header_says() {
    run(async {
        let roads = roads().await;
        for (header, address) in [
            (V1, "203.0.113.9"),
            (V2, "203.0.113.9"),
            (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "127.0.0.1"),
        ] {
            // At once, and byte by byte: nothing behind the header is taken for it.
            for pieces in [header.len() + 1, 1] {
                let mut client = Client::to(roads.gateway).await;
                for piece in header.chunks(pieces) {
                    client.say(piece).await;
                    tokio::task::yield_now().await;
                }
                for _ in 0..2 {
                    let answer = client.ask(get("/")).await;
                    let line = format!("x-forwarded-for: {address}\n");
                    assert!(answer.text().contains(&line), "{}: {}", header.escape_ascii(), answer.text());
                }
            }
        }
        assert_eq!(refused(&roads), 0);
        // It is a Gateway's: the workload's own calls begin with no header.
        assert_eq!(Client::to(roads.mesh).await.ask(get("/")).await.status, 200);
    });
}

#[test]
fn what_begins_otherwise_is_closed_and_counted() {
    run(async {
        let roads = roads().await;
        let bad = [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], b"PROXY TCP4 a b 1 2\r\n", b"\x16\x03\x01"];
        for (count, bytes) in (1..).zip(bad) {
            let mut client = Client::to(roads.gateway).await;
            client.say(bytes).await;
            assert!(client.rest().await.is_empty(), "{}", bytes.escape_ascii());
            assert_eq!(refused(&roads), count);
        }
        let counts = crate::tcp::tests::mesh::counted(&roads.pair.client);
        assert!(
            counts.iter().all(|delta| delta.outcome.error == "BYR0200") && !counts.is_empty(),
            "{counts:?}"
        );
    });
}

#[test]
fn a_header_must_come_in_time() {
    run(async {
        let roads = roads().await;
        for begin in [&V1[..9], b""] {
            let mut client = Client::to(roads.gateway).await;
            client.say(begin).await;
            let before = refused(&roads);
            assert!(matches!(client.stream.read(&mut [0]).await, Ok(0) | Err(_)));
            assert_eq!(refused(&roads), before + 1);
        }
    });
}
