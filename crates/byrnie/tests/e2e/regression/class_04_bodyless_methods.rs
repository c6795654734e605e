//! Bodies of methods that mostly have none (CVE-2020-35863): they are read as bodies, never as the next request.

use super::site::{Site, exchange, last};

#[test]
fn a_body_is_a_body_whatever_the_method() {
    let site = Site::open();
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for road in site.roads() {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
            let head = format!("{method} /x HTTP/1.1\r\nHost: a\r\n");
            for body in [
                format!("Content-Length: {}\r\n\r\n{inner}", inner.len()),
                format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
            ] {
                let answer = exchange(road, format!("{head}{body}{}", last("/after")).as_bytes());
                assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{road}: {method}: {answer}");
            }
            // Bytes that no framing announces are the next request, and judged as one.
            let answer = exchange(road, format!("{head}\r\nnonsense\r\n\r\n").as_bytes());
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.contains("HTTP/1.1 400 "),
                "{road}: {answer}"
            );
        }
    }
    let seen = site.origin.take();
    assert_eq!(seen.len(), 2 * 4 * 5, "{seen:#?}");
    assert!(seen.iter().all(|line| !line.starts_with("GET /smuggled")), "{seen:#?}");
    site.holds();
}
