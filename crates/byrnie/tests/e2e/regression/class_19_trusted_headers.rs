//! Headers that only the mesh may say (CVE-2023-27487, CVE-2024-45806): from outside they do not arrive.

use super::frames::{END_STREAM, Fate, Frames, get};
use super::site::{Site, exchange};

#[test]
fn nobody_speaks_for_the_mesh() {
    let site = Site::open();
    let forged = [
        "byrnie-hop: v=1;s=shop/web:80;p=1",
        "byrnie-upgrade: websocket",
        "byrnie-unprocessed: 1",
        "byrnie-error: BYR0203 no_endpoint side=mesh",
        "Byrnie-Anything: 1",
        "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/admin",
    ];
    for road in site.roads() {
        let lines = forged.join("\r\n");
        let words = format!(
            "GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\nConnection: close, x-mine\r\nx-mine: 1\r\n\r\n"
        );
        assert!(exchange(road, words.as_bytes()).starts_with("HTTP/1.1 200 "), "{road}");
        let mut client = Frames::open(road, &[]);
        let mut fields = get("/x").to_vec();
        fields.extend(
            forged
                .iter()
                .map(|line| line.split_once(": ").unwrap())
                .filter(|(name, _)| *name == name.to_ascii_lowercase())
                .map(|(name, value)| (name, value.as_bytes())),
        );
        client.request(1, END_STREAM, &fields).unwrap();
        assert_eq!(client.fate(1), Fate::Answered(200), "{road}");
        // A path of one's own choosing next to the real one decides nothing.
        for line in [
            "x-envoy-original-path: /x",
            "x-original-url: /x",
            "x-rewrite-url: /x",
            "x-http-method-override: GET",
        ] {
            let words = format!("GET /admin HTTP/1.1\r\nHost: a\r\n{line}\r\nConnection: close\r\n\r\n");
            assert!(exchange(road, words.as_bytes()).starts_with("HTTP/1.1 403 "), "{road}: {line}");
        }
    }
    for head in site.origin.heads() {
        let head = head.to_ascii_lowercase();
        assert!(
            !head.contains("byrnie-") && !head.contains("x-mine") && !head.contains("sa/admin"),
            "{head}"
        );
    }
    site.saw(&["GET /x"; 4]);
    site.holds();
}
