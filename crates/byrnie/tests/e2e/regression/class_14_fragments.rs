//! Fragments and absolute forms (CVE-2021-39156): no fragment, and one host that decides.

use super::site::{Site, exchange};

#[test]
fn there_is_no_fragment_and_one_host() {
    let site = Site::open();
    let probes = ["/admin#x", "/x#y", "/x?y#z", "/#", "http://a/x#y", "/ok?x#/../admin"]
        .map(|target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    site.refused(&probes.each_ref().map(String::as_str));
    for road in site.roads() {
        let words = "GET http://first/x HTTP/1.1\r\nHost: second\r\nConnection: close\r\n\r\n";
        assert!(exchange(road, words.as_bytes()).starts_with("HTTP/1.1 200 "), "{road}");
    }
    for head in site.origin.heads() {
        assert!(head.starts_with("GET /x HTTP/1.1\r\n") && !head.contains("second"), "{head}");
        assert!(head.to_ascii_lowercase().contains("host: first"), "{head}");
    }
    site.saw(&["GET /x", "GET /x"]);
    site.holds();
}
