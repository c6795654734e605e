//! Every chore of the project, as one program: `cargo xtask <recipe>`.
//!
//! Continuous integration calls the same recipes, so that "it passes here" means "it passes there". Nothing in the
//! product depends on this crate, and it depends on no crate of the product: what it needs from the product it asks
//! the built binary for.

mod bench;
mod codegen;
mod docs;
mod gate;
mod generate;
mod limits;
mod shell;
mod soak;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of Byrnie")]
struct Cli {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Subcommand)]
enum Recipe {
    /// Everything continuous integration checks: install what the tests need, then run them all
    Test(test::Options),
    /// The house rules: crate arrows, file length, forbidden words, `unsafe` in one crate only
    Tidy,
    /// Write what is made from the Gateway API's CRDs, the kinds and the flag table (needs Go)
    Generate,
    /// Write the Rust of proto/
    Codegen,
    /// Byrnie and its peers at the same work: CPU, latency, memory, against the budgets
    Bench(bench::Options),
    /// What a request costs in instructions and allocations, against the baseline (needs valgrind)
    Gate(gate::Options),
    /// Every protocol for minutes, while proxies, configuration and certificates are replaced: nothing may fail or grow
    Soak(soak::Options),
    /// Feed a fuzz target with mutations of its corpus (see fuzz/README.md)
    Fuzz {
        /// sniff, framing, through, hop, proxy_protocol or wire
        target: String,
        /// How long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// A program that `bench --capture` and `--memory` run
    #[command(hide = true, subcommand)]
    BenchPart(bench::capture::part::Part),
    /// Write docs/cli.md and docs/errors.md only (needs nothing but the product)
    Docs,
}

fn main() -> ExitCode {
    match run(Cli::parse().recipe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(recipe: Recipe) -> anyhow::Result<()> {
    match recipe {
        Recipe::Test(options) => test::run(&options),
        Recipe::Tidy => tidy::run(),
        Recipe::Generate => {
            generate::run()?;
            limits::write(&shell::root())?;
            docs::run()
        }
        Recipe::Bench(options) => bench::run_all(&options),
        Recipe::Gate(options) => gate::run(&options),
        Recipe::Soak(options) => soak::run(&options),
        Recipe::Codegen => codegen::run(),
        Recipe::Fuzz { target, seconds } => fuzz(&target, seconds),
        Recipe::BenchPart(part) => bench::capture::part::run(part),
        Recipe::Docs => docs::run(),
    }
}

/// Targets are tests of the crate that they look into, because what they look at is private.
fn fuzz(target: &str, seconds: u64) -> anyhow::Result<()> {
    let package = if target == "wire" { "byrnie-wire" } else { "byrnie-proxy" };
    let test = format!("fuzz_{target}");
    let mut command = shell::cargo();
    command.args(["test", "--profile", "fuzz", "--package", package, "--lib", &test, "--", "--nocapture"]);
    shell::run(command.env("BYRNIE_FUZZ_SECONDS", seconds.to_string()))
}
