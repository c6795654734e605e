//! Bytes arrive, all of them, in both directions, and ends are ends.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;

use byrnie_plan::{AppProtocol, Dialect, TrafficSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::mesh::{Accepts, Pair, application, counted, echo, identity, reset, run, until};

async fn say(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).await.unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.unwrap();
    answer
}

/// Bytes without a pattern that a mistake could hit.
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn an_echo_comes_back_over_one_tunnel_and_is_counted_on_both_sides() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let mut streams = Vec::new();
        for round in 0..5 {
            let mut stream = pair.connect().await;
            assert_eq!(
                say(&mut stream, format!("hello {round}").as_bytes()).await,
                format!("hello {round}").as_bytes()
            );
            streams.push(stream);
        }
        assert_eq!(pair.client.process.counters.upstream.get(), 1, "one connection for all");
        drop(streams);
        until("the client's side ends", || pair.endpoint.load.in_flight() == 0).await;
        let outbound = counted(&pair.client).remove(0);
        assert_eq!((outbound.tally.opened, outbound.tally.closed), (5, 5));
        assert_eq!((outbound.tally.received_bytes, outbound.tally.sent_bytes), (35, 35));
        assert!(outbound.labels.secured && outbound.outcome.error.is_empty());
        assert_eq!(outbound.labels.peer_identity, Some(identity("web")));
        let seen = Cell::new((0, 0));
        until("the server's side ends", || {
            for delta in counted(&pair.server) {
                assert_eq!(delta.labels.peer_identity, Some(identity("front")));
                seen.set((seen.get().0 + delta.tally.closed, seen.get().1 + delta.tally.received_bytes));
            }
            seen.get() == (5, 35)
        })
        .await;
    });
}

#[test]
fn a_client_that_has_said_all_still_hears_the_answer() {
    run(async {
        let server = application(async |mut stream: TcpStream| {
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
            stream.write_all(format!("{} bytes", heard.len()).as_bytes()).await.unwrap();
        });
        let pair = Pair::new(server.await).await;
        let mut stream = pair.connect().await;
        stream.write_all(&noise(100_000, 1)).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "100000 bytes");
    });
}

#[test]
fn a_server_that_has_said_all_still_hears_the_client() {
    run(async {
        let (told, heard) = oneshot::channel();
        let told = Rc::new(Cell::new(Some(told)));
        let server = application(move |mut stream: TcpStream| {
            let told = Rc::clone(&told);
            async move {
                stream.write_all(b"welcome").await.unwrap();
                stream.shutdown().await.unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                told.take().unwrap().send(text).unwrap();
            }
        });
        let pair = Pair::new(server.await).await;
        let mut stream = pair.connect().await;
        let mut welcome = String::new();
        stream.read_to_string(&mut welcome).await.unwrap();
        assert_eq!(welcome, "welcome");
        stream.write_all(b"and now I speak").await.unwrap();
        drop(stream);
        assert_eq!(heard.await.unwrap(), "and now I speak");
    });
}

#[test]
fn a_reset_is_a_reset_on_the_other_side() {
    run(async {
        let (told, heard) = oneshot::channel();
        let told = Rc::new(Cell::new(Some(told)));
        let server = application(move |mut stream: TcpStream| {
            let told = Rc::clone(&told);
            async move {
                stream.write_all(b"x").await.unwrap();
                let ended = stream.read(&mut [0]).await.map_err(|error| error.kind());
                told.take().unwrap().send(ended).unwrap();
            }
        });
        let pair = Pair::new(server.await).await;
        let mut stream = pair.connect().await;
        stream.read_exact(&mut [0]).await.unwrap();
        reset(stream);
        assert_eq!(heard.await.unwrap(), Err(ErrorKind::ConnectionReset));

        let pair = Pair::new(application(async |stream| reset(stream)).await).await;
        let mut stream = pair.connect().await;
        assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn ten_megabytes_arrive_as_they_were_sent_both_ways_at_once() {
    for dialect in [Dialect::Byrnie, Dialect::Hbone] {
        run(async {
            let accepts = Accepts::new(application(echo).await);
            let pair = Pair::with(accepts, AppProtocol::Tcp, TrafficSettings::default(), dialect).await;
            let sent = noise(10 << 20, 7);
            let (mut read, mut write) = pair.connect().await.into_split();
            let copy = sent.clone();
            let writing = tokio::task::spawn_local(async move {
                write.write_all(&copy).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let mut received = Vec::with_capacity(sent.len());
            read.read_to_end(&mut received).await.unwrap();
            writing.await.unwrap();
            assert!(received == sent, "{} bytes came of {}", received.len(), sent.len());
        });
    }
}

#[test]
fn tiny_packets_to_a_slow_reader_harm_nobody() {
    const PACKETS: usize = 200_000;
    run(async {
        let (go, gone) = oneshot::channel();
        let gone = Rc::new(Cell::new(Some(gone)));
        let server = application(move |mut stream: TcpStream| {
            let gone = Rc::clone(&gone);
            async move {
                if stream.read_u8().await.unwrap() == b'e' {
                    return echo(stream).await;
                }
                gone.take().unwrap().await.unwrap();
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).await.unwrap();
                stream.write_all(&(heard.len() as u64).to_be_bytes()).await.unwrap();
            }
        });
        let pair = Pair::new(server.await).await;
        let mut other = pair.connect().await;
        other.write_all(b"e").await.unwrap();
        let mut tiny = pair.connect().await;
        tiny.write_all(b"s").await.unwrap();
        for packet in 0..PACKETS {
            tiny.write_all(b"t").await.unwrap();
            if packet % 100 == 0 {
                // Lets the proxies take what is there: each packet becomes a frame.
                assert_eq!(say(&mut other, b"still here").await, b"still here");
            }
        }
        tiny.shutdown().await.unwrap();
        go.send(()).unwrap();
        assert_eq!(tiny.read_u64().await.unwrap(), PACKETS as u64);
        assert_eq!(pair.client.process.counters.upstream.get(), 1);
    });
}

#[test]
fn readers_that_stop_do_not_stop_the_others() {
    run(async {
        let server = application(async |mut stream: TcpStream| {
            if stream.read_u8().await.unwrap() == b'e' {
                return echo(stream).await;
            }
            let flood = noise(1 << 20, 3);
            while stream.write_all(&flood).await.is_ok() {}
        });
        let pair = Pair::new(server.await).await;
        let mut stuck = Vec::new();
        for _ in 0..20 {
            let mut stream = pair.connect().await;
            stream.write_all(b"f").await.unwrap();
            stuck.push(stream);
        }
        let mut other = pair.connect().await;
        other.write_all(b"e").await.unwrap();
        for round in 0..200 {
            let text = noise(10_000, round);
            assert_eq!(say(&mut other, &text).await, text);
        }
        assert_eq!(pair.client.process.counters.upstream.get(), 1);
    });
}
