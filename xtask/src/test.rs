//! `cargo xtask test`: what continuous integration runs, suite by suite, each with its minutes.

mod generated;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::shell::{self, cargo, root, target_dir};
use crate::tools::{self, Tools};
use crate::{gate, tidy};

/// What `cargo xtask test` takes.
#[derive(Args)]
pub struct Options {
    /// Only these suites [default: all]
    #[arg(value_enum)]
    suites: Vec<Suite>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// rustfmt changes nothing
    Format,
    /// The house rules
    Tidy,
    /// Licences, banned crates, sources
    Deny,
    /// clippy has nothing to say
    Clippy,
    /// The product and all tests build
    Build,
    /// What a program writes is committed as it writes it
    Generated,
    /// Tests of each crate
    Unit,
    /// Tests of the shipped binary
    E2e,
    /// What a request costs in instructions and allocations
    Gate,
}

/// What became of one suite.
struct Outcome {
    suite: Suite,
    took: Duration,
    result: anyhow::Result<()>,
}

/// The state of a run.
struct Session {
    tools: Tools,
    skipped: Vec<String>,
}

/// Runs the suites in order, all of them even when one fails, and prints the summary.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let tools = Tools::install()?;
    let skipped = tools.missing.clone();
    let mut session = Session { tools, skipped };
    let suites = if options.suites.is_empty() { Suite::value_variants() } else { &options.suites };
    let mut outcomes = Vec::new();
    for suite in suites {
        eprintln!("\n== {} ==", name(*suite));
        let start = Instant::now();
        let result = session.run(*suite);
        if let Err(error) = &result {
            eprintln!("{}: {error:#}", name(*suite));
        }
        outcomes.push(Outcome { suite: *suite, took: start.elapsed(), result });
    }
    summary(&outcomes, &session.skipped)
}

impl Session {
    fn run(&mut self, suite: Suite) -> anyhow::Result<()> {
        match suite {
            Suite::Format => self.component("rustfmt", &["fmt", "--all", "--check"]),
            Suite::Tidy => tidy::run(),
            Suite::Deny => self.deny(),
            Suite::Clippy => {
                let args = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
                self.component("clippy", &args)
            }
            Suite::Build => run_cargo(&["build", "--workspace", "--all-targets", "--locked"]),
            Suite::Generated => generated::check(&mut self.skipped),
            Suite::Unit => self.tests("not binary(e2e)"),
            Suite::E2e => self.tests("binary(e2e)"),
            Suite::Gate => self.gate(),
        }
    }

    /// A part of the Rust toolchain that not every installation has.
    fn component(&mut self, component: &str, args: &[&str]) -> anyhow::Result<()> {
        let mut version = cargo();
        version
            .args([args[0], "--version"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        if !version.status().is_ok_and(|status| status.success()) {
            self.skipped.push(format!("{component}: not installed (`rustup component add {component}`)"));
            return Ok(());
        }
        run_cargo(args)
    }

    fn gate(&mut self) -> anyhow::Result<()> {
        if !tools::works("valgrind") {
            self.skipped
                .push("instructions and allocations per request: valgrind is not installed".to_owned());
            return Ok(());
        }
        gate::check()
    }

    fn deny(&mut self) -> anyhow::Result<()> {
        if !self.tools.has("cargo-deny") {
            self.skipped.push("licences, bans and sources: cargo-deny is not installed".to_owned());
            return Ok(());
        }
        let mut command = cargo();
        command.args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]);
        shell::run(self.tools.put_in_path(&mut command))
    }

    /// The tests that a nextest filter names, and the tests that skipped themselves.
    fn tests(&mut self, filter: &str) -> anyhow::Result<()> {
        let skips = target_dir()?.join("xtask/skipped.txt");
        std::fs::write(&skips, "").with_context(|| format!("writing {}", skips.display()))?;
        let mut command = cargo();
        if self.tools.has("cargo-nextest") {
            let args =
                ["nextest", "run", "--workspace", "--locked", "--no-tests=pass", "--filterset", filter];
            command.args(args);
        } else {
            let which: &[&str] = if filter.starts_with("not") {
                &["test", "--workspace", "--locked", "--lib", "--bins", "--test", "it"]
            } else {
                &["test", "--locked", "--package", "byrnie", "--test", "e2e", "--", "--test-threads=2"]
            };
            command.args(which);
        }
        let result = shell::run(self.tools.put_in_path(&mut command).env("BYRNIE_SKIPPED_TESTS", &skips));
        let skipped =
            std::fs::read_to_string(&skips).with_context(|| format!("reading {}", skips.display()))?;
        self.skipped.extend(skipped.lines().map(str::to_owned));
        result
    }
}

fn run_cargo(args: &[&str]) -> anyhow::Result<()> {
    shell::run(cargo().args(args))
}

fn name(suite: Suite) -> String {
    suite.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A skip is counted and named; where `CI` is set it fails, because there everything must run.
fn summary(outcomes: &[Outcome], skipped: &[String]) -> anyhow::Result<()> {
    println!("\nsuite       minutes   result");
    for outcome in outcomes {
        let result = if outcome.result.is_ok() { "passed" } else { "FAILED" };
        println!("{:<12}{:>7.1}   {result}", name(outcome.suite), outcome.took.as_secs_f64() / 60.0);
    }
    let total: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    println!("{:<12}{:>7.1}", "all", total.as_secs_f64() / 60.0);
    println!("\nskipped: {}", skipped.len());
    for line in skipped {
        println!("  {line}");
    }
    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    if failed > 0 {
        bail!("{failed} of {} suites failed in {}", outcomes.len(), root().display());
    }
    let strict = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    if strict && !skipped.is_empty() {
        bail!("{} tests or suites were skipped, and CI is set", skipped.len());
    }
    Ok(())
}
