//! Certificates of ten seconds under load: they change, and nobody notices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{Bytes, Echo, Load, Mesh, Origin, free_port, get, until, yaml};

/// Changes of each proxy's certificate that the load must outlive.
const CHANGES: usize = 3;

/// A connection that says something every now and then, for as long as it is told to.
struct Talk {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<u32>>,
}

impl Talk {
    fn begin(mut bytes: Bytes) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut said = 0;
            while !stopped.load(Ordering::Relaxed) {
                bytes.echoes(&format!("word {said}"))?;
                said += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(said)
        });
        Self { stop, thread }
    }

    /// Fails the test when it was cut.
    #[track_caller]
    fn end(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let said = self.thread.join().unwrap();
        assert!(said.as_ref().is_ok_and(|said| *said > 0), "{what}: {said:?}");
    }
}

#[test]
fn certificates_of_ten_seconds_change_under_load_and_nothing_is_cut() {
    let (web, socket, echo) = (Origin::start("web"), Echo::after_upgrade(), Echo::start(""));
    let port = free_port();
    let upgrade =
        "{matches: [{path: {type: PathPrefix, value: /socket}}], backendRefs: [{name: socket, port: 80}]}";
    let text = [
        yaml::settings("certificates: {lifetime: 10s}"),
        yaml::workload("web-1", "web", web.port, ""),
        yaml::workload("socket-1", "socket", socket.port, ""),
        yaml::workload("echo-1", "echo", echo.port, ""),
        yaml::caller("caller", "upstreams: [{service: web}, {service: echo}]"),
        yaml::service("web", "http"),
        yaml::service("socket", "http"),
        yaml::service("echo", "tcp"),
        yaml::gateway("front", &[port]),
        yaml::route("front", "front", &format!("{upgrade}, {{backendRefs: [{{name: web, port: 80}}]}}")),
    ];
    let mesh = Mesh::start(&text.concat());
    let gateway = format!("127.0.0.1:{port}");
    until("the gateway answers 200", || (get(&gateway, "/", &[]).ok()?.status == 200).then_some(()));
    let (to_web, to_echo) = (mesh.upstream("caller", "web"), mesh.upstream("caller", "echo"));
    until("the pair answers", || (get(&to_web, "/", &[]).ok()?.status == 200).then_some(()));
    until("the echo answers", || Bytes::try_open(&to_echo).ok()?.echoes("first").ok());

    let talks = [
        ("a WebSocket through the gateway", Talk::begin(Bytes::upgrade(&gateway, "/socket"))),
        ("a TCP connection through a pair", Talk::begin(Bytes::open(&to_echo))),
    ];
    let loads = [Load::start(&gateway, "/", 2), Load::start(&to_web, "/", 2)];
    let names = ["front", "caller", "web-1", "socket-1", "echo-1"];
    for name in names {
        let mut seen = BTreeSet::new();
        until(&format!("{name} has had {} certificates", CHANGES + 1), || {
            seen.insert(mesh.proxy(name)?["notAfter"].as_str()?.to_owned());
            (seen.len() > CHANGES || name != names[0] && seen.len() > 1).then_some(())
        });
    }
    for (what, talk) in talks {
        talk.end(what);
    }
    for load in loads {
        let report = load.stop_unharmed();
        assert_eq!(report.connections, 2, "no connection was closed: {report:#?}");
    }
}
