//! What tunnels and slow readers do to a pair: single bytes there and back over one connection, and a client that takes
//! a large body slowly while others work.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::anyhow;

use super::Options;
use super::budget::{self, Budget};
use super::load::{self, Work};
use super::origin::Origin;
use super::peers::{self, Place, Row};
use super::process::memory;
use super::report::{NOT_MEASURED, absent};
use super::rounds::{Measured, Sample, median, median_millis, sample};
use super::table::{number, table};

/// Clients that work beside the slow one.
const OTHERS: usize = 31;
/// The soak lasts for so many rounds' time at least.
const SOAK: Duration = Duration::from_secs(10);
const MIB: f64 = 1_048_576.0;

/// One peer's tunnel.
struct Soak {
    peer: &'static str,
    sample: Sample,
    before: u64,
    after: u64,
}

/// One peer with a slow reader.
struct Slow {
    peer: &'static str,
    without: Vec<Sample>,
    with: Vec<Sample>,
    before: u64,
    /// While the reader is there, after each round's load.
    held: Vec<f64>,
}

/// Measures and returns the report.
pub fn run(options: &Options, program: &Path, scratch: &Path) -> anyhow::Result<String> {
    let origin = Origin::start()?;
    let mut options = options.clone();
    if options.only.is_empty() {
        options.only = ["tcp/", "pair/"].map(str::to_owned).to_vec();
    }
    let place = Place { directory: scratch.to_owned(), workers: 1, origin: &origin };
    let field = peers::start(&place, Some(program), &options);
    let mut notes: Vec<String> = field.missing.iter().map(|line| absent(line)).collect();
    let (mut soaks, mut slows) = (Vec::new(), Vec::new());
    for row in &field.rows {
        eprintln!("{}", row.name());
        let failed = match row.work {
            Work::Tcp => soak(row, SOAK.max(options.duration())).map(|soak| soaks.push(soak)),
            Work::Pair => slow(row, &options).map(|slow| slows.push(slow)),
            _ => Ok(()),
        };
        notes.extend(failed.err().map(|error| format!("{NOT_MEASURED}: {}: {error:#}", row.name())));
    }
    let mut text = format!(
        "One worker in each proxy. The tunnel: one TCP connection through the pair, one byte there and back, for {} s. \
         The slow reader: one client that reads 10 KB/s of a body of 1 GiB by HTTP/1.1, while {OTHERS} others GET 128 \
         bytes each as fast as they can; medians of {} rounds of {} s.\n\n",
        SOAK.max(options.duration()).as_secs(),
        options.rounds,
        options.seconds
    );
    let parts = [soak_table(&soaks), slow_table(&slows), budget::text(&budgets(&soaks, &slows))];
    text += &parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
    text.push('\n');
    for note in notes {
        text += &format!("- {note}\n");
    }
    Ok(text)
}

/// RSS of all proxies of a row.
fn rss(row: &Row) -> anyhow::Result<u64> {
    row.pids.iter().map(|&pid| Ok(memory(pid)?.rss)).sum()
}

fn soak(row: &Row, time: Duration) -> anyhow::Result<Soak> {
    load::echo(row.to, Duration::from_millis(200))?;
    let before = rss(row)?;
    let sample = sample(&row.pids, || load::echo(row.to, time))?;
    Ok(Soak { peer: row.peer, sample, before, after: rss(row)? })
}

fn slow(row: &Row, options: &Options) -> anyhow::Result<Slow> {
    let work = || load::requests(row.to, options.duration(), 1, OTHERS);
    work()?;
    let mut slow =
        Slow { peer: row.peer, without: Vec::new(), with: Vec::new(), before: rss(row)?, held: Vec::new() };
    for _ in 0..options.rounds {
        slow.without.push(sample(&row.pids, work)?);
        let stop = AtomicBool::new(false);
        let (with, held) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| load::slow(row.to, &stop));
            let with = sample(&row.pids, work);
            let held = rss(row);
            stop.store(true, Relaxed);
            let read = reader.join().map_err(|_| anyhow!("the slow reader panicked"))??;
            anyhow::ensure!(read > 0, "the slow reader got nothing");
            anyhow::Ok((with?, held?))
        })?;
        slow.with.push(with);
        slow.held.push(held as f64);
    }
    Ok(slow)
}

impl Soak {
    fn micros(&self) -> f64 {
        self.sample.cpu.as_secs_f64() * 1e6 / self.sample.outcome.done.max(1) as f64
    }
}

impl Slow {
    fn p99(samples: &[Sample]) -> Option<f64> {
        median_millis(samples, |outcome| outcome.p99)
    }

    /// MiB that the pair holds more while the reader is there.
    fn held(&self) -> Option<f64> {
        Some((median(&self.held)? - self.before as f64).max(0.0) / MIB)
    }

    /// How many times as long the others' slowest hundredth takes.
    fn effect(&self) -> Option<f64> {
        Some(Self::p99(&self.with)? / Self::p99(&self.without)?)
    }
}

fn soak_table(soaks: &[Soak]) -> String {
    let heads = [
        "tunnel of single bytes",
        "messages/s",
        "CPU µs/message of both",
        "p50 ms",
        "p99 ms",
        "RSS MiB of both, before",
        "after",
    ];
    let cells = |soak: &Soak| {
        let samples = std::slice::from_ref(&soak.sample);
        let millis = |time: Duration| Some(time.as_secs_f64() * 1e3);
        let values = [
            median(&Measured::rate(samples)),
            Some(soak.micros()),
            millis(soak.sample.outcome.p50),
            millis(soak.sample.outcome.p99),
            Some(soak.before as f64 / MIB),
            Some(soak.after as f64 / MIB),
        ];
        std::iter::once(soak.peer.to_owned()).chain(values.map(number)).collect()
    };
    table(&heads, &soaks.iter().map(cells).collect::<Vec<Vec<String>>>())
}

fn slow_table(slows: &[Slow]) -> String {
    let heads = [
        "beside a slow reader",
        "others' requests/s without",
        "with",
        "p99 ms without",
        "with",
        "CPU µs/request without",
        "with",
        "MiB that both hold for it",
    ];
    let cells = |slow: &Slow| {
        let rate = |samples: &[Sample]| median(&Measured::rate(samples));
        let micros = |samples: &[Sample]| median(&Measured::cpu_micros(samples));
        let values = [
            rate(&slow.without),
            rate(&slow.with),
            Slow::p99(&slow.without),
            Slow::p99(&slow.with),
            micros(&slow.without),
            micros(&slow.with),
            slow.held(),
        ];
        std::iter::once(slow.peer.to_owned()).chain(values.map(number)).collect()
    };
    table(&heads, &slows.iter().map(cells).collect::<Vec<Vec<String>>>())
}

fn budgets(soaks: &[Soak], slows: &[Slow]) -> Vec<Budget> {
    let mut all = Vec::new();
    let mut add = |what: &str, value: Option<f64>, goal| {
        all.extend(value.map(|value| Budget::at_most(what, value, None, goal)));
    };
    let soak = |peer: &str| soaks.iter().find(|soak| soak.peer == peer);
    let micros = |peer| soak(peer).map(Soak::micros);
    add(
        "single bytes, CPU: Byrnie / Envoy",
        micros("byrnie").zip(micros("envoy")).map(|(ours, theirs)| ours / theirs),
        1.0,
    );
    let growth = soak("byrnie").map(|soak| soak.after as f64 / soak.before.max(1) as f64);
    add("memory after the bytes / before", growth, 1.1);
    let slow = slows.iter().find(|slow| slow.peer == "byrnie");
    add("p99 of the others beside a slow reader / without", slow.and_then(Slow::effect), 1.2);
    add("MiB that both hold for a slow reader", slow.and_then(Slow::held), 4.0);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::Outcome;

    fn sampled(millis: u64) -> Sample {
        let p99 = Duration::from_millis(millis);
        let outcome = Outcome { done: 1000, took: Duration::from_secs(1), p99, ..Outcome::default() };
        Sample { outcome, cpu: Duration::from_millis(millis) }
    }

    #[test]
    fn ratios() {
        let soak = |peer, millis| Soak { peer, sample: sampled(millis), before: 1 << 20, after: 3 << 20 };
        let slow = Slow {
            peer: "byrnie",
            without: vec![sampled(2)],
            with: vec![sampled(3)],
            before: 1 << 20,
            held: vec![MIB * 5.0],
        };
        let budgets = budgets(&[soak("envoy", 20), soak("byrnie", 10)], &[slow]);
        let values: Vec<f64> = budgets.iter().map(|budget| budget.value).collect();
        assert_eq!(values, [0.5, 3.0, 1.5, 4.0]);
    }
}
