//! How long a change takes to everybody: a control plane of its own process, and a thousand simulated proxies in
//! another one (`crates/byrnie-control/examples/subscribers.rs`), each with its own certificate and connection.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::budget::{self, Budget};
use super::process::{Memory, Process, cpu, memory, tail, within};
use super::table::{number, table};
use super::{Options, program};
use crate::shell::{cargo, run as build, target_dir};

const SUBSCRIBERS: &str = "1000";
const APPLIES: &str = "100";
const REMOVALS: &str = "20";

/// Measures and returns the report.
pub fn run(options: &Options, scratch: &Path) -> anyhow::Result<String> {
    let byrnie = program(options)?;
    let subscribers = subscribers(options)?;
    let data = scratch.join("control-plane");
    let log = scratch.join("control-plane.log");
    let mut command = Command::new(byrnie);
    let plane = Process::start(command.arg("--data-dir").arg(&data).arg("control-plane"), &log)?;
    if !within(Duration::from_secs(20), || data.join("control-plane.json").exists()) {
        bail!("the control plane does not come up; its log: {}", tail(&log));
    }
    let mut command = Command::new(subscribers);
    command.arg(&data).args([SUBSCRIBERS, APPLIES, REMOVALS]).stderr(Stdio::inherit());
    let output = command.output().context("starting the simulated proxies")?;
    if !output.status.success() {
        bail!("the simulated proxies ended with {}; the control plane's log: {}", output.status, tail(&log));
    }
    let result: Value = serde_json::from_slice(&output.stdout).context("the simulated proxies' report")?;
    text(&result, memory(plane.pid())?, cpu(&[plane.pid()])?)
}

fn subscribers(options: &Options) -> anyhow::Result<PathBuf> {
    let args = ["build", "--locked", "--package", "byrnie-control", "--example", "subscribers", "--profile"];
    build(cargo().args(args).arg(&options.profile))?;
    Ok(target_dir()?.join(&options.profile).join("examples/subscribers"))
}

fn text(result: &Value, memory: Memory, cpu: Duration) -> anyhow::Result<String> {
    let row = |name: &str, key: &str| -> anyhow::Result<([f64; 3], Vec<String>)> {
        let times = percentiles(result, key)?;
        let cells = times.iter().map(|time| number(Some(*time)));
        Ok((times, std::iter::once(name.to_owned()).chain(cells).collect()))
    };
    let (wait, first) = row("`apply --wait` returns", "waitMs")?;
    let (reach, second) = row("a change is at the last proxy", "reachMs")?;
    let (removal, third) = row("a removed endpoint is gone at the last proxy", "removalMs")?;
    let mut text = format!(
        "{SUBSCRIBERS} simulated proxies; {APPLIES} changes of a route that all of them use, {REMOVALS} removals of an \
         endpoint. All of them were connected and had everything {} s after the first began to ask for a certificate. \
         The control plane then occupied {} MiB (RSS), and had used {} s of CPU at the end.\n\n",
        number(result["settledMs"].as_f64().map(|millis| millis / 1e3)),
        number(Some(memory.rss as f64 / f64::from(1 << 20))),
        number(Some(cpu.as_secs_f64())),
    );
    text += &table(&["ms", "p50", "p99", "max"], &[first, second, third]);
    text.push('\n');
    text += &budget::text(&[
        Budget::at_most("`apply --wait`, p99 ms", wait[1], Some(250.0), 250.0),
        Budget::at_most("a change at the last proxy, p99 ms", reach[1], None, 250.0),
        Budget::at_most("removal of an endpoint, p99 ms", removal[1], None, 100.0),
    ]);
    Ok(text)
}

/// p50, p99 and the largest of a list of milliseconds.
fn percentiles(result: &Value, key: &str) -> anyhow::Result<[f64; 3]> {
    let list =
        result[key].as_array().with_context(|| format!("no {key} in the simulated proxies' report"))?;
    let mut times: Vec<f64> = list.iter().filter_map(Value::as_f64).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share * times.len() as f64).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied().with_context(|| format!("{key} is empty"))
    };
    Ok([at(0.5)?, at(0.99)?, at(1.0)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_report() {
        let result = serde_json::json!({"waitMs": (1..=100).collect::<Vec<u32>>(), "none": []});
        assert_eq!(percentiles(&result, "waitMs").unwrap(), [50.0, 99.0, 100.0]);
        assert!(percentiles(&result, "none").is_err() && percentiles(&result, "absent").is_err());
    }
}
