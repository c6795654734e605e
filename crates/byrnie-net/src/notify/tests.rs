use std::io::{Read, Seek, Write};

use super::*;

async fn next(server: &NotifyServer) -> Notification {
    tokio::time::timeout(Duration::from_secs(5), server.receive()).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_a_child_says_arrives_with_its_process_id() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("n".repeat(110)).join("notify.sock");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let server = NotifyServer::bind(&path).unwrap();
    let child = Notifier::connect(&path).unwrap();
    assert!(child.is_supervised());
    child.status("loading\nroutes").unwrap();
    child.ready().unwrap();
    let status = next(&server).await;
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.status.as_deref(), Some("loading routes"));
    assert!(!status.ready);
    let ready = next(&server).await;
    assert!(ready.ready && ready.descriptor.is_none());
}

#[tokio::test]
async fn a_stored_descriptor_comes_back_as_the_same_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify.sock");
    let server = NotifyServer::bind(&path).unwrap();
    let child = Notifier::connect(&path).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"kept").unwrap();
    child.replace("listen:mesh", &file).unwrap();
    let mut store = FdStore::default();
    for _ in 0..2 {
        assert!(next(&server).await.descriptor.unwrap().apply(&mut store));
    }
    let (name, kept) = store.duplicates().unwrap().remove(0);
    assert_eq!(name, "listen:mesh");
    let mut kept = std::fs::File::from(kept);
    kept.rewind().unwrap();
    let mut text = String::new();
    kept.read_to_string(&mut text).unwrap();
    assert_eq!(text, "kept");
    child.remove("listen:mesh").unwrap();
    next(&server).await.descriptor.unwrap().apply(&mut store);
    assert!(store.is_empty());
}

#[tokio::test]
async fn garbage_is_dropped_and_the_next_message_is_heard() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify.sock");
    let server = NotifyServer::bind(&path).unwrap();
    let raw = UnixDatagram::unbound().unwrap();
    raw.connect(&path).unwrap();
    raw.send(&[0xff, 0xfe]).unwrap();
    raw.send(&[b'x'; LONGEST_MESSAGE + 1]).unwrap();
    raw.send(b"FDSTORE=1\nFDNAME=nothing").unwrap();
    raw.send(b"READY=1").unwrap();
    assert!(next(&server).await.descriptor.is_none(), "nothing came with it");
    assert!(next(&server).await.ready);
}

#[tokio::test]
async fn a_full_queue_does_not_block_for_ever_and_no_socket_is_fine() {
    let silent = Notifier { socket: None };
    silent.ready().unwrap();
    silent.store("x", std::fs::File::open("/dev/null").unwrap()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify.sock");
    let _server = NotifyServer::bind(&path).unwrap();
    let child = Notifier::connect(&path).unwrap();
    let socket = child.socket.as_ref().unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    let failed = (0..100_000).find_map(|_| child.ready().err()).unwrap();
    assert_eq!(failed.kind(), io::ErrorKind::WouldBlock);
}
