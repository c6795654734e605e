//! The chunk parser (CVE-2021-32714, the bare LF of many): a size is plain, a chunk ends where it says.

use super::site::{Site, exchange, last, post};

#[test]
fn loose_chunks_end_the_request() {
    let site = Site::open();
    let probes: Vec<String> = [
        "10000000000000000\r\nabcde\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nabcde\r\n0\r\n\r\n",
        "0_5\r\nabcde\r\n0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "+5\r\nabcde\r\n0\r\n\r\n",
        "-5\r\nabcde\r\n0\r\n\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
        "5 \r\nabcde\r\n0\r\n\r\n",
        "5\nabcde\r\n0\r\n\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5;x\ny\r\nabcde\r\n0\r\n\r\n",
        "5;x\ry\r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcdef\r\n0\r\n\r\n",
        "5\r\nabcde0\r\n\r\n",
        "5\r\nabcde\r\n0\r\nx: y\n\r\n",
        "5\r\nabcde\r\n0\r\nContent-Length: 5\r\n\r\n",
        "\r\n",
        "xyz\r\n",
    ]
    .map(|body| {
        post("Transfer-Encoding: chunked", &format!("{body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"))
    })
    .into();
    let probes: Vec<&str> = probes.iter().map(String::as_str).collect();
    site.refused(&probes);
    for road in site.roads() {
        // The last line is missing: the request never ends, and the application gets none.
        let answer = exchange(road, post("Transfer-Encoding: chunked", "5\r\nabcde\r\n0\r\n").as_bytes());
        assert!(!answer.contains(" 200 "), "{road}: {answer}");
        let words = post("Transfer-Encoding: chunked", "5;a=\"b\"\r\nabcde\r\n00\r\nx: y\r\n\r\n");
        assert!(
            exchange(road, format!("{words}{}", last("/after")).as_bytes()).matches(" 200 ").count() == 2,
            "{road}"
        );
    }
    site.saw(&["POST /post abcde", "GET /after", "POST /post abcde", "GET /after"]);
    site.holds();
}
