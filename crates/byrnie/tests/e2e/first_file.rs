//! The README's first file, exactly as written but for its two port numbers, and the life of `byrnie up`.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Mesh, free_port, get, skip, until};

const README: &str = include_str!("../../../../README.md");

/// The file, with ports that nobody else uses: the gateway's and the workload's.
fn first_file() -> (String, u16, u16) {
    let (_, rest) = README.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let (gateway, workload) = (free_port(), free_port());
    let yaml = yaml.replace("18080", &gateway.to_string()).replace("18081", &workload.to_string());
    (yaml, gateway, workload)
}

/// Whether the command of the first file can run here; else the test is counted as skipped.
fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip("python3 is not installed");
    }
    found
}

/// Waits until the gateway answers 200 and returns the body.
fn answer(port: u16) -> String {
    until("the gateway answers 200", || {
        let response = get(&format!("127.0.0.1:{port}"), "/", &[]).ok()?;
        (response.status == 200).then_some(response.body)
    })
}

#[test]
fn it_works_as_written() {
    if !has_python() {
        return;
    }
    let (yaml, gateway, workload) = first_file();
    let mesh = Mesh::start(&yaml);
    // A request before the command listens fails, and is rightly counted.
    until("the command listens", || TcpStream::connect(("127.0.0.1", workload)).ok());
    // The command runs in the directory of the file, so Python lists the file.
    assert!(answer(gateway).contains("mesh.yaml"));

    let proxies = mesh.items(&["get", "proxies", "-o", "json"]).unwrap();
    let mut names: Vec<&str> = proxies.iter().filter_map(|proxy| proxy["workload"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["front", "web-1"]);
    for proxy in &proxies {
        let keys: Vec<&String> = proxy.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["namespace", "workload", "pid", "admin", "sync", "notAfter"]);
        for path in ["/ready", "/live", "/metrics"] {
            assert_eq!(get(proxy["admin"].as_str().unwrap(), path, &[]).unwrap().status, 200, "{path}");
        }
        let metrics = get(proxy["admin"].as_str().unwrap(), "/metrics", &[]).unwrap();
        assert!(
            metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
            "{metrics:?}"
        );
    }
    let edge = until("the edge is reported", || mesh.items(&["edges", "-o", "json"])?.into_iter().next());
    let expected = serde_json::json!({
        "namespace": "shop",
        "src": "front",
        "dst": "web-1",
        "dstNamespace": "shop",
        "secured": true,
        "why": "",
        "clientId": "spiffe://cluster.local/ns/shop/sa/front-byrnie",
        "serverId": "spiffe://cluster.local/ns/shop/sa/web",
    });
    assert_eq!(edge, expected);
    let routes = until("the route is reported", || {
        let routes = mesh.items(&["routes", "-o", "json"])?;
        (!routes.is_empty()).then_some(routes)
    });
    assert_eq!(routes[0]["service"], "web");
    assert_eq!(routes[0]["success"], 1.0);
    assert!(mesh.byrnie(&["check"]).ok().contains("√ all 2 proxies are connected"));
}

#[test]
fn ctrl_c_stops_everything_and_a_new_up_finds_the_store() {
    if !has_python() {
        return;
    }
    let (yaml, gateway, workload) = first_file();
    let mut mesh = Mesh::start(&yaml);
    answer(gateway);
    mesh.signal(Signal::INT);
    assert!(mesh.wait_exit().success());
    for port in [gateway, workload] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "port {port} is still open");
    }
    assert_eq!(mesh.sandbox.processes(), Vec::<String>::new());
    mesh.restart(&["up"]);
    mesh.wait_synced();
    answer(gateway);
}

#[test]
fn nothing_outlives_a_killed_supervisor() {
    if !has_python() {
        return;
    }
    let (yaml, gateway, workload) = first_file();
    let mut mesh = Mesh::start(&yaml);
    answer(gateway);
    mesh.signal(Signal::KILL);
    mesh.wait_exit();
    until("everything is gone", || mesh.sandbox.processes().is_empty().then_some(()));
    for port in [gateway, workload] {
        until("the ports are free", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
    }
}

#[test]
fn up_against_a_running_mesh_applies_and_returns_and_prunes_only_when_asked() {
    if !has_python() {
        return;
    }
    let (yaml, gateway, _) = first_file();
    let mesh = Mesh::start(&yaml);
    answer(gateway);
    let extra = "---\napiVersion: v1\nkind: Service\nmetadata: {name: extra, namespace: shop}\nspec: {ports: [{port: 1}]}\n";
    mesh.sandbox.file("mesh.yaml", &format!("{yaml}{extra}"));
    let text = mesh.byrnie(&["up", "-f", "mesh.yaml"]).ok();
    assert!(text.contains("service/shop/extra created"), "{text}");
    assert!(text.contains("service/shop/web unchanged"), "{text}");
    mesh.sandbox.file("mesh.yaml", &yaml);
    mesh.byrnie(&["up", "-f", "mesh.yaml"]).ok();
    mesh.byrnie(&["get", "svc", "extra"]).ok();
    let text = mesh.byrnie(&["up", "-f", "mesh.yaml", "--prune"]).ok();
    assert!(text.contains("service/shop/extra pruned"), "{text}");
    assert!(mesh.byrnie(&["get", "svc", "extra"]).refused(1).contains("BYR0444"));
    answer(gateway);
}

#[test]
fn two_meshes_on_one_machine_do_not_meet() {
    if !has_python() {
        return;
    }
    let (first_yaml, first_gateway, _) = first_file();
    let (second_yaml, second_gateway, _) = first_file();
    let first = Mesh::start(&first_yaml);
    let second = Mesh::start(&second_yaml);
    answer(first_gateway);
    answer(second_gateway);
    let pids = |mesh: &Mesh| -> Vec<Value> {
        mesh.items(&["get", "proxies", "-o", "json"])
            .unwrap()
            .iter()
            .map(|proxy| proxy["pid"].clone())
            .collect()
    };
    let (ours, theirs) = (pids(&first), pids(&second));
    assert_eq!((ours.len(), theirs.len()), (2, 2));
    assert!(ours.iter().all(|pid| !theirs.contains(pid)));
    drop(second);
    answer(first_gateway);
}
