//! NUL in a value (CVE-2019-9900): what a policy compares is what the application sees, so there is none.

use super::site::{Site, exchange};

#[test]
fn no_control_byte_passes() {
    let site = Site::open();
    let bytes: Vec<char> =
        (0u8..32).chain([127]).filter(|byte| !b"\t\r\n".contains(byte)).map(char::from).collect();
    let probes: Vec<String> = bytes
        .iter()
        .flat_map(|byte| {
            [
                format!("GET /x HTTP/1.1\r\nHost: a\r\nx-foo: ok{byte}\r\n\r\n"),
                format!("GET /x HTTP/1.1\r\nHost: a\r\nx-foo: {byte}ok\r\n\r\n"),
                format!("GET /x{byte} HTTP/1.1\r\nHost: a\r\n\r\n"),
                format!("GET /x HTTP/1.1\r\nHost: a{byte}\r\n\r\n"),
            ]
        })
        .collect();
    let probes: Vec<&str> =
        probes.iter().map(String::as_str).chain(["GET /x%00 HTTP/1.1\r\nHost: a\r\n\r\n"]).collect();
    site.refused(&probes);
    for road in site.roads() {
        // Bytes beyond ASCII and tabs within are allowed, and arrive as they were.
        let answer =
            exchange(road, b"GET /x HTTP/1.1\r\nHost: a\r\nx-foo: \xffo\tk\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{road}: {answer}");
    }
    site.saw(&["GET /x", "GET /x"]);
    site.holds();
}
