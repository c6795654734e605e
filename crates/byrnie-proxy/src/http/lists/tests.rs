//! What is held of header lists, however their frames come.

use tokio::io::AsyncReadExt;

use super::*;
use crate::tcp::tests::mesh::Mesh;

const BOUNDS: Bounds = Bounds { list: 64 * 1024, time: Duration::from_secs(30), ends: true };
const DATA: u8 = 0;

fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
    let size = u32::try_from(length).unwrap().to_be_bytes();
    let mut bytes = vec![size[1], size[2], size[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.resize(HEAD + length, b'x');
    bytes
}

/// A connection, its process, and what its lists are told to hold.
fn connection(bounds: Bounds) -> (Lists<tokio::io::Empty>, Arc<Process>) {
    let process = Arc::clone(&Mesh::new().proxy("web").process);
    let mut lists = Lists::new(tokio::io::empty(), &process, bounds);
    assert!(lists.look(&[b'p'; PREFACE]));
    (lists, process)
}

#[tokio::test]
async fn a_list_that_is_not_complete_takes_room_until_it_is_however_it_comes() {
    let frames = [
        frame(DATA, 0, 1, 20_000),
        frame(HEADERS, 0, 3, 10),
        frame(CONTINUATION, 0, 3, 0),
        frame(CONTINUATION, END_HEADERS, 3, 9_000),
        frame(HEADERS, END_HEADERS, 5, FREE),
        frame(HEADERS, END_HEADERS, 7, FREE + 1),
        frame(HEADERS, END_HEADERS, 7, FREE + 1),
    ];
    for piece in [1, 2, 7, 9, 10, 4_096, 1 << 20] {
        let (mut lists, process) = connection(BOUNDS);
        let large = lists.large();
        let mut held = Vec::new();
        for frame in &frames {
            assert!(frame.chunks(piece).all(|new| lists.look(new)), "in pieces of {piece}");
            held.push(process.budget.held());
        }
        let (most, complete) = (8 * 65_536, 9_010);
        let both = complete + 8_193;
        assert_eq!(held, [0, most, most, complete, complete, both, both], "in pieces of {piece}");
        assert!(take(&large, || 1).is_none());
        let second = take(&large, || 7).unwrap();
        assert_eq!(process.budget.held(), 8_193, "the one before it was reset");
        drop((second, lists, large));
        assert_eq!(process.budget.held(), 0);
    }
}

#[tokio::test]
async fn a_client_without_room_is_cut_off_and_a_peer_is_counted() {
    let (mut client, process) = connection(BOUNDS);
    process.budget.set(Some(4 * 65_536), 25);
    assert!(!client.look(&frame(HEADERS, 0, 1, 10)));
    assert_eq!(process.budget.held(), 0);
    let mut peer = Lists::new(tokio::io::empty(), &process, Bounds { ends: false, ..BOUNDS });
    assert!(peer.look(&[b'p'; PREFACE]) && peer.look(&frame(HEADERS, 0, 1, 10)));
    assert_eq!(process.budget.held(), 8 * 65_536);
    assert!(peer.look(&frame(CONTINUATION, END_HEADERS, 1, 10)));
    assert_eq!(process.budget.held(), 0);
}

#[tokio::test]
async fn streams_that_nobody_takes_over_count_within_a_bound() {
    let (mut lists, process) = connection(BOUNDS);
    for stream in 0..1_000 {
        assert!(lists.look(&frame(HEADERS, END_HEADERS, 2 * stream + 1, FREE + 1)));
    }
    assert_eq!(process.budget.held(), (WAITING * (FREE + 1)) as u64);
    assert!(take(&lists.large(), || 1_999).is_some(), "the newest is one of them");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_takes_too_long_ends_its_connection() {
    let process = Arc::clone(&Mesh::new().proxy("web").process);
    let (mut client, server) = tokio::io::duplex(1_024);
    let mut lists = Lists::new(server, &process, BOUNDS);
    let begun = [&[b'p'; PREFACE][..], &frame(HEADERS, 0, 1, 10)].concat();
    tokio::io::AsyncWriteExt::write_all(&mut client, &begun).await.unwrap();
    let start = tokio::time::Instant::now();
    let error = lists.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, BOUNDS.time));
    assert_eq!(process.counters.limit_header_timeout.get(), 1);
}
