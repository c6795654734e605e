//! The load: the same work for every peer, and what came of it.

mod bulk;
mod closed;
mod connect;
mod echo;
pub mod http2;
mod paced;
mod slow;
mod wrk;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinSet;

pub use echo::run as echo;
pub use paced::Connection as Idle;
pub use slow::run as slow;

use super::origin::head_length;

/// Connections of every load but the paced one.
pub const CONNECTIONS: usize = 32;
/// Requests a second of the paced loads.
pub const PACES: [u32; 2] = [1000, 4000];
/// Bytes without the end of a head after which they are no answer.
const LONGEST_HEAD: usize = 16 << 10;

/// What a proxy is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// HTTP/1.1 through one proxy, plaintext.
    Hop,
    /// HTTP/1.1 through the client's and the server's proxy, mutual TLS between them.
    Pair,
    /// HTTP/1.1 through such a pair, each request on a new connection of the client.
    Connect,
    /// HTTP/2 through such a pair, to an origin that speaks HTTP/2.
    Http2,
    /// gRPC unary through such a pair.
    Grpc,
    /// Messages of gRPC on streams that last, through such a pair.
    Stream,
    /// Bytes in bulk through such a pair.
    Tcp,
}

impl Work {
    /// Its short name, the first half of a row's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Pair => "pair",
            Self::Connect => "connect",
            Self::Http2 => "h2",
            Self::Grpc => "grpc",
            Self::Stream => "stream",
            Self::Tcp => "tcp",
        }
    }

    /// Whether it is requests of HTTP/1.1 on connections that are kept.
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
    /// What 90 of 100 answers needed at most.
    pub p90: Duration,
    /// What 99 of 100 answers needed at most.
    pub p99: Duration,
    /// What 999 of 1,000 answers needed at most.
    pub p999: Duration,
    /// What the slowest answer needed.
    pub max: Duration,
}

impl Outcome {
    /// From single times.
    fn of(mut times: Vec<Duration>, failed: u64, took: Duration) -> Self {
        times.sort_unstable();
        let at = |share: f64| percentile(&times, share);
        Self {
            done: times.len() as u64,
            failed,
            took,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
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
    if work.is_http() {
        return requests(to, time, threads, CONNECTIONS);
    }
    timely(time, async {
        match work {
            Work::Hop | Work::Pair => closed::run(to, time, CONNECTIONS).await,
            Work::Connect => connect::run(to, time).await,
            Work::Http2 => http2::run(http2::Kind::Get, to, time).await,
            Work::Grpc => http2::run(http2::Kind::Unary, to, time).await,
            Work::Stream => http2::run(http2::Kind::Message, to, time).await,
            Work::Tcp => bulk::run(to, time).await,
        }
    })
}

/// As many GETs of HTTP/1.1 as go through over so many connections.
pub fn requests(
    to: SocketAddr,
    time: Duration,
    threads: usize,
    connections: usize,
) -> anyhow::Result<Outcome> {
    if wrk::available() {
        return wrk::run(to, time, threads, connections);
    }
    timely(time, closed::run(to, time, connections))
}

/// A load that must be over soon after its time.
fn timely(time: Duration, load: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let patience = time + Duration::from_secs(10);
    on_a_runtime(async { tokio::time::timeout(patience, load).await.context("an answer never came")? })
}

/// So many requests a second, whatever becomes of them.
pub fn pace(to: SocketAddr, time: Duration, pace: u32) -> anyhow::Result<Outcome> {
    paced::run(to, time, pace)
}

/// The name of what makes the load at saturation.
pub fn generator() -> &'static str {
    if wrk::available() { "wrk" } else { "the built-in client" }
}

/// Whether an address does this work at all.
pub fn probe(work: Work, to: SocketAddr) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(2);
    match work {
        Work::Hop | Work::Pair | Work::Connect => paced::once(to, PATIENCE),
        Work::Http2 => probe_http2(http2::Kind::Get, to, PATIENCE),
        Work::Grpc => probe_http2(http2::Kind::Unary, to, PATIENCE),
        Work::Stream => probe_http2(http2::Kind::Message, to, PATIENCE),
        Work::Tcp => on_a_runtime(async { tokio::time::timeout(PATIENCE, bulk::once(to)).await? }),
    }
}

fn probe_http2(kind: http2::Kind, to: SocketAddr, patience: Duration) -> anyhow::Result<()> {
    on_a_runtime(async { tokio::time::timeout(patience, http2::once(kind, to)).await? })
}

/// So many GETs, one after the other over one connection; each answer within `patience`.
pub fn gets_in_turn(to: SocketAddr, requests: u64, patience: Duration) -> anyhow::Result<()> {
    paced::in_turn(to, requests, patience)
}

/// So many gRPC calls, one after the other over one connection.
pub fn calls_in_turn(to: SocketAddr, calls: u64) -> anyhow::Result<()> {
    on_a_runtime(http2::calls_in_turn(to, calls))
}

/// Runs to the end on a runtime of its own, on this thread.
pub fn on_a_runtime<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(future)
}

/// What clients that measure times have measured together, since `start`. What fails here is never the load's fault, so
/// it ends the measurement.
async fn gather(
    mut clients: JoinSet<anyhow::Result<Vec<Duration>>>,
    start: Instant,
) -> anyhow::Result<Outcome> {
    let mut times = Vec::new();
    while let Some(result) = clients.join_next().await {
        times.append(&mut result.context("a client's task")??);
    }
    Ok(Outcome::of(times, 0, start.elapsed()))
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
        assert_eq!(
            (outcome.p90.as_millis(), outcome.p999.as_millis(), outcome.max.as_millis()),
            (90, 100, 100)
        );
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
        let built_in = on_a_runtime(closed::run(origin.http, time, 4)).unwrap();
        assert!(built_in.done > 0 && built_in.failed == 0, "{built_in:?}");
        let works = [
            (Work::Connect, origin.http),
            (Work::Http2, origin.h2),
            (Work::Grpc, origin.grpc),
            (Work::Stream, origin.grpc),
            (Work::Tcp, origin.tcp),
        ];
        for (work, to) in works {
            probe(work, to).unwrap();
            let outcome = saturate(work, to, time, 1).unwrap();
            assert!(outcome.done > 0 && outcome.failed == 0, "{work:?}: {outcome:?}");
        }
        for rate in PACES {
            let paced = pace(origin.http, time, rate).unwrap();
            let share = paced.done as f64 / (f64::from(rate) * time.as_secs_f64());
            assert!(paced.failed == 0 && (0.5..=1.5).contains(&share), "{rate}: {paced:?}");
            assert!(paced.p50 <= paced.p90 && paced.p99 <= paced.p999 && paced.p999 <= paced.max);
        }
        assert!(probe(Work::Hop, origin.tcp).is_err());
        let echoed = echo(origin.tcp, time).unwrap();
        assert!(echoed.done > 0 && echoed.failed == 0, "{echoed:?}");
    }

    #[test]
    fn a_slow_reader_reads_until_it_is_stopped() {
        let origin = Origin::start().unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let read = std::thread::scope(|scope| {
            let reader = scope.spawn(|| slow(origin.http, &stop));
            requests(origin.http, Duration::from_secs(1), 1, 1).unwrap();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            reader.join().unwrap()
        });
        let read = read.unwrap();
        assert!(read > 0 && read < 1 << 20, "{read}");
    }
}
