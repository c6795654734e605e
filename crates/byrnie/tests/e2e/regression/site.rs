//! One mesh under attack: an application that notes what reaches it, an innocent client meanwhile, and what must hold
//! afterwards.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::origin::Noted;
use crate::harness::{Connection, Mesh, free_port, get, until, yaml};

/// An innocent client is served within this time, 19 times of 20. Not counted is for how long the machine had no
/// processor for the proxies or this test: that is no work of theirs.
const SERVED: Duration = Duration::from_secs(1);
/// What a proxy may keep after an attack, in KiB: pools and what the allocator has not given back yet.
const KEPT: u64 = 48 * 1024;
/// Between two requests of the innocent client.
const PACE: Duration = Duration::from_millis(20);

/// A gateway, a caller and an application with their proxies.
pub struct Site {
    pub mesh: Mesh,
    pub origin: Noted,
    /// The Gateway's listener.
    pub gateway: String,
    /// Where the workload `a` calls the service.
    pub caller: String,
    proxies: Vec<(String, Pid, u64)>,
    stop: Arc<AtomicBool>,
    innocent: Option<JoinHandle<Vec<Duration>>>,
}

impl Site {
    /// `/admin` and what is below is denied to everybody.
    pub fn open() -> Self {
        Self::with("")
    }

    /// The same with more objects.
    pub fn with(more: &str) -> Self {
        let (origin, port) = (Noted::start(), free_port());
        let text = [
            yaml::workload("web-1", "web", origin.port, ""),
            yaml::caller("a", ""),
            yaml::service("web", "http"),
            yaml::gateway("front", &[port]),
            yaml::route_to("web", "front"),
            DENY_ADMIN.to_owned(),
            more.to_owned(),
        ];
        let mesh = Mesh::start(&text.concat());
        let (gateway, caller) = (format!("127.0.0.1:{port}"), mesh.upstream("a", "web"));
        for address in [&gateway, &caller] {
            until("the application answers, and the policy holds", || {
                let open = get(address, "/warm", &[]).ok()?.status == 200;
                (open && get(address, "/admin", &[]).ok()?.status == 403).then_some(())
            });
        }
        let proxies = ["front", "web-1", "a"].map(|name| {
            let pid = mesh.proxy_pid(name);
            (name.to_owned(), pid, rss(pid))
        });
        let stop = Arc::new(AtomicBool::new(false));
        let waiting = ["front", "web-1"].map(|name| mesh.proxy_pid(name)).into_iter();
        let waiting = waiting.chain([rustix::process::getpid()]).collect();
        let innocent = Some(innocent(&gateway, &stop, waiting));
        origin.take();
        Self { mesh, origin, gateway, caller, proxies: proxies.into(), stop, innocent }
    }

    /// Both ways in.
    pub fn roads(&self) -> [&str; 2] {
        [&self.gateway, &self.caller]
    }

    /// Each of these is refused with 400 on each road, its connection closed, and nothing of it reaches the
    /// application.
    pub fn refused(&self, probes: &[&str]) {
        for road in self.roads() {
            for words in probes {
                let answer = exchange(road, words.as_bytes());
                assert!(answer.starts_with("HTTP/1.1 400 "), "{road}: {words:?}: {answer:?}");
                assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{road}: {words:?}: {answer:?}");
            }
        }
        self.saw(&[]);
    }

    /// What has reached the application since the last look, without the innocent client's.
    pub fn saw(&self, expected: &[&str]) {
        for road in self.roads() {
            assert_eq!(get(road, "/fence", &[]).unwrap().status, 200);
        }
        let mut seen = self.origin.take();
        seen.retain(|line| line != "GET /fence");
        assert_eq!(seen, expected);
    }

    /// What must hold after every attack: the proxies run, none of their tasks panicked, memory and processor are back
    /// to where they were, and the innocent client was served all along.
    pub fn holds(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.innocent.take().unwrap().join().expect("the innocent client is served");
        took.sort();
        let slow = took.iter().filter(|took| **took > SERVED).count();
        assert!(slow * 20 <= took.len(), "{slow} of {} took longer than {SERVED:?}", took.len());
        for (name, pid, before) in &self.proxies {
            assert_eq!(self.mesh.proxy_pid(name), *pid, "{name} was restarted");
            let proxy = self.mesh.proxy(name).unwrap();
            let metrics = get(proxy["admin"].as_str().unwrap(), "/metrics", &[]).unwrap().body;
            let panics = metrics.lines().find(|line| line.starts_with("byrnie_panics_total"));
            assert!(panics.is_some_and(|line| line.ends_with(" 0")), "{name}: {panics:?}");
            until("memory is back", || (rss(*pid) < before + KEPT).then_some(()));
            until("the processor is free", || {
                let (begin, start) = (cpu_ticks(*pid), Instant::now());
                std::thread::sleep(Duration::from_millis(100));
                // In hundredths of a second: less than half of the time that passed.
                let spent = Duration::from_millis(10 * (cpu_ticks(*pid) - begin));
                (spent < start.elapsed() / 2).then_some(())
            });
        }
    }

    /// Memory of the Gateway's proxy in KiB.
    pub fn gateway_rss(&self) -> u64 {
        rss(self.proxies[0].1)
    }

    /// The Gateway's proxy.
    pub fn gateway_pid(&self) -> Pid {
        self.proxies[0].1
    }

    /// The mesh port of `web-1`.
    pub fn mesh_port(&self) -> String {
        let path = self.mesh.data_dir().join("proxies/shop/web-1/addresses.json");
        let text = std::fs::read_to_string(path).unwrap();
        let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
        addresses["mesh"].as_str().unwrap().to_owned()
    }
}

const DENY_ADMIN: &str = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec: {targetRefs: [{kind: Service, name: web}], action: DENY, rules: [{to: [{paths: [/admin, /admin/*]}]}]}
";

/// Asks on and on, on one connection as long as it lasts; how long each took.
fn innocent(address: &str, stop: &Arc<AtomicBool>, processes: Vec<Pid>) -> JoinHandle<Vec<Duration>> {
    let (address, stop) = (address.to_owned(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut took = Vec::new();
        let mut connection = Connection::open(&address).unwrap();
        while !stop.load(Ordering::Relaxed) || took.len() < 20 {
            let (start, waited) = (Instant::now(), without_processor(&processes));
            let answer = connection.get("/innocent", &[]).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            let waited = without_processor(&processes).saturating_sub(waited);
            took.push(start.elapsed().saturating_sub(waited));
            std::thread::sleep(PACE);
        }
        took
    })
}

/// Says this, closes its half, and reads to the end; at most ten seconds without a byte.
pub fn exchange(address: &str, words: &[u8]) -> String {
    let mut stream = connect(address);
    // It may be refused in the middle.
    let _ = stream.write_all(words);
    let _ = stream.shutdown(Shutdown::Write);
    rest(&mut stream)
}

/// All that comes until the end.
pub fn rest(stream: &mut TcpStream) -> String {
    let (mut all, mut space) = (Vec::new(), [0; 16 * 1024]);
    loop {
        match stream.read(&mut space) {
            Ok(0) => break,
            Ok(read) => all.extend_from_slice(&space[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A connection on which nothing waits longer than ten seconds.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A GET whose connection is to be closed after it.
pub fn last(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// A POST with these header lines and this body.
pub fn post(lines: &str, body: &str) -> String {
    format!("POST /post HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}")
}

/// Resident memory, in KiB.
fn rss(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// For how long threads of these processes wanted to run and could not.
fn without_processor(processes: &[Pid]) -> Duration {
    let threads = processes.iter().flat_map(|pid| {
        std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).into_iter().flatten().flatten()
    });
    // A thread may end meanwhile.
    let texts = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    let waited = texts.filter_map(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    Duration::from_nanos(waited.sum())
}

/// Processor time so far, in ticks of 10 ms.
fn cpu_ticks(pid: Pid) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let after = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<u64> = after.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    fields[11] + fields[12]
}
