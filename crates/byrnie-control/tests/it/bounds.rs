//! How much the API reads, and how much its client does.

use byrnie_control::api::{APPLY, ApplyRequest, SOCKET_NAME};
use byrnie_control::client::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::harness::Mesh;

const MOST: usize = 32 << 20;

/// The status of a body of so many bytes that is no request.
async fn posted(mesh: &Mesh, bytes: usize) -> String {
    let mut stream = UnixStream::connect(mesh.dir.path().join(SOCKET_NAME)).await.unwrap();
    let head = format!("POST {APPLY} HTTP/1.1\r\nhost: byrnie\r\ncontent-length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; bytes]).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    String::from_utf8_lossy(&status[9..]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_refused_on_both_sides() {
    let mesh = Mesh::start().await;
    assert_eq!(posted(&mesh, MOST).await, "400", "read, and not understood");
    assert_eq!(posted(&mesh, MOST + 1).await, "413");
    // The client says so in words, and before it sends anything.
    let large = ApplyRequest { objects: vec![json!("a".repeat(MOST))], ..ApplyRequest::default() };
    let refused = mesh.try_apply(large).await.unwrap_err();
    assert_eq!(refused.code, "BYR0447");
    assert!(refused.message.contains("reads 33554432 at most"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join(SOCKET_NAME)).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", (256 << 20) + 1);
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0, "it asks");
            stream.write_all(head.as_bytes()).await.unwrap();
            // Whoever reads what is announced waits for ever.
            tokio::spawn(async move { while stream.read(&mut [0]).await.is_ok_and(|read| read > 0) {} });
        }
    });
    let refused = Client::new(dir.path()).findings().await.unwrap_err();
    assert_eq!(refused.code, "BYR0442");
    assert!(refused.message.contains("more than 268435456 bytes"), "{refused}");
}
