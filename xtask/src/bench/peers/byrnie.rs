//! Byrnie itself, by `byrnie up`: a Gateway in front of a plain Workload, and a pair of meshed Workloads.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Peer, Place, Row, version};
use crate::bench::load::Work;
use crate::bench::origin::Origin;
use crate::bench::process::{Process, free_address, tail, within};

/// The mesh, with `{{…}}` where this run comes in.
const MESH: &str = include_str!("byrnie.yaml");
/// How long the mesh may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the mesh that is measured.
pub fn start(place: &Place, program: &Path) -> anyhow::Result<Peer> {
    let version = version(program, "--version")?;
    let gateway = free_address()?;
    let text = mesh(gateway, place.origin);
    let mesh = Mesh::start(program, &place.directory, &text, &[], place.workers, 3, 4)?;
    let pid = |name: &str| mesh.pid(name);
    let front = vec![pid("front")?];
    let pair = vec![pid("client")?, pid("server")?];
    let upstream = |service: &str| mesh.upstream("client", service);
    let row = |work, to, pids: &Vec<u32>| Row { work, peer: "byrnie", to, pids: pids.clone() };
    let rows = vec![
        row(Work::Hop, gateway, &front),
        row(Work::Pair, upstream("http")?, &pair),
        row(Work::Connect, upstream("http")?, &pair),
        row(Work::Http2, upstream("h2")?, &pair),
        row(Work::Grpc, upstream("grpc")?, &pair),
        row(Work::Stream, upstream("grpc")?, &pair),
        row(Work::Tcp, upstream("tcp")?, &pair),
    ];
    Ok(Peer { version, rows, log: mesh.log, processes: vec![mesh.process] })
}

/// A mesh that `byrnie up` runs; it ends when this is dropped.
pub struct Mesh {
    process: Process,
    data: PathBuf,
    /// What `byrnie up` says.
    pub log: PathBuf,
    proxies: Vec<(String, u32)>,
}

impl Mesh {
    /// Starts it in namespace `bench`, with `more` arguments of `up`, and waits until so many proxies are there and the
    /// client's has that many addresses of what it calls: it writes them down as it learns of services.
    pub fn start(
        program: &Path,
        directory: &Path,
        text: &str,
        more: &[&str],
        workers: usize,
        count: usize,
        calls: usize,
    ) -> anyhow::Result<Self> {
        let (file, data, log) =
            (directory.join("byrnie.yaml"), directory.join("byrnie"), directory.join("byrnie.log"));
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(&data).args(["up", "-f"]).arg(file).args(more);
        command.env("BYRNIE_PROXY_WORKERS", workers.to_string());
        let process = Process::start(&command, &log)?;
        let mut mesh = Self { process, data, log, proxies: Vec::new() };
        let came = within(PATIENCE, || {
            mesh.proxies = proxies(program, &mesh.data).unwrap_or_default();
            mesh.proxies.len() == count && mesh.upstreams("client").is_ok_and(|all| all.len() == calls)
        });
        if !came {
            bail!("the mesh does not come up; its log: {}", tail(&mesh.log));
        }
        Ok(mesh)
    }

    /// The process that all others of the mesh are below.
    pub fn root(&self) -> u32 {
        self.process.pid()
    }

    /// The process of a workload's or a Gateway's proxy.
    pub fn pid(&self, name: &str) -> anyhow::Result<u32> {
        let found = self.proxies.iter().find(|(workload, _)| workload == name);
        found.map(|(_, pid)| *pid).with_context(|| format!("no proxy of {name}"))
    }

    /// The local address of each service that a workload calls.
    pub fn upstreams(&self, workload: &str) -> anyhow::Result<Vec<(String, SocketAddr)>> {
        let path = self.data.join("proxies/bench").join(workload).join("addresses.json");
        let text = std::fs::read_to_string(path).context("addresses.json")?;
        upstreams(&serde_json::from_str(&text).context("addresses.json")?)
    }

    /// One of them.
    pub fn upstream(&self, workload: &str, service: &str) -> anyhow::Result<SocketAddr> {
        let all = self.upstreams(workload)?;
        let found = all.iter().find(|(name, _)| name == service);
        found.map(|(_, address)| *address).with_context(|| format!("no address of {service}"))
    }
}

fn mesh(gateway: SocketAddr, origin: &Origin) -> String {
    let ports = [
        ("GATEWAY", gateway),
        ("HTTP", origin.http),
        ("H2", origin.h2),
        ("GRPC", origin.grpc),
        ("TCP", origin.tcp),
    ];
    ports.iter().fold(MESH.to_owned(), |text, (name, to)| {
        text.replace(&format!("{{{{{name}}}}}"), &to.port().to_string())
    })
}

/// Workload and process id of every proxy that the control plane knows.
pub fn proxies(program: &Path, data: &Path) -> anyhow::Result<Vec<(String, u32)>> {
    let mut command = Command::new(program);
    let output = command.arg("--data-dir").arg(data).args(["get", "proxies", "-o", "json"]).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let list: Value = serde_json::from_slice(&output.stdout).context("get proxies")?;
    let items = list["items"].as_array().context("get proxies: no items")?;
    let one = |item: &Value| {
        let pid = item["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        Some((item["workload"].as_str()?.to_owned(), pid.filter(|pid| *pid != 0)?))
    };
    Ok(items.iter().filter_map(one).collect())
}

fn upstreams(file: &Value) -> anyhow::Result<Vec<(String, SocketAddr)>> {
    let all = file["upstreams"].as_array().context("addresses.json: no upstreams")?;
    let one = |one: &Value| {
        let address = one["address"].as_str().unwrap_or_default();
        let address = address.parse().with_context(|| format!("`{address}` is no address"))?;
        Ok((one["service"].as_str().unwrap_or_default().to_owned(), address))
    };
    all.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mesh_is_whole() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let text = mesh(at(1), &Origin { http: at(2), opaque: at(2), grpc: at(3), h2: at(5), tcp: at(4) });
        assert!(!text.contains("{{"), "{text}");
    }

    #[test]
    fn addresses() {
        let file = serde_json::json!({"upstreams": [{"service": "http", "address": "127.0.0.1:7"}]});
        let all = upstreams(&file).unwrap();
        assert_eq!((all[0].0.as_str(), all[0].1.port(), all.len()), ("http", 7, 1));
        assert!(upstreams(&serde_json::json!({})).is_err());
    }
}
