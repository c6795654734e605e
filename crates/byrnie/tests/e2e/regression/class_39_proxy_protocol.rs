//! The PROXY protocol (CVE-2026-47692): whoever is not trusted with it cannot say where he comes from, and odd headers
//! are refused.

use super::site::{Site, exchange, last};

/// The signature of version 2, and the rest of a header behind it.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, body].concat()
}

#[test]
fn nobody_untrusted_forges_a_source() {
    let site = Site::open();
    let addresses = [10, 1, 2, 3, 10, 1, 2, 4, 0, 80, 0, 81];
    let long_tlv = [&addresses[..], &[1, 255, 255], &[0; 10]].concat();
    let headers: Vec<Vec<u8>> = vec![
        b"PROXY TCP4 10.1.2.3 10.1.2.4 80 81\r\n".to_vec(),
        b"PROXY TCP6 ::1 ::1 80 81\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY TCP4 10.1.2.3".to_vec(),
        format!("PROXY TCP4 {}\r\n", "1".repeat(200)).into_bytes(),
        v2(0x21, 0x11, &addresses),
        v2(0x20, 0x00, &[]),
        v2(0x21, 0x00, &[]),
        v2(0x21, 0x11, &addresses[..4]),
        v2(0x21, 0x11, &long_tlv),
        v2(0x2f, 0xff, &[0; 300]),
    ];
    for road in site.roads() {
        for header in &headers {
            let answer = exchange(road, &[&header[..], last("/x").as_bytes()].concat());
            assert!(!answer.contains("HTTP/1.1 200 "), "{road}: {header:?}: {answer}");
        }
    }
    site.saw(&[]);
    site.holds();
}
