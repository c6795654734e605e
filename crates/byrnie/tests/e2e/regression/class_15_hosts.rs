//! Case, port and trailing dot of a host (CVE-2021-39155, RUSTSEC-2024-0421): one host in all spellings, else none.

use super::site::{Site, exchange};
use crate::harness::until;

#[test]
fn a_host_is_the_same_in_all_spellings() {
    let rule = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: closed, namespace: shop}
spec:
  hostnames: [closed.example.com]
  parentRefs: [{name: front}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 302}}]}]
";
    let site = Site::with(&format!("---\n{rule}"));
    let ask = |host: &str| {
        let words = format!("GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(&site.gateway, words.as_bytes()).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    until("the route is there", || (ask("closed.example.com") == "302").then_some(()));
    site.origin.take();
    for host in [
        "Closed.Example.COM",
        "closed.example.com.",
        "closed.example.com:80",
        "CLOSED.example.com.:8080",
        "closed.example.com:",
    ] {
        assert_eq!(ask(host), "302", "{host}");
    }
    for host in ["xn--closed-.example.com", "closed.example.com.evil", "a.closed.example.com"] {
        assert_eq!(ask(host), "200", "{host}");
    }
    site.saw(&["GET /x"; 3]);
    let probes = [
        "",
        "a b",
        "a/b",
        "a?b",
        "a#b",
        "u@a",
        "a:b",
        "a:99999",
        "a..b",
        ".a",
        "a%41",
        "[::1",
        "a,b",
        "ü",
        "a\r\nHost: b",
        "a\r\nHost: a",
    ]
    .map(|host| format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let missing = "GET /x HTTP/1.1\r\nX-Host: a\r\n\r\n";
    site.refused(&probes.iter().map(String::as_str).chain([missing]).collect::<Vec<_>>());
    site.holds();
}
