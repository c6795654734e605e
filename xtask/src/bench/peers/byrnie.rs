//! Byrnie itself, by `byrnie up`: a Gateway in front of a plain Workload, and a pair of meshed Workloads.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Peer, Place, Row, version, write};
use crate::bench::load::Work;
use crate::bench::origin::Origin;
use crate::bench::process::{Process, free_address, tail, within};

/// The mesh, with `{{…}}` where this run comes in.
const MESH: &str = include_str!("byrnie.yaml");
/// How long the mesh may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the mesh.
pub fn start(place: &Place, program: &Path) -> anyhow::Result<Peer> {
    let version = version(program, "--version")?;
    let data = place.directory.join("byrnie");
    let gateway = free_address()?;
    let file = write(place, "byrnie.yaml", &mesh(gateway, place.origin))?;
    let log = place.directory.join("byrnie.log");
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(&data).args(["up", "-f"]).arg(file);
    command.env("BYRNIE_PROXY_WORKERS", place.workers.to_string());
    let process = Process::start(&command, &log)?;
    let addresses = data.join("proxies/bench/client/addresses.json");
    if !within(PATIENCE, || addresses.exists() && proxies(program, &data).is_ok_and(|all| all.len() == 3)) {
        bail!("the mesh does not come up; its log: {}", tail(&log));
    }
    let pid = |all: &[(String, u32)], name: &str| -> anyhow::Result<u32> {
        let found = all.iter().find(|(workload, _)| workload == name);
        found.map(|(_, pid)| *pid).with_context(|| format!("no proxy of {name}"))
    };
    let all = proxies(program, &data)?;
    let front = vec![pid(&all, "front")?];
    let pair = vec![pid(&all, "client")?, pid(&all, "server")?];
    let text = std::fs::read_to_string(&addresses)?;
    let addresses: Value = serde_json::from_str(&text).context("addresses.json")?;
    let row = |work, to, pids: &Vec<u32>| Row { work, peer: "byrnie", to, pids: pids.clone() };
    let rows = vec![
        row(Work::Hop, gateway, &front),
        row(Work::Pair, upstream(&addresses, "http")?, &pair),
        row(Work::Grpc, upstream(&addresses, "grpc")?, &pair),
        row(Work::Tcp, upstream(&addresses, "tcp")?, &pair),
    ];
    Ok(Peer { version, rows, processes: vec![process], log })
}

fn mesh(gateway: SocketAddr, origin: &Origin) -> String {
    let ports = [("GATEWAY", gateway), ("HTTP", origin.http), ("GRPC", origin.grpc), ("TCP", origin.tcp)];
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

/// The local address of a service.
fn upstream(addresses: &Value, service: &str) -> anyhow::Result<SocketAddr> {
    let all = addresses["upstreams"].as_array().context("addresses.json: no upstreams")?;
    let found = all.iter().find(|one| one["service"] == service).with_context(|| format!("no {service}"))?;
    let address = found["address"].as_str().unwrap_or_default();
    address.parse().with_context(|| format!("`{address}` is no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mesh_is_whole() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let text = mesh(at(1), &Origin { http: at(2), grpc: at(3), tcp: at(4) });
        assert!(!text.contains("{{"), "{text}");
    }

    #[test]
    fn addresses() {
        let file = serde_json::json!({"upstreams": [{"service": "http", "address": "127.0.0.1:7"}]});
        assert_eq!(upstream(&file, "http").unwrap().port(), 7);
        assert!(upstream(&file, "grpc").is_err());
    }
}
