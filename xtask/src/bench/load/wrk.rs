//! wrk as the load of HTTP/1.1 at saturation.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::Outcome;

/// Whether it is installed.
pub fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    // It knows no flag that ends well, so that it starts at all is the answer.
    *AVAILABLE.get_or_init(|| Command::new("wrk").arg("-v").output().is_ok())
}

/// Loads an address for a time.
pub fn run(to: SocketAddr, time: Duration, threads: usize, connections: usize) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let mut command = Command::new("wrk");
    command.arg(format!("-t{}", threads.min(connections))).arg(format!("-c{connections}"));
    command.arg(format!("-d{}s", time.as_secs().max(1))).args(["--latency", &format!("http://{to}/")]);
    let output = command.output().context("starting wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("wrk ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    parse(&text, start.elapsed()).with_context(|| format!("wrk wrote {text}"))
}

fn parse(text: &str, took: Duration) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome { took, ..Outcome::default() };
    for line in text.lines().map(str::trim) {
        if let Some((count, rest)) = line.split_once(" requests in ") {
            outcome.done = count.parse()?;
            let took = rest.split(',').next().unwrap_or_default();
            outcome.took = time(took)?;
        } else if let Some(value) = line.strip_prefix("50%") {
            outcome.p50 = time(value.trim())?;
        } else if let Some(value) = line.strip_prefix("99%") {
            outcome.p99 = time(value.trim())?;
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            outcome.failed += count.parse::<u64>()?;
        } else if let Some(counts) = line.strip_prefix("Socket errors: ") {
            let numbers = counts.split([',', ' ']).filter_map(|part| part.parse::<u64>().ok());
            outcome.failed += numbers.sum::<u64>();
        }
    }
    if outcome.done == 0 {
        bail!("no requests");
    }
    Ok(outcome)
}

/// `532.00us`, `1.23ms`, `5.00s`, `1.00m`.
fn time(text: &str) -> anyhow::Result<Duration> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        unit => bail!("unit `{unit}`"),
    };
    Ok(Duration::try_from_secs_f64(digits.parse::<f64>()? * unit)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_writes() {
        let text = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n  Latency Distribution\n     \
                    50%  532.00us\n     75%  700.00us\n     90%    1.00ms\n     99%    2.50ms\n  31337 requests in \
                    1.10s, 4.00MB read\n  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx \
                    responses: 7\nRequests/sec:  31337.00\n";
        let outcome = parse(text, Duration::ZERO).unwrap();
        assert_eq!((outcome.done, outcome.failed), (31337, 11));
        assert_eq!(outcome.took, Duration::from_millis(1100));
        assert_eq!(outcome.p50, Duration::from_micros(532));
        assert_eq!(outcome.p99, Duration::from_micros(2500));
        assert!(parse("unable to connect", Duration::ZERO).is_err());
    }
}
