//! Lenient, empty and repeated Content-Length (CVE-2021-32715, CVE-2023-40225): a plain number, once.

use super::site::{Site, exchange, last, post};

#[test]
fn only_a_plain_number_is_a_length() {
    let site = Site::open();
    let probes: Vec<String> = [
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "",
        " ",
        "1_0",
        "05",
        "0x5",
        "5 5",
        "5.0",
        "5e0",
        "\"5\"",
        "5\x0b",
        "٥",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999999",
    ]
    .map(|value| post(&format!("Content-Length: {value}"), "abcde"))
    .into();
    let twice = ["5\r\nContent-Length: 6", "5\r\ncontent-length: 5", "6\r\nContent-Length: 5"]
        .map(|value| post(&format!("Content-Length: {value}"), "abcde"));
    let probes: Vec<&str> = probes.iter().chain(&twice).map(String::as_str).collect();
    site.refused(&probes);
    for road in site.roads() {
        let words = format!("{}{}", post("Content-Length:\t5 ", "abcde"), last("/after"));
        assert_eq!(exchange(road, words.as_bytes()).matches("HTTP/1.1 200 ").count(), 2, "{road}");
    }
    site.saw(&["POST /post abcde", "GET /after", "POST /post abcde", "GET /after"]);
    site.holds();
}
