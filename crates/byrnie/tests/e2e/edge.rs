//! What applications hear about their clients: where they are, at a Gateway; who calls, inside the mesh.

use crate::harness::{Mesh, Origin, free_port, get, until, yaml};

const CAME: &[(&str, &str)] = &[
    ("X-Forwarded-For", "6.6.6.6, 7.7.7.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Client-Cert", "URI=spiffe://cluster.local/ns/shop/sa/admin"),
];

#[test]
fn applications_hear_where_clients_are_and_who_calls() {
    let (web, port) = (Origin::start("web"), free_port());
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::caller("a", ""),
        yaml::service("web", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
    ];
    let mesh = Mesh::start(&text.concat());
    let (gateway, caller) = (format!("127.0.0.1:{port}"), mesh.upstream("a", "web"));
    // What the application sees of a request.
    let seen =
        |address: &str| get(address, "/", CAME).ok().filter(|answer| answer.status == 200).map(|a| a.body);
    let until_seen = |address: &str, line: &str| {
        until(line, || seen(address).filter(|body| body.lines().any(|seen| seen == line)))
    };
    let body = until_seen(&gateway, "x-forwarded-for: 6.6.6.6, 7.7.7.7, 127.0.0.1");
    for line in ["x-forwarded-proto: http", "x-forwarded-host: localhost"] {
        assert!(body.lines().any(|seen| seen == line), "{line}: {body}");
    }
    assert!(!body.contains("client-cert"), "{body}");
    let body = until_seen(&caller, "x-forwarded-for: 6.6.6.6, 7.7.7.7");
    assert!(!body.contains("client-cert"), "{body}");

    mesh.apply(&yaml::settings(
        "proxy: {forwardedHeaders: replace, trustedHops: 1, peerIdentityHeader: true}",
    ));
    let body = until_seen(&gateway, "x-forwarded-for: 7.7.7.7, 127.0.0.1");
    let id = "spiffe://cluster.local/ns/shop/sa";
    for line in
        ["x-forwarded-proto: https", &format!("x-forwarded-client-cert: By={id}/web;URI={id}/front-byrnie")]
    {
        assert!(body.lines().any(|seen| seen == line), "{line}: {body}");
    }
    until_seen(&caller, &format!("x-forwarded-client-cert: By={id}/web;URI={id}/a"));

    mesh.apply(&yaml::settings("proxy: {forwardedHeaders: 'off'}"));
    let body = until_seen(&gateway, "x-forwarded-for: 6.6.6.6, 7.7.7.7");
    assert!(!body.contains("x-forwarded-host"), "{body}");
}
