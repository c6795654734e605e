//! A running mesh, and programs of its workloads.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use byrnie_net::Namespace;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use crate::range::Range;
use crate::until;

/// How traffic comes to the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By local addresses that the environment names.
    Explicit,
    /// Captured.
    Transparent,
}

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code; none: a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Its output; fails the test when it failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }
}

/// A mesh of one test.
pub struct Ground {
    mode: Mode,
    program: PathBuf,
    dir: TempDir,
    child: Child,
    log: Arc<Mutex<String>>,
    range: Range,
}

impl Ground {
    /// `byrnie up` of these objects, with `mesh` spliced into the spec of the Mesh; returns when every proxy obeys.
    /// Every request and connection is logged.
    pub fn start(program: &str, mode: Mode, mesh: &str, objects: &str) -> Self {
        Self::with_prefix(program, mode, 24, mesh, objects)
    }

    /// The same, in a network of another size.
    pub fn with_prefix(program: &str, mode: Mode, prefix: u8, mesh: &str, objects: &str) -> Self {
        Self::begin(program, mode, prefix, "", mesh, objects)
    }

    /// A captured mesh with more settings of capture, in flow style.
    pub fn with_capture(program: &str, capture: &str, objects: &str) -> Self {
        Self::begin(program, Mode::Transparent, 24, capture, "", objects)
    }

    fn begin(program: &str, mode: Mode, prefix: u8, capture: &str, mesh: &str, objects: &str) -> Self {
        let range = Range::take();
        let dir = TempDir::new().unwrap();
        // Programs of other users read what the test leaves for them there.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let mut text = format!(
            "---\napiVersion: mesh.byrnie.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: default}}\nspec:\n  \
             capture: {{ipv4Range: {}, ipv6Range: \"{}\"{}}}\n  telemetry: {{accessLog: all}}\n",
            range.v4(prefix),
            range.v6(),
            if capture.is_empty() { String::new() } else { format!(", {capture}") }
        );
        mesh.lines().for_each(|line| writeln!(text, "  {line}").unwrap());
        text.push_str(objects);
        std::fs::write(dir.path().join("mesh.yaml"), text).unwrap();
        let log = Arc::default();
        let child = up(Path::new(program), dir.path(), mode, &log);
        let ground = Self { mode, program: program.into(), dir, child, log, range };
        ground.wait_synced();
        ground
    }

    /// Whether the supervisor has ended, which it should not.
    fn assert_alive(&self) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let dead = stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'));
        assert!(!dead, "the mesh has ended:\n{}", self.log());
    }

    /// How traffic comes to the proxies.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A directory for the test's files, readable to everybody.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The network of the workloads.
    pub fn network(&self) -> String {
        self.range.v4(24)
    }

    /// `byrnie ARGUMENTS` about this mesh, to its end.
    pub fn byrnie<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Said {
        said(command(&self.program, self.dir.path()).args(arguments))
    }

    /// A program of a workload, to its end: where the workload is captured, this is, too.
    pub fn run(&self, workload: &str, program: &[&str]) -> Said {
        said(&mut self.command(workload, program))
    }

    /// The same, not started yet.
    pub fn command(&self, workload: &str, program: &[&str]) -> Command {
        let mut command = command(&self.program, self.dir.path());
        command.args(["run", "--workload", workload, "--"]).args(program);
        command
    }

    /// How a program of `workload` names a service and its port: as without a mesh, or by its environment.
    pub fn name(&self, workload: &str, service: &str, port: u16) -> (String, u16) {
        if self.mode == Mode::Transparent {
            return (service.to_owned(), port);
        }
        let variable = service.replace('-', "_").to_uppercase();
        let line = format!("echo ${variable}_SERVICE_HOST ${variable}_SERVICE_PORT");
        until("the service has a local address", || {
            let said = self.run(workload, &["sh", "-c", &line]).ok();
            let (host, port) = said.trim().split_once(' ')?;
            Some((host.to_owned(), port.parse().ok()?))
        })
    }

    /// `byrnie apply --wait` of this text.
    #[track_caller]
    pub fn apply(&self, yaml: &str) {
        let file = self.dir.path().join("change.yaml");
        std::fs::write(&file, yaml).unwrap();
        self.byrnie(&["apply", "--wait", "-f", &file.display().to_string()]).ok();
    }

    /// The proxy of a workload or Gateway, as `get proxies` shows it.
    pub fn proxy(&self, name: &str) -> Option<Value> {
        self.items(&["get", "proxies", "-o", "json"])?.into_iter().find(|proxy| proxy["workload"] == name)
    }

    /// The process id of a proxy.
    pub fn proxy_pid(&self, name: &str) -> u32 {
        let pid = until("the proxy is there", || self.proxy(name)?["pid"].as_u64());
        u32::try_from(pid).unwrap()
    }

    /// The network namespace of a captured workload.
    pub fn namespace(&self, workload: &str) -> Namespace {
        until("the proxy is in the workload's namespace", || {
            let pid = u32::try_from(self.proxy(workload)?["pid"].as_u64()?).ok()?;
            Namespace::of_thread(pid, "worker-0").ok()
        })
    }

    /// The address of a captured workload, as its status has it.
    pub fn address(&self, workload: &str) -> IpAddr {
        until("the workload has an address", || self.status(workload)?["address"].as_str()?.parse().ok())
    }

    /// The status of a workload.
    pub fn status(&self, workload: &str) -> Option<Value> {
        let object = self.byrnie(&["get", "workload", workload, "-o", "json"]);
        let object: Value = serde_json::from_str(&object.out).ok()?;
        Some(object["status"].clone())
    }

    /// What the proxy of a workload has logged.
    pub fn proxy_log(&self, workload: &str) -> String {
        let path = self.dir.path().join("data/proxies/shop").join(workload).join("log");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// The `items` of a list that a command prints as JSON; `None` while it fails.
    pub fn items(&self, arguments: &[&str]) -> Option<Vec<Value>> {
        let said = self.byrnie(arguments);
        let list: Value = serde_json::from_str(&said.out).ok()?;
        list["items"].as_array().cloned()
    }

    /// All that the mesh printed so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The process id of the supervisor.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The supervisor and everything below it.
    pub fn processes(&self) -> Vec<Pid> {
        let mut parents = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            // It may have ended since the directory was read.
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            let parent = fields.split_ascii_whitespace().nth(1).and_then(|parent| parent.parse::<i32>().ok());
            parents.extend(parent.map(|parent| (pid, parent)));
        }
        let mut all = vec![i32::try_from(self.pid()).unwrap()];
        let mut next = 0;
        while let Some(&pid) = all.get(next) {
            all.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
            next += 1;
        }
        all.into_iter().filter_map(Pid::from_raw).collect()
    }

    /// The mesh is started again with what it knows, once it is gone.
    pub fn restart(&mut self) {
        self.wait_exit();
        self.child = up(&self.program, self.dir.path(), self.mode, &self.log);
        self.wait_synced();
    }

    /// Sends a signal to the supervisor.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the supervisor to end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        until("the supervisor ends", || self.child.try_wait().unwrap())
    }

    /// Waits until every meshed Workload and every Gateway has a proxy that obeys.
    pub fn wait_synced(&self) {
        until("every proxy obeys", || {
            self.assert_alive();
            let proxies = self.items(&["get", "proxies", "-o", "json"])?;
            let mut owners = self.items(&["get", "workloads", "-o", "json"])?;
            owners.retain(|workload| workload["spec"]["proxy"] != "none");
            owners.extend(self.items(&["get", "gateways", "-o", "json"])?);
            let synced = |owner: &Value| {
                let (namespace, name) = (&owner["metadata"]["namespace"], &owner["metadata"]["name"]);
                proxies.iter().any(|proxy| {
                    proxy["namespace"] == *namespace
                        && proxy["workload"] == *name
                        && proxy["sync"] == "SYNCED"
                })
            };
            (!owners.is_empty() && owners.iter().all(synced)).then_some(())
        });
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Its children die with it; the namespaces go with them.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of the mesh ----\n{}", self.log());
            let proxies = std::fs::read_dir(self.dir.path().join("data/proxies/shop"));
            for proxy in proxies.into_iter().flatten().flatten() {
                let log = std::fs::read_to_string(proxy.path().join("log")).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = &lines[lines.len().saturating_sub(20)..];
                eprintln!("---- proxy {} ----\n{}", proxy.path().display(), last.join("\n"));
            }
        }
    }
}

fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().stdin(Stdio::null());
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("HOME", dir);
    command.env("BYRNIE_DATA_DIR", dir.join("data")).env("BYRNIE_PROXY_WORKERS", "1");
    command
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn up(program: &Path, dir: &Path, mode: Mode, log: &Arc<Mutex<String>>) -> Child {
    let mut command = command(program, dir);
    command.args(["up", "-f", "mesh.yaml"]);
    if mode == Mode::Transparent {
        command.arg("--transparent");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap();
    keep(child.stdout.take().unwrap(), log);
    keep(child.stderr.take().unwrap(), log);
    child
}

/// Adds all that a child says to what it said before, from a thread of its own.
pub fn keep(stream: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}
