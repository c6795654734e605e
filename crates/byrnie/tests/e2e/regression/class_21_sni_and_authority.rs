//! SNI and coalescing (CVE-2020-11767, CVE-2024-45808, CVE-2024-32475): each request is routed by its own
//! host, and an odd name is bytes.

use std::io::{Read, Write};

use super::frames::{END_STREAM, Fate, Frames, get};
use super::site::{Site, connect};
use super::tls::hello;
use crate::harness::{Echo, Mesh, until, yaml};

#[test]
fn each_request_of_a_connection_has_its_own_host() {
    let rule = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: closed, namespace: shop}
spec:
  hostnames: [closed.example.com]
  parentRefs: [{name: front}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 302}}]}]
";
    let site = Site::with(rule);
    let mut client = Frames::open(&site.gateway, &[]);
    let mut stream = 1;
    let mut ask = |host: &'static str| {
        let mut fields = get("/x").to_vec();
        fields[2].1 = host.as_bytes();
        client.request(stream, END_STREAM, &fields).unwrap();
        stream += 2;
        client.fate(stream - 2)
    };
    until("the route is there", || (ask("closed.example.com") != Fate::Answered(200)).then_some(()));
    for _ in 0..3 {
        assert_eq!(ask("open.example.com"), Fate::Answered(200));
        assert_eq!(ask("closed.example.com"), Fate::Answered(302));
    }
    site.holds();
}

/// To a port without declared protocol: whatever the name in a ClientHello is, its bytes arrive as they were.
#[test]
fn a_hello_with_an_odd_name_arrives_as_it_was() {
    let echo = Echo::start("");
    let text = [
        yaml::workload("echo-1", "echo", echo.port, ""),
        yaml::caller("a", ""),
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: echo, namespace: shop}\n\
         spec: {selector: {app: echo}, ports: [{name: main, port: 80, targetPort: main}]}\n"
            .to_owned(),
    ];
    let mesh = Mesh::start(&text.concat());
    let address = mesh.upstream("a", "echo");
    let long = "a".repeat(256);
    for name in [
        None,
        Some("web.shop"),
        Some("a\r\nb"),
        Some("127.0.0.1"),
        Some(""),
        Some("a\0b"),
        Some(&*long),
        Some("*"),
    ] {
        let hello = hello(name.map(str::as_bytes));
        let mut stream = connect(&address);
        stream.write_all(&hello).unwrap();
        let mut back = vec![0; hello.len()];
        stream.read_exact(&mut back).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(back, hello, "{name:?}");
    }
    let mut large = hello(Some("n".repeat(16_000).as_bytes()));
    large.extend([0; 100]);
    let mut stream = connect(&address);
    stream.write_all(&large).unwrap();
    let mut back = vec![0; large.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, large);
    let pid = mesh.proxy_pid("a");
    assert_eq!(mesh.proxy_pid("a"), pid);
}
