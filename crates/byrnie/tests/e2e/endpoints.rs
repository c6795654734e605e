//! Endpoints and ports that behave badly: each harms itself only, and somebody says so.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Bytes, Echo, Load, Mesh, Origin, free_port, get, until, yaml};

/// `front` in front of `web`, whose route gives up after 300 ms; callers come from `caller`.
fn shop(web: u16, gateway: &[u16]) -> String {
    let rule = "{timeouts: {request: 300ms}, backendRefs: [{name: web, port: 80}]}";
    [
        yaml::workload("web-1", "web", web, ""),
        yaml::caller("caller", ""),
        yaml::service("web", "http"),
        yaml::gateway("front", gateway),
        yaml::route("web", "front", rule),
    ]
    .concat()
}

fn answers(address: &str) {
    until("it answers 200", || (get(address, "/", &[]).ok()?.status == 200).then_some(()));
}

#[test]
fn an_endpoint_that_hangs_resets_or_fails_harms_no_other_request() {
    let (web, failing, port) = (Origin::start("web"), Origin::start("failing"), free_port());
    let failing_rule =
        "{matches: [{path: {type: PathPrefix, value: /503}}], backendRefs: [{name: failing, port: 80}]}";
    let text = [
        shop(web.port, &[port]),
        yaml::workload("failing-1", "failing", failing.port, ""),
        yaml::service("failing", "http"),
        yaml::route("failing", "front", failing_rule),
    ];
    let mesh = Mesh::start(&text.concat());
    let gateway = format!("127.0.0.1:{port}");
    answers(&gateway);
    failing.fail(true);
    let load = Load::start(&gateway, "/", 2);
    for _ in 0..5 {
        let start = Instant::now();
        assert_eq!(get(&gateway, "/hang", &[]).unwrap().status, 504);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
        assert_eq!(get(&gateway, "/reset", &[]).unwrap().status, 502);
        let own = get(&gateway, "/503", &[]).unwrap();
        assert_eq!((own.status, own.body.starts_with("failing GET /503")), (503, true), "{own:?}");
    }
    load.stop_unharmed();
    // A caller inside the mesh is told what it was, and who.
    let upstream = mesh.upstream("caller", "web");
    let reset = get(&upstream, "/reset", &[]).unwrap();
    assert_eq!(reset.status, 502, "{reset:?}");
    assert!(reset.header("byrnie-error").is_some_and(|error| error.starts_with("BYR0206 ")), "{reset:?}");
}

#[test]
fn a_closed_port_is_no_error_until_somebody_calls() {
    let (web, port) = (free_port(), free_port());
    let mesh = Mesh::start(&shop(web, &[port]));
    let upstream = mesh.upstream("caller", "web");
    let refused = until("it is tried", || {
        let answer = get(&upstream, "/", &[]).unwrap();
        (answer.header("byrnie-error")?.starts_with("BYR0204 ")).then_some(answer)
    });
    assert_eq!(refused.status, 503, "{refused:?}");
    let listener = TcpListener::bind(("127.0.0.1", web)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            use std::io::{Read, Write};
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    answers(&upstream);
}

#[test]
fn two_workloads_may_name_the_same_address_and_port() {
    let (web, port) = (Origin::start("web"), free_port());
    let text = [shop(web.port, &[port]), yaml::workload("web-2", "web", web.port, "")];
    let mesh = Mesh::start(&text.concat());
    let gateway = format!("127.0.0.1:{port}");
    answers(&gateway);
    let load = Load::start(&gateway, "/", 2);
    let rps = |name: &str| {
        let workloads = mesh.items(&["stat", "workloads", "-o", "json"])?;
        workloads.into_iter().find(|workload| workload["name"] == name)?["rps"].as_f64()
    };
    until("both are called", || (rps("web-1")? > 0.0 && rps("web-2")? > 0.0).then_some(()));
    load.stop_unharmed();
}

#[test]
fn a_port_in_use_is_named_and_bound_once_it_is_free() {
    let (web, free) = (Origin::start("web"), free_port());
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let sandbox = crate::harness::Sandbox::new();
    sandbox.file("mesh.yaml", &shop(web.port, &[free, port]));
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    answers(&format!("127.0.0.1:{free}"));
    until("the port is named", || {
        let log = mesh.log();
        log.lines()
            .any(|line| line.contains(&format!("port {port}")) && line.contains("in use"))
            .then_some(())
    });
    rejected(&mesh, port);
    drop(taken);
    answers(&format!("127.0.0.1:{port}"));
    mesh.wait_synced();
}

/// Gateway API: `Programmed=False`, reason `AddressNotUsable`.
#[test]
fn an_address_that_the_machine_does_not_have_is_told_in_the_status() {
    let (web, port) = (Origin::start("web"), free_port());
    // Of TEST-NET-1, which nobody has.
    let gateway = |addresses: &str| {
        let listeners = format!("listeners: [{{name: http, port: {port}, protocol: HTTP}}]");
        format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: front, namespace: shop}}
spec: {{gatewayClassName: byrnie, addresses: [{addresses}], {listeners}}}
"
        )
    };
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::service("web", "http"),
        yaml::route_to("web", "front"),
        gateway("{type: IPAddress, value: 192.0.2.1}"),
    ];
    let sandbox = crate::harness::Sandbox::new();
    sandbox.file("mesh.yaml", &text.concat());
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    let programmed = || {
        let run = mesh.byrnie(&["get", "gateway", "front", "-n", "shop", "-o", "json"]);
        let object: serde_json::Value = serde_json::from_str(&run.stdout).ok()?;
        let conditions = object["status"]["conditions"].as_array()?.clone();
        let found = conditions.into_iter().find(|condition| condition["type"] == "Programmed")?;
        Some(format!("{}/{}", found["status"].as_str()?, found["reason"].as_str()?))
    };
    until("the status says so", || (programmed()? == "False/AddressNotUsable").then_some(()));
    mesh.apply(&gateway("{type: IPAddress, value: 127.0.0.1}"));
    answers(&format!("127.0.0.1:{port}"));
    until("and that it is over", || (programmed()? == "True/Programmed").then_some(()));
}

/// Waits until `proxy-status` says that the gateway refuses its configuration for this port.
fn rejected(mesh: &Mesh, port: u16) {
    until("it is rejected", || (mesh.proxy("front")?["sync"] == "REJECTED").then_some(()));
    let table = mesh.byrnie(&["proxy-status"]).ok();
    let line = table.lines().find(|line| line.contains("front")).unwrap();
    let why = ["REJECTED", "BYR0217", &port.to_string()];
    assert!(why.iter().all(|word| line.contains(word)), "{table}");
}

#[test]
fn a_config_that_cannot_be_applied_leaves_what_works_and_apply_says_so() {
    let (web, port) = (Origin::start("web"), free_port());
    let mesh = Mesh::start(&shop(web.port, &[port]));
    let gateway = format!("127.0.0.1:{port}");
    answers(&gateway);
    let load = Load::start(&gateway, "/", 2);
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let second = taken.local_addr().unwrap().port();
    let more = shop(web.port, &[port, second]);
    let run = mesh.sandbox.run_with_input(&["apply", "-f", "-", "--wait"], &more);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("BYR0217") && run.stderr.contains("front"), "{run:?}");
    rejected(&mesh, second);
    load.more(50);
    let programmed = mesh.byrnie(&["get", "gateway", "front", "-o", "json"]).json();
    let listeners = programmed["status"]["listeners"].to_string();
    assert!(listeners.contains(&second.to_string()), "{programmed}");
    mesh.apply(&shop(web.port, &[port]));
    mesh.wait_synced();
    load.stop_unharmed();
    drop(taken);
}

#[test]
fn more_services_than_a_workload_gets_addresses_for_are_a_finding() {
    let mesh = Mesh::control_plane();
    let mut text = yaml::caller("caller", "");
    (0..65).for_each(|number| text.push_str(&yaml::service(&format!("s{number:02}"), "http")));
    mesh.sandbox.run_with_input(&["apply", "-f", "-"], &text).ok();
    let finding = until("the finding is there", || {
        let findings = mesh.items(&["analyze", "-o", "json"])?;
        findings.into_iter().find(|finding| finding["name"] == "caller")
    });
    let text = finding.to_string();
    assert!(text.contains("64") && text.contains("upstreams"), "{text}");
}

#[test]
fn a_plain_endpoint_is_reached_without_a_proxy_of_its_own() {
    let echo = Echo::start("hello ");
    let text = [
        yaml::workload("old-1", "old", echo.port, "proxy: none"),
        yaml::caller("caller", ""),
        yaml::service("old", "tcp"),
    ];
    let mesh = Mesh::start(&text.concat());
    let upstream = mesh.upstream("caller", "old");
    until("it greets", || (Bytes::try_open(&upstream).ok()?.receive(6).ok()? == "hello ").then_some(()));
    let edge = until("the edge is seen", || mesh.items(&["edges", "-o", "json"])?.into_iter().next());
    assert_eq!((&edge["src"], &edge["dst"]), (&"caller".into(), &"old-1".into()), "{edge}");
    assert_eq!(edge["secured"], false, "{edge}");
    assert_ne!(edge["why"], "", "{edge}");
}

#[test]
fn a_gateways_ports_are_closed_with_it() {
    let (web, port) = (Origin::start("web"), free_port());
    let mesh = Mesh::start(&shop(web.port, &[port]));
    answers(&format!("127.0.0.1:{port}"));
    mesh.byrnie(&["delete", "gateway", "front", "-n", "shop"]).ok();
    until("the port is closed", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
}
