//! Bytes arrive, all of them, in both directions, and ends are ends.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use byrnie_plan::{AppProtocol, Dialect, TrafficSettings};
use bytes::Bytes;
use futures_util::FutureExt;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::mesh::{Accepts, PORT, Pair, application, counted, echo, identity, reset, run, until, web};
use crate::hop::header::hop_prefix;
use crate::hop::{dial, header, tunnel};
use crate::tls::Alpn;

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
fn tiny_frames_to_a_slow_reader_harm_nobody() {
    const FRAMES: usize = 100_000;
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
        // A peer that is not our relay, which would join what waits: a frame for each byte, as fast as it can.
        let tls = dial::tls(&pair.client, &pair.endpoint, Alpn::Bytes, false).await.unwrap();
        let (requests, driver) = h2::client::Builder::new().handshake::<_, Bytes>(tls).await.unwrap();
        tokio::task::spawn_local(driver);
        let (mut tiny, answer) = open(&requests).await;
        tiny.send_data(Bytes::from_static(b"t"), false).unwrap();
        for _ in 0..FRAMES {
            tiny.send_data(Bytes::from_static(b"t"), false).unwrap();
        }
        tiny.send_data(Bytes::new(), true).unwrap();
        let (mut other, mut echoed) = open(&requests).await;
        for _ in 0..100 {
            other.send_data(Bytes::from_static(b"e"), false).unwrap();
            if let Some(bytes) = echoed.data().now_or_never() {
                assert_eq!(bytes.unwrap().unwrap()[0], b'e');
            }
            tokio::task::yield_now().await;
        }
        assert!(echoed.data().await.unwrap().is_ok(), "the other stream lives");
        go.send(()).unwrap();
        let mut answer = answer;
        let counted = answer.data().await.unwrap().unwrap();
        assert_eq!(counted[..], (FRAMES as u64).to_be_bytes());
    });
}

async fn open(requests: &SendRequest<Bytes>) -> (SendStream<Bytes>, RecvStream) {
    let hop = header::for_bytes(&hop_prefix(&web()), None, PORT, ([127, 0, 0, 1], 1).into()).unwrap();
    let request = tunnel::request("web.shop:80", [(header::HOP, hop)]).unwrap();
    let (response, send) = requests.clone().ready().await.unwrap().send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    (send, response.into_body())
}

#[test]
fn readers_that_stop_do_not_stop_the_others() {
    run(async {
        let written = Rc::new(Cell::new(0));
        let counter = Rc::clone(&written);
        let server = application(move |mut stream: TcpStream| {
            let counter = Rc::clone(&counter);
            async move {
                if stream.read_u8().await.unwrap() == b'e' {
                    return echo(stream).await;
                }
                let flood = noise(1 << 16, 3);
                while let Ok(count) = stream.write(&flood).await {
                    counter.set(counter.get() + count);
                }
            }
        });
        let pair = Pair::new(server.await).await;
        let mut stuck = Vec::new();
        for _ in 0..20 {
            let mut stream = pair.connect().await;
            // What the kernel takes must not hide what the proxies hold.
            socket2::SockRef::from(&stream).set_recv_buffer_size(64 * 1024).unwrap();
            stream.write_all(b"f").await.unwrap();
            stuck.push(stream);
        }
        let last = Cell::new((0, Instant::now()));
        until("the floods stand still", || {
            if last.get().0 != written.get() {
                last.set((written.get(), Instant::now()));
            }
            written.get() > 0 && last.get().1.elapsed() > Duration::from_millis(500)
        })
        .await;
        let mut other = pair.connect().await;
        other.write_all(b"e").await.unwrap();
        let echoes = async {
            for round in 0..200 {
                let text = noise(10_000, round);
                assert_eq!(say(&mut other, &text).await, text);
            }
        };
        // Bounded: the kernel lets a little through to those that do not read, which would feed a starved tunnel.
        tokio::time::timeout(Duration::from_secs(10), echoes).await.expect("the tunnel is starved");
        assert_eq!(pair.client.process.counters.upstream.get(), 1);
    });
}
