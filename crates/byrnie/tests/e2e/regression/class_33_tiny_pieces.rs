//! Tiny chunks and frames (CVE-2020-8659, CVE-2020-12603): a byte does not cost a buffer.

use std::io::Write;
use std::time::Duration;

use super::frames::{DATA, END_STREAM, Frames, frame, get};
use super::site::{Site, connect, last};
use crate::harness::get as harness_get;

#[test]
fn a_byte_does_not_cost_a_buffer() {
    let site = Site::open();
    let before = site.gateway_rss();
    // To an application that does not read.
    let mut stream = connect(&site.gateway);
    stream.write_all(b"POST /stall HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let chunks = "1\r\nx\r\n".repeat(1000);
    for _ in 0..200 {
        if stream.write_all(chunks.as_bytes()).is_err() {
            break; // It does not take more than it can pass on.
        }
    }
    let mut client = Frames::open(&site.gateway, &[]);
    let mut fields = get("/stall").to_vec();
    fields[0].1 = b"POST";
    client.request(1, 0, &fields).unwrap();
    client.flood(&frame(DATA, 0, 1, b"x").repeat(500), 1024 * 1024);
    // From an application whose client does not read.
    let mut idle = connect(&site.gateway);
    idle.write_all(last("/drip/300000").as_bytes()).unwrap();
    let mut client2 = Frames::open(&site.gateway, &[]);
    client2.request(1, END_STREAM, &get("/drip/300000")).unwrap();
    for _ in 0..50 {
        assert_eq!(harness_get(&site.gateway, "/x", &[]).unwrap().status, 200);
    }
    let kept = site.gateway_rss().saturating_sub(before);
    assert!(kept < 100 * 1024, "{kept} KiB");
    drop((stream, client, idle, client2));
    site.holds();
}
