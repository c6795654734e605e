//! What must hold before a mesh can be started here.

use std::path::{Path, PathBuf};

use super::{Check, hint};
use crate::cli::mesh::MeshDir;

/// Descriptors that a demo needs with room to spare: two for each connection, some hundred connections.
const MIN_DESCRIPTORS: u64 = 1_024;

pub fn checks(mesh: &MeshDir) -> Vec<Check> {
    vec![system(), data_dir(&mesh.path), loopback(), descriptors(), program()]
}

fn system() -> Check {
    let about = "the system is Linux on x86_64 or aarch64";
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    if os == "linux" && matches!(arch, "x86_64" | "aarch64") {
        return Check::good(about);
    }
    Check::warning(about, format!("this is {os} on {arch}"), &hint("system", "nobody tests Byrnie there"))
}

/// The directory itself, or the nearest one above that exists: `up` makes the rest.
fn data_dir(path: &Path) -> Check {
    let about = format!("the data directory {} is writable", path.display());
    let hint = &hint("data-directory", "name another with --data-dir or BYRNIE_DATA_DIR");
    let Some(existing) = path.ancestors().find(|path| path.exists()) else {
        return Check::error(about, "it does not exist", hint);
    };
    match probe(existing) {
        Ok(()) => Check::good(about),
        Err(error) => Check::error(about, format!("{}: {error}", existing.display()), hint),
    }
}

fn probe(dir: &Path) -> std::io::Result<()> {
    let path: PathBuf = dir.join(format!(".byrnie-check-{}", std::process::id()));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)
}

fn loopback() -> Check {
    let about = "a port of 127.0.0.1 can be listened on";
    match std::net::TcpListener::bind(("127.0.0.1", 0)) {
        Ok(_) => Check::good(about),
        Err(error) => {
            let hint = hint("loopback", "`ip link set lo up` brings the loopback interface up");
            Check::error(about, error.to_string(), &hint)
        }
    }
}

fn descriptors() -> Check {
    let about = format!("at least {MIN_DESCRIPTORS} open files are allowed");
    let hint = &hint("open-files", "raise it: `ulimit -n 65536`");
    match std::fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(max_open_files) {
        Some(limit) if limit >= MIN_DESCRIPTORS => Check::good(about),
        Some(limit) => Check::warning(about, format!("the limit is {limit}"), hint),
        None => Check::warning(about, "/proc/self/limits cannot be read", hint),
    }
}

/// The soft limit, from the line `Max open files   1024   4096   files`.
fn max_open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// The supervisor starts proxies and control plane from the program's own file.
fn program() -> Check {
    let about = "this program can start itself again";
    match std::env::current_exe() {
        Ok(path) if path.exists() => Check::good(about),
        Ok(path) => {
            let hint = hint("program", "it was replaced: start the new one");
            Check::error(about, format!("{} is gone", path.display()), &hint)
        }
        Err(error) => Check::error(about, error.to_string(), &hint("program", "is /proc mounted?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit() {
        let limits =
            "Limit   Soft Limit   Hard Limit   Units\nMax open files            1024        4096     files\n";
        assert_eq!(max_open_files(limits), Some(1024));
        assert_eq!(max_open_files("Max open files unlimited unlimited files"), Some(u64::MAX));
        assert_eq!(max_open_files(""), None);
    }
}
