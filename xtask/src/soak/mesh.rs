//! The mesh under soak: `byrnie up` of one file, and commands about it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::origins::Origins;

/// How long the mesh may take to be there.
const START: Duration = Duration::from_secs(60);

/// A running mesh; ended with this.
pub struct Mesh {
    program: PathBuf,
    directory: PathBuf,
    supervisor: Child,
    /// What it printed.
    pub log: PathBuf,
    /// The Gateway's listener of requests.
    pub web: SocketAddr,
    /// Its listener of bytes.
    pub bytes: SocketAddr,
}

impl Mesh {
    /// Starts it and waits until every road is open.
    pub fn start(program: &Path, scratch: &Path, origins: &Origins) -> anyhow::Result<Self> {
        let (web, bytes) = (free_port()?, free_port()?);
        std::fs::write(scratch.join("mesh.yaml"), file(origins, web.port(), bytes.port()))?;
        let log = scratch.join("mesh.log");
        let output = File::create(&log)?;
        let supervisor = command(program, scratch, &["up", "-f", "mesh.yaml"])
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("starting byrnie")?;
        let (program, directory) = (program.to_owned(), scratch.to_owned());
        let mesh = Self { program, directory, supervisor, log, web, bytes };
        let began = Instant::now();
        while !mesh.is_open() {
            if began.elapsed() > START {
                bail!("the mesh is not there after {START:?}; see {}", mesh.log.display());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(mesh)
    }

    fn is_open(&self) -> bool {
        let grpc = super::streams::Grpc::open(self.web).and_then(|mut stream| stream.echo("open"));
        super::web::is_well(self.web, "/")
            && super::streams::Bytes::open(self.bytes).is_ok_and(|mut bytes| bytes.echo("open").is_ok())
            && super::streams::Bytes::upgrade(self.web).is_ok_and(|mut bytes| bytes.echo("open").is_ok())
            && grpc.is_ok()
    }

    /// `byrnie ARGS` with a text on stdin, to its end; an error has what it said.
    pub fn byrnie(&self, args: &[&str], input: &str) -> anyhow::Result<()> {
        use std::io::Write;
        let mut command = command(&self.program, &self.directory, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command may end without reading it.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("byrnie {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Processes of the mesh.
    pub fn processes(&self) -> usize {
        self.process_ids().len()
    }

    /// Their proportional set size together, in bytes.
    pub fn memory(&self) -> u64 {
        let pss = |id: &u32| {
            let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        self.process_ids().iter().filter_map(pss).sum::<u64>() * 1024
    }

    /// The supervisor and all that name this directory.
    fn process_ids(&self) -> Vec<u32> {
        let needle = self.directory.display().to_string();
        let named = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.ok()?;
            let id = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            String::from_utf8_lossy(&line).contains(&needle).then_some(id)
        };
        let mut ids: Vec<u32> =
            std::fs::read_dir("/proc").map(|all| all.filter_map(named).collect()).unwrap_or_default();
        ids.push(self.supervisor.id());
        ids
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let id = i32::try_from(self.supervisor.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        }
        let _ = self.supervisor.wait();
    }
}

fn command(program: &Path, directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(directory).env("BYRNIE_DATA_DIR", directory.join("data"));
    command.env("HOME", directory).env("BYRNIE_PROXY_WORKERS", "1").stdin(Stdio::null());
    command
}

fn free_port() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// One route of the Gateway, with a header that changes, so that every change is one of the routing table.
pub fn route(round: u64) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: front, namespace: soak}}
spec:
  parentRefs: [{{name: front, sectionName: web}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /chat}}}}]
    backendRefs: [{{name: chat, port: 80}}]
  - matches: [{{path: {{type: PathPrefix, value: /soak.Echo}}}}]
    backendRefs: [{{name: grpc, port: 80}}]
  - filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-round, value: \"{round}\"}}]}}}}]
    backendRefs: [{{name: web, port: 80}}]
"
    )
}

fn file(origins: &Origins, web: u16, bytes: u16) -> String {
    let mut text = format!(
        "apiVersion: mesh.byrnie.dev/v1alpha1
kind: Mesh
metadata: {{name: default}}
spec: {{certificates: {{lifetime: 10s}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: front, namespace: soak}}
spec:
  gatewayClassName: byrnie
  listeners: [{{name: web, port: {web}, protocol: HTTP}}, {{name: bytes, port: {bytes}, protocol: TCP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {{name: bytes, namespace: soak}}
spec: {{parentRefs: [{{name: front, sectionName: bytes}}], rules: [{{backendRefs: [{{name: bytes, port: 80}}]}}]}}
---
{}",
        route(0)
    );
    for (name, port, protocol) in [
        ("web", origins.web, "http"),
        ("chat", origins.chat, "http"),
        ("grpc", origins.grpc, "grpc"),
        ("bytes", origins.bytes, "tcp"),
    ] {
        text.push_str(&format!(
            "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: {name}-1, namespace: soak, labels: {{app: {name}}}}}
spec: {{serviceAccount: {name}, ports: [{{name: main, port: {port}}}], upstreams: []}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: soak}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: main, appProtocol: {protocol}}}]}}
"
        ));
    }
    text
}
