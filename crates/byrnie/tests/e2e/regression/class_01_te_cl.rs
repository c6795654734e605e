//! Transfer-Encoding against Content-Length (CVE-2021-21299, CVE-2026-2835): a message has one framing.

use super::site::{Site, post};

#[test]
fn both_framings_and_odd_codings_are_refused() {
    let site = Site::open();
    let inner = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let probes: Vec<String> = [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: identity",
    ]
    .map(|lines| post(lines, inner))
    .into();
    let old = format!("POST /post HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{inner}");
    let probes: Vec<&str> = probes.iter().chain([&old]).map(String::as_str).collect();
    site.refused(&probes);
    site.holds();
}
