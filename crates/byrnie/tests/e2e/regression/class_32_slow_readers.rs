//! Readers that do not read (CVE-2020-12604, CVE-2019-9511, 9517): what waits for them is bounded.

use std::io::Write;

use super::frames::{END_STREAM, Frames, get};
use super::site::{Site, connect, last};
use crate::harness::get as harness_get;

#[test]
fn what_nobody_reads_is_not_kept() {
    let site = Site::open();
    let before = site.gateway_rss();
    let mut streams = Vec::new();
    let mut clients = [0, 1].map(|window| Frames::open(&site.gateway, &[(4, window)]));
    for round in 0..10 {
        for client in &mut clients {
            for number in 0..10 {
                client.request(1 + 2 * (10 * round + number), END_STREAM, &get("/big/4000000")).unwrap();
            }
        }
        for _ in 0..2 {
            let mut stream = connect(&site.gateway);
            stream.write_all(last("/big/10000000").as_bytes()).unwrap();
            streams.push(stream);
        }
        // A gigabyte is asked for in all, of which nothing is read. Others are served meanwhile.
        for _ in 0..5 {
            let answer = harness_get(&site.gateway, "/x", &[]).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    let kept = site.gateway_rss().saturating_sub(before);
    assert!(kept < 100 * 1024, "{kept} KiB");
    drop((clients, streams));
    site.holds();
}
