//! How evenly a proxy's two workers share a few long connections (eight clients with one HTTP/2 connection each), and
//! many short ones, which the first of them accepts for all. What a worker did is its thread's CPU time, since each
//! request costs the same.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::Options;
use super::budget::{self, Budget};
use super::load::{self, Work, http2};
use super::origin::Origin;
use super::peers::{self, Place, Row};
use super::process::threads;
use super::report::NOT_MEASURED;
use super::rounds::median;
use super::table::{number, table};

const WORKERS: usize = 2;
const CLIENTS: usize = 8;
/// Requests at a time on each connection.
const AT_A_TIME: usize = 4;

/// Measures and returns the report.
pub fn run(options: &Options, program: &Path, scratch: &Path) -> anyhow::Result<String> {
    let origin = Origin::start()?;
    let mut options = options.clone();
    options.only = ["hop/byrnie", "h2/byrnie", "connect/byrnie"].map(str::to_owned).to_vec();
    let place = Place { directory: scratch.to_owned(), workers: WORKERS, origin: &origin };
    let field = peers::start(&place, Some(program), &options);
    let (mut rows, mut missing) = (Vec::new(), field.missing.clone());
    for row in &field.rows {
        eprintln!("{}", row.name());
        let names: &[&str] = match row.work {
            Work::Hop => &["gateway"],
            Work::Connect => &["client's proxy, short connections"],
            _ => &["client's proxy", "server's proxy"],
        };
        match (1..=options.rounds).map(|_| round(&options, row)).collect::<anyhow::Result<Vec<_>>>() {
            Ok(rounds) => rows.extend(names.iter().enumerate().map(|(index, name)| {
                (*name, rounds.iter().filter_map(|shares| shares.get(index).copied()).collect())
            })),
            Err(error) => missing.push(format!("{}: {error:#}", row.name())),
        }
    }
    let mut text = format!(
        "{CLIENTS} clients with one HTTP/2 connection each and {AT_A_TIME} requests at a time, {WORKERS} workers, {} \
         rounds of {} s, each with new connections of the clients. Short connections: 8 clients that connect, ask \
         once and close.\n\n",
        options.rounds, options.seconds
    );
    text += &report(&rows);
    for line in missing {
        text += &format!("\n- {NOT_MEASURED}: {line}\n");
    }
    Ok(text)
}

/// How unevenly the workers of each proxy of a row share a load.
fn round(options: &Options, row: &Row) -> anyhow::Result<Vec<f64>> {
    let all = || row.pids.iter().map(|&pid| workers(pid)).collect::<anyhow::Result<Vec<_>>>();
    let before = all()?;
    match row.work {
        Work::Connect => load::saturate(row.work, row.to, options.duration(), WORKERS)?,
        _ => load::on_a_runtime(http2::run_over(
            http2::Kind::Get,
            row.to,
            options.duration(),
            CLIENTS,
            AT_A_TIME,
        ))?,
    };
    let share =
        |(before, after): (Vec<_>, Vec<_>)| busiest_to_idlest(&before, &after).context("no two workers");
    before.into_iter().zip(all()?).map(share).collect()
}

/// The CPU time of each worker of a proxy.
fn workers(pid: u32) -> anyhow::Result<Vec<Duration>> {
    let all = threads(pid)?;
    Ok(all.into_iter().filter(|(name, _)| name.starts_with("worker-")).map(|(_, time)| time).collect())
}

/// How many times as much the busiest worker did as the idlest.
fn busiest_to_idlest(before: &[Duration], after: &[Duration]) -> Option<f64> {
    let used = || before.iter().zip(after).map(|(before, after)| after.saturating_sub(*before).as_secs_f64());
    if before.len() < 2 || before.len() != after.len() {
        return None;
    }
    Some(used().reduce(f64::max)? / used().reduce(f64::min)?.max(1e-9))
}

fn report(rows: &[(&str, Vec<f64>)]) -> String {
    let cells = |(name, shares): &(&str, Vec<f64>)| {
        let most = shares.iter().copied().reduce(f64::max);
        vec![(*name).to_owned(), number(median(shares)), number(most)]
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let mut text = table(&["busiest worker / idlest, CPU", "median", "worst round"], &cells);
    let budget = |(name, shares): &(&str, Vec<f64>)| {
        Some(Budget::at_most(format!("busiest / idlest worker, {name}"), median(shares)?, None, 1.3))
    };
    text.push('\n');
    text += &budget::text(&rows.iter().filter_map(budget).collect::<Vec<_>>());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let millis = |numbers: [u64; 2]| numbers.map(Duration::from_millis);
        assert_eq!(busiest_to_idlest(&millis([10, 0]), &millis([110, 50])), Some(2.0));
        assert_eq!(busiest_to_idlest(&[Duration::ZERO], &[Duration::ZERO]), None);
        assert!(report(&[("gateway", vec![1.1, 2.0, 1.2])]).contains("≤ 1.30 PASS"));
    }
}
