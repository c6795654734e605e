//! Real clients and servers: curl, Python's gRPC and WebSocket libraries, plain TCP, an HTTP proxy's client.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Bytes, Echo, Mesh, Origin, free_port, get, skip, until, yaml};

/// A banner of a server that speaks first is through within this time; compiled without optimisation and beside other
/// tests: three times that.
const BANNER: Duration = Duration::from_millis(600);

const GRPC_SERVER: &str = include_str!("clients/grpc_server.py");
const GRPC_CLIENT: &str = include_str!("clients/grpc_client.py");
const WS_SERVER: &str = include_str!("clients/ws_server.py");
const WS_CLIENT: &str = include_str!("clients/ws_client.py");

/// Whether Python has this module; else the test is counted as skipped.
fn has_python(module: &str) -> bool {
    let mut python = Command::new("python3");
    let found = python.args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skip(&format!("python3 has no module {module}"));
    }
    found
}

fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip("curl is not installed");
    }
    found
}

/// What a program prints; fails the test when it fails.
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:#?}");
    String::from_utf8(output.stdout).unwrap()
}

/// curl's answer with its status and version of HTTP, once the answer is not 503: endpoints may be on their way.
fn curl(args: &[&str]) -> String {
    let mut all = vec!["-sS", "--max-time", "10", "-w", "\n%{http_version} %{http_code}"];
    all.extend(args);
    output("curl", &all)
}

/// A process of the test, gone with it.
struct Running(Child);

impl Running {
    fn python(script: &str, port: u16) -> Self {
        let port_text = port.to_string();
        let child = Command::new("python3").args(["-c", script, &port_text]).spawn().unwrap();
        let running = Self(child);
        let address = format!("127.0.0.1:{port}");
        until("the Python server listens", || Bytes::try_open(&address).ok());
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn curl_speaks_both_versions_through_a_gateway_and_an_upstream() {
    if !has_curl() {
        return;
    }
    let (web, port) = (Origin::start("web"), free_port());
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::caller("caller", ""),
        yaml::service("web", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
    ];
    let mesh = Mesh::start(&text.concat());
    for address in [format!("127.0.0.1:{port}"), mesh.upstream("caller", "web")] {
        until("it answers 200", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
        let url = format!("http://{address}/a?b=c");
        for (flag, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2"), ("--http1.0", "1")] {
            let answer = curl(&[flag, &url]);
            assert!(answer.starts_with("web GET /a?b=c\n"), "{flag}: {answer}");
            let status = answer.lines().last().unwrap();
            assert!(status.starts_with(version) && status.ends_with(" 200"), "{flag}: {answer}");
        }
        // Headers that say who somebody is are not taken from a caller.
        let answer = curl(&["-H", "byrnie-hop: 1", "-H", "byrnie-peer: me", "-H", "x-own: kept", &url]);
        assert!(!answer.contains("byrnie-") && answer.contains("x-own: kept"), "{answer}");
    }
}

#[test]
fn grpc_calls_of_all_four_kinds_and_their_trailers() {
    if !has_python("grpc") {
        return;
    }
    let (server, port) = (free_port(), free_port());
    let _server = Running::python(GRPC_SERVER, server);
    let route = "---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: talk, namespace: shop}
spec: {parentRefs: [{name: front}], rules: [{backendRefs: [{name: talk, port: 80}]}]}
";
    let text = [
        yaml::workload("talk-1", "talk", server, ""),
        yaml::caller("caller", ""),
        yaml::service("talk", "grpc"),
        yaml::gateway("front", &[port]),
        route.to_owned(),
    ];
    let mesh = Mesh::start(&text.concat());
    for address in [format!("127.0.0.1:{port}"), mesh.upstream("caller", "talk")] {
        assert_eq!(output("python3", &["-c", GRPC_CLIENT, &address]), "all four kinds\n", "{address}");
    }
}

#[test]
fn websockets_of_a_real_library() {
    if !has_python("websockets") {
        return;
    }
    let (server, port) = (free_port(), free_port());
    let _server = Running::python(WS_SERVER, server);
    let text = [
        yaml::workload("talk-1", "talk", server, ""),
        yaml::caller("caller", ""),
        yaml::service("talk", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("talk", "front"),
    ];
    let mesh = Mesh::start(&text.concat());
    for address in [format!("127.0.0.1:{port}"), mesh.upstream("caller", "talk")] {
        let url = format!("ws://{address}/chat");
        assert_eq!(output("python3", &["-c", WS_CLIENT, &url]), "text, bytes, ping, close\n", "{address}");
    }
}

#[test]
fn tcp_of_every_temper() {
    let (polite, eager) = (Echo::start(""), Echo::start("220 ready\r\n"));
    let undeclared = |name: &str| yaml::service(name, "x").replace(", appProtocol: x", "");
    let text = [
        yaml::workload("polite-1", "polite", polite.port, ""),
        yaml::workload("eager-1", "eager", eager.port, ""),
        yaml::caller("caller", ""),
        undeclared("polite"),
        undeclared("eager"),
        yaml::service("eager-declared", "tcp").replace("{app: eager-declared}", "{app: eager}"),
    ];
    let mesh = Mesh::start(&text.concat());
    for service in ["eager", "eager-declared"] {
        let address = mesh.upstream("caller", service);
        let took = until("the banner comes", || {
            let start = Instant::now();
            let banner = Bytes::try_open(&address).ok()?.receive(11).ok()?;
            assert_eq!(banner, "220 ready\r\n");
            Some(start.elapsed())
        });
        assert!(took < BANNER, "{service}: the banner took {took:?}");
    }
    let address = mesh.upstream("caller", "polite");
    until("the echo answers", || Bytes::try_open(&address).ok()?.echoes("*1\r\n$4\r\nPING\r\n").ok());
    let mut long = Bytes::open(&address);
    for _ in 0..20 {
        long.echoes(&"x".repeat(10_000)).unwrap();
        long.echoes("\0\u{1}\r\n").unwrap();
    }
}

#[test]
fn the_proxy_of_a_workload_is_an_http_proxy_when_it_wishes() {
    if !has_curl() {
        return;
    }
    let (web, echo) = (Origin::start("web"), Echo::start(""));
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::workload("echo-1", "echo", echo.port, ""),
        yaml::caller("caller", "httpProxy: true"),
        yaml::caller("plain", ""),
        yaml::service("web", "http"),
        yaml::service("echo", "tcp"),
    ];
    let mesh = Mesh::start(&text.concat());
    let run =
        |workload: &str, line: &str| mesh.byrnie(&["run", "--workload", workload, "--", "sh", "-c", line]);
    assert_eq!(run("plain", "echo ${HTTP_PROXY-unset}").ok(), "unset\n");
    let address = run("caller", "echo $WEB_SERVICE_HOST:$WEB_SERVICE_PORT").ok();
    assert_eq!(address.trim(), mesh.upstream("caller", "web"));
    until("the service answers", || (get(address.trim(), "/", &[]).ok()?.status == 200).then_some(()));
    for host in ["web", "web.shop", "web.shop.svc.cluster.local:80"] {
        let answer = run("caller", &format!("curl -sS --max-time 10 http://{host}/by-name")).ok();
        assert!(answer.starts_with("web GET /by-name\n"), "{host}: {answer}");
        let tunnel = format!("curl -sS --max-time 10 -p http://{host}/tunnel");
        let answer = run("caller", &tunnel).ok();
        assert!(answer.starts_with("web GET /tunnel\n"), "{host}: {answer}");
    }
    let unknown = run("caller", "curl -sS --max-time 10 -i http://nobody.shop/").ok();
    assert!(unknown.starts_with("HTTP/1.1 502") || unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    assert!(unknown.contains("byrnie-error:"), "{unknown}");
    // Bytes through a tunnel, spoken by hand.
    let proxy = run("caller", "echo ${HTTP_PROXY#http://}").ok();
    let mut tunnel = Bytes::open(proxy.trim());
    tunnel.send("CONNECT echo.shop:80 HTTP/1.1\r\nHost: echo.shop:80\r\n\r\n").unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push_str(&tunnel.receive(1).unwrap());
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    tunnel.echoes("bytes").unwrap();
}

#[test]
fn a_grpc_stream_outlives_its_certificates() {
    if !has_python("grpc") {
        return;
    }
    let server = free_port();
    let _server = Running::python(GRPC_SERVER, server);
    let text = [
        yaml::settings("certificates: {lifetime: 10s}"),
        yaml::workload("talk-1", "talk", server, ""),
        yaml::caller("caller", ""),
        yaml::service("talk", "grpc"),
    ];
    let mesh = Mesh::start(&text.concat());
    let address = mesh.upstream("caller", "talk");
    let mut client = Command::new("python3");
    client.args(["-c", GRPC_CLIENT, &address, "hold"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = Running(client.spawn().unwrap());
    let first =
        until("there is a certificate", || mesh.proxy("talk-1")?["notAfter"].as_str().map(str::to_owned));
    let mut seen = std::collections::BTreeSet::from([first]);
    until("three certificates were in force", || {
        assert_eq!(client.0.try_wait().unwrap(), None, "the stream ended");
        seen.insert(mesh.proxy("talk-1")?["notAfter"].as_str()?.to_owned());
        (seen.len() > 2).then_some(())
    });
    client.0.stdin.take().unwrap().write_all(b"enough\n").unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(client.0.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert!(said.starts_with("held "), "{said}");
    assert!(client.0.wait().unwrap().success());
}
