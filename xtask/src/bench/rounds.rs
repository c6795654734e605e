//! The rounds: every row in turn, again and again, first at saturation, then at a fixed pace.

use std::time::Duration;

use super::Options;
use super::load::{self, Outcome, PACES, Work};
use super::peers::{Field, Row};
use super::process::{Memory, cpu, memory};

/// Load that nobody looks at, before the first round: connections are opened, caches and pools filled.
const WARM_UP: Duration = Duration::from_secs(1);

/// One row in one round.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What the load saw.
    pub outcome: Outcome,
    /// What the row's processes used for it.
    pub cpu: Duration,
}

/// All that was measured of a row.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What was asked.
    pub work: Work,
    /// Of whom.
    pub peer: &'static str,
    /// At saturation, one for each round.
    pub saturated: Vec<Sample>,
    /// At each fixed pace, one for each round; only HTTP.
    pub paced: [Vec<Sample>; PACES.len()],
    /// Of all proxies of the row together, before the first load.
    pub idle: Memory,
    /// The same, right after the last.
    pub after: Memory,
    /// Rounds that could not be measured, and why.
    pub failures: Vec<String>,
}

/// Everything of one number of workers.
pub struct Run {
    /// Row by row.
    pub rows: Vec<Measured>,
    /// Who took part.
    pub versions: Vec<String>,
}

impl Run {
    /// A row, if it was measured.
    pub fn row(&self, work: Work, peer: &str) -> Option<&Measured> {
        self.rows.iter().find(|row| row.work == work && row.peer == peer && !row.saturated.is_empty())
    }
}

/// Measures every row of a field.
pub fn run(options: &Options, workers: usize, field: &Field) -> anyhow::Result<Run> {
    let mut rows: Vec<Measured> = field.rows.iter().map(measured).collect::<anyhow::Result<_>>()?;
    for row in &field.rows {
        // What goes wrong here goes wrong again in the rounds, and is told there.
        let _ = load::saturate(row.work, row.to, WARM_UP, workers);
    }
    for round in 1..=options.rounds {
        eprintln!("{workers} worker(s): round {round} of {} at saturation", options.rounds);
        for (row, measured) in field.rows.iter().zip(&mut rows) {
            let sample = sample(&row.pids, || load::saturate(row.work, row.to, options.duration(), workers));
            measured.take(sample, |measured| &mut measured.saturated);
        }
    }
    for round in 1..=options.rounds {
        eprintln!("{workers} worker(s): round {round} of {} at fixed paces", options.rounds);
        for (row, measured) in field.rows.iter().zip(&mut rows).filter(|(row, _)| row.work.is_http()) {
            for (index, pace) in PACES.into_iter().enumerate() {
                let sample = sample(&row.pids, || load::pace(row.to, options.duration(), pace));
                measured.take(sample, |measured| &mut measured.paced[index]);
            }
        }
    }
    for (row, measured) in field.rows.iter().zip(&mut rows) {
        measured.after = together(&row.pids)?;
    }
    Ok(Run { rows, versions: field.versions.clone() })
}

fn measured(row: &Row) -> anyhow::Result<Measured> {
    Ok(Measured {
        work: row.work,
        peer: row.peer,
        saturated: Vec::new(),
        paced: Default::default(),
        idle: together(&row.pids)?,
        after: Memory::default(),
        failures: Vec::new(),
    })
}

fn together(pids: &[u32]) -> anyhow::Result<Memory> {
    let mut sum = Memory::default();
    for &pid in pids {
        let one = memory(pid)?;
        sum.rss += one.rss;
        sum.pss += one.pss;
        sum.anonymous += one.anonymous;
    }
    Ok(sum)
}

/// Does something, and looks at what these processes used for it.
pub fn sample(pids: &[u32], load: impl FnOnce() -> anyhow::Result<Outcome>) -> anyhow::Result<Sample> {
    let before = cpu(pids)?;
    let outcome = load()?;
    Ok(Sample { cpu: cpu(pids)?.saturating_sub(before), outcome })
}

impl Measured {
    fn take(&mut self, sample: anyhow::Result<Sample>, place: impl Fn(&mut Self) -> &mut Vec<Sample>) {
        match sample {
            Ok(sample) => place(self).push(sample),
            Err(error) => {
                let failure = format!("{}: {error:#}", self.name());
                eprintln!("{failure}");
                self.failures.push(failure);
            }
        }
    }

    /// `pair/envoy`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.work.name(), self.peer)
    }

    /// Microseconds of CPU for one request, round by round.
    pub fn cpu_micros(samples: &[Sample]) -> Vec<f64> {
        samples
            .iter()
            .map(|sample| sample.cpu.as_secs_f64() * 1e6 / sample.outcome.done.max(1) as f64)
            .collect()
    }

    /// Gigabytes for each second of CPU, round by round.
    pub fn gigabytes_per_cpu_second(&self) -> Vec<f64> {
        let one = |sample: &Sample| sample.outcome.done as f64 / 1e9 / sample.cpu.as_secs_f64().max(1e-9);
        self.saturated.iter().map(one).collect()
    }

    /// Requests or bytes a second, round by round.
    pub fn rate(samples: &[Sample]) -> Vec<f64> {
        let one = |sample: &Sample| sample.outcome.done as f64 / sample.outcome.took.as_secs_f64().max(1e-9);
        samples.iter().map(one).collect()
    }

    /// Requests that failed, in all rounds.
    pub fn failed(&self) -> u64 {
        self.saturated.iter().chain(self.paced.iter().flatten()).map(|sample| sample.outcome.failed).sum()
    }
}

/// The value in the middle; of an even number the mean of both.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied()?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some((sorted[middle - 1] + upper) / 2.0) }
}

/// The median of a time, in milliseconds.
pub fn median_millis(samples: &[Sample], time: impl Fn(&Outcome) -> Duration) -> Option<f64> {
    median(&samples.iter().map(|sample| time(&sample.outcome).as_secs_f64() * 1e3).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn cpu_for_one_request() {
        let outcome = Outcome { done: 1000, took: Duration::from_secs(2), ..Outcome::default() };
        let samples = [Sample { outcome, cpu: Duration::from_millis(20) }];
        assert_eq!(Measured::cpu_micros(&samples), [20.0]);
        assert_eq!(Measured::rate(&samples), [500.0]);
    }
}
