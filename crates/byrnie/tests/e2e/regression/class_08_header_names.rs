//! Empty and odd header names, folded lines (GHSA-h2p2-w857-329f): a head that has them is refused whole.

use super::site::{Site, exchange};

#[test]
fn odd_names_are_refused() {
    let site = Site::open();
    let long = format!("{}: 1", "n".repeat(70 * 1024));
    let probes: Vec<String> = [
        ": x",
        " name: x",
        "\tname: x",
        "na me: x",
        "name : x",
        "name\t: x",
        "name",
        "na\0me: x",
        "na\x7fme: x",
        "na(me: x",
        "nämé: x",
        "\"name\": x",
        "x: 1\r\n folded",
        "x: 1\r\n\tfolded",
        "x: 1\r\n ",
        "x: 1\ry: 2",
        "x: 1\ny: 2",
        "x: 1\r\r\ny: 2",
    ]
    .map(|line| format!("GET /x HTTP/1.1\r\nHost: a\r\n{line}\r\nX-Last: 1\r\n\r\n"))
    .into();
    let first = "GET /x HTTP/1.1\r\n x: 1\r\nHost: a\r\n\r\n";
    let probes: Vec<&str> = probes.iter().map(String::as_str).chain([first]).collect();
    site.refused(&probes);
    for road in site.roads() {
        let answer = exchange(road, format!("GET /x HTTP/1.1\r\nHost: a\r\n{long}\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 431 "), "{road}: {answer:?}");
    }
    site.saw(&[]);
    site.holds();
}
