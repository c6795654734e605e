//! Header bombs (CVE-2026-47774, CVE-2019-15226, CVE-2020-12605): limits hold for what a head
//! becomes, not for what it costs to send.

use std::io::Write;

use super::frames::{CONTINUATION, END_HEADERS, END_STREAM, Fate, Frames, HEADERS, block, get, number};
use super::site::{Site, connect, exchange, rest};

#[test]
fn heads_are_limited_by_what_they_become() {
    let site = Site::open();
    // One entry of 4 KB in the table, named again and again: 64 KiB of head for a few bytes.
    let mut client = Frames::open(&site.gateway, &[]);
    let mut bomb = block(&get("/bomb"));
    let value = "v".repeat(3900);
    bomb.push(0x40);
    for text in ["x", &value] {
        number(&mut bomb, 0, 7, text.len());
        bomb.extend_from_slice(text.as_bytes());
    }
    bomb.extend([0xbe; 8000]);
    client.send(HEADERS, END_STREAM | END_HEADERS, 1, &bomb).unwrap();
    assert!(matches!(client.fate(1), Fate::Answered(431) | Fate::Reset | Fate::Closed));
    // Many tiny ones, and a cookie in crumbs.
    for name in ["x", "cookie"] {
        let mut client = Frames::open(&site.gateway, &[]);
        let mut many = get("/bomb").to_vec();
        many.extend(std::iter::repeat_n((name, &b"a=b"[..]), 3000));
        let many = block(&many);
        let (first, rest) = many.split_at(16_000);
        client.send(HEADERS, END_STREAM, 1, first).unwrap();
        client.send(CONTINUATION, END_HEADERS, 1, rest).unwrap();
        assert!(matches!(client.fate(1), Fate::Answered(431) | Fate::Reset | Fate::Closed), "{name}");
    }
    for road in site.roads() {
        for words in [
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "u".repeat(1024 * 1024)),
            format!("GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(10_000)),
            format!("GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n", "cookie: a=b\r\n".repeat(200)),
        ] {
            let answer = exchange(road, words.as_bytes());
            let refused = ["HTTP/1.1 431 ", "HTTP/1.1 414 "].iter().any(|line| answer.starts_with(line));
            assert!(refused, "{road}: {words:.40}: {answer}");
        }
        // Byte by byte it is no different, and costs no more than what was sent.
        let mut stream = connect(road);
        for byte in
            format!("GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "u".repeat(4000)).bytes()
        {
            stream.write_all(&[byte]).unwrap();
        }
        assert!(rest(&mut stream).starts_with("HTTP/1.1 200 "), "{road}");
    }
    assert_eq!(site.origin.take().len(), 2);
    site.holds();
}
