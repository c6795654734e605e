//! Bad days: what fails is refused, never bypasses the mesh, and comes back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use byrnie_testkit::{Expect, Ground, Mode, can_run, until};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{PROGRAM, caller, captured, curl, server, service, web};

/// Fills the connection tracker of its namespace by netlink, until its input ends.
const FILL: &str = include_str!("fill_tracker.py");

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

/// Asks again and again over new connections, and says when a request began that was answered, in seconds since 1970.
const ASKING: &str = "
import socket, time
while True:
    begun = time.time()
    try:
        with socket.create_connection(('web', 80), timeout=5) as connection:
            connection.sendall(b'GET /again HTTP/1.1\\r\\nhost: web\\r\\nconnection: close\\r\\n\\r\\n')
            connection.settimeout(5)
            if connection.recv(12) == b'HTTP/1.1 200':
                print(begun, time.time(), flush=True)
    except OSError:
        pass
    time.sleep(0.005)
";

/// How long after the proxy's death the first request was answered that began after it, in seconds.
fn back_after_kill(ground: &Ground, name: &str) -> f64 {
    let mut asking = ground.command("caller", &["python3", "-c", ASKING]);
    let mut asking = asking.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut said = BufReader::new(asking.stdout.take().unwrap()).lines();
    said.next().unwrap().unwrap();
    let old = ground.proxy_pid(name);
    kill_process(pid_of(old), Signal::KILL).unwrap();
    let killed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let back = said.map_while(Result::ok).find_map(|line| {
        let (begun, ended) = line.split_once(' ')?;
        (begun.parse::<f64>().unwrap() > killed).then(|| ended.parse::<f64>().unwrap() - killed)
    });
    let _ = kill_process_group(Pid::from_child(&asking), Signal::KILL);
    asking.wait().unwrap();
    until("another proxy is there", || (ground.proxy_pid(name) != old).then_some(()));
    back.unwrap()
}

#[test]
fn a_killed_proxy_is_back_within_a_second() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let ground = captured("", &simple());
    answers(&ground);
    for name in ["caller", "web-1"] {
        // The best of three: the machine may be busy with something else.
        let took: Vec<f64> = (0..3).map(|_| back_after_kill(&ground, name)).collect();
        assert!(took.iter().any(|took| *took < 1.0), "{name}: {took:?}");
    }
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

/// Keeps a connection that it had before, and asks over it whenever it is told to.
const KEPT: &str = "
import http.client, sys
connection = http.client.HTTPConnection('web', 80, timeout=20)
while True:
    connection.request('GET', '/kept')
    print(connection.getresponse().read().decode(), end='', flush=True)
    if not sys.stdin.readline():
        break
";

#[test]
fn a_full_connection_tracker_is_told_and_lets_nothing_past() {
    if !can_run(&["python3", "curl"]) {
        return;
    }
    let ground = captured("", &simple());
    answers(&ground);
    let piped = |command: &mut Command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    };
    let (mut kept, mut answers_kept) = piped(&mut ground.command("caller", &["python3", "-c", KEPT]));
    assert_eq!(answers_kept.next().unwrap().unwrap(), "web-1 /kept");
    // What the kernel takes for connections that are in use, as many as it has room for, for as long as this runs.
    let namespace = ground.namespace("caller");
    let (mut fill, mut said) = piped(namespace.command("python3").args(["-c", FILL]));
    assert_eq!(said.next().unwrap().unwrap(), "full");
    let direct = format!("http://{}:8080/direct", ground.address("web-1"));
    for url in ["http://web/now", &direct] {
        let said = ground.run("caller", &["curl", "-sS", "--max-time", "3", url]);
        assert_ne!(said.code, Some(0), "{said:?}");
    }
    until("it is counted", || {
        (ground.metric("caller", "byrnie_capture_tracker_dropped_total", &[]) > 0).then_some(())
    });
    assert!(ground.metric("caller", "byrnie_capture_tracked_connections", &[]) > 1000);
    until("it is told", || ground.proxy_log("caller").contains("BYR0274").then_some(()));
    writeln!(kept.stdin.as_mut().unwrap()).unwrap();
    assert_eq!(answers_kept.next().unwrap().unwrap(), "web-1 /kept", "what was there before goes on");
    drop(kept.stdin.take());
    assert!(kept.wait().unwrap().success());
    drop(fill.stdin.take());
    assert!(fill.wait().unwrap().success());
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
