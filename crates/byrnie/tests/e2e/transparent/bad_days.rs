//! Bad days: what fails is refused, never bypasses the mesh, and comes back.

use byrnie_testkit::{Expect, Ground, Mode, can_run, until};
use rustix::process::{Pid, Signal, kill_process};

use super::{PROGRAM, caller, captured, curl, server, service, web};

/// Connections that came to a server past the mesh, whatever became of them.
fn bypassed(ground: &Ground, server: &str) -> u64 {
    ground.metric(server, "byrnie_captured_connections_total", &["direction=\"inbound\""])
}

fn simple() -> [String; 3] {
    [web("web-1", "web", 8080), caller("caller"), service("web", 80, "http")]
}

fn answers(ground: &Ground) {
    ground.expect(&Expect {
        caller: "caller",
        program: &curl("http://web/ok"),
        prints: "web-1 /ok",
        ..Expect::default()
    });
}

fn pid_of(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

#[test]
fn a_killed_proxy_lets_nothing_past_and_is_back() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let ground = captured("", &simple());
    answers(&ground);
    for _ in 0..3 {
        let old = ground.proxy_pid("caller");
        kill_process(pid_of(old), Signal::KILL).unwrap();
        // Also by its address: that is how one would come past the mesh.
        let direct = format!("http://{}:8080/direct", ground.address("web-1"));
        for url in ["http://web/now", &direct] {
            let said = ground.run("caller", &["curl", "-sS", "--max-time", "5", url]);
            assert!(said.code != Some(0) || said.out.starts_with("web-1 "), "{said:?}");
        }
        until("another proxy is there", || (ground.proxy_pid("caller") != old).then_some(()));
        answers(&ground);
        assert_eq!(bypassed(&ground, "web-1"), 0);
    }
}

#[test]
fn flushed_rules_are_noticed_restored_and_alarmed() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let ground = captured("", &simple());
    answers(&ground);
    for (count, harm) in [(1, "flush ruleset"), (2, "delete table inet byrnie")] {
        ground.nft("caller", harm);
        until("it is counted", || {
            (ground.metric("caller", "byrnie_capture_rules_restored_total", &[]) == count).then_some(())
        });
        until("the status says so", || {
            (ground.status("caller")?["proxy"]["rulesRestored"].as_u64()? == count).then_some(())
        });
        until("the log says so", || {
            (ground.proxy_log("caller").matches("BYR0272").count() as u64 == count).then_some(())
        });
        answers(&ground);
    }
    // Also while nobody watches.
    let old = ground.proxy_pid("caller");
    let namespace = ground.namespace("caller");
    kill_process(pid_of(old), Signal::KILL).unwrap();
    let _ = namespace.command("nft").args(["flush", "ruleset"]).status().unwrap();
    until("another proxy is there", || (ground.proxy_pid("caller") != old).then_some(()));
    until("it saw", || (ground.status("caller")?["proxy"]["rulesRestored"].as_u64()? == 1).then_some(()));
    answers(&ground);
}

#[test]
fn a_new_workload_on_an_old_address_is_somebody_else() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    // Five addresses, four of which stay taken.
    let fill = ["a", "b"].map(caller);
    let mut objects = vec![web("web-1", "web", 8080), caller("caller"), web("web-2", "web", 8080)];
    objects.extend(fill);
    objects.push(service("web", 80, "http"));
    let ground = Ground::with_prefix(PROGRAM, Mode::Transparent, 29, "", &objects.concat());
    let old = ground.address("web-1");
    ground.expect(&Expect {
        caller: "caller",
        program: &curl("http://web/"),
        prints: "web-",
        ..Expect::default()
    });
    let script = "for i in $(seq 400); do curl -sS --max-time 5 http://web/loop; done";
    let calling = std::thread::scope(|scope| {
        let calling = scope.spawn(|| ground.run("caller", &["sh", "-c", script]));
        ground.byrnie(&["delete", "workload", "web-1", "-n", "shop"]).ok();
        ground.apply(&web("thief-1", "thief", 8080));
        let new = until("the new one has the old address", || {
            let address = ground.address("thief-1");
            (ground.proxy("thief-1")?["sync"] == "SYNCED").then_some(address)
        });
        assert_eq!(new, old, "the only free address");
        calling.join().unwrap()
    });
    assert!(calling.out.contains("web-2 /loop") && !calling.out.contains("thief"), "{}", calling.out);
    let reached = ground.metric("thief-1", "byrnie_requests_total", &["direction=\"inbound\""]);
    assert_eq!(reached, 0, "the new one heard nothing of what was for the old one");
}

#[test]
fn ten_thousand_short_connections() {
    if !can_run(&["redis-server", "redis-benchmark"]) {
        return;
    }
    let redis = ["redis-server", "--save", "", "--dir", "/tmp", "--loglevel", "warning"];
    let objects =
        [server("cache-1", "cache", 6379, &redis, ""), caller("caller"), service("cache", 6379, "tcp")];
    let ground = captured("", &objects);
    ground.expect(&Expect {
        caller: "caller",
        program: &["redis-cli", "-h", "cache", "ping"],
        prints: "PONG",
        ..Expect::default()
    });
    let descriptors = |workload: &str| {
        let directory = format!("/proc/{}/fd", ground.proxy_pid(workload));
        std::fs::read_dir(directory).unwrap().count()
    };
    let before = ["caller", "cache-1"].map(descriptors);
    // Without keepalive each request is a connection.
    let bench =
        ["redis-benchmark", "-h", "cache", "-n", "10000", "-c", "20", "-k", "0", "-t", "ping_mbulk", "-q"];
    let bench = ground.run("caller", &bench).ok();
    assert!(bench.contains("requests per second"), "{bench}");
    let counted = ground.metric("caller", "byrnie_tcp_connections_total", &["direction=\"outbound\""]);
    assert!(counted >= 10_000, "{counted}");
    until("descriptors are given back", || {
        let now = ["caller", "cache-1"].map(descriptors);
        now.iter().zip(before).all(|(now, before)| *now <= before + 10).then_some(())
    });
}

#[test]
fn exhausted_descriptors_refuse_and_recover() {
    if !can_run(&["curl", "python3", "prlimit"]) {
        return;
    }
    let ground = captured("", &simple());
    answers(&ground);
    let pid = ground.proxy_pid("caller");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    // The soft limit only, as `prlimit` of util-linux sets it.
    let limit = |count: usize| {
        let arguments = [format!("--pid={pid}"), format!("--nofile={count}:")];
        assert!(std::process::Command::new("prlimit").args(arguments).status().unwrap().success());
    };
    limit(open + 2);
    let script = "for i in $(seq 40); do curl -sS --max-time 3 http://web/few & done; wait";
    ground.run("caller", &["sh", "-c", script]);
    assert_eq!(ground.proxy_pid("caller"), pid, "it lives");
    limit(4096);
    answers(&ground);
    assert_eq!(bypassed(&ground, "web-1"), 0);
}

#[test]
fn a_full_connection_tracker_lets_nothing_past() {
    if !can_run(&["python3", "curl"]) {
        return;
    }
    // More flows than the tracker has room for, from the workload itself.
    const FLOOD: &str = "
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
room = int(open('/proc/sys/net/netfilter/nf_conntrack_max').read())
for i in range(min(room + room // 8, 600000)):
    try:
        sender.sendto(b'x', ('198.18.%d.%d' % (i // 60000, 1 + i % 250), 1024 + (i // 250) % 60000))
    except OSError:
        pass
";
    let ground = captured("", &simple());
    answers(&ground);
    ground.run("caller", &["python3", "-c", FLOOD]).ok();
    let direct = format!("http://{}:8080/direct", ground.address("web-1"));
    for url in ["http://web/now", &direct] {
        let said = ground.run("caller", &["curl", "-sS", "--max-time", "5", url]);
        assert!(said.code != Some(0) || said.out.starts_with("web-1 "), "{said:?}");
    }
    assert_eq!(bypassed(&ground, "web-1"), 0);
    answers(&ground);
}

#[test]
fn packets_lost_either_way_are_no_way_past_the_mesh() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let ground = captured("", &simple());
    answers(&ground);
    for way in [byrnie_testkit::Way::From, byrnie_testkit::Way::To, byrnie_testkit::Way::Both] {
        let fault = ground.lose("web-1", way);
        let said = ground.run("caller", &["curl", "-sS", "--fail", "--max-time", "5", "http://web/lost"]);
        assert_ne!(said.code, Some(0), "{way:?}: {said:?}");
        drop(fault);
        answers(&ground);
    }
}
