//! What routes cost: finding one among many, and compiling many (`crates/byrnie-control/examples/routes`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use super::Options;
use super::budget::{self, Budget};
use super::table::{number, table};
use crate::shell::{cargo, run as build, target_dir};

const ROUTES: [&str; 3] = ["1", "100", "10000"];
const SERVICES: &str = "10000";
/// Look-ups that are timed; instructions are counted as the difference of two runs.
const TIMED: &str = "1000000";
const COUNTED: [u64; 2] = [1_000, 11_000];

/// Measures and returns the report.
pub fn run(options: &Options, scratch: &Path) -> anyhow::Result<String> {
    let args = ["build", "--locked", "--package", "byrnie-control", "--example", "routes", "--profile"];
    build(cargo().args(args).arg(&options.profile))?;
    let program = target_dir()?.join(&options.profile).join("examples/routes");
    let mut rows = Vec::new();
    let mut counts = Vec::new();
    for routes in ROUTES {
        let nanos: f64 = output(Command::new(&program).args(["lookup", routes, TIMED]))?.trim().parse()?;
        let instructions = instructions(&program, routes, scratch)?;
        counts.extend(instructions);
        rows.push(vec![routes.to_owned(), number(Some(nanos)), number(instructions)]);
    }
    let compile: Value = serde_json::from_str(&output(Command::new(&program).args(["compile", SERVICES]))?)?;
    let of = |key: &str| compile[key].as_f64().with_context(|| format!("no {key} in the report"));
    let (full, one) = (of("fullMs")?, of("oneMs")?);
    let mut text =
        "One look-up by host and path prefix, each route of a host of its own. Instructions are valgrind's \
                    (callgrind), as the difference of two runs.\n\n"
            .to_owned();
    text += &table(&["routes", "ns", "instructions"], &rows);
    text += &format!(
        "\n{SERVICES} Services with an HTTPRoute each, compiled together and then one route changed.\n\n"
    );
    text += &table(
        &["compiled", "ms", "nodes"],
        &[
            vec!["all".to_owned(), number(Some(full)), number(Some(of("nodes")?))],
            vec!["one change (median of 200)".to_owned(), number(Some(one)), number(Some(of("nodesOfOne")?))],
        ],
    );
    text.push('\n');
    let mut budgets =
        vec![Budget::at_most("one change, share of compiling all", one / full, Some(0.01), 0.01)];
    if let (Some(few), Some(many)) = (counts.first(), counts.last()) {
        budgets.push(Budget::at_most("instructions, 10,000 routes to 1", many / few, Some(1.1), 1.1));
    }
    text += &budget::text(&budgets);
    Ok(text)
}

/// Instructions of one look-up; `None` where there is no valgrind.
fn instructions(program: &PathBuf, routes: &str, scratch: &Path) -> anyhow::Result<Option<f64>> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let mut totals = Vec::new();
    for count in COUNTED {
        let out = scratch.join(format!("callgrind-{routes}-{count}"));
        let mut command = Command::new("valgrind");
        command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
        output(command.arg(program).args(["lookup", routes, &count.to_string()]))?;
        let text = std::fs::read_to_string(&out)?;
        let total =
            text.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind's totals")?;
        totals.push(total.trim().parse::<f64>()?);
    }
    Ok(Some((totals[1] - totals[0]) / (COUNTED[1] - COUNTED[0]) as f64))
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stderr(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    String::from_utf8(output.stdout).context("its output")
}
