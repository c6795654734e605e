//! On what was measured, when, and with what: the head of every report. No name of a machine, no path of one.

use std::path::Path;
use std::process::Command;

use crate::shell::program;

/// One paragraph.
pub fn describe() -> String {
    let date = said(Command::new("date").args(["-u", "+%Y-%m-%d"]));
    let commit = said(program("git").args(["rev-parse", "--short=12", "HEAD"]));
    let changed =
        !said(program("git").args(["status", "--porcelain", "--", "crates", "Cargo.lock"])).is_empty();
    let changes = if changed { ", with changes that are not committed" } else { "" };
    format!("{}. {date}, commit {commit}{changes}.\nCommand: `{}`", machine(), command())
}

/// Processor, cores, memory and kernel.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let virtual_machine = cpu.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    let kind = if virtual_machine { " (virtual machine)" } else { "" };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}{kind}, {cores} cores, {:.0} GiB, Linux {}", memory(), kernel.trim())
}

/// Of the machine, in GiB.
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|line| line.split_ascii_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / f64::from(1 << 20)
}

/// The command line, with the name of a measured program and not its path.
fn command() -> String {
    let mut line = "cargo xtask".to_owned();
    for arg in std::env::args().skip(1) {
        line.push(' ');
        let path = Path::new(&arg);
        let shown = if path.exists() { path.file_name().and_then(|name| name.to_str()) } else { None };
        line += shown.unwrap_or(&arg);
    }
    line
}

fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
