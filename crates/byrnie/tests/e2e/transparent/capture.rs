//! What is captured, what passes, what is refused, and what a program in a namespace can do about it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use byrnie_net::capture::link::who_has;
use byrnie_testkit::{Expect, Ground, can_run, until};
use rustix::process::{Signal, kill_process};

use super::{caller, captured, curl, server, service, web};
use crate::harness::{Sandbox, yaml};

const REFUSED: &[&str] = &["direction=\"inbound\"", "outcome=\"refused\""];
const CAPTURED: &str = "byrnie_captured_connections_total";

/// What an endpoint without a command answers, on the host.
fn host_server(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    answer(listener, text);
    address
}

fn answer(listener: TcpListener, text: &'static str) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        }
    });
}

#[test]
fn a_workload_has_an_address_and_the_host_a_gateway() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let port = crate::harness::free_port();
    let plain = host_server("from the host");
    let objects = [
        web("web-1", "web", 8080),
        caller("caller"),
        service("web", 80, "http"),
        yaml::workload("old-1", "old", plain.port(), "proxy: none"),
        yaml::workload("meshed-1", "meshed", plain.port(), ""),
        service("old", 80, "http"),
        service("meshed", 80, "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
    ];
    let ground = captured("", &objects);
    let (web, caller) = (ground.address("web-1"), ground.address("caller"));
    assert_ne!(web, caller);
    let status = ground.byrnie(&["get", "workload", "old-1", "-o", "json"]).ok();
    assert!(!status.contains("\"address\": \"10."), "without a command it stays on the host: {status}");
    for (url, want) in [
        ("http://web/", "web-1 /"),
        // Neither of these has a command: they stay on the host, one in the mesh, one not.
        ("http://old/", "from the host"),
        ("http://meshed/", "from the host"),
    ] {
        ground.expect(&Expect { caller: "caller", program: &curl(url), prints: want, ..Expect::default() });
    }
    let gateway = format!("127.0.0.1:{port}");
    until("the Gateway answers on the host", || {
        let answer = crate::harness::get(&gateway, "/through", &[]).ok()?;
        (answer.body == "web-1 /through\n").then_some(())
    });
}

#[test]
fn an_endpoint_may_be_called_by_its_address() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let objects =
        [web("web-1", "web", 8080), web("web-2", "web", 8080), caller("caller"), service("web", 80, "http")];
    let ground = captured("", &objects);
    // The service is known once it was called by its name.
    ground.expect(&Expect {
        caller: "caller",
        program: &curl("http://web/"),
        prints: "web-",
        ..Expect::default()
    });
    for name in ["web-1", "web-2"] {
        let url = format!("http://{}:8080/by-address", ground.address(name));
        for _ in 0..4 {
            ground.expect(&Expect {
                caller: "caller",
                program: &curl(&url),
                prints: &format!("{name} /by-address"),
                metric: Some((
                    name,
                    "byrnie_requests_total",
                    &["secured=\"true\"", "peer_id=\"spiffe://cluster.local/ns/shop/sa/caller\""],
                )),
                ..Expect::default()
            });
        }
    }
}

#[test]
fn plaintext_past_the_mesh_is_refused_where_it_is_strict() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let objects = [web("web-1", "web", 8080), service("web", 80, "http")];
    let ground = captured("", &objects);
    let address = SocketAddr::new(ground.address("web-1"), 8080);
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /direct HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        std::io::Result::Ok(text)
    };
    let before = ground.metric("web-1", CAPTURED, REFUSED);
    assert!(ask().is_err(), "strict");
    until("it is counted", || (ground.metric("web-1", CAPTURED, REFUSED) > before).then_some(()));
    until("it is logged", || ground.proxy_log("web-1").contains("BYR0270").then_some(()));
    let network = ground.network();
    ground.apply(&format!(
        "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: default}}\n\
         spec: {{mtls: permissive, capture: {{ipv4Range: {network}}}}}\n"
    ));
    until("permissive lets it in", || ask().ok()?.contains("web-1 /direct").then_some(()));
}

#[test]
fn what_is_not_declared_passes_and_is_counted_or_is_refused() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    // The host itself is such a destination, at its address in the workloads' network.
    let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    answer(listener, "outside");
    for (egress, prints, outcome, logged) in [
        ("egress: allow", "outside", "outcome=\"passthrough\"", "TCP"),
        ("egress: deny", "", "outcome=\"refused\"", "BYR0271"),
    ] {
        let ground = captured(egress, &[caller("caller")]);
        for host in hosts(&ground) {
            ground.expect(&Expect {
                caller: "caller",
                program: &curl(&format!("http://{host}:{port}/")),
                prints,
                metric: Some(("caller", CAPTURED, &["direction=\"outbound\"", outcome])),
                logged: Some(("caller", &[logged])),
            });
        }
    }
}

/// Addresses of this host: in the workloads' network, and where it has one, towards the world.
fn hosts(ground: &Ground) -> Vec<String> {
    let network = ground.network();
    let mut hosts = vec![network.replace(".0/24", ".1")];
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.200:9").is_ok() {
        hosts.push(socket.local_addr().unwrap().ip().to_string());
    }
    hosts
}

#[test]
fn exclusions_go_their_own_way() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let capture =
        "excludeOutboundPorts: [8081], excludeInboundPorts: [8081, 8082], excludeUsers: [\"12345\"]";
    let objects = [web("web-1", "web", 8081), web("web-2", "other", 8082), caller("caller")];
    let ground = Ground::with_capture(super::PROGRAM, capture, &objects.concat());
    // The application listens on its loopback only, so that who comes directly finds nobody: refused, not reset by us.
    let url = format!("http://{}:8081/", ground.address("web-1"));
    let before = ground.metric("caller", CAPTURED, &["direction=\"outbound\""]);
    let said = ground.run("caller", &["curl", "-sS", "--max-time", "5", &url]);
    assert!(said.err.contains("Failed to connect") || said.err.contains("Could not connect"), "{said:?}");
    assert_eq!(ground.metric("caller", CAPTURED, &["direction=\"outbound\""]), before, "not captured");
    assert_eq!(ground.metric("web-1", CAPTURED, REFUSED), 0, "not captured");
}

#[test]
fn an_excluded_range_goes_its_own_way() {
    if !can_run(&["curl"]) {
        return;
    }
    // Networks for documentation: nobody is there.
    let ground =
        Ground::with_capture(super::PROGRAM, "excludeOutboundRanges: [192.0.2.0/24]", &caller("caller"));
    let captured = || ground.metric("caller", CAPTURED, &["direction=\"outbound\""]);
    let call = |url| ground.run("caller", &["curl", "-sS", "--max-time", "2", url]);
    let before = captured();
    assert_ne!(call("http://192.0.2.9/").code, Some(0));
    assert_eq!(captured(), before, "not captured");
    // Where the host leads to is not for us to say: some networks answer for everybody.
    call("http://198.51.100.9/");
    until("another one is", || (captured() > before).then_some(()));
}

#[test]
fn an_excluded_user_goes_its_own_way() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let objects = [
        web("web-1", "web", 8080),
        server("free-1", "free", 1, &["sleep", "infinity"], "runAs: \"12345:12345\""),
        caller("caller"),
        service("web", 80, "http"),
    ];
    let ground = Ground::with_capture(super::PROGRAM, "excludeUsers: [\"12345\"]", &objects.concat());
    let url = format!("http://{}:8080/", ground.address("web-1"));
    let came = || ground.metric("web-1", CAPTURED, REFUSED);
    let before = came();
    // Nobody takes it to the mesh, so it comes to the workload without mTLS, and is refused there.
    let said = ground.run("free-1", &["curl", "-sS", "--max-time", "5", &url]);
    assert_ne!(said.code, Some(0), "{said:?}");
    until("it came past the mesh", || (came() > before).then_some(()));
    assert_eq!(ground.metric("free-1", CAPTURED, &["direction=\"outbound\""]), 0, "not captured");
    let named =
        Expect { caller: "caller", program: &curl("http://web/"), prints: "web-1", ..Expect::default() };
    ground.expect(&named);
    assert!(ground.metric("caller", CAPTURED, &["direction=\"outbound\""]) > 0, "others are");
}

#[test]
fn a_proxy_has_no_more_power_than_it_needs() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    const NET_ADMIN: u64 = 1 << 12;
    let ground = captured("", &[web("web-1", "web", 8080), caller("caller"), service("web", 80, "http")]);
    let web =
        Expect { caller: "caller", program: &curl("http://web/"), prints: "web-1", ..Expect::default() };
    ground.expect(&web);
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{}/task", ground.proxy_pid("caller"))).unwrap() {
        let path = thread.unwrap().path();
        let status = std::fs::read_to_string(path.join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let name = std::fs::read_to_string(path.join("comm")).unwrap();
        let works = name.starts_with("worker-") || name.trim() == "rules";
        let most = if works { NET_ADMIN } else { 0 };
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(field(set), most, "{set} of {name}");
        }
        assert_eq!((field("CapInh:"), field("CapAmb:"), field("NoNewPrivs:")), (0, 0, 1), "{name}");
        threads += 1;
    }
    assert!(threads > 4, "{threads}");
    // With that it still does its work: also what it was never asked before.
    ground.nft("caller", "flush ruleset");
    until("the rules are back", || {
        (ground.metric("caller", "byrnie_capture_rules_restored_total", &[]) == 1).then_some(())
    });
    ground.apply(&(super::web("other-1", "other", 8080) + &service("other", 80, "http")));
    ground.expect(&Expect { program: &curl("http://other/"), prints: "other-1", ..web });
}

#[test]
fn a_health_check_asks_the_application_where_it_is() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let check = "healthChecks: [{protocol: http, path: /healthy, interval: 100ms}]";
    let sick = check.replace("100ms", "100ms, port: 9");
    let checked =
        |name: &str, check: &str| web(name, "web", 8080).replace("command:", &format!("{check}, command:"));
    let objects =
        [checked("web-1", check), checked("web-2", &sick), caller("caller"), service("web", 80, "http")];
    let ground = captured("", &objects);
    let ready = |name: &str| {
        let status = ground.status(name)?;
        let conditions = status["conditions"].as_array()?;
        Some(conditions.iter().find(|one| one["type"] == "Ready")?["status"] == "True")
    };
    until("both were asked", || (ready("web-1")? && !ready("web-2")?).then_some(()));
    ground.expect(&Expect {
        caller: "caller",
        program: &curl("http://web/"),
        prints: "web-1",
        ..Expect::default()
    });
}

#[test]
fn a_command_cannot_undo_it() {
    if !can_run(&["nft", "ip", "python3"]) {
        return;
    }
    let nobody = server("nobody-1", "nobody", 1, &["sleep", "infinity"], "runAs: \"nobody:nogroup\"");
    let ground = captured("", &[caller("caller"), nobody]);
    for (workload, uid) in [("caller", "0"), ("nobody-1", "65534")] {
        let status =
            ground.run(workload, &["sh", "-c", "id -u; id -g; grep -E 'Cap|NoNew' /proc/self/status"]).ok();
        let mut lines = status.lines();
        assert_eq!(lines.next(), Some(uid), "{status}");
        assert_eq!(lines.next(), Some(if uid == "0" { "0" } else { "65534" }), "{status}");
        for line in lines {
            let value = line.split_whitespace().last().unwrap();
            let want = if line.starts_with("NoNewPrivs") { "1" } else { "0000000000000000" };
            assert_eq!(value, want, "{workload}: {status}");
        }
        for harm in [
            "nft flush ruleset",
            "ip link set eth0 down",
            "ip route del default",
            "nsenter --net=/proc/1/ns/net true",
            "unshare --net true",
            "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM)\
             .setsockopt(socket.SOL_SOCKET, 36, 1337)'",
        ] {
            let said = ground.run(workload, &["sh", "-c", harm]);
            assert_ne!(said.code, Some(0), "{workload}: {harm}: {said:?}");
        }
    }
    assert!(!ground.proxy_log("caller").contains("BYR0272"), "nothing was changed");
}

#[test]
fn nothing_is_left_after_any_end() {
    if !can_run(&["nft", "python3"]) {
        return;
    }
    let ruleset = || {
        let output = std::process::Command::new("nft").args(["-s", "list", "ruleset"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let forwarding = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let before = (ruleset(), forwarding());
    let mut ground = captured("", &[web("web-1", "web", 8080), service("web", 80, "http")]);
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let network = ground.network();
        let (address, prefix) = network.split_once('/').unwrap();
        let mine = || who_has(address.parse().unwrap(), prefix.parse().unwrap()).unwrap();
        assert!(mine().is_some(), "the host is in the network");
        assert_eq!((ruleset(), forwarding()), before, "the host is as it was");
        ground.signal(signal);
        ground.wait_exit();
        until(&format!("nothing is left after {signal:?}"), || mine().is_none().then_some(()));
        if signal != Signal::KILL {
            ground.restart();
        }
    }
    assert_eq!((ruleset(), forwarding()), before);
}

#[test]
fn after_everything_was_killed_at_once_it_comes_up_again() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let mut ground = captured("", &[web("web-1", "web", 8080), caller("caller"), service("web", 80, "http")]);
    let web =
        Expect { caller: "caller", program: &curl("http://web/"), prints: "web-1", ..Expect::default() };
    ground.expect(&web);
    for process in ground.processes() {
        let _ = kill_process(process, Signal::KILL);
    }
    ground.wait_exit();
    // At once: what the kernel has not taken away yet is waited for.
    ground.restart();
    ground.expect(&web);
}

#[test]
fn without_root_there_is_a_clear_word() {
    if !can_run(&[]) {
        return;
    }
    let run = Sandbox::of_user(65534).run(&["up", "--transparent"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("BYR0495") && run.stderr.contains("root"), "{run:?}");
}
