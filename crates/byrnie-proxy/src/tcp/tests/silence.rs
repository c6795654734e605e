//! Ports without declared protocol.

use std::time::{Duration, Instant};

use byrnie_plan::{AppProtocol, Dialect, TrafficSettings};
use byrnie_telemetry::names;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::mesh::{Accepts, Pair, application, echo, run, until};

async fn pair(server: std::net::SocketAddr) -> Pair {
    let accepts = Accepts { protocol: AppProtocol::Detect, ..Accepts::new(server) };
    Pair::with(accepts, AppProtocol::Detect, TrafficSettings::default(), Dialect::Byrnie).await
}

/// Answers one request.
async fn http(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    let _ = stream.read(&mut [0]).await;
}

async fn read_response(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"ok") {
        let mut chunk = [0; 512];
        let read = stream.read(&mut chunk).await.unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(text).unwrap()
}

fn timeouts(pair: &Pair) -> u64 {
    pair.client.process.metrics.counter(&names::DETECT_TIMEOUTS, &["80"]).get()
}

#[test]
fn a_server_that_speaks_first_is_heard_within_200_ms() {
    run(async {
        let server = application(async |mut stream: TcpStream| {
            stream.write_all(b"220 mail ready\r\n").await.unwrap();
            echo(stream).await;
        });
        let pair = pair(server.await).await;
        let begun = Instant::now();
        let mut stream = pair.connect().await;
        let mut banner = [0; 16];
        stream.read_exact(&mut banner).await.unwrap();
        assert_eq!(&banner, b"220 mail ready\r\n");
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
        // After the banner it is bytes for ever, whatever they look like.
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut back = [0; 18];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(timeouts(&pair), 0);
    });
}

#[test]
fn a_client_that_is_silent_and_then_speaks_http_is_served_as_http() {
    run(async {
        let pair = pair(application(http).await).await;
        for silence in [0, 150, 1300] {
            let mut stream = pair.connect().await;
            tokio::time::sleep(Duration::from_millis(silence)).await;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
            assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 200"));
            drop(stream);
            let requests = std::cell::Cell::new(0);
            until("a request is counted", || {
                let delta = pair.client.process.metrics.take_delta(Instant::now());
                assert!(delta.connections.is_empty(), "counted as bytes after {silence} ms");
                requests.set(requests.get() + delta.requests.iter().map(|r| r.tally.count()).sum::<u64>());
                requests.get() == 1
            })
            .await;
        }
        assert_eq!(timeouts(&pair), 1, "only who was silent for longer than a second");
    });
}

#[test]
fn bytes_are_bytes_whoever_begins() {
    run(async {
        let pair = pair(application(echo).await).await;
        for silence in [0, 150] {
            let mut stream = pair.connect().await;
            tokio::time::sleep(Duration::from_millis(silence)).await;
            stream.write_all(b"\x00binary").await.unwrap();
            let mut back = [0; 7];
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"\x00binary");
        }
        let begun = Instant::now();
        let mut stream = pair.connect().await;
        stream.write_all(b"GET ke").await.unwrap();
        let mut back = [0; 6];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"GET ke");
        assert!(begun.elapsed() >= Duration::from_secs(1) && timeouts(&pair) == 1);
    });
}
