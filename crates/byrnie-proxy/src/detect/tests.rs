use std::sync::Arc;

use byrnie_plan::{MeshSettings, ObjectName};
use byrnie_telemetry::{AccessLogWriter, Registry, RegistrySettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::sniff::{Sniffed, sniff};
use super::*;
use crate::config::Config;
use crate::process::Role;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What `bytes` are, fed one by one: what is clear must stay so.
fn fed(bytes: &[u8]) -> Sniffed {
    let mut found = Sniffed::More;
    for end in 1..=bytes.len() {
        let now = sniff(&bytes[..end]);
        if found != Sniffed::More && !matches!(found, Sniffed::Is(Spoken::Tls { .. })) {
            assert_eq!(now, found, "{:?} changed its meaning", &bytes[..end].escape_ascii().to_string());
        }
        found = now;
    }
    found
}

fn hello(name: Option<&str>) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.enable_sni = name.is_some();
    let name = name.unwrap_or("unused.example").to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn http_is_known_by_its_request_line_only() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "GET /a?b=c%20d HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "CONNECT web.shop:443 HTTP/1.1\r\n",
        "GET http://web.shop/ HTTP/1.1\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        "PRI * HTTP/1.1\r\n",
        "VERSION-CONTROL / HTTP/1.1\r\n",
    ] {
        assert_eq!(fed(line.as_bytes()), Sniffed::Is(Spoken::Http1), "{line:?}");
    }
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(8000));
    assert_eq!(fed(long.as_bytes()), Sniffed::Is(Spoken::Http1));
}

#[test]
fn what_only_begins_like_http_is_bytes() {
    for text in [
        "GET key\r\n",             // Redis, inline
        "get key\r\n",             // memcached
        "EHLO mail.example\r\n",   // SMTP
        "SSH-2.0-OpenSSH_9.6\r\n", // SSH
        "*1\r\n$4\r\nPING\r\n",    // Redis
        "GET  / HTTP/1.1\r\n",     // two spaces: not HTTP, and nobody may read it differently
        "GET / HTTP/2.0\r\n",      // a version that is spoken otherwise
        "GET /\r\n",               // HTTP/0.9
        " GET / HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX",
        "\x00\x00\x00\x08\x04\x52\x16\x2f", // PostgreSQL
    ] {
        assert_eq!(fed(text.as_bytes()), Sniffed::Is(Spoken::Bytes), "{text:?}");
    }
    assert_eq!(fed(&[b'A'; 2000]), Sniffed::Is(Spoken::Bytes));
    assert_eq!(fed(format!("SET {}", "a".repeat(2000)).as_bytes()), Sniffed::Is(Spoken::Bytes));
}

#[test]
fn a_part_waits_for_the_rest() {
    for text in
        ["G", "GET", "GET ", "GET /", "GET / ", "GET / HTTP/1", "GET / HTTP/1.", "P", "PRI * HTTP/2.0\r\n"]
    {
        assert_eq!(fed(text.as_bytes()), Sniffed::More, "{text:?}");
    }
    assert_eq!(fed(PREFACE), Sniffed::Is(Spoken::Http2));
}

#[test]
fn tls_is_known_by_its_hello_and_tells_the_name() {
    let named = Spoken::Tls { sni: Some("web.shop.example".to_owned()) };
    assert_eq!(fed(&hello(Some("Web.shop.example"))), Sniffed::Is(named));
    assert_eq!(fed(&hello(None)), Sniffed::Is(Spoken::Tls { sni: None }));
    let whole = hello(Some("web.shop.example"));
    assert_eq!(sniff(&whole[..whole.len() - 1]), Sniffed::More);
    // A record of TLS that is no ClientHello, and one that never ends.
    assert_eq!(sniff(&[0x16, 3, 1, 0, 5, 2, 0, 0, 0, 0]), Sniffed::Is(Spoken::Bytes));
    let mut endless = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    endless.resize(17_000, 0);
    assert_eq!(sniff(&endless), Sniffed::Is(Spoken::Tls { sni: None }));
}

fn process() -> Process {
    let metrics = Registry::new(RegistrySettings::default());
    let log =
        AccessLogWriter::start(std::io::sink(), metrics.counter(&names::ACCESS_LOG_DROPPED, &[])).unwrap();
    let process = Process::new(ObjectName::new("shop", "web"), Role::Sidecar, metrics, log);
    let settings = MeshSettings { detect_timeout: Duration::from_secs(1), ..MeshSettings::default() };
    process.config.store(Arc::new(Config { settings: Arc::new(settings), ..Config::default() }));
    process
}

fn undeclared(process: &Process) -> Undeclared<'_> {
    Undeclared { process, service: None, port: 80, limit: Duration::from_secs(1) }
}

fn timeouts(process: &Process) -> u64 {
    process.metrics.counter(&names::DETECT_TIMEOUTS, &["80"]).get()
}

async fn all<S: AsyncRead + Unpin>(mut stream: Prefixed<S>) -> Vec<u8> {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    read
}

fn pair() -> (DuplexStream, DuplexStream) {
    duplex(64 * 1024)
}

#[tokio::test(start_paused = true)]
async fn nothing_of_what_was_sniffed_is_lost() {
    let process = process();
    let (mut client, server) = pair();
    client.write_all(b"POST /x HTTP/1.1\r\nhost: web\r\n\r\nbody").await.unwrap();
    drop(client);
    let (stream, spoken) = detect(&undeclared(&process), server).await.unwrap();
    assert_eq!(spoken, Spoken::Http1);
    assert_eq!(all(stream).await, b"POST /x HTTP/1.1\r\nhost: web\r\n\r\nbody");
    assert_eq!(timeouts(&process), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_known_after_50_ms_and_may_still_speak_http() {
    let process = process();
    let (mut client, server) = pair();
    let begun = Instant::now();
    let (mut stream, spoken) = detect(&undeclared(&process), server).await.unwrap();
    assert_eq!((spoken, begun.elapsed()), (Spoken::Silent, SILENCE));
    let words = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.write_all(b"GET / HT").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.write_all(b"TP/1.1\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
    };
    let port = undeclared(&process);
    let (spoken, ()) = tokio::join!(stream.first_words(&port), words);
    assert_eq!(spoken.unwrap(), Spoken::Http1);
    assert_eq!(all(stream).await, b"GET / HTTP/1.1\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_in_the_middle_is_counted_and_treated_as_bytes() {
    let process = process();
    let (mut client, server) = pair();
    client.write_all(b"GET ").await.unwrap();
    let begun = Instant::now();
    let (stream, spoken) = detect(&undeclared(&process), server).await.unwrap();
    assert_eq!((spoken, begun.elapsed()), (Spoken::Bytes, Duration::from_secs(1)));
    assert_eq!((stream.prefix(), timeouts(&process)), (&b"GET "[..], 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_is_bytes() {
    let process = process();
    for words in [&b""[..], b"GET / HT"] {
        let (mut client, server) = pair();
        client.write_all(words).await.unwrap();
        drop(client);
        let (stream, spoken) = detect(&undeclared(&process), server).await.unwrap();
        assert_eq!((spoken, stream.prefix()), (Spoken::Bytes, words));
    }
    assert_eq!(timeouts(&process), 0);
}

#[tokio::test(start_paused = true)]
async fn where_http_is_known_only_its_version_is_asked() {
    let head = Duration::from_secs(30);
    for (words, version) in
        [(PREFACE, Spoken::Http2), (b"\x00nonsense", Spoken::Http1), (b"PRX", Spoken::Http1)]
    {
        let (mut client, server) = pair();
        client.write_all(words).await.unwrap();
        let (stream, spoken) = detect_http(server, head).await.unwrap();
        assert_eq!((spoken, stream.prefix()), (version, words));
    }
    let (client, server) = pair();
    drop(client);
    assert_eq!(detect_http(server, head).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let (mut client, server) = pair();
    client.write_all(b"PRI").await.unwrap();
    let begun = Instant::now();
    assert_eq!(detect_http(server, head).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed(), head);
}
