//! How many requests may be in flight at once, by what latency allows: the gradient method (Netflix's
//! concurrency-limits, Envoy's adaptive concurrency).
//!
//! Every [`WINDOW`] the mean time to the first byte is compared with that of a quiet proxy (the smallest mean of the
//! last [`QUIET`]). As long as it stays within [`TOLERANCE`] of it the limit grows by its square root; beyond that it
//! shrinks by their ratio, at most by half. A limit that is not used does not grow.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Time;
use crate::time::micros;

/// How often the limit is set anew.
pub const WINDOW: Duration = Duration::from_millis(100);
/// A window with fewer answers says nothing.
const SAMPLES: u64 = 10;
/// How long the smallest latency counts as that of a quiet proxy.
pub const QUIET: Duration = Duration::from_secs(60);
/// How much slower than a quiet proxy is no sign of overload. Netflix's 1.5 is for percentiles; means vary less than
/// those, and a proxy's more than an application's.
pub const TOLERANCE: f64 = 2.0;
/// The smallest limit: fewer requests than that say nothing about load.
pub const LEAST: u32 = 10;
/// The first limit.
pub const FIRST: u32 = 100;
/// The largest limit; `maxRequests` holds beside it.
pub const MOST: u32 = 100_000;

/// The limit of one proxy, shared by all workers. No lock: of two that end a window at once one does it.
#[derive(Debug)]
pub struct Concurrency {
    limit: AtomicU32,
    /// Microseconds.
    window_began: AtomicU64,
    count: AtomicU64,
    sum: AtomicU64,
    most_in_flight: AtomicU32,
    /// Microseconds; 0: not known yet.
    quiet: AtomicU64,
    quiet_since: AtomicU64,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self {
            limit: AtomicU32::new(FIRST),
            window_began: AtomicU64::new(0),
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            most_in_flight: AtomicU32::new(0),
            quiet: AtomicU64::new(0),
            quiet_since: AtomicU64::new(0),
        }
    }
}

impl Concurrency {
    /// Requests that may be in flight.
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// A request was answered: how long its first byte took, and how many were in flight then.
    pub fn answered(&self, now: Time, latency: Duration, in_flight: u32) {
        self.sum.fetch_add(micros(latency), Relaxed);
        self.most_in_flight.fetch_max(in_flight, Relaxed);
        let count = self.count.fetch_add(1, Relaxed) + 1;
        let began = self.window_began.load(Relaxed);
        let is_over = now.as_micros().saturating_sub(began) >= micros(WINDOW) && count >= SAMPLES;
        if is_over && self.window_began.compare_exchange(began, now.as_micros(), Relaxed, Relaxed).is_ok() {
            self.end_window(now);
        }
    }

    fn end_window(&self, now: Time) {
        let (count, sum) = (self.count.swap(0, Relaxed).max(1), self.sum.swap(0, Relaxed));
        let used = self.most_in_flight.swap(0, Relaxed);
        let mean = (sum / count).max(1);
        let (quiet, since) = (self.quiet.load(Relaxed), self.quiet_since.load(Relaxed));
        let is_old = now.as_micros().saturating_sub(since) > micros(QUIET);
        // One that is old is forgotten slowly: a proxy under constant load must not take that for quiet.
        let aged = if is_old { quiet.saturating_add(quiet / 4) } else { quiet };
        if quiet == 0 || mean <= aged || is_old {
            self.quiet.store(if quiet == 0 { mean } else { mean.min(aged) }, Relaxed);
            self.quiet_since.store(now.as_micros(), Relaxed);
        }
        let quiet = self.quiet.load(Relaxed).max(1);
        let gradient = (TOLERANCE * quiet as f64 / mean as f64).clamp(0.5, 1.0);
        let limit = f64::from(self.limit.load(Relaxed));
        let is_used = f64::from(used) * 2.0 >= limit;
        let next = match gradient < 1.0 {
            true => limit * gradient + limit.sqrt() * 0.5,
            false if is_used => limit + limit.sqrt(),
            false => limit,
        };
        self.limit.store((next as u32).clamp(LEAST, MOST), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many windows of 100 answers, each after `latency`, with so many in flight.
    fn windows(limit: &Concurrency, from: u64, count: u64, latency: u64, in_flight: u32) -> u64 {
        for window in 0..count {
            for _ in 0..100 {
                let now = Time::from_millis(from + window * 100);
                limit.answered(now, Duration::from_millis(latency), in_flight);
            }
        }
        from + count * 100
    }

    #[test]
    fn it_grows_while_answers_are_quick_and_it_is_used() {
        let limit = Concurrency::default();
        let now = windows(&limit, 1000, 50, 10, 5);
        assert_eq!(limit.limit(), FIRST, "nobody needs more");
        windows(&limit, now, 50, 10, 1000);
        assert!(limit.limit() > 3 * FIRST, "{}", limit.limit());
    }

    #[test]
    fn it_shrinks_when_answers_take_longer_and_comes_back() {
        let limit = Concurrency::default();
        let now = windows(&limit, 1000, 50, 10, 1000);
        let before = limit.limit();
        let now = windows(&limit, now, 20, 100, 1000);
        assert!(limit.limit() < before / 4, "{} of {before}", limit.limit());
        windows(&limit, now, 100, 10, 1000);
        assert!(limit.limit() > before / 2, "{} of {before}", limit.limit());
    }

    #[test]
    fn it_never_closes_and_never_opens_without_end() {
        let limit = Concurrency::default();
        let now = windows(&limit, 1000, 10, 1, 1);
        let now = windows(&limit, now, 500, 1000, 1000);
        assert!(limit.limit() >= LEAST, "{}", limit.limit());
        windows(&limit, now, 3000, 1, u32::MAX);
        assert!(limit.limit() <= MOST);
    }

    #[test]
    fn a_few_answers_say_nothing() {
        let limit = Concurrency::default();
        for i in 0..9 {
            limit.answered(Time::from_millis(i * 1000), Duration::from_secs(9), 1000);
        }
        assert_eq!(limit.limit(), FIRST);
    }
}
