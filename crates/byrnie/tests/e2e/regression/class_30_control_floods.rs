//! Floods of control frames (CVE-2019-9512, 9513, 9515, 9518; RUSTSEC-2026-0258): they stop their sender only.

use super::frames::{DATA, Frames, PING, PRIORITY, SETTINGS, WINDOW, frame, get};
use super::site::Site;

#[test]
fn control_frames_without_end_harm_their_sender_only() {
    let site = Site::open();
    for words in [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        frame(WINDOW, 0, 0, &[0, 0, 0, 1]),
    ] {
        let mut client = Frames::open(&site.gateway, &[]);
        client.flood(&words.repeat(500), 4 * 1024 * 1024);
    }
    // Frames of data that carry none, on a stream that is open.
    let mut client = Frames::open(&site.gateway, &[]);
    let mut fields = get("/empty").to_vec();
    fields[0].1 = b"POST";
    client.request(1, 0, &fields).unwrap();
    client.flood(&frame(DATA, 0, 1, &[]).repeat(500), 4 * 1024 * 1024);
    drop(client);
    site.holds();
}
