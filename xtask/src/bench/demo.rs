//! `byrnie demo` as somebody meets it: how soon it lives, what it occupies, how fast the commands answer.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::Advice;
use serde_json::Value;

use super::budget::{self, Budget};
use super::peers::byrnie::proxies;
use super::process::{Memory, Process, memory, tail, tree, within};
use super::table::{number, table};

/// How long the demo may take to carry traffic before we give up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it is left alone under its own load before anybody looks at its memory.
const SETTLING: Duration = Duration::from_secs(30);
/// Times that each command is asked.
const ANSWERS: u32 = 5;
/// What operators type most.
const COMMANDS: [&[&str]; 7] = [
    &["version"],
    &["get", "proxies"],
    &["stat"],
    &["edges"],
    &["routes"],
    &["proxy-status"],
    &["why", "load", "web", "-n", "demo"],
];

/// Runs the demo for a while and measures it.
pub fn run(program: &Path, scratch: &Path) -> anyhow::Result<String> {
    let data = scratch.join("demo");
    let log = scratch.join("demo.log");
    as_installed(program)?;
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(&data).arg("demo");
    let start = Instant::now();
    let process = Process::start(&command, &log)?;
    if !within(PATIENCE, || secured(program, &data).unwrap_or(false)) {
        bail!("no secured traffic after {} s; the log: {}", PATIENCE.as_secs(), tail(&log));
    }
    let alive = start.elapsed();
    std::thread::sleep(SETTLING);
    let proxies = sizes(&proxies(program, &data)?)?;
    let mut whole = 0;
    for pid in tree(process.pid())? {
        // A process that ends just now occupies nothing.
        whole += memory(pid).unwrap_or_default().pss;
    }
    let answers =
        COMMANDS.iter().map(|args| answer(program, &data, args)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(text(alive, &proxies, whole, &answers))
}

/// Brings the program into the state that it has on a machine where it was not built a moment ago: read from the disk
/// as far as it is used. What was just written is in memory as a whole, and then the kernel maps 16 pages around each
/// one that is touched, instead of those of them that it has: 2 to 3 MiB more of RSS in every proxy.
fn as_installed(program: &Path) -> anyhow::Result<()> {
    let file = std::fs::File::open(program).with_context(|| program.display().to_string())?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
}

/// Whether the demo's own load goes through the mesh, secured on every edge that is known.
fn secured(program: &Path, data: &Path) -> anyhow::Result<bool> {
    let output = Command::new(program).arg("--data-dir").arg(data).args(["edges", "-o", "json"]).output()?;
    let list: Value = serde_json::from_slice(&output.stdout)?;
    let items = list["items"].as_array().context("edges: no items")?;
    Ok(!items.is_empty() && items.iter().all(|edge| edge["secured"] == true))
}

fn sizes(proxies: &[(String, u32)]) -> anyhow::Result<Vec<(String, Memory)>> {
    proxies.iter().map(|(name, pid)| Ok((name.clone(), memory(*pid)?))).collect()
}

/// The slowest of a few answers.
fn answer(program: &Path, data: &Path, args: &[&str]) -> anyhow::Result<(String, Duration)> {
    let name = args.join(" ");
    let mut slowest = Duration::ZERO;
    for _ in 0..ANSWERS {
        let start = Instant::now();
        let output = Command::new(program).arg("--data-dir").arg(data).args(args).output()?;
        slowest = slowest.max(start.elapsed());
        if !output.status.success() {
            bail!("byrnie {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    Ok((name, slowest))
}

fn text(alive: Duration, proxies: &[(String, Memory)], whole: u64, answers: &[(String, Duration)]) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let rows = |(name, memory): &(String, Memory)| {
        let sizes = [memory.rss, memory.pss, memory.anonymous].map(|bytes| number(Some(mib(bytes))));
        std::iter::once(name.clone()).chain(sizes).collect()
    };
    let mut text = table(
        &["proxy of", "RSS MiB", "PSS MiB", "anonymous MiB"],
        &proxies.iter().map(rows).collect::<Vec<Vec<String>>>(),
    );
    text.push('\n');
    let rows =
        |(name, time): &(String, Duration)| vec![format!("byrnie {name}"), number(Some(millis(*time)))];
    let head = format!("slowest of {ANSWERS}, ms");
    text += &table(&["answer of", &head], &answers.iter().map(rows).collect::<Vec<_>>());
    text.push('\n');
    let largest = proxies.iter().map(|(_, memory)| mib(memory.rss)).fold(0.0, f64::max);
    let slowest = answers.iter().map(|(_, time)| millis(*time)).fold(0.0, f64::max);
    text += &budget::text(&[
        Budget::at_most("start to secured traffic, s", alive.as_secs_f64(), Some(10.0), 10.0),
        Budget::at_most("largest proxy, RSS MiB", largest, Some(12.0), 12.0),
        Budget::at_most("whole demo, PSS MiB", mib(whole), None, 200.0),
        Budget::at_most("slowest answer of a command, ms", slowest, None, 200.0),
    ]);
    text
}
