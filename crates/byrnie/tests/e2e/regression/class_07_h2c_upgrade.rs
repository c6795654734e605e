//! Smuggling by `Upgrade: h2c`: the token and its settings end at the proxy, in every spelling.

use super::site::{Site, exchange};

#[test]
fn h2c_is_never_upgraded_to() {
    let site = Site::open();
    for road in site.roads() {
        for (connection, upgrade) in [
            ("Upgrade, HTTP2-Settings", "h2c"),
            ("Upgrade", "h2c"),
            ("upgrade, http2-settings", "H2C"),
            ("Upgrade, HTTP2-Settings", "websocket, h2c"),
            ("Upgrade\r\nConnection: HTTP2-Settings", "h2c\r\nUpgrade: websocket"),
        ] {
            let head = format!(
                "GET /x HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\nUpgrade: {upgrade}\r\n\
                 HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
            );
            let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
            let answer = exchange(road, format!("{head}{preface}").as_bytes());
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && !answer.contains(" 101 "),
                "{road}: {upgrade}: {answer}"
            );
        }
    }
    for head in site.origin.heads() {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("h2c") && !head.contains("http2-settings"), "{head}");
    }
    site.saw(&["GET /x"; 10]);
    site.holds();
}
