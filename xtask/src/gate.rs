//! What one unit of work costs a proxy, without a clock: instructions and allocations, counted by valgrind's callgrind,
//! against `xtask/gate.json`.
//!
//! Each path runs twice in the debug build, with a little and with more work; the difference is the work's alone. The
//! processor that valgrind shows to a program is the same on every machine, so the counts are, too.

mod callgrind;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::bench::origin::Origin;
use crate::bench::process::{Process, await_ready, free_address};
use crate::shell::{self, root, target_dir};
use callgrind::Cost;
use work::Work;

/// Units of work of the two runs.
const LITTLE: u64 = 50;
const MORE: u64 = 350;

/// How far instructions may grow beyond the baseline: what batching and the allocator's mood make of it.
const INSTRUCTIONS: f64 = 1.10;
/// The same for allocations of one unit of work.
const ALLOCATIONS: f64 = 0.5;

/// What `cargo xtask gate` takes.
#[derive(Args)]
pub struct Options {
    /// Make what is counted now the baseline
    #[arg(long)]
    write: bool,
}

/// Builds the proxy, counts, and compares or writes.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let counted = count()?;
    if options.write {
        let text = serde_json::to_string_pretty(&table(&counted))?;
        return std::fs::write(baseline_path(), text + "\n").context("writing the baseline");
    }
    compare(&counted)
}

/// Counts, and fails when a path has become dearer than the baseline says.
pub fn check() -> anyhow::Result<()> {
    compare(&count()?)
}

fn count() -> anyhow::Result<BTreeMap<&'static str, Cost>> {
    let origin = Origin::start()?;
    let program = shell::built("byrnie")?;
    let scratch = target_dir()?.join("xtask/gate");
    std::fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    let mut counted = BTreeMap::new();
    for work in Work::ALL {
        let little = run_once(&program, &scratch, &origin, work, LITTLE)?;
        let more = run_once(&program, &scratch, &origin, work, MORE)?;
        counted.insert(work.name(), more.each_beyond(&little, MORE - LITTLE));
    }
    Ok(counted)
}

/// All that one proxy does from its start over `units` of work to its end.
fn run_once(program: &Path, scratch: &Path, origin: &Origin, work: Work, units: u64) -> anyhow::Result<Cost> {
    let (listen, out) = (free_address()?, scratch.join(format!("{}-{units}.out", work.name())));
    let log = scratch.join(format!("{}-{units}.log", work.name()));
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind", "--trace-children=no"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args([
            "proxy",
            "--listen",
            &listen.to_string(),
            "--to",
            &work.backend(origin),
            "--access-log",
            "off",
        ])
        // One worker: who serves a connection must not depend on the machine.
        .env("BYRNIE_PROXY_WORKERS", "1");
    let process = Process::start(&command, &log)?;
    await_ready("the proxy under valgrind", &log, || work.run(listen, 1))?;
    work.run(listen, units).with_context(|| format!("{} of {units}", work.name()))?;
    drop(process);
    callgrind::read(&out)
}

fn baseline_path() -> PathBuf {
    root().join("xtask/gate.json")
}

fn table(counted: &BTreeMap<&'static str, Cost>) -> serde_json::Value {
    let row = |cost: &Cost| {
        serde_json::json!({
            "instructions": cost.instructions.round(),
            "allocations": (cost.allocations * 100.0).round() / 100.0,
        })
    };
    counted
        .iter()
        .map(|(name, cost)| ((*name).to_owned(), row(cost)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn compare(counted: &BTreeMap<&'static str, Cost>) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(baseline_path()).context("xtask/gate.json")?;
    let baseline: serde_json::Value = serde_json::from_str(&text).context("xtask/gate.json")?;
    let mut dearer = Vec::new();
    println!("path    instructions  baseline  allocations  baseline");
    for (name, cost) in counted {
        let known = |what: &str| baseline[*name][what].as_f64().with_context(|| format!("{name}: no {what}"));
        let (instructions, allocations) = (known("instructions")?, known("allocations")?);
        println!(
            "{name:<6} {:>13.0} {instructions:>9.0} {:>12.2} {allocations:>9.2}",
            cost.instructions, cost.allocations
        );
        if cost.instructions > instructions * INSTRUCTIONS || cost.allocations > allocations + ALLOCATIONS {
            dearer.push(*name);
        }
    }
    if !dearer.is_empty() {
        bail!(
            "{} cost more than the baseline allows; find out why, or accept it by `cargo xtask gate --write`",
            dearer.join(", ")
        );
    }
    Ok(())
}
