//! The body of a request that was answered early (CVE-2025-4366): what is left of it is nobody's request.

use std::io::{Read, Write};

use super::site::{Site, connect, exchange, last, rest};
use crate::harness::{get, until, yaml};

#[test]
fn the_rest_of_a_body_is_never_a_request() {
    let site = Site::with(&yaml::route(
        "moved",
        "front",
        "{matches: [{path: {value: /moved}}], filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}",
    ));
    until("the redirect is there", || (get(&site.gateway, "/moved", &[]).ok()?.status == 301).then_some(()));
    site.origin.take();
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for road in site.roads() {
        for path in ["/admin", "/early", "/moved"] {
            for lines in [
                format!("Content-Length: {}\r\n\r\n{inner}", inner.len()),
                format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
            ] {
                let words = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{lines}{}", last("/after"));
                let answer = exchange(road, words.as_bytes());
                assert!(!answer.contains("GET /smuggled"), "{road}: {path}: {answer}");
            }
            if path == "/moved" && road != site.gateway {
                continue; // An ordinary request there, which waits for its body.
            }
            // The same in pieces: the answer comes while the body is on its way.
            let mut stream = connect(road);
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", inner.len());
            stream.write_all(head.as_bytes()).unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).unwrap();
            let _ = stream.write_all(format!("{inner}{}", last("/after")).as_bytes());
            assert!(!rest(&mut stream).contains("smuggled"), "{road}: {path}");
        }
    }
    let seen = site.origin.take();
    assert!(
        seen.iter().all(|line| !line.starts_with("GET /smuggled") && !line.starts_with("POST /admin")),
        "{seen:#?}"
    );
    site.holds();
}
