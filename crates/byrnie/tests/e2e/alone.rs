//! `byrnie proxy` without a mesh: two flags or a file, real clients, reload, drain.

use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Bytes, Connection, Echo, Load, Mesh, Origin, Sandbox, free_port, get, skip, until};

/// `byrnie proxy ARGS`, and where its admin server is.
fn alone(sandbox: Sandbox, args: &[&str]) -> (Mesh, String) {
    let admin = format!("127.0.0.1:{}", free_port());
    let mut all = vec!["proxy", "--admin", &admin];
    all.extend(args);
    let proxy = Mesh::spawn(sandbox, &all);
    until("the proxy is ready", || (get(&admin, "/ready", &[]).ok()?.status == 200).then_some(()));
    (proxy, admin)
}

fn file(port: u16, listener: &str, path: &str, origin: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: byrnie
  listeners: [{{name: {listener}, port: {port}, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{matches: [{{path: {{type: PathPrefix, value: {path}}}}}], backendRefs: [{{name: web, port: 80}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: {origin}, appProtocol: http}}]}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: web-1, labels: {{app: web}}}}
spec: {{ports: [{{port: {origin}}}]}}
"
    )
}

#[test]
fn two_flags_are_a_proxy_for_every_client_of_http() {
    let (web, port) = (Origin::start("web"), free_port());
    let address = format!("127.0.0.1:{port}");
    let to = format!("127.0.0.1:{}", web.port);
    let args = ["--listen", &address, "--to", &to, "--access-log", "all", "--access-log-to", "stdout"];
    let (mut proxy, admin) = alone(Sandbox::new(), &args);
    let mut kept = Connection::open(&address).unwrap();
    for _ in 0..3 {
        assert!(kept.get("/a?b=c", &[]).unwrap().body.starts_with("web GET /a?b=c\n"));
    }
    if Command::new("curl").arg("--version").output().is_ok() {
        for (flag, version) in [("--http1.1", "1.1 200"), ("--http2-prior-knowledge", "2 200")] {
            let url = format!("http://{address}/curl");
            let wanted = "\n%{http_version} %{http_code}";
            let curl =
                Command::new("curl").args(["-sS", "--max-time", "10", flag, "-w", wanted, &url]).output();
            let said = String::from_utf8(curl.unwrap().stdout).unwrap();
            assert!(said.starts_with("web GET /curl\n") && said.ends_with(version), "{flag}: {said}");
        }
    } else {
        skip("curl is not installed");
    }
    let metrics = get(&admin, "/metrics", &[]).unwrap().body;
    assert!(metrics.contains("byrnie_requests_total{") && metrics.contains("service=\"to\""), "{metrics}");
    until("the log has a line", || proxy.log().contains("\"path\":\"/a\"").then_some(()));
    // SIGTERM: what is under way ends well, then the process.
    let load = Load::start(&address, "/", 2);
    proxy.signal(Signal::TERM);
    until("it says that it leaves", || proxy.log().contains("draining").then_some(()));
    load.more(20);
    load.stop_unharmed();
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn websockets_and_bytes_go_through_as_well() {
    let (upgrade, echo) = (Echo::after_upgrade(), Echo::start("220 ready\r\n"));
    let (port, to) = (free_port(), format!("http://127.0.0.1:{}", upgrade.port));
    let address = format!("127.0.0.1:{port}");
    let (_http, _) = alone(Sandbox::new(), &["--listen", &address, "--to", &to]);
    let mut socket = Bytes::upgrade(&address, "/chat");
    for _ in 0..3 {
        socket.echoes("frames of any kind").unwrap();
    }
    let (port, to) = (free_port(), format!("tcp://127.0.0.1:{}", echo.port));
    let address = format!("127.0.0.1:{port}");
    let (_bytes, _) = alone(Sandbox::new(), &["--listen", &address, "--to", &to]);
    let mut bytes = Bytes::open(&address);
    assert_eq!(bytes.receive(11).unwrap(), "220 ready\r\n");
    bytes.echoes("and back").unwrap();
}

#[test]
fn a_file_is_followed_and_a_bad_one_changes_nothing() {
    let (old, new, port) = (Origin::start("old"), Origin::start("new"), free_port());
    let address = format!("127.0.0.1:{port}");
    let sandbox = Sandbox::new();
    let path = sandbox.file("edge.yaml", &file(port, "web", "/", old.port)).display().to_string();
    let (proxy, admin) = alone(sandbox, &["--config", &path]);
    let load = Load::start(&address, "/", 2);
    assert!(get(&address, "/x", &[]).unwrap().body.starts_with("old GET /x\n"));
    proxy.sandbox.file("edge.yaml", &file(port, "web", "/", new.port));
    until("the change is in force", || {
        get(&address, "/", &[]).unwrap().body.starts_with("new ").then_some(())
    });
    // Errors of reading, of compiling, and another Gateway.
    for (broken, code) in [
        (file(port, "web", "/", old.port).replace("parentRefs", "parentRef"), "BYR0010"),
        (file(port, "web", "/", old.port).replace("port: 80}]", "port: 81}]"), "BYR0483"),
        (file(port, "web", "/", old.port).replace("edge", "other"), "BYR0484"),
    ] {
        proxy.sandbox.file("edge.yaml", &broken);
        until(&format!("{code} is told"), || proxy.log().contains(code).then_some(()));
        until("the metric says so", || {
            let metrics = get(&admin, "/metrics", &[]).ok()?.body;
            metrics.contains("byrnie_config_resources{kind=\"File\",state=\"rejected\"} 1").then_some(())
        });
        assert!(get(&address, "/", &[]).unwrap().body.starts_with("new "), "{code}");
    }
    assert!(proxy.log().contains("the last good state stays in force"));
    proxy.sandbox.file("edge.yaml", &file(port, "web", "/", old.port));
    until("it is well again", || get(&address, "/", &[]).unwrap().body.starts_with("old ").then_some(()));
    load.stop_unharmed();
}

#[test]
fn what_cannot_be_served_is_told_at_once() {
    let sandbox = Sandbox::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let busy = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let busy = busy.local_addr().map(|address| (busy, address.to_string())).unwrap();
    let path = sandbox.file("no-gateway.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n");
    for (args, code) in [
        (vec!["--listen", &busy.1, "--to", "127.0.0.1:3000"], "BYR0485"),
        (vec!["--config", path.to_str().unwrap()], "BYR0484"),
        (vec!["--config", "/nowhere.yaml"], "BYR0462"),
        (vec!["--listen", &taken.to_string(), "--to", "127.0.0.1:x"], "BYR0463"),
        (vec!["--listen", ":0", "--to", "127.0.0.1:3000", "--admin", "0.0.0.0:1"], "BYR0463"),
    ] {
        let mut all = vec!["proxy"];
        all.extend(args);
        let run = sandbox.run(&all);
        assert!(run.code == Some(1) && run.stderr.contains(code), "{all:?}: {run:#?}");
    }
    // Clap's own refusals.
    let config = ["proxy", "--config", path.to_str().unwrap()];
    for args in [
        &["proxy"][..],
        &["proxy", "--listen", ":1"],
        &["proxy", "--to", "127.0.0.1:1"],
        &[&config[..], &["--to", "127.0.0.1:1"]].concat(),
        &[&config[..], &["--listen", ":1"]].concat(),
        &[&config[..], &["--listen", ":1", "--to", "127.0.0.1:1"]].concat(),
    ] {
        assert_eq!(sandbox.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn who_comes_while_it_drains_is_served_until_nothing_is_under_way() {
    let (web, port) = (Origin::start("web"), free_port());
    let (address, to) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", web.port));
    let (mut proxy, admin) = alone(Sandbox::new(), &["--listen", &address, "--to", &to]);
    let slow = address.clone();
    let slow = std::thread::spawn(move || Connection::open(&slow).unwrap().get("/wait", &[]));
    until("a request is under way", || {
        get(&admin, "/metrics", &[]).ok()?.body.contains("byrnie_requests_in_flight 1").then_some(())
    });
    proxy.signal(Signal::TERM);
    until("it is not ready", || (get(&admin, "/ready", &[]).ok()?.status == 503).then_some(()));
    // For longer than the second in which nobody may have heard yet.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let answer = Connection::open(&address).unwrap().get("/", &[]).unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        std::thread::sleep(Duration::from_millis(20));
    }
    web.let_go();
    assert_eq!(slow.join().unwrap().unwrap().status, 200);
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn who_never_ceases_to_come_does_not_keep_a_proxy_that_drains() {
    let (web, port) = (Origin::start("web"), free_port());
    let address = format!("127.0.0.1:{port}");
    let sandbox = Sandbox::new();
    let mesh = "---\napiVersion: mesh.byrnie.dev/v1alpha1\nkind: Mesh\nmetadata: {name: default}\n\
                spec: {proxy: {drainTimeout: 4s}}\n";
    let text = file(port, "web", "/", web.port) + mesh;
    let path = sandbox.file("edge.yaml", &text).display().to_string();
    let (mut proxy, _) = alone(sandbox, &["--config", &path]);
    // There is one at any time, and nobody is there for long.
    let mut open = Connection::open(&address).unwrap();
    proxy.signal(Signal::TERM);
    let began = Instant::now();
    let ended = loop {
        let next = Connection::open(&address);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(open.get("/", &[]).unwrap().status, 200);
        match next {
            Ok(next) => open = next,
            Err(error) => break error,
        }
    };
    let took = began.elapsed();
    assert_eq!(ended.kind(), ErrorKind::ConnectionRefused, "at once, and nobody was cut");
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(4), "{took:?}");
    assert_eq!(proxy.wait_exit().code(), Some(0));
}
