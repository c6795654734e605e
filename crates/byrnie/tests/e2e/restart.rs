//! Hot restart: a new process takes the sockets and the identity, the old one ends when its connections have.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Bytes, Echo, Mesh, OpenLoop, Origin, Sandbox, free_port, get, until, yaml};

/// Requests per second. In full: 500, with BYRNIE_RESTART_RATE; tests share their machine with others.
fn rate() -> u32 {
    std::env::var("BYRNIE_RESTART_RATE").ok().and_then(|rate| rate.parse().ok()).unwrap_or(100)
}

/// A Gateway in front of a service of requests, one of WebSockets and one of bytes.
struct Shop {
    mesh: Mesh,
    web: String,
    bytes: String,
    _apps: (Origin, Echo, Echo),
}

fn shop() -> Shop {
    shop_in(Sandbox::new(), "")
}

/// In this sandbox, with more resources.
fn shop_in(sandbox: Sandbox, more: &str) -> Shop {
    let (web, chat, bytes) = (Origin::start("web"), Echo::after_upgrade(), Echo::start(""));
    let (http, tcp) = (free_port(), free_port());
    let listeners =
        format!("[{{name: http, port: {http}, protocol: HTTP}}, {{name: tcp, port: {tcp}, protocol: TCP}}]");
    let gateway = yaml::gateway("front", &[http])
        .replace(&format!("[{{name: http-{http}, port: {http}, protocol: HTTP}}]"), &listeners);
    let chat_rule =
        "{matches: [{path: {type: PathPrefix, value: /chat}}], backendRefs: [{name: chat, port: 80}]}";
    let tcp_route = "---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: bytes, namespace: shop}
spec: {parentRefs: [{name: front}], rules: [{backendRefs: [{name: bytes, port: 80}]}]}
";
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::workload("chat-1", "chat", chat.port, ""),
        yaml::workload("bytes-1", "bytes", bytes.port, ""),
        yaml::service("web", "http"),
        yaml::service("chat", "http"),
        yaml::service("bytes", "tcp"),
        gateway,
        yaml::route("front", "front", &format!("{chat_rule}, {{backendRefs: [{{name: web, port: 80}}]}}")),
        tcp_route.to_owned(),
        more.to_owned(),
    ];
    let mesh = Mesh::start_in(sandbox, &text.concat());
    let (web_address, bytes_address) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{tcp}"));
    until("web answers", || (get(&web_address, "/", &[]).ok()?.status == 200).then_some(()));
    until("bytes come back", || Bytes::try_open(&bytes_address).ok()?.echoes("x").ok());
    Shop { mesh, web: web_address, bytes: bytes_address, _apps: (web, chat, bytes) }
}

/// Processes of the proxy of this name.
fn processes(mesh: &Mesh, name: &str) -> usize {
    let needle = format!("--workload shop/{name} ");
    mesh.sandbox.processes().iter().filter(|line| line.contains(&needle)).count()
}

#[test]
fn twenty_swaps_under_load_lose_nothing() {
    let shop = shop();
    let (mut bytes, mut socket) = (Bytes::open(&shop.bytes), Bytes::upgrade(&shop.web, "/chat"));
    let load = OpenLoop::start(&shop.web, "/", rate());
    for round in 0..20 {
        let name = ["gateway/front", "proxy/web-1", "proxy/chat-1", "proxy/bytes-1"][round % 4];
        let said = shop.mesh.byrnie(&["restart", name]).ok();
        assert!(said.starts_with(&format!("{name} restarted: process ")), "{said}");
        load.more(20);
        bytes.echoes(&format!("round {round}")).unwrap();
        socket.echoes(&format!("round {round}")).unwrap();
    }
    load.stop_unharmed();
    // One line for each proxy, whatever number of processes it has.
    let proxies = shop.mesh.items(&["get", "proxies", "-o", "json"]).unwrap();
    assert_eq!(proxies.len(), 4, "{proxies:#?}");
    assert!(proxies.iter().all(|proxy| proxy["sync"] == "SYNCED"), "{proxies:#?}");
    assert!(processes(&shop.mesh, "front") > 1, "somebody must hold the two connections");
    drop((bytes, socket));
    for name in ["front", "web-1", "chat-1", "bytes-1"] {
        until(&format!("one process of {name} is left"), || (processes(&shop.mesh, name) == 1).then_some(()));
    }
    let sandbox_is_empty = || shop.mesh.sandbox.processes().is_empty().then_some(());
    shop.mesh.signal(Signal::INT);
    until("nothing is left running", sandbox_is_empty);
}

#[test]
fn a_new_process_that_does_not_get_ready_changes_nothing() {
    let shop = shop();
    let load = OpenLoop::start(&shop.web, "/", 50);
    let old = shop.mesh.proxy_pid("front");
    kill_process(old, Signal::USR2).unwrap();
    let new = until("there is another process", || {
        let lines = shop.mesh.sandbox.processes_by_id();
        let of_front = |(_, line): &&(u32, String)| line.contains("--workload shop/front ");
        let mut ids = lines.iter().filter(of_front).map(|(id, _)| i32::try_from(*id).unwrap());
        ids.find(|id| Pid::from_raw(*id) != Some(old))
    });
    // It may have been quicker than this test: then it has taken over, and is simply the one that dies.
    let _ = kill_process(Pid::from_raw(new).unwrap(), Signal::KILL);
    until("one process is left", || (processes(&shop.mesh, "front") == 1).then_some(()));
    until("it answers", || (get(&shop.web, "/", &[]).ok()?.status == 200).then_some(()));
    drop(load);
    let none = shop.mesh.byrnie(&["restart", "proxy/nobody"]);
    assert!(none.code == Some(1) && none.stderr.contains("BYR0444"), "{none:?}");
}

#[test]
fn a_proxy_alone_replaces_itself() {
    let (web, port) = (Origin::start("web"), free_port());
    let (address, admin) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()));
    let to = format!("127.0.0.1:{}", web.port);
    let args = ["proxy", "--listen", &address, "--to", &to, "--admin", &admin];
    // The new process is no child of the test; it is found by the sandbox in its arguments.
    let sandbox = Sandbox::new();
    let token = sandbox.path().join("token").display().to_string();
    let mut all = args.to_vec();
    all.extend(["--admin-token", &token]);
    let mut proxy = Mesh::spawn(sandbox, &all);
    until("it answers", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
    let load = OpenLoop::start(&address, "/", rate());
    let first = std::fs::read(&token).unwrap();
    proxy.signal(Signal::USR2);
    assert_eq!(proxy.wait_exit().code(), Some(0), "the first process ends by itself");
    load.more(50);
    load.stop_unharmed();
    assert_eq!(get(&admin, "/ready", &[]).unwrap().status, 200);
    assert_ne!(std::fs::read(&token).unwrap(), first, "each process has a token of its own");
    let left = proxy.sandbox.processes_by_id();
    assert_eq!(left.len(), 1, "{left:?}");
    kill_process(Pid::from_raw(i32::try_from(left[0].0).unwrap()).unwrap(), Signal::TERM).unwrap();
    until("it drains and ends", || proxy.sandbox.processes().is_empty().then_some(()));
}

#[test]
fn a_process_that_was_replaced_does_not_keep_the_sockets() {
    let (chat, port) = (Echo::after_upgrade(), free_port());
    let (address, to) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", chat.port));
    let sandbox = Sandbox::new();
    let token = sandbox.path().join("token").display().to_string();
    let proxy = Mesh::spawn(sandbox, &["proxy", "--listen", &address, "--to", &to, "--admin-token", &token]);
    until("it serves", || TcpStream::connect(&address).ok());
    let mut socket = Bytes::upgrade(&address, "/chat");
    let first = proxy.sandbox.processes_by_id()[0].0;
    proxy.signal(Signal::USR2);
    until("there is another process", || {
        proxy.log().contains("another process has taken over").then_some(())
    });
    let all = proxy.sandbox.processes_by_id();
    let second = all.iter().find(|(pid, _)| *pid != first).unwrap().0;
    kill_process(Pid::from_raw(i32::try_from(second).unwrap()).unwrap(), Signal::TERM).unwrap();
    until("it ends", || (proxy.sandbox.processes_by_id().len() == 1).then_some(()));
    // The first one goes on with what it has, and is nobody to wait for.
    socket.echoes("still").unwrap();
    let refused = TcpStream::connect(&address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn what_the_name_leads_to_now_takes_over_and_what_fails_is_told_at_once() {
    let shop = shop_in(Sandbox::by_link(), "");
    let sandbox = &shop.mesh.sandbox;
    let calls = || std::fs::read_to_string(sandbox.path().join("calls")).unwrap_or_default();
    sandbox.turn("v2", &format!("echo \"v2 $*\" >> {}/calls", sandbox.path().display()));
    shop.mesh.byrnie(&["restart", "gateway/front"]).ok();
    assert!(calls().contains("v2 proxy --role gateway "), "{}", calls());
    let old = shop.mesh.proxy_pid("front");
    sandbox.turn("v3", "case \"$*\" in *--workload*) exit 9;; esac");
    let said = shop.mesh.byrnie(&["restart", "gateway/front"]).refused(1);
    assert!(said.contains("BYR0487") && said.contains("the new process ended with exit code 9"), "{said}");
    assert_eq!(get(&shop.web, "/", &[]).unwrap().status, 200);
    assert_eq!(shop.mesh.proxy_pid("front"), old, "the old one goes on");
    sandbox.turn("v4", "");
    shop.mesh.byrnie(&["restart", "gateway/front"]).ok();
    assert_ne!(shop.mesh.proxy_pid("front"), old);
}

#[test]
fn a_replaced_process_goes_on_for_as_long_as_it_says() {
    let mesh = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec: {proxy: {restartTimeout: 3s, drainTimeout: 10m}}
";
    let shop = shop_in(Sandbox::new(), mesh);
    let mut bytes = Bytes::open(&shop.bytes);
    bytes.echoes("before").unwrap();
    shop.mesh.byrnie(&["restart", "gateway/front"]).ok();
    let replaced = Instant::now();
    bytes.echoes("after").unwrap();
    assert_eq!(bytes.rest(), "", "cut");
    // Neither the time for the last answers nor that of a drain comes on top.
    assert!(replaced.elapsed() < Duration::from_secs(6), "cut after {:?}", replaced.elapsed());
    until("one process is left", || (processes(&shop.mesh, "front") == 1).then_some(()));
    let log = shop.mesh.gateway_log("shop", "front");
    assert!(log.contains("this one finishes its connections, for 3s at most"), "{log}");
}

#[test]
fn a_proxy_alone_is_replaced_by_what_its_name_leads_to_and_by_nobody_who_is_not_there() {
    let (web, port) = (Origin::start("web"), free_port());
    let (address, admin) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()));
    let to = format!("127.0.0.1:{}", web.port);
    let sandbox = Sandbox::by_link();
    let token = sandbox.path().join("token").display().to_string();
    let args = ["proxy", "--listen", &address, "--to", &to, "--admin", &admin, "--admin-token", &token];
    let mut proxy = Mesh::spawn(sandbox, &args);
    until("it answers", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
    // As a supervisor says that another process has taken over.
    proxy.signal(Signal::USR1);
    until("it is told", || proxy.log().contains("SIGUSR1 is ignored").then_some(()));
    assert_eq!(get(&address, "/", &[]).unwrap().status, 200);
    let calls = proxy.sandbox.path().join("calls");
    proxy.sandbox.turn("v2", &format!("echo \"v2 $*\" >> {}", calls.display()));
    proxy.signal(Signal::USR2);
    assert_eq!(proxy.wait_exit().code(), Some(0), "the first process ends by itself");
    let calls = std::fs::read_to_string(calls).unwrap_or_default();
    assert!(calls.starts_with("v2 proxy --listen "), "{calls}");
    assert_eq!(get(&address, "/", &[]).unwrap().status, 200);
    let left = proxy.sandbox.processes_by_id();
    kill_process(Pid::from_raw(i32::try_from(left[0].0).unwrap()).unwrap(), Signal::TERM).unwrap();
    until("it drains and ends", || proxy.sandbox.processes().is_empty().then_some(()));
}
