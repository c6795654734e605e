//! Trailers, 1xx and CONNECT where nobody expects them (CVE-2026-73513, CVE-2026-73547).

use super::frames::{DATA, END_STREAM, Fate, Frames, get};
use super::site::{Site, exchange, last};

type Fields<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn trailers_hints_and_connect_in_odd_places() {
    let site = Site::open();
    for road in site.roads() {
        // A thousand 103 before the answer.
        let answer = exchange(road, last("/hints").as_bytes());
        assert!(answer.contains("HTTP/1.1 200 ") && answer.ends_with("ok"), "{road}: {answer:.200}");
        let mut client = Frames::open(road, &[]);
        client.request(1, END_STREAM, &get("/hints")).unwrap();
        assert!(!matches!(client.fate(1), Fate::Reset), "{road}");
        // Trailers that do not end the stream, or with what belongs into the head.
        let trailers: [(u8, Fields<'_>); 4] = [
            (0, &[("x", b"1")]),
            (END_STREAM, &[("x", b"1"), (":path", b"/smuggled")]),
            (END_STREAM, &[("x y", b"1")]),
            (END_STREAM, &[("connection", b"close")]),
        ];
        for (flags, fields) in trailers {
            let mut client = Frames::open(road, &[]);
            let mut head = get("/trailers").to_vec();
            head[0].1 = b"POST";
            client.request(1, 0, &head).unwrap();
            client.send(DATA, 0, 1, b"body").unwrap();
            client.request(1, flags, fields).unwrap();
            let fate = client.fate(1);
            assert!(
                matches!(fate, Fate::Reset | Fate::Closed | Fate::Answered(400)),
                "{road}: {fields:?}: {fate:?}"
            );
        }
        // Pseudo-headers at the right place of trailers are dropped by the codec: they never reach the application.
        let mut client = Frames::open(road, &[]);
        let mut head = get("/trailers").to_vec();
        head[0].1 = b"POST";
        client.request(1, 0, &head).unwrap();
        client.request(1, END_STREAM, &[(":path", b"/smuggled")]).unwrap();
        client.fate(1);
        let connects: [Fields<'_>; 5] = [
            &[(":method", b"CONNECT")],
            &[(":method", b"CONNECT"), (":authority", b"a:80")],
            &[(":method", b"CONNECT"), (":authority", b"a:80"), (":path", b"/x")],
            &[(":method", b"CONNECT"), (":scheme", b"http"), (":path", b"/x"), (":authority", b"a")],
            &[(":method", b"CONNECT"), (":protocol", b"websocket"), (":authority", b"a")],
        ];
        for fields in connects {
            let mut client = Frames::open(road, &[]);
            client.request(1, 0, fields).unwrap();
            let fate = client.fate(1);
            assert!(
                matches!(fate, Fate::Reset | Fate::Closed | Fate::Answered(400 | 501)),
                "{road}: {fields:?}: {fate:?}"
            );
        }
    }
    let seen = site.origin.take();
    assert!(seen.iter().all(|line| ["GET /hints", "POST /trailers"].contains(&line.as_str())), "{seen:#?}");
    site.holds();
}
