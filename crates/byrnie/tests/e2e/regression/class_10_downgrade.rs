//! HTTP/2 to HTTP/1 (CVE-2026-90678): nothing in a field or frame becomes a line, a length or another request.

use std::io::Write;

use super::frames::{DATA, END_HEADERS, END_STREAM, Fate, Frames, HEADERS, block, frame, get};
use super::site::Site;

#[test]
fn nothing_of_http2_becomes_a_line_of_http1() {
    let site = Site::open();
    let with = |name: &'static str, value: &'static [u8]| {
        let mut fields = get("/x").to_vec();
        match fields.iter_mut().find(|field| field.0 == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
        fields
    };
    let smuggled = b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for road in site.roads() {
        for fields in [
            with("x", smuggled),
            with("x", b"a\nb"),
            with("x", b"a\rb"),
            with("x", b"a\0b"),
            with("x", b" a"),
            with("x\r\ny", b"a"),
            with("x: y", b"a"),
            with("X", b"a"),
            with("", b"a"),
            with("x y", b"a"),
            with(":method", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET"),
            with(":method", b"GE T"),
            with(":path", b"/x HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled"),
            with(":path", b"/x y"),
            with(":path", b""),
            with(":path", b"x"),
            with(":authority", b"a\r\nx: y"),
            with(":authority", b"u@a"),
            with(":authority", b""),
            with(":unknown", b"a"),
            with(":status", b"200"),
            with("host", b"b"),
            with("connection", b"close"),
            with("transfer-encoding", b"chunked"),
            with("upgrade", b"websocket"),
            with("keep-alive", b"1"),
            with("proxy-connection", b"1"),
            with("te", b"gzip"),
            with("content-length", b"5"),
            with("content-length", b"+0"),
            with("content-length", b"0, 0"),
        ] {
            let mut client = Frames::open(road, &[]);
            client.request(1, END_STREAM, &fields).unwrap();
            let fate = client.fate(1);
            assert!(
                matches!(fate, Fate::Reset | Fate::Closed | Fate::Answered(400)),
                "{road}: {fields:?}: {fate:?}"
            );
        }
        for (length, data) in
            [("5", &b"abc"[..]), ("5", b"abcdefgh"), ("0", b"GET /smuggled HTTP/1.1\r\n\r\n")]
        {
            let mut client = Frames::open(road, &[]);
            let mut fields = with(":method", b"POST");
            fields.push(("content-length", length.as_bytes()));
            // In one piece: of a request whose body is still to come the application may hear.
            let begin = frame(HEADERS, END_HEADERS, 1, &block(&fields));
            client.stream.write_all(&[begin, frame(DATA, END_STREAM, 1, data)].concat()).unwrap();
            let fate = client.fate(1);
            assert!(
                matches!(fate, Fate::Reset | Fate::Closed | Fate::Answered(400)),
                "{road}: {length}: {fate:?}"
            );
        }
    }
    site.saw(&[]);
    site.holds();
}
