//! The load: the same work for every peer, and what came of it.

mod bulk;
mod closed;
mod grpc;
mod paced;
mod wrk;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

pub use paced::Connection as Idle;

use super::origin::head_length;

/// Connections of every load but the paced one.
pub const CONNECTIONS: usize = 32;
/// Requests a second of the paced load.
pub const PACE: u32 = 1000;
/// Bytes without the end of a head after which they are no answer.
const LONGEST_HEAD: usize = 16 << 10;

/// What a proxy is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// HTTP/1.1 through one proxy, plaintext.
    Hop,
    /// HTTP/1.1 through the client's and the server's proxy, mutual TLS between them.
    Pair,
    /// gRPC unary through such a pair.
    Grpc,
    /// Bytes in bulk through such a pair.
    Tcp,
}

impl Work {
    /// Its short name, the first half of a row's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Pair => "pair",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }

    /// Whether it is requests of HTTP/1.1.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Hop | Self::Pair)
    }
}

/// What came of one load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests answered as they should, or bytes received.
    pub done: u64,
    /// Requests that were not.
    pub failed: u64,
    /// How long it took.
    pub took: Duration,
    /// Median time to the answer.
    pub p50: Duration,
    /// What 99 of 100 answers needed at most.
    pub p99: Duration,
}

impl Outcome {
    /// From single times.
    fn of(mut times: Vec<Duration>, failed: u64, took: Duration) -> Self {
        times.sort_unstable();
        let at = |share: f64| percentile(&times, share);
        Self { done: times.len() as u64, failed, took, p50: at(0.5), p99: at(0.99) }
    }
}

/// The value that this share of sorted values does not exceed.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    // Never negative, and far below what a float can count.
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// As much as goes through.
pub fn saturate(work: Work, to: SocketAddr, time: Duration, threads: usize) -> anyhow::Result<Outcome> {
    if work.is_http() && wrk::available() {
        return wrk::run(to, time, threads);
    }
    on_a_runtime(async {
        let load = async {
            match work {
                Work::Hop | Work::Pair => closed::run(to, time).await,
                Work::Grpc => grpc::run(to, time).await,
                Work::Tcp => bulk::run(to, time).await,
            }
        };
        let patience = time + Duration::from_secs(10);
        tokio::time::timeout(patience, load).await.context("an answer never came")?
    })
}

/// [`PACE`] requests a second, whatever becomes of them.
pub fn pace(to: SocketAddr, time: Duration) -> anyhow::Result<Outcome> {
    paced::run(to, time)
}

/// The name of what makes the load at saturation.
pub fn generator() -> &'static str {
    if wrk::available() { "wrk" } else { "the built-in client" }
}

/// Whether an address does this work at all.
pub fn probe(work: Work, to: SocketAddr) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(2);
    match work {
        Work::Hop | Work::Pair => paced::once(to, PATIENCE),
        Work::Grpc => on_a_runtime(async { tokio::time::timeout(PATIENCE, grpc::once(to)).await? }),
        Work::Tcp => on_a_runtime(async { tokio::time::timeout(PATIENCE, bulk::once(to)).await? }),
    }
}

/// So many GETs, one after the other over one connection; each answer within `patience`.
pub fn gets_in_turn(to: SocketAddr, requests: u64, patience: Duration) -> anyhow::Result<()> {
    paced::in_turn(to, requests, patience)
}

/// So many gRPC calls, one after the other over one connection.
pub fn calls_in_turn(to: SocketAddr, calls: u64) -> anyhow::Result<()> {
    on_a_runtime(grpc::in_turn(to, calls))
}

fn on_a_runtime<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(future)
}

/// A GET of a small body.
fn get(to: SocketAddr) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: {to}\r\n\r\n").into_bytes()
}

/// The length of the answer that these bytes begin with, once all of it is there. An answer that is not the origin's
/// is an error.
fn answer_length(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = head_length(bytes) else {
        anyhow::ensure!(bytes.len() < LONGEST_HEAD, "{LONGEST_HEAD} bytes and no end of a head");
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head]).context("a head that is not text")?;
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if first.split(' ').nth(1) != Some("200") {
        bail!("answered `{first}`");
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    let whole = head + length.context("an answer without content-length")?;
    Ok((bytes.len() >= whole).then_some(whole))
}

/// Until when, counted from now.
fn deadline(time: Duration) -> Instant {
    Instant::now() + time
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::origin::Origin;

    #[test]
    fn percentiles() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let outcome = Outcome::of(times, 0, Duration::ZERO);
        assert_eq!((outcome.p50.as_millis(), outcome.p99.as_millis(), outcome.done), (50, 99, 100));
        assert_eq!(Outcome::of(Vec::new(), 0, Duration::ZERO).p99, Duration::ZERO);
    }

    #[test]
    fn answers() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
        assert_eq!(answer_length(whole).unwrap(), Some(whole.len()));
        assert_eq!(answer_length(&whole[..whole.len() - 1]).unwrap(), None);
        assert_eq!(answer_length(&whole[..20]).unwrap(), None);
        assert!(answer_length(b"HTTP/1.1 503 no\r\nContent-Length: 2\r\n\r\nab").is_err());
        assert!(answer_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn every_load_reaches_the_origin() {
        let origin = Origin::start().unwrap();
        let time = Duration::from_millis(200);
        for (work, to) in [(Work::Hop, origin.http), (Work::Grpc, origin.grpc), (Work::Tcp, origin.tcp)] {
            probe(work, to).unwrap();
        }
        let closed = on_a_runtime(closed::run(origin.http, time)).unwrap();
        let grpc = saturate(Work::Grpc, origin.grpc, time, 1).unwrap();
        let bulk = saturate(Work::Tcp, origin.tcp, time, 1).unwrap();
        for outcome in [&closed, &grpc, &bulk] {
            assert!(outcome.done > 100 && outcome.failed == 0, "{outcome:?}");
        }
        let paced = pace(origin.http, time).unwrap();
        assert!(paced.failed == 0 && (100..=300).contains(&paced.done), "{paced:?}");
        assert!(probe(Work::Hop, origin.tcp).is_err());
    }
}
