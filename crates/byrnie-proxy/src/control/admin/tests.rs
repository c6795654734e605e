//! What the admin server takes at most.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::tcp::tests::mesh::{Mesh, run};

/// An admin server on this thread.
async fn served() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let process = Arc::clone(&Mesh::new().proxy("bot").process);
    let (readiness, ask) = (Arc::default(), mpsc::channel(1).0);
    tokio::spawn(serve(listener, Arc::new(Desk { process, readiness, secret: None, ask, log: None })));
    address
}

/// What is answered, as far as it goes: the head and a body of five bytes, or less where the server closes.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"live\n") && stream.read_buf(&mut text).await.is_ok_and(|bytes| bytes > 0) {}
    String::from_utf8(text).unwrap()
}

async fn alive(stream: &mut TcpStream) -> bool {
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    answer(stream).await.starts_with("HTTP/1.1 200")
}

#[test]
fn connections_beyond_the_limit_wait_for_one_that_ends() {
    run(async {
        let address = served().await;
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert!(alive(&mut stream).await);
            open.push(stream);
        }
        let mut waits = TcpStream::connect(address).await.unwrap();
        waits.write_all(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        // Everything here is one thread: while these are answered, it would be, too.
        for stream in &mut open {
            assert!(alive(stream).await);
        }
        assert_eq!(waits.try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        open.pop();
        assert!(answer(&mut waits).await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn heads_have_a_limit_of_bytes_and_lines() {
    run(async {
        let address = served().await;
        let lines = |count: usize, length: usize| {
            let mut head = "GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_owned();
            for line in 2..count {
                let _ = write!(head, "x-{line}: {}\r\n", "a".repeat(length));
            }
            head + "\r\n"
        };
        for (head, status) in [
            (lines(HEADERS, 1), 200),
            (lines(HEADERS + 1, 1), 431),
            (lines(10, 1_800), 200),
            (lines(10, HEAD_LIMIT / 7), 431),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let said = answer(&mut stream).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{} bytes: {said}", head.len());
        }
    });
}

/// The clock stands still but where everything waits for it.
#[tokio::test]
async fn who_says_nothing_is_closed_in_time() {
    let address = served().await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut began = TcpStream::connect(address).await.unwrap();
    began.write_all(b"GET /live HTTP/1.1\r\nho").await.unwrap();
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    for stream in [&mut silent, &mut began] {
        assert!(!answer(stream).await.contains("200"));
    }
    let took = start.elapsed();
    assert!(took >= HEAD_TIMEOUT && took < HEAD_TIMEOUT * 2, "{took:?}");
}
