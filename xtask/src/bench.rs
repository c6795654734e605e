//! `cargo xtask bench`: Byrnie and its peers at the same work, side by side on this machine.
//!
//! All peers run at once; the rounds go over them in turn, so that what disturbs the machine disturbs all alike, and
//! what is shown are medians. Only the CPU time of the proxies' own processes counts. How to read the numbers stands
//! in docs/benchmarks.md, which `--write` renews.

mod apply;
mod budget;
pub mod capture;
mod certificates;
mod demo;
mod dialects;
mod flame;
mod kernel;
pub mod load;
mod machine;
mod memory;
pub mod origin;
mod page;
mod peers;
pub mod process;
mod report;
mod rounds;
mod routes;
mod spread;
mod syscalls;
mod table;
mod tunnels;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::shell::{self, target_dir};
use page::Section;

/// What `cargo xtask bench` takes.
#[derive(Args, Clone)]
pub struct Options {
    /// Rounds over all rows; medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of load for each row in each round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only rows whose name contains one of these: `byrnie`, `hop/`, `pair/envoy`, `grpc/`, `tcp/`
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    only: Vec<String>,
    /// Worker threads of each proxy; one whole run for each number
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_name = "LIST")]
    workers: Vec<usize>,
    /// Cargo profile of the measured `byrnie`
    #[arg(long, default_value = "release")]
    profile: String,
    /// Measure this program instead of building one
    #[arg(long, value_name = "FILE")]
    byrnie: Option<PathBuf>,
    /// What to measure; without one of these, the rows of all peers
    #[command(flatten)]
    mode: Mode,
    /// Put the result into docs/benchmarks.md
    #[arg(long)]
    write: bool,
}

/// What else can be measured, one at a time.
#[derive(Args, Clone)]
#[group(multiple = false)]
struct Mode {
    /// Instead: how long a change takes to 1,000 simulated proxies (`apply --wait`)
    #[arg(long)]
    apply: bool,
    /// Instead: start, memory and answers of `byrnie demo`
    #[arg(long)]
    demo: bool,
    /// Instead: what a proxy occupies that knows 1,000 services, holds 10,000 idle connections, has 10,000 policies
    #[arg(long)]
    memory: bool,
    /// Instead: finding one of many routes, and compiling 10,000
    #[arg(long)]
    routes: bool,
    /// Instead: new connections, redis and bulk through a captured pair (`up --transparent`; needs root)
    #[arg(long)]
    capture: bool,
    /// Instead: single bytes through a tunnel, and a slow reader beside others
    #[arg(long)]
    tunnels: bool,
    /// Instead: how evenly two workers share eight clients with one HTTP/2 connection each
    #[arg(long)]
    spread: bool,
    /// Instead: HTTP/1.1 against HTTP/2 behind a proxy, at 1 to 256 requests at a time
    #[arg(long)]
    dialects: bool,
    /// Instead: system calls for each request (needs strace)
    #[arg(long)]
    syscalls: bool,
    /// Instead: what ways of reading, writing and moving bytes cost by themselves
    #[arg(long)]
    kernel: bool,
    /// Instead: where the time goes on each path, as flame graphs (needs perf and inferno)
    #[arg(long)]
    flame: bool,
}

impl Options {
    /// How long each row is under load in each round.
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Whether a row is to be measured.
    fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| row.contains(part.as_str()))
    }
}

/// Measures, prints, and with `--write` publishes.
pub fn run_all(options: &Options) -> anyhow::Result<()> {
    let scratch = target_dir()?.join("xtask/bench");
    // What an earlier run left there would be found by this one's mesh.
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    let watch = machine::Watch::start();
    let (section, text) = measure(options, &scratch)?;
    let text = format!("{}\n\n{text}", machine::describe(&watch));
    println!("{text}");
    if options.write {
        page::write(section, &text)?;
    }
    if text.contains(report::NOT_MEASURED) {
        bail!("not everything could be measured");
    }
    Ok(())
}

/// The section of the page that is measured, and its text.
fn measure(options: &Options, scratch: &Path) -> anyhow::Result<(Section, String)> {
    let program = || program(options);
    let mode = &options.mode;
    Ok(if mode.apply {
        (Section::Apply, apply::run(options, scratch)?)
    } else if mode.demo {
        (Section::Demo, demo::run(&program()?, scratch)?)
    } else if mode.memory {
        (Section::Memory, memory::run(options, &program()?, scratch)?)
    } else if mode.routes {
        (Section::Routes, routes::run(options, scratch)?)
    } else if mode.capture {
        (Section::Capture, capture::run(options, &program()?, scratch)?)
    } else if mode.tunnels {
        (Section::Tunnels, tunnels::run(options, &program()?, scratch)?)
    } else if mode.spread {
        (Section::Spread, spread::run(options, &program()?, scratch)?)
    } else if mode.dialects {
        (Section::Dialects, dialects::run(options, &program()?, scratch)?)
    } else if mode.syscalls {
        (Section::Syscalls, syscalls::run(options, &program()?, scratch)?)
    } else if mode.kernel {
        (Section::Kernel, kernel::run(options)?)
    } else if mode.flame {
        let text = flame::run(&program()?, scratch, options.duration(), options.write)?;
        (Section::Flame, text)
    } else {
        (Section::Proxies, proxies(options, scratch)?)
    })
}

/// The rows of all peers, once for each number of workers.
fn proxies(options: &Options, scratch: &Path) -> anyhow::Result<String> {
    let byrnie = if options.wants(&peers::all_works("byrnie")) { Some(program(options)?) } else { None };
    let origin = origin::Origin::start()?;
    let mut runs = Vec::new();
    let mut missing = Vec::new();
    for &workers in &options.workers {
        let directory = scratch.join(format!("workers-{workers}"));
        std::fs::create_dir_all(&directory)?;
        let place = peers::Place { directory, workers, origin: &origin };
        let field = peers::start(&place, byrnie.as_deref(), options);
        missing.clone_from(&field.missing);
        if field.rows.is_empty() {
            bail!("no row to measure; missing: [{}]", missing.join("; "));
        }
        runs.push((workers, rounds::run(options, workers, &field)?));
    }
    Ok(report::text(options, &runs, &missing))
}

/// The program that is measured, as it is shipped.
fn program(options: &Options) -> anyhow::Result<PathBuf> {
    shell::byrnie(options.byrnie.as_deref(), &options.profile)
}
