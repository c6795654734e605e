//! What is printed and published of the rounds.

use std::collections::BTreeSet;

use super::load::{CONNECTIONS, PACES, Work, generator};
use super::rounds::{Measured, Run, median, median_millis};
use super::table::{number, table};
use super::{Options, budget};

/// Before what was asked of a peer that is there and could not be measured.
pub const NOT_MEASURED: &str = "could not be measured";
const MIB: f64 = 1_048_576.0;

/// All of it.
pub fn text(options: &Options, runs: &[(usize, Run)], missing: &[String]) -> String {
    let versions: BTreeSet<&str> =
        runs.iter().flat_map(|(_, run)| &run.versions).map(String::as_str).collect();
    let mut text = versions.into_iter().map(|version| format!("- {version}\n")).collect::<String>();
    text += &missing.iter().map(|line| format!("- {}\n", absent(line))).collect::<String>();
    text += &format!(
        "\nMedians of {} rounds of {} s for each row; HTTP/1.1 GET over {CONNECTIONS} connections by {}.\n",
        options.rounds,
        options.seconds,
        generator()
    );
    for (workers, run) in runs {
        let plural = if *workers == 1 { "" } else { "s" };
        text += &format!("\n### {workers} worker{plural} in each proxy\n\n");
        let parts = [
            saturated(run),
            paced(run, 0),
            paced(run, 1),
            memory(run),
            bulk(run),
            budget::text(&budget::of(run)),
        ];
        text += &parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
        let failures: BTreeSet<&String> = run.rows.iter().flat_map(|row| &row.failures).collect();
        for failure in failures {
            text += &format!("\n- {NOT_MEASURED}: {failure}\n");
        }
    }
    text
}

/// A line of who is not there, and why: others need not be here; what is measured must be.
pub fn absent(line: &str) -> String {
    let what = if line.contains("byrnie") { NOT_MEASURED } else { "missing" };
    format!("{what}: {line}")
}

/// The rows whose unit is a request, at saturation.
fn saturated(run: &Run) -> String {
    let heads = ["at saturation", "CPU µs/request", "(min–max)", "requests/s", "p50 ms", "p99 ms", "failed"];
    let rows = run.rows.iter().filter(|row| row.work != Work::Tcp && !row.saturated.is_empty());
    let cells = |row: &Measured| {
        let cpu = Measured::cpu_micros(&row.saturated);
        let direct = row.peer == "direct";
        vec![
            row.name(),
            number(median(&cpu).filter(|_| !direct)),
            if direct { "–".to_owned() } else { range(&cpu) },
            number(median(&Measured::rate(&row.saturated))),
            number(median_millis(&row.saturated, |outcome| outcome.p50)),
            number(median_millis(&row.saturated, |outcome| outcome.p99)),
            row.failed().to_string(),
        ]
    };
    table(&heads, &rows.map(cells).collect::<Vec<_>>())
}

/// The same at a fixed pace; only of HTTP/1.1.
fn paced(run: &Run, pace: usize) -> String {
    let title = format!("at {} requests/s, ms", PACES[pace]);
    let heads = [
        &title,
        "CPU µs/request",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max of all rounds",
        "added p50",
        "added p99",
    ];
    let rows = run.rows.iter().filter(|row| !row.paced[pace].is_empty());
    let cells = |row: &Measured| {
        let unless_direct = |value: Option<f64>| number(value.filter(|_| row.peer != "direct"));
        let samples = &row.paced[pace];
        let added = budget::added_to(run, row, pace);
        let max = samples.iter().map(|sample| sample.outcome.max.as_secs_f64() * 1e3).reduce(f64::max);
        vec![
            row.name(),
            unless_direct(median(&Measured::cpu_micros(samples))),
            number(median_millis(samples, |outcome| outcome.p50)),
            number(median_millis(samples, |outcome| outcome.p90)),
            number(median_millis(samples, |outcome| outcome.p99)),
            number(median_millis(samples, |outcome| outcome.p999)),
            number(max),
            unless_direct(added.map(|[p50, _]| p50)),
            unless_direct(added.map(|[_, p99]| p99)),
        ]
    };
    table(&heads, &rows.map(cells).collect::<Vec<_>>())
}

/// What each proxy of a row occupies.
fn memory(run: &Run) -> String {
    let rows = run.rows.iter().filter(|row| row.work.is_http() && row.peer != "direct");
    let cells = |row: &Measured| {
        let proxies = if row.work == Work::Hop { 1.0 } else { 2.0 };
        let mib = |bytes: u64| number(Some(bytes as f64 / MIB / proxies));
        vec![row.name(), mib(row.idle.rss), mib(row.after.rss), mib(row.after.anonymous)]
    };
    let heads = ["MiB of each proxy", "RSS, idle", "RSS after the load", "anonymous after"];
    table(&heads, &rows.map(cells).collect::<Vec<_>>())
}

fn range(values: &[f64]) -> String {
    let least = values.iter().copied().reduce(f64::min);
    let most = values.iter().copied().reduce(f64::max);
    format!("({}–{})", number(least), number(most))
}

/// The rows whose unit is a byte.
fn bulk(run: &Run) -> String {
    let rows: Vec<Vec<String>> = run
        .rows
        .iter()
        .filter(|row| row.work == Work::Tcp && !row.saturated.is_empty())
        .map(|row| {
            let per_cpu = row.gigabytes_per_cpu_second();
            let rate: Vec<f64> = Measured::rate(&row.saturated).iter().map(|bytes| bytes / 1e9).collect();
            vec![row.name(), number(median(&per_cpu)), range(&per_cpu), number(median(&rate))]
        })
        .collect();
    table(&["bulk through a pair", "GB per CPU second of both", "(min–max)", "GB/s"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_absence_is_a_failure() {
        assert!(absent("hop/byrnie: does not come up").starts_with(NOT_MEASURED));
        assert_eq!(absent("nginx: not installed"), "missing: nginx: not installed");
    }
}
