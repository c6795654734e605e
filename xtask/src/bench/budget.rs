//! The budgets: what was measured beside what is wanted.

use super::load::Work;
use super::rounds::{Measured, Run, median, median_millis};
use super::table::{number, table};

/// One line: a number, and what it is held against.
pub struct Budget {
    /// What was measured.
    pub what: String,
    /// How much.
    pub value: f64,
    /// What it is now held against, if this stage has a limit of its own.
    pub now: Option<f64>,
    /// What it is to become.
    pub goal: f64,
    /// Less is better; else more is.
    pub at_most: bool,
}

impl Budget {
    /// One for which less is better.
    pub fn at_most(what: impl Into<String>, value: f64, now: Option<f64>, goal: f64) -> Self {
        Self { what: what.into(), value, now, goal, at_most: true }
    }

    /// `≤ 1.30 PASS`.
    fn verdict(&self, limit: f64) -> String {
        let (sign, held) =
            if self.at_most { ("≤", self.value <= limit) } else { ("≥", self.value >= limit) };
        format!("{sign} {} {}", number(Some(limit)), if held { "PASS" } else { "MISS" })
    }
}

/// All lines as a table.
pub fn text(budgets: &[Budget]) -> String {
    let row = |budget: &Budget| {
        let now = budget.now.map_or_else(|| "–".to_owned(), |limit| budget.verdict(limit));
        // One digit more than the limits have, so that a near miss shows why it is one.
        let value =
            if budget.value < 10.0 { format!("{:.3}", budget.value) } else { number(Some(budget.value)) };
        vec![budget.what.clone(), value, now, budget.verdict(budget.goal)]
    };
    table(&["budget", "measured", "limit now", "goal"], &budgets.iter().map(row).collect::<Vec<_>>())
}

/// The lines that a run has numbers for.
pub fn of(run: &Run) -> Vec<Budget> {
    let cpu = |work, peer: &str| median(&Measured::cpu_micros(&run.row(work, peer)?.saturated));
    let ratio = |work, peer| Some(cpu(work, "byrnie")? / cpu(work, peer)?);
    let mut all = Vec::new();
    let mut add = |what: &str, value: Option<f64>, now, goal| {
        all.extend(value.map(|value| Budget::at_most(what, value, now, goal)));
    };
    add("one hop, CPU: Byrnie / HAProxy", ratio(Work::Hop, "haproxy"), Some(1.3), 1.0);
    add("one hop, CPU: Byrnie / Envoy", ratio(Work::Hop, "envoy"), Some(0.45), 0.35);
    add("mTLS pair, CPU: Byrnie / Envoy", ratio(Work::Pair, "envoy"), Some(0.6), 0.4);
    add("HTTP/2 through the pair, CPU: Byrnie / Envoy", ratio(Work::Http2, "envoy"), None, 0.5);
    add("gRPC through the pair, CPU: Byrnie / Envoy", ratio(Work::Grpc, "envoy"), None, 0.5);
    add("gRPC messages on streams, CPU: Byrnie / Envoy", ratio(Work::Stream, "envoy"), None, 0.5);
    add("new connections, CPU: Byrnie / Envoy", ratio(Work::Connect, "envoy"), None, 0.6);
    let pair = |peer: &str| added(run, peer);
    add("latency the pair adds at 1,000/s, p50, ms", pair("byrnie").map(|[p50, _]| p50), None, 0.2);
    add("latency the pair adds at 1,000/s, p99, ms", pair("byrnie").map(|[_, p99]| p99), None, 0.3);
    if let (Some(ours), Some(theirs)) = (pair("byrnie"), pair("envoy")) {
        add("the same, p50: Byrnie / Envoy", Some(ours[0] / theirs[0]), None, 1.0);
        add("the same, p99: Byrnie / Envoy", Some(ours[1] / theirs[1]), None, 1.0);
    }
    let growth = run.row(Work::Pair, "byrnie").map(|row| row.after.rss as f64 / row.idle.rss.max(1) as f64);
    add("memory of the pair, after the load / before", growth, None, 1.5);
    let bulk = |peer: &str| median(&run.row(Work::Tcp, peer)?.gigabytes_per_cpu_second());
    let bulk = |peer: &str| bulk(peer).filter(|value| *value > 0.0);
    if let (Some(ours), Some(theirs)) = (bulk("byrnie"), bulk("envoy")) {
        let what = "TCP bulk, GB per CPU second: Byrnie / Envoy".to_owned();
        all.push(Budget { what, value: ours / theirs, now: None, goal: 1.2, at_most: false });
        let what = "TCP bulk, GB per CPU second of both".to_owned();
        all.push(Budget { what, value: ours, now: None, goal: 0.7, at_most: false });
    }
    all
}

/// What a pair adds to the origin's own latency at the first of the paces: p50 and p99 in milliseconds.
fn added(run: &Run, peer: &str) -> Option<[f64; 2]> {
    added_to(run, run.row(Work::Pair, peer)?, 0)
}

/// The same of any row and pace.
pub fn added_to(run: &Run, row: &Measured, pace: usize) -> Option<[f64; 2]> {
    let direct = run.row(Work::Hop, "direct")?;
    let p50 = |row: &Measured| median_millis(&row.paced[pace], |outcome| outcome.p50);
    let p99 = |row: &Measured| median_millis(&row.paced[pace], |outcome| outcome.p99);
    Some([p50(row)? - p50(direct)?, p99(row)? - p99(direct)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let budget = Budget::at_most("x", 1.1, Some(1.3), 1.0);
        assert_eq!(
            (budget.verdict(1.3).as_str(), budget.verdict(1.0).as_str()),
            ("≤ 1.30 PASS", "≤ 1.00 MISS")
        );
        let more = Budget { at_most: false, ..budget };
        assert_eq!(more.verdict(1.0), "≥ 1.00 PASS");
        assert!(text(&[more]).contains("| x "));
    }
}
