//! `cargo xtask bench`: Byrnie and its peers at the same work, side by side.
//!
//! So far it builds what is measured and says on what machine and against whom; the rounds come next.

use std::process::Command;

use crate::shell::{cargo, run};

/// Peers, and the arguments that make each print its version.
const PEERS: [(&str, &[&str]); 3] = [("nginx", &["-v"]), ("haproxy", &["-v"]), ("envoy", &["--version"])];

/// Builds the program as it is shipped and names the machine and the peers.
pub fn run_all() -> anyhow::Result<()> {
    run(cargo().args(["build", "--release", "--locked", "--package", "byrnie"]))?;
    println!("machine: {}", machine());
    for (name, args) in PEERS {
        println!("{name}: {}", version(name, args).unwrap_or_else(|| "not installed".to_owned()));
    }
    Ok(())
}

/// Processor, cores and kernel.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

/// The first line of what a peer says about itself, on stdout or stderr.
fn version(name: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(name).args(args).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text)
        .lines()
        .find(|line| !line.trim().is_empty())
        .map(|line| line.trim().to_owned())
}
