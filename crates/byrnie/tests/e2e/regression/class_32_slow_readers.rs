//! Readers that do not read (CVE-2020-12604, CVE-2019-9511, 9517): what waits for them is bounded.

use std::io::Write;

use super::frames::{END_STREAM, Frames, get};
use super::site::{Site, connect, last};
use crate::harness::get as harness_get;

#[test]
fn what_nobody_reads_is_not_kept() {
    let site = Site::open();
    let before = site.gateway_rss();
    let mut clients = Vec::new();
    for window in [0, 1] {
        let mut client = Frames::open(&site.gateway, &[(4, window)]);
        for stream in (1..60).step_by(2) {
            client.request(stream, END_STREAM, &get("/big/4000000")).unwrap();
        }
        clients.push(client);
    }
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = connect(&site.gateway);
        stream.write_all(last("/big/10000000").as_bytes()).unwrap();
        streams.push(stream);
    }
    // 340 MB are asked for, of which nothing is read. What is under way by the time that as many others were served:
    for _ in 0..50 {
        assert_eq!(harness_get(&site.gateway, "/x", &[]).unwrap().status, 200);
    }
    let kept = site.gateway_rss().saturating_sub(before);
    assert!(kept < 100 * 1024, "{kept} KiB");
    drop((clients, streams));
    site.holds();
}
