//! `cargo xtask soak`: every protocol through a mesh whose proxies are replaced, whose configuration changes and whose
//! certificates are renewed every few seconds. Not one request may fail, and memory may not grow.

mod crowd;
mod disturb;
mod mesh;
mod origins;
mod overload;
mod streams;
mod tally;
mod web;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use crate::shell::{byrnie, root, target_dir};
use mesh::Mesh;
use tally::Tally;

/// How much more memory the last minute may have than the second.
const GROWTH: f64 = 1.1;
/// The page that `--write` renews.
const PAGE: &str = "docs/soak.md";

/// What `cargo xtask soak` takes.
#[derive(Args, Clone)]
pub struct Options {
    /// How long; the second minute is compared with the last
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Requests of HTTP/1.1 per second, begun whatever became of those before
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Seconds between two hot restarts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    restart_every: u64,
    /// Cargo profile of the `byrnie` that is built
    #[arg(long, default_value = "release")]
    profile: String,
    /// Use this program instead of building one
    #[arg(long, value_name = "FILE")]
    byrnie: Option<PathBuf>,
    /// Put the result into docs/soak.md, or docs/overload.md
    #[arg(long)]
    write: bool,
    /// Instead: a proxy with little memory and three times more to do than it can, for a minute (needs root)
    #[arg(long)]
    overload: bool,
    /// Of the overload
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// Runs it, prints what happened; an error says what must not have.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let program = byrnie(options.byrnie.as_deref(), &options.profile)?;
    if options.overload {
        return overload::run(&program, options.seconds, options.write);
    }
    let scratch = target_dir()?.join("xtask/soak");
    // What an earlier run left there would be found by this one's mesh.
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch)?;
    let origins = origins::start()?;
    let mesh = Arc::new(Mesh::start(&program, &scratch, &origins)?);
    let tally = Arc::new(Tally::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = web::start(&mesh, options.rate, &tally, &stop);
    threads.extend(streams::start(&mesh, &tally, &stop));
    threads.extend(disturb::start(&mesh, Duration::from_secs(options.restart_every), &tally, &stop));
    let samples = watch(&mesh, Duration::from_secs(options.minutes * 60), &tally);
    stop.store(true, Relaxed);
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a client has panicked"))?;
    }
    let report = report(options, &tally, &samples);
    println!("{report}");
    if options.write {
        std::fs::write(root().join(PAGE), page(&report)).context(PAGE)?;
    }
    let failed = tally.failed();
    if failed > 0 {
        bail!("{failed} requests or streams failed; the mesh's log: {}", mesh.log.display());
    }
    match growth(&samples) {
        Some(growth) if growth > GROWTH => bail!("memory grew by the factor {growth:.2}"),
        _ => Ok(()),
    }
}

/// Memory of all processes of the mesh each second, in bytes.
fn watch(mesh: &Mesh, length: Duration, tally: &Tally) -> Vec<u64> {
    let began = Instant::now();
    let mut samples = Vec::new();
    while began.elapsed() < length {
        std::thread::sleep(Duration::from_secs(1));
        samples.push(mesh.memory());
        if samples.len() % 30 == 0 {
            let mib = samples.last().copied().unwrap_or(0) >> 20;
            eprintln!(
                "{:>4} s  {mib} MiB in {} processes  {}",
                samples.len(),
                mesh.processes(),
                tally.line()
            );
        }
    }
    samples
}

fn mean(samples: &[u64]) -> f64 {
    samples.iter().sum::<u64>() as f64 / samples.len().max(1) as f64
}

/// The last minute against the second; `None`: it was too short to say.
fn growth(samples: &[u64]) -> Option<f64> {
    let second = samples.get(60..120)?;
    let last = samples.get(samples.len() - 60..)?;
    Some(mean(last) / mean(second))
}

fn report(options: &Options, tally: &Tally, samples: &[u64]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "| what | done | failed |\n|---|---:|---:|");
    for (name, done, failed) in tally.rows() {
        let _ = writeln!(text, "| {name} | {done} | {failed} |");
    }
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let memory = match growth(samples) {
        Some(growth) => format!("{growth:.3} of that in the second (at most {GROWTH})"),
        None => "not compared: the run was shorter than two minutes".to_owned(),
    };
    let last = mib(mean(samples.get(samples.len().saturating_sub(60)..).unwrap_or_default()));
    let _ = writeln!(
        text,
        "\n{} minutes, {} requests of HTTP/1.1 per second. Memory of all processes in the last minute: {last:.1} MiB, \
         {memory}.",
        options.minutes, options.rate
    );
    for failure in tally.shown() {
        let _ = writeln!(text, "\n    {failure}");
    }
    text
}

fn page(report: &str) -> String {
    format!(
        "# Soak\n\nWritten by `cargo xtask soak --write`. Every protocol goes through a Gateway and the workloads'\n\
         proxies, while hot restarts, changes of configuration and new certificates (10 s each) never end. No client\n\
         retries what may have been processed. Memory is the proportional set size of the whole mesh.\n\n{report}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_compares_the_second_minute_with_the_last() {
        let mut samples = vec![500; 60];
        samples.extend([100; 60]);
        assert_eq!(growth(&samples[..119]), None);
        samples.extend([110; 60]);
        assert!((growth(&samples).unwrap() - 1.1).abs() < 1e-9);
    }
}
