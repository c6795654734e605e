//! Processes that die without a word, under load: the control plane, a proxy, both.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Connection, Load, Mesh, Origin, free_port, get, until, yaml};

/// From the death of a proxy to the next answer, as promised. Compiled without optimisation and beside other tests:
/// three times that.
const BACK: Duration = Duration::from_secs(3);

/// A gateway in front of `web` and of `other`, each with a proxy of its own.
struct Shop {
    mesh: Mesh,
    gateway: String,
    _origins: [Origin; 2],
}

impl Shop {
    fn open() -> Self {
        let (web, other, port) = (Origin::start("web"), Origin::start("other"), free_port());
        let to_other =
            "{matches: [{path: {type: PathPrefix, value: /other}}], backendRefs: [{name: other, port: 80}]}";
        let text = [
            yaml::workload("web-1", "web", web.port, ""),
            yaml::workload("other-1", "other", other.port, ""),
            yaml::service("web", "http"),
            yaml::service("other", "http"),
            yaml::gateway("front", &[port]),
            yaml::route("front", "front", &format!("{to_other}, {{backendRefs: [{{name: web, port: 80}}]}}")),
        ];
        let mesh = Mesh::start(&text.concat());
        let shop = Self { mesh, gateway: format!("127.0.0.1:{port}"), _origins: [web, other] };
        shop.answers("/");
        shop.answers("/other");
        shop
    }

    /// Waits for the next 200; each other answer is shown once, for when it does not come.
    fn answers(&self, path: &str) {
        let mut last = String::new();
        until("the gateway answers 200", || {
            let answer = get(&self.gateway, path, &[]);
            let now = format!("{answer:?}");
            if now != last {
                eprintln!("{now}");
                last = now;
            }
            (answer.ok()?.status == 200).then_some(())
        });
    }

    /// Kills the control plane, again and again for as long as this guard lives.
    fn without_control_plane(&self) -> Away {
        let pid = self.mesh.control_plane_pid();
        kill_process(pid, Signal::KILL).unwrap();
        Away::begin(self.mesh.data_dir())
    }
}

/// The control plane does not come back while this lives: whatever the supervisor starts is killed.
struct Away {
    stop: std::sync::mpsc::SyncSender<()>,
    killer: Option<std::thread::JoinHandle<()>>,
}

impl Away {
    fn begin(data_dir: std::path::PathBuf) -> Self {
        let (stop, stopped) = std::sync::mpsc::sync_channel(1);
        let killer = std::thread::spawn(move || {
            let needle = format!("{}\0control-plane\0", data_dir.display());
            while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
                stopped.recv_timeout(Duration::from_millis(10))
            {
                for pid in control_planes(&needle) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        });
        Self { stop, killer: Some(killer) }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        self.killer.take().unwrap().join().unwrap();
    }
}

/// Processes whose command line has this in it.
fn control_planes(needle: &str) -> Vec<Pid> {
    let pid = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let named = String::from_utf8_lossy(&line).contains(needle);
        Pid::from_raw(entry.file_name().to_str()?.parse().ok()?).filter(|_| named)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(pid).collect()
}

/// How long the control plane stays away: seconds, or what BYRNIE_TEST_ABSENCE says (the soak takes a minute).
fn absence() -> Duration {
    let seconds = std::env::var("BYRNIE_TEST_ABSENCE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

#[test]
fn a_mesh_without_its_control_plane_loses_no_request_and_obeys_again_afterwards() {
    let shop = Shop::open();
    let proxies = || ["front", "web-1", "other-1"].map(|name| shop.mesh.proxy_pid(name));
    let before = proxies();
    let load = Load::start(&shop.gateway, "/", 4);
    let away = shop.without_control_plane();
    let until_then = Instant::now() + absence();
    while Instant::now() < until_then {
        load.more(100);
        // New connections, too, and a service that the load does not touch.
        assert_eq!(get(&shop.gateway, "/other", &[]).unwrap().status, 200);
    }
    drop(away);
    // After many deaths the supervisor waits for up to 30 s before it tries once more.
    let patience = Instant::now() + Duration::from_secs(40);
    while shop.mesh.byrnie(&["get", "proxies"]).code != Some(0) && Instant::now() < patience {
        load.more(10);
    }
    shop.mesh.wait_synced();
    assert_eq!(proxies(), before, "the proxies stayed");
    let deny = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {targetRefs: [{kind: Service, name: other}], action: DENY, rules: [{}]}
";
    shop.mesh.apply(deny);
    assert_eq!(get(&shop.gateway, "/other", &[]).unwrap().status, 403, "they obey again");
    load.stop_unharmed();
}

#[test]
fn a_killed_proxy_harms_no_other_and_is_back_within_a_second() {
    let shop = Shop::open();
    let load = Load::start(&shop.gateway, "/other", 2);
    let before = shop.mesh.proxy_pid("web-1");
    let killed = Instant::now();
    kill_process(before, Signal::KILL).unwrap();
    until("a request that waited is answered", || {
        (get(&shop.gateway, "/", &[]).ok()?.status == 200).then_some(())
    });
    let back = killed.elapsed();
    eprintln!("back {back:?} after the kill");
    assert!(back < BACK, "back after {back:?}");
    load.more(50);
    load.stop_unharmed();
    assert_ne!(shop.mesh.proxy_pid("web-1"), before);
    let log = shop.mesh.log();
    assert!(log.contains("web-1: was killed by signal 9; again in 0.1 s"), "{log}");
}

#[test]
fn proxies_killed_while_the_control_plane_is_dead_come_back_with_their_certificates() {
    let shop = Shop::open();
    let pids = ["web-1", "front"].map(|name| shop.mesh.proxy_pid(name));
    let load = Load::start(&shop.gateway, "/other", 2);
    let away = shop.without_control_plane();
    let killed = Instant::now();
    kill_process(pids[0], Signal::KILL).unwrap();
    // Through the gateway, so over mTLS to the new one.
    shop.answers("/");
    let back = killed.elapsed();
    eprintln!("the sidecar was back {back:?} after the kill");
    assert!(back < BACK, "the sidecar was back after {back:?}");
    load.more(50);
    load.stop_unharmed();
    let killed = Instant::now();
    kill_process(pids[1], Signal::KILL).unwrap();
    shop.answers("/");
    let back = killed.elapsed();
    eprintln!("the gateway was back {back:?} after the kill");
    assert!(back < BACK, "the gateway was back after {back:?}");
    drop(away);
    shop.mesh.wait_synced();
    for (name, before) in ["web-1", "front"].into_iter().zip(pids) {
        assert_ne!(shop.mesh.proxy_pid(name), before, "{name} has begun anew");
    }
    let mut kept = Connection::open(&shop.gateway).unwrap();
    assert_eq!(kept.get("/", &[]).unwrap().status, 200);
}
