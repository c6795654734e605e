//! Rapid reset (CVE-2023-44487, CVE-2023-26964): a stream that is opened and reset costs its owner, nobody else.

use std::io::Write;

use super::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, RESET, block, frame, get};
use super::site::Site;

#[test]
fn streams_that_are_reset_at_once_harm_nobody() {
    let site = Site::open();
    for _ in 0..4 {
        let mut client = Frames::open(&site.gateway, &[]);
        for stream in (1..20_000).step_by(2) {
            let mut words = frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&get("/reset")));
            words.extend(frame(RESET, 0, stream, &8u32.to_be_bytes()));
            if client.stream.write_all(&words).is_err() {
                break; // It has had enough.
            }
        }
    }
    let seen = site.origin.take().len();
    assert!(seen <= 40_000, "{seen}");
    site.holds();
}
