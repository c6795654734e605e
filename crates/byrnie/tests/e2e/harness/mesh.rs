//! A running mesh: `byrnie up`, `byrnie demo` or a control plane alone, gone with the test.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use byrnie_testkit::keep;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use super::{Run, Sandbox, get, until};

/// A mesh in the foreground of its own process group.
pub struct Mesh {
    pub sandbox: Sandbox,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Mesh {
    /// `byrnie up -f` of this text; returns when every proxy obeys it.
    pub fn start(yaml: &str) -> Self {
        Self::start_in(Sandbox::new(), yaml)
    }

    /// The same in a sandbox that is prepared already.
    pub fn start_in(sandbox: Sandbox, yaml: &str) -> Self {
        sandbox.file("mesh.yaml", yaml);
        let mesh = Self::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
        mesh.wait_synced();
        mesh
    }

    /// A control plane alone, for what needs no traffic.
    pub fn control_plane() -> Self {
        let mesh = Self::spawn(Sandbox::new(), &["control-plane"]);
        mesh.wait_running();
        mesh
    }

    /// Any command that stays in the foreground, in a sandbox that may hold the state of an earlier run.
    pub fn spawn(sandbox: Sandbox, args: &[&str]) -> Self {
        let log = Arc::new(Mutex::new(String::new()));
        let child = foreground(&sandbox, args, &log);
        Self { sandbox, child, log }
    }

    /// The same from a shell that does something first, such as to set a limit.
    pub fn spawn_in_shell(sandbox: Sandbox, before: &str, args: &[&str]) -> Self {
        let log = Arc::new(Mutex::new(String::new()));
        let command = sandbox.command_in_shell(before, args);
        let child = in_foreground(command, &log);
        Self { sandbox, child, log }
    }

    /// Another command in the foreground, once the first one has ended; the log goes on.
    pub fn restart(&mut self, args: &[&str]) {
        self.wait_exit();
        self.child = foreground(&self.sandbox, args, &self.log);
    }

    /// Waits until the control plane answers.
    pub fn wait_running(&self) {
        until("the control plane answers", || {
            let version = self.byrnie(&["version", "-o", "json"]);
            let running = version.code == Some(0) && !version.json()["server"].is_null();
            running.then_some(())
        });
    }

    /// Waits until every meshed Workload and every Gateway of class `byrnie` has a proxy that obeys.
    pub fn wait_synced(&self) {
        self.wait_running();
        until("every proxy obeys", || {
            let proxies = self.items(&["get", "proxies", "-o", "json"])?;
            let synced = |namespace: &Value, name: &Value| {
                proxies.iter().any(|proxy| {
                    proxy["namespace"] == *namespace
                        && proxy["workload"] == *name
                        && proxy["sync"] == "SYNCED"
                })
            };
            let mut owners = self.items(&["get", "workloads", "-o", "json"])?;
            owners.retain(|workload| workload["spec"]["proxy"] != "none");
            let mut gateways = self.items(&["get", "gateways", "-o", "json"])?;
            gateways.retain(|gateway| gateway["spec"]["gatewayClassName"] == "byrnie");
            owners.extend(gateways);
            let all = owners.iter().all(|o| synced(&o["metadata"]["namespace"], &o["metadata"]["name"]));
            (all && !owners.is_empty()).then_some(())
        });
    }

    /// The `items` of a list that a command prints as JSON; `None` while it fails.
    pub fn items(&self, args: &[&str]) -> Option<Vec<Value>> {
        let run = self.byrnie(args);
        if run.code != Some(0) { None } else { run.json()["items"].as_array().cloned() }
    }

    /// `byrnie ARGS` about this mesh, to its end.
    pub fn byrnie(&self, args: &[&str]) -> Run {
        self.sandbox.run(args)
    }

    /// `byrnie apply -f - --wait` of this text.
    #[track_caller]
    pub fn apply(&self, yaml: &str) -> String {
        self.sandbox.run_with_input(&["apply", "-f", "-", "--wait"], yaml).ok()
    }

    /// The proxy of a Workload or Gateway, as `get proxies` shows it.
    pub fn proxy(&self, name: &str) -> Option<Value> {
        let proxies = self.items(&["get", "proxies", "-o", "json"])?;
        proxies.into_iter().find(|proxy| proxy["workload"] == name)
    }

    /// The process id of a proxy that runs.
    pub fn proxy_pid(&self, name: &str) -> Pid {
        let pid = until("the proxy is there", || self.proxy(name)?["pid"].as_i64());
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    /// The process id of the control plane.
    pub fn control_plane_pid(&self) -> Pid {
        let version = self.byrnie(&["version", "-o", "json"]).json();
        Pid::from_raw(i32::try_from(version["server"]["pid"].as_i64().unwrap()).unwrap()).unwrap()
    }

    /// Where a Workload reaches a Service; waits until it does.
    pub fn upstream(&self, workload: &str, service: &str) -> String {
        until("the upstream has an address", || {
            let workload = self.byrnie(&["get", "workload", workload, "-o", "json"]);
            let upstreams = workload.json()["status"]["upstreams"].as_array().cloned()?;
            let upstream = upstreams.into_iter().find(|upstream| upstream["service"] == service)?;
            upstream["address"].as_str().map(str::to_owned)
        })
    }

    /// The text of a proxy's metrics.
    pub fn metrics(&self, proxy: &str) -> String {
        let admin = until("the proxy has an admin address", || {
            self.proxy(proxy)?["admin"].as_str().map(str::to_owned)
        });
        get(&admin, "/metrics", &[]).unwrap().body
    }

    /// What a Gateway's proxy has logged.
    pub fn gateway_log(&self, namespace: &str, name: &str) -> String {
        let path = self.data_dir().join("gateways").join(namespace).join(name).join("log");
        std::fs::read_to_string(path).unwrap()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.sandbox.data_dir()
    }

    /// All that the mesh printed so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal to the command in the foreground.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the command in the foreground to end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        until("the command in the foreground ends", || self.child.try_wait().unwrap())
    }

    /// Ctrl-C, and what it leaves behind.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::INT);
        let status = self.wait_exit();
        (status, self.log())
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // Its children die with it; the group covers what has not left it.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of the mesh ----\n{}", self.log());
        }
    }
}

fn foreground(sandbox: &Sandbox, args: &[&str], log: &Arc<Mutex<String>>) -> Child {
    in_foreground(sandbox.command(args), log)
}

fn in_foreground(mut command: std::process::Command, log: &Arc<Mutex<String>>) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap();
    keep(child.stdout.take().unwrap(), log);
    keep(child.stderr.take().unwrap(), log);
    child
}
