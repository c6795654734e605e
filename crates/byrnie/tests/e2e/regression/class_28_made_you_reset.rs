//! Resets that the server is made to send (CVE-2025-8671, RUSTSEC-2024-0003): they count like the client's own.

use std::io::Write;

use super::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PRIORITY, WINDOW, block, frame, get};
use super::site::Site;

/// What is done to a stream that was just opened.
type Trick = fn(u32) -> Vec<u8>;

#[test]
fn a_server_that_is_made_to_reset_harms_nobody() {
    let site = Site::open();
    let tricks: [Trick; 4] = [
        |stream| frame(WINDOW, 0, stream, &0u32.to_be_bytes()),
        |stream| {
            [
                frame(WINDOW, 0, stream, &0x7fff_ffffu32.to_be_bytes()),
                frame(WINDOW, 0, stream, &0x7fff_ffffu32.to_be_bytes()),
            ]
            .concat()
        },
        |stream| frame(DATA, END_STREAM, stream, b"after the end"),
        |stream| frame(PRIORITY, 0, stream, &stream.to_be_bytes()),
    ];
    for trick in tricks {
        let mut client = Frames::open(&site.gateway, &[]);
        for stream in (1..10_000).step_by(2) {
            let mut words = frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&get("/made")));
            words.extend(trick(stream));
            if client.stream.write_all(&words).is_err() {
                break;
            }
        }
    }
    site.holds();
}
