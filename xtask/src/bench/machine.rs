//! On what was measured, when, and with what: the head of every report. No name of a machine, no path of one.

use std::path::Path;
use std::process::Command;

use crate::shell::program;

/// Looks at who uses the machine while something is measured: numbers from a busy machine are worth less.
pub struct Watch {
    busy: u64,
    ours: u64,
    total: u64,
}

impl Watch {
    /// From now on.
    pub fn start() -> Self {
        let (busy, total) = machine_ticks();
        Self { busy, ours: own_ticks(), total }
    }

    /// The share of all CPU time that others than this program and its children took until now, in percent. The
    /// children must have ended.
    pub fn others(&self) -> f64 {
        let (busy, total) = machine_ticks();
        let others = busy.saturating_sub(self.busy).saturating_sub(own_ticks() - self.ours);
        others as f64 * 100.0 / (total - self.total).max(1) as f64
    }
}

/// Ticks of all processors together: at work, and at all.
fn machine_ticks() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // user, nice, system, idle, iowait, irq, softirq, steal; what guests get is in user already.
    let ticks: Vec<u64> = fields.take(8).filter_map(|field| field.parse().ok()).collect();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    let total = ticks.iter().sum();
    (total - idle, total)
}

/// Ticks of this program, of its children that have ended, and of theirs.
fn own_ticks() -> u64 {
    let fields = super::process::stat(std::process::id()).unwrap_or_default();
    fields.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// One paragraph.
pub fn describe(watch: &Watch) -> String {
    let date = said(Command::new("date").args(["-u", "+%Y-%m-%d"]));
    let commit = said(program("git").args(["rev-parse", "--short=12", "HEAD"]));
    let changed =
        !said(program("git").args(["status", "--porcelain", "--", "crates", "Cargo.lock"])).is_empty();
    let changes = if changed { ", with changes that are not committed" } else { "" };
    format!(
        "{}. {date}, commit {commit}{changes}.\nOthers used {:.0} % of the machine's CPU time meanwhile. Command: `{}`",
        machine(),
        watch.others(),
        command()
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_not_of_others() {
        let watch = Watch::start();
        // Work until a tick is counted, however little of the machine is ours.
        let worked = crate::bench::process::within(std::time::Duration::from_secs(60), || {
            let start = std::time::Instant::now();
            while start.elapsed() < std::time::Duration::from_millis(5) {}
            own_ticks() > watch.ours
        });
        assert!(worked);
        assert!((0.0..=100.0).contains(&watch.others()));
    }
}
