//! What the admin server takes at most.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::tcp::tests::mesh::{Mesh, run, until};

/// An admin server on this thread.
async fn served() -> SocketAddr {
    with_token(None, None).await
}

async fn with_token(secret: Option<Secret>, log: Option<LogFilter>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let process = Arc::clone(&Mesh::new().proxy("bot").process);
    let (readiness, ask) = (Arc::default(), mpsc::channel(1).0);
    tokio::spawn(serve(listener, Arc::new(Desk { process, readiness, secret, ask, log })));
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

/// A server that knows the token it writes, and the head of a request with it.
async fn for_me(log: Option<LogFilter>) -> (SocketAddr, impl Fn(&str) -> String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(super::super::secret::FILE);
    let address = with_token(Some(Secret::write(&path).unwrap()), log).await;
    let token = std::fs::read_to_string(&path).unwrap();
    let head = move |line: &str| {
        format!("{line} HTTP/1.1\r\nhost: localhost\r\n{TOKEN}: {token}\r\nconnection: close\r\n")
    };
    (address, head)
}

async fn status(address: SocketAddr, request: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let said = answer(&mut stream).await;
    said.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_profile_that_nobody_waits_for_ends_and_lets_the_next_one_begin() {
    run(async {
        let (address, head) = for_me(None).await;
        let is_busy = || {
            let begun = byrnie_net::profile::cpu::start();
            begun.is_err_and(|error| error.kind() == std::io::ErrorKind::ResourceBusy)
        };
        let ask = format!("{}\r\n", head("GET /profile/cpu?seconds=60"));
        let mut gone = TcpStream::connect(address).await.unwrap();
        gone.write_all(ask.as_bytes()).await.unwrap();
        until("it samples", is_busy).await;
        drop(gone);
        until("nobody samples any more", || !is_busy()).await;
        // Who only says that nothing more comes has what was found until then.
        let mut finished = TcpStream::connect(address).await.unwrap();
        finished.write_all(ask.as_bytes()).await.unwrap();
        until("it samples again", is_busy).await;
        finished.shutdown().await.unwrap();
        assert!(answer(&mut finished).await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn a_profile_takes_from_1_to_60_whole_seconds() {
    for good in ["1", "60", "007"] {
        let asked = format!("x=y&seconds={good}");
        assert_eq!(seconds(Some(&asked)).unwrap().as_secs(), good.parse::<u64>().unwrap());
    }
    assert_eq!(seconds(None), Ok(Duration::from_secs(5)));
    run(async {
        let (address, head) = for_me(None).await;
        for bad in ["0", "61", "-1", "+1", "1.5", "abc", "", "1s", "99999999999999999999999"] {
            for kind in ["cpu", "heap", "threads"] {
                let ask = format!("{}\r\n", head(&format!("GET /profile/{kind}?seconds={bad}")));
                assert_eq!(status(address, &ask).await, 400, "{kind} {bad:?}");
            }
        }
    });
}

#[test]
fn an_empty_filter_changes_nothing() {
    run(async {
        let set = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let all = Arc::clone(&set);
        let log = LogFilter {
            get: Arc::new(|| "info".to_owned()),
            set: Arc::new(move |filter| {
                all.lock().push(filter.to_owned());
                Ok(())
            }),
        };
        let (address, head) = for_me(Some(log)).await;
        for (body, wanted) in [("", 400), (" \n", 400), ("debug", 200)] {
            let ask = format!("{}content-length: {}\r\n\r\n{body}", head("PUT /log-level"), body.len());
            assert_eq!(status(address, &ask).await, wanted, "{body:?}");
        }
        assert_eq!(*set.lock(), ["debug"]);
    });
}

#[test]
fn a_scraper_gets_the_format_that_it_likes_best() {
    for (accept, wanted) in [
        (&[][..], false),
        (&["*/*"], false),
        (&["text/plain"], false),
        (&["application/openmetrics-text"], true),
        (&["Application/OpenMetrics-Text; version=1.0.0"], true),
        (&["application/openmetrics-text;q=0, text/plain"], false),
        (&["application/openmetrics-text;version=1.0.0;Q=0.000, */*;q=0.1"], false),
        (&["application/openmetrics-text;q=0.4,text/plain;q=0.5"], false),
        (&["application/openmetrics-text;q=0.5", "text/*;q=0.4, */*"], true),
        (&["application/openmetrics-text;q=0.5,*/*"], false),
        (&["application/openmetrics-text;q=x"], false),
        (&["application/openmetrics-text-not"], false),
        // Prometheus 2 and 3.
        (&["application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"], true),
        (
            &["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
               application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,*/*;q=0.1"],
            true,
        ),
    ] {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(ACCEPT, HeaderValue::from_static(line));
        }
        assert_eq!(wants_openmetrics(&headers), wanted, "{accept:?}");
    }
}
