//! `TrafficPolicy.spec.inbound`: what holds for one listener, one Workload, one Service; CONNECT and the PROXY protocol
//! where they are declared.

use crate::harness::{Bytes, Echo, Mesh, Origin, free_port, get, until, yaml};

/// A TrafficPolicy with `inbound` at a target.
fn policy(name: &str, target: &str, inbound: &str) -> String {
    yaml::policy("TrafficPolicy", name, &format!("{{{target}}}"), &format!("inbound: {{{inbound}}}"))
}

/// The application's view of a request, once there is a line in it; `absent` is in none then.
fn seen(address: &str, headers: &[(&str, &str)], line: &str, absent: &str) {
    let answer = || get(address, "/", headers).ok().filter(|answer| answer.status == 200);
    let body = until(line, || answer().map(|a| a.body).filter(|body| body.lines().any(|seen| seen == line)));
    assert!(absent.is_empty() || !body.contains(absent), "{absent}: {body}");
}

#[test]
fn settings_hold_for_one_listener_one_workload_or_one_service() {
    let (web, api) = (Origin::start("web"), Origin::start("api"));
    let (first, second) = (free_port(), free_port());
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::workload("api-1", "api", api.port, ""),
        yaml::caller("a", ""),
        yaml::service("web", "http"),
        yaml::service("api", "http"),
        yaml::gateway("front", &[first, second]),
        yaml::route_to("web", "front"),
        policy("edge", "kind: Gateway, name: front", "forwardedHeaders: replace, trustedHops: 1"),
        policy("one", &format!("kind: Gateway, name: front, sectionName: http-{first}"), "trustedHops: 2"),
        policy("web", "kind: Workload, name: web-1", "peerIdentityHeader: true"),
        policy("api", "kind: Service, name: api", "maxHeaders: 8"),
    ];
    let mesh = Mesh::start(&text.concat());
    let came = [("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 3.3.3.3")];
    let (one, other) = (format!("127.0.0.1:{first}"), format!("127.0.0.1:{second}"));
    seen(&one, &came, "x-forwarded-for: 2.2.2.2, 3.3.3.3, 127.0.0.1", "");
    seen(&other, &came, "x-forwarded-for: 3.3.3.3, 127.0.0.1", "");
    let (web, api) = (mesh.upstream("a", "web"), mesh.upstream("a", "api"));
    let id = "spiffe://cluster.local/ns/shop/sa";
    seen(&web, &[], &format!("x-forwarded-client-cert: By={id}/web;URI={id}/a"), "");
    seen(&api, &[], "api GET /", "client-cert");
    // More lines than one Service allows, and the other one does not mind.
    let many: Vec<(String, String)> = (0..12).map(|n| (format!("X-{n}"), n.to_string())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(get(&api, "/", &many).unwrap().status, 431);
    assert_eq!(get(&web, "/", &many).unwrap().status, 200);
    // A policy that goes takes its settings along.
    mesh.byrnie(&["delete", "trafficpolicy", "api", "-n", "shop"]).ok();
    until("the limit is gone", || (get(&api, "/", &many).ok()?.status == 200).then_some(()));
}

#[test]
fn the_proxy_protocol_names_the_client_from_the_edge_to_the_application() {
    let (web, raw, alone) = (Origin::start("web"), Echo::start(""), Echo::start(""));
    let (http, tcp) = (free_port(), free_port());
    let gateway = format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: front, namespace: shop}}
spec:
  gatewayClassName: byrnie
  listeners: [{{name: http, port: {http}, protocol: HTTP}}, {{name: tcp, port: {tcp}, protocol: TCP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {{name: raw, namespace: shop}}
spec:
  parentRefs: [{{name: front, sectionName: tcp}}]
  rules: [{{backendRefs: [{{name: raw, port: 80}}]}}]
"
    );
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::workload("raw-1", "raw", raw.port, ""),
        yaml::workload("alone-1", "alone", alone.port, "proxy: none"),
        yaml::caller("a", ""),
        yaml::service("web", "http"),
        yaml::service("raw", "tcp"),
        yaml::service("alone", "tcp"),
        gateway,
        yaml::route_to("web", "front"),
        policy("edge", "kind: Gateway, name: front", "proxyProtocol: {accept: true}"),
        policy("raw", "kind: Workload, name: raw-1", "proxyProtocol: {send: v1}"),
        policy("alone", "kind: Service, name: alone", "proxyProtocol: {send: v2}"),
    ];
    let mesh = Mesh::start(&text.concat());
    let header = "PROXY TCP4 203.0.113.9 10.0.0.1 4000 80\r\n";
    let request = format!("{header}GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    until("the application hears of the client", || {
        let mut client = Bytes::try_open(&format!("127.0.0.1:{http}")).ok()?;
        client.send(&request).ok()?;
        client.rest().contains("x-forwarded-for: 203.0.113.9\n").then_some(())
    });
    // Through the mesh to an application of bytes, which sends back what it gets.
    let expected = format!("PROXY TCP4 203.0.113.9 127.0.0.1 4000 {}\r\nhello", raw.port);
    until("the application gets a header", || {
        let mut client = Bytes::try_open(&format!("127.0.0.1:{tcp}")).ok()?;
        client.send(&format!("{header}hello")).ok()?;
        (client.receive(expected.len()).ok()? == expected).then_some(())
    });
    // To an application without proxy: 28 bytes of version 2, its signature first.
    let mut client = Bytes::open(&mesh.upstream("a", "alone"));
    client.send("hello").unwrap();
    let got = client.receive_bytes(33).unwrap();
    assert!(got.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01"), "{got:?}");
    assert!(got.ends_with(b"hello"), "{got:?}");
    // Who does not begin with a header is not served.
    let mut client = Bytes::open(&format!("127.0.0.1:{http}"));
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").unwrap();
    assert_eq!(client.rest(), "");
}

#[test]
fn a_namespaces_word_is_heard_by_applications_without_a_proxy() {
    let alone = Echo::start("");
    let text = [
        yaml::workload("alone-1", "alone", alone.port, "proxy: none"),
        yaml::caller("a", ""),
        yaml::service("alone", "tcp"),
        policy("all", "kind: Namespace, name: shop", "proxyProtocol: {send: v1}"),
    ];
    let mesh = Mesh::start(&text.concat());
    let address = mesh.upstream("a", "alone");
    let line = until("it begins with a header", || {
        let mut client = Bytes::try_open(&address).ok()?;
        client.send("hello\n").ok()?;
        client.receive_line().ok().filter(|line| line.starts_with("PROXY"))
    });
    assert!(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{line}");
}

#[test]
fn connect_follows_routes_where_it_is_allowed() {
    let tunnel = Echo::after_connect();
    let (open, closed) = (free_port(), free_port());
    let text = [
        yaml::workload("web-1", "web", tunnel.port, ""),
        yaml::service("web", "http"),
        yaml::gateway("front", &[open, closed]),
        yaml::route_to("web", "front"),
        policy(
            "open",
            &format!("kind: Gateway, name: front, sectionName: http-{open}"),
            "allowConnect: true",
        ),
    ];
    let _mesh = Mesh::start(&text.concat());
    let ask = "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n";
    until("a tunnel", || {
        let mut client = Bytes::try_open(&format!("127.0.0.1:{open}")).ok()?;
        client.send(ask).ok()?;
        client.receive("HTTP/1.1 200".len()).ok().filter(|line| line == "HTTP/1.1 200")?;
        while client.receive_line().ok()? != "\r\n" {}
        client.echoes("whatever is spoken there").ok()
    });
    let mut client = Bytes::open(&format!("127.0.0.1:{closed}"));
    client.send(ask).unwrap();
    assert_eq!(client.receive("HTTP/1.1 501".len()).unwrap(), "HTTP/1.1 501");
}
