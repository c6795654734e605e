//! Lengths of names that overflow (CVE-2021-40346): around 8 and 16 bits nothing shifts.

use super::site::{Site, exchange, last};

#[test]
fn names_of_every_length_stay_names() {
    let site = Site::open();
    for road in site.roads() {
        for length in [254, 255, 256, 257, 270, 8191, 8192, 65_534, 65_535, 65_536, 65_537] {
            let name = "content-length".to_owned() + &"n".repeat(length - 14);
            let head = format!("POST /x HTTP/1.1\r\nHost: a\r\n{name}: 40\r\nContent-Length: 5\r\n\r\n");
            let answer = exchange(road, format!("{head}abcde{}", last("/after")).as_bytes());
            let answers = answer.matches("HTTP/1.1 200 ").count();
            let refused = answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 400 ");
            assert!(answers == 2 || (answers == 0 && refused), "{road}: {length}: {answer:.300}");
        }
    }
    let seen = site.origin.take();
    assert!(seen.iter().all(|line| ["POST /x abcde", "GET /after"].contains(&line.as_str())), "{seen:#?}");
    assert!(seen.len() >= 8, "{seen:#?}");
    site.holds();
}
