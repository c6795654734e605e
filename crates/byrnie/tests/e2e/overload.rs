//! Too much of everything: requests, connections, memory, descriptors. The proxy refuses what is new, keeps what it
//! has, and is well again as soon as it has room.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::harness::{Mesh, Origin, Sandbox, free_port, get, skip, until};

/// A proxy alone, started by a shell that does this first.
struct Alone {
    proxy: Mesh,
    address: String,
    admin: String,
    _web: Origin,
}

fn alone(before: &str, settings: &str) -> Alone {
    let (web, port) = (Origin::start("web"), free_port());
    let (address, admin) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()));
    let file = format!(
        "apiVersion: mesh.byrnie.dev/v1alpha1
kind: Mesh
metadata: {{name: default}}
spec: {{proxy: {{{settings}}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec: {{gatewayClassName: byrnie, listeners: [{{name: web, port: {port}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web}}
spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: web, port: 80}}]}}]}}
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
",
        origin = web.port
    );
    let sandbox = Sandbox::new();
    let path = sandbox.file("edge.yaml", &file).display().to_string();
    let args = ["proxy", "--config", &path, "--admin", &admin];
    let proxy = Mesh::spawn_in_shell(sandbox, before, &args);
    until("it answers", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
    Alone { proxy, address, admin, _web: web }
}

impl Alone {
    /// The value of a metric with these labels; 0 when it is not there.
    fn metric(&self, name: &str) -> f64 {
        let text = until("the admin server answers", || get(&self.admin, "/metrics", &[]).ok()).body;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0.0)
    }

    fn refused(&self, limit: &str) -> f64 {
        self.metric(&format!("byrnie_limit_rejections_total{{limit=\"{limit}\"}}"))
    }

    /// A connection on which one request was answered; the kept stream, or what came instead.
    fn keep(&self) -> Result<TcpStream, String> {
        let mut stream = TcpStream::connect(&self.address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").map_err(|error| error.to_string())?;
        let mut first = [0; 512];
        match stream.read(&mut first) {
            Ok(read) if first[..read].starts_with(b"HTTP/1.1 200") => Ok(stream),
            other => Err(format!("{other:?} {}", String::from_utf8_lossy(&first))),
        }
    }

    /// A connection with a request that is never answered, unless it is refused.
    fn hang(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let _ = stream.write_all(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n"); // the connection may be refused
        stream
    }

    fn is_well(&self) {
        until("it is well again", || (get(&self.address, "/", &[]).ok()?.status == 200).then_some(()));
    }
}

#[test]
fn requests_beyond_the_limit_get_503_and_a_code() {
    let alone = alone("", "maxRequests: 2");
    let _held = [alone.hang(), alone.hang()];
    until("both are in flight", || (alone.metric("byrnie_requests_in_flight") == 2.0).then_some(()));
    assert_eq!(get(&alone.address, "/", &[]).unwrap().status, 503);
    assert_eq!(alone.refused("requests"), 1.0);
    until("the log says why", || alone.proxy.log().contains("\"flag\":\"BYR0240\"").then_some(()));
}

#[test]
fn clients_that_break_off_give_their_places_back() {
    let alone = alone("", "maxRequests: 2, headerTimeout: 1s");
    let mut held = [alone.hang(), alone.hang()];
    until("both are in flight", || (alone.metric("byrnie_requests_in_flight") == 2.0).then_some(()));
    held.iter_mut().for_each(|stream| set_socket_linger(stream, Some(Duration::ZERO)).unwrap());
    drop(held); // which resets them
    until("nothing is in flight", || (alone.metric("byrnie_requests_in_flight") == 0.0).then_some(()));
    alone.is_well();
}

#[test]
fn descriptors_that_run_out_harm_only_what_is_new() {
    // It looks at its connections four times in that time.
    let alone = alone("ulimit -n 200", "headerTimeout: 1s");
    // Their answers never come: what only drains, closing each connection after its answer, frees none of these.
    let mut held: Vec<TcpStream> = Vec::new();
    while alone.refused("shed") == 0.0 {
        assert!(held.len() < 200, "nothing is refused");
        held.push(alone.hang());
    }
    assert!(held.len() > 30, "{}", held.len());
    let pressure = || alone.metric("byrnie_pressure_percent{resource=\"descriptors\"}");
    until("the pressure shows", || (pressure() >= 85.0).then_some(()));
    drop(held);
    alone.is_well();
    until("the pressure is gone", || (pressure() < 85.0).then_some(()));
}

/// A control group of this size, of version 1 or 2; removed with it.
struct Group(PathBuf);

impl Group {
    fn of(bytes: u64) -> Option<Self> {
        for (root, limit) in
            [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
        {
            let path = PathBuf::from(format!("{root}/byrnie-test-{}", std::process::id()));
            // Where there are no control groups a directory would be just that.
            if !PathBuf::from(root).join("cgroup.procs").exists() || std::fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self(path);
            if std::fs::write(group.0.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    fn used(&self) -> u64 {
        let read = |name: &str| std::fs::read_to_string(self.0.join(name)).ok()?.trim().parse().ok();
        read("memory.current").or_else(|| read("memory.usage_in_bytes")).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        until("the control group is empty", || std::fs::remove_dir(&self.0).ok());
    }
}

/// A proxy in a group of so many bytes. `None`: no group can be made here.
fn in_memory_of(bytes: u64, settings: &str) -> Option<(Group, Alone)> {
    let group = Group::of(bytes)?;
    let enter = format!("echo $$ > {}/cgroup.procs", group.0.display());
    let alone = alone(&enter, settings);
    Some((group, alone))
}

const LIMIT: u64 = 64 << 20;
/// So little that some thousand connections fill it.
const LITTLE: u64 = 32 << 20;
const NO_GROUP: &str = "no control group with a memory limit can be made";

#[test]
fn memory_that_runs_out_ends_nothing() {
    let Some((group, alone)) = in_memory_of(LITTLE, "") else { return skip(NO_GROUP) };
    let (mut kept, mut refused) = (Vec::new(), 0_u32);
    // Each holds its buffers; what does not fit is refused, and what is there stays.
    for _ in 0..6_000 {
        match alone.keep() {
            Ok(stream) => kept.push(stream),
            Err(_) => refused += 1,
        }
    }
    let most = group.used();
    assert!(most <= LITTLE && kept.len() > 500, "{} kept, {refused} refused", kept.len());
    assert!(most > LITTLE / 2, "{} kept need no more than {} MiB", kept.len(), most >> 20);
    until("kept-alive connections have made room", || alone.keep().ok());
    drop(kept);
    until("memory is given back", || (group.used() < LITTLE / 2).then_some(()));
    for _ in 0..50 {
        alone.keep().expect("there is room again");
    }
    drop(alone);
}

/// What came back for one request.
fn is_answered_well(stream: &mut TcpStream) -> bool {
    let mut first = [0; 512];
    stream.read(&mut first).is_ok_and(|read| first[..read].starts_with(b"HTTP/1.1 200"))
}

#[test]
fn many_that_ask_all_at_once_end_nothing() {
    let Some((group, alone)) = in_memory_of(LIMIT, "") else { return skip(NO_GROUP) };
    let mut crowd: Vec<TcpStream> = Vec::new();
    for round in 0..3 {
        // While they say nothing they need little, and would all fit.
        while crowd.len() < 2_500 {
            let stream = TcpStream::connect(&alone.address).expect("the proxy listens");
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            crowd.push(stream);
        }
        for stream in &mut crowd {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"); // it may be closed
        }
        crowd.retain_mut(is_answered_well);
        assert!(crowd.len() > 20, "{} are served in round {round}", crowd.len());
    }
    alone.is_well();
    assert!(group.used() <= LIMIT);
    drop(crowd);
    until("memory is given back", || (group.used() < LIMIT / 2).then_some(()));
    for _ in 0..50 {
        alone.keep().expect("there is room again");
    }
    drop(alone);
}

#[test]
fn heads_that_never_end_do_not_fill_memory() {
    let Some((group, alone)) = in_memory_of(LIMIT, "") else { return skip(NO_GROUP) };
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", format!("x: {}\r\n", "a".repeat(900)).repeat(66));
    let mut unfinished = Vec::new();
    for _ in 0..1_000 {
        let Ok(mut stream) = TcpStream::connect(&alone.address) else { continue };
        // Closed meanwhile: the buffers of all together are full.
        let _ = stream.write_all(head.as_bytes());
        unfinished.push(stream);
    }
    // 60 MB are on their way. Who has a head of ordinary size is served, and nothing was killed.
    for _ in 0..20 {
        alone.keep().expect("a small head has room");
    }
    assert!(alone.refused("buffers") > 0.0);
    let held = alone.metric("byrnie_buffered_bytes");
    assert!(held > 1e6 && held <= LIMIT as f64 / 4.0, "{held} bytes held");
    assert!(group.used() <= LIMIT);
    drop(unfinished);
    until("what they held is free", || (alone.metric("byrnie_buffered_bytes") == 0.0).then_some(()));
    drop(alone);
}
