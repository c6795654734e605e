//! CONTINUATION without end (CVE-2024-30255, RUSTSEC-2024-0332): a head has a limit, in frames too.

use super::frames::{CONTINUATION, END_STREAM, Frames, HEADERS, block, frame, get};
use super::site::Site;

#[test]
fn a_head_that_never_ends_is_cut() {
    let site = Site::open();
    let large = "v".repeat(1000);
    for continuation in [
        frame(CONTINUATION, 0, 1, &block(&[("x", large.as_bytes())])),
        frame(CONTINUATION, 0, 1, &[]),
        frame(CONTINUATION, 0, 1, &block(&[("x", b"")])),
    ] {
        let mut client = Frames::open(&site.gateway, &[]);
        client.send(HEADERS, END_STREAM, 1, &block(&get("/never"))).unwrap();
        client.flood(&continuation.repeat(20), 2 * 1024 * 1024);
        assert!(client.has_ended(), "{} bytes each", continuation.len());
    }
    site.saw(&[]);
    site.holds();
}
