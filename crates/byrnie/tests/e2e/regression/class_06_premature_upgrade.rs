//! Bytes behind a request to switch protocols (CVE-2026-2833, RFC 9931): before the 101 they are nobody's request.

use super::site::{Site, exchange};

#[test]
fn what_follows_a_refused_switch_never_becomes_a_request() {
    let site = Site::open();
    for road in site.roads() {
        for token in ["websocket", "acme/1", "TLS/1.0"] {
            let head =
                format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n");
            let words = format!(
                "{head}GET /admin HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
            );
            let answer = exchange(road, words.as_bytes());
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{road}: {token}: {answer}");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{road}: {token}: {answer}");
        }
        for target in ["a:80", "127.0.0.1:22", "web.shop:80"] {
            let words = format!(
                "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
            );
            let answer = exchange(road, words.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 501 "), "{road}: {target}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{road}: {target}: {answer}");
        }
    }
    site.saw(&["GET /x"; 6]);
    site.holds();
}
