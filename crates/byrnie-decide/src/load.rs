//! What the process knows about the load of one endpoint: latency, requests in flight, recent failures.
//!
//! Plain atomics, shared by all workers. Two workers that finish at the same instant may lose one of two samples of
//! the moving average; counts are never lost.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Time;
use crate::time::micros;

/// Time constant of the moving average of latency. Source: Finagle's and Linkerd's default.
pub const EWMA_DECAY: Duration = Duration::from_secs(10);

/// The latency that is assumed of an endpoint that has not answered yet. Source: Linkerd's default.
pub const DEFAULT_RTT: Duration = Duration::from_millis(30);

/// The assumption of [`DEFAULT_RTT`] fades faster than a measured latency, so that a new endpoint beside fast ones
/// gets its first request within seconds.
const UNPROBED_DECAY: Duration = Duration::from_secs(1);

/// Each time so long in penalty multiplies the cost by e.
const PENALTY_DECAY: Duration = Duration::from_millis(2500);

/// The penalty of a first failure: cost × 2. It doubles with each failure in a row …
const PENALTY_FIRST: Duration = Duration::from_micros(1_732_868);

/// … up to here: cost × 1,000. An endpoint that fails at once is probed about once in this time.
const PENALTY_MAX: Duration = Duration::from_micros(17_269_388);

/// How a request to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered; the time to the first byte of the answer.
    Success(Duration),
    /// Failed: a connection error, a time-out, a 5xx; the time that it took. An endpoint that fails at once must not
    /// look fast.
    Failure(Duration),
    /// Turned away because there is too much to do (429): as bad a place to go to as one that fails, but not broken.
    Overloaded(Duration),
    /// Neither, for example the client went away.
    Unknown,
}

/// The load of one endpoint. One cache line, so that two endpoints do not slow each other.
#[derive(Debug)]
#[repr(align(64))]
pub struct EndpointLoad {
    /// Microseconds, as bits of an f64; negative: no answer yet.
    latency: AtomicU64,
    /// When `latency` was last updated, in microseconds.
    updated: AtomicU64,
    /// End of the penalty, in microseconds.
    penalty_until: AtomicU64,
    /// Until when it asked to be left alone, in microseconds.
    alone_until: AtomicU64,
    in_flight: AtomicU32,
    failures_in_row: AtomicU32,
}

impl EndpointLoad {
    /// An endpoint that appeared now.
    pub fn new(now: Time) -> Self {
        Self {
            latency: AtomicU64::new((-1.0f64).to_bits()),
            updated: AtomicU64::new(now.as_micros()),
            penalty_until: AtomicU64::new(0),
            alone_until: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            failures_in_row: AtomicU32::new(0),
        }
    }

    /// A request goes there. Each call is followed by exactly one [`Self::finish`].
    pub fn start(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// As [`Self::start`], unless `limit` requests are in flight already.
    #[must_use]
    pub fn try_start(&self, limit: u32) -> bool {
        if self.in_flight.fetch_add(1, Relaxed) < limit {
            return true;
        }
        self.in_flight.fetch_sub(1, Relaxed);
        false
    }

    /// A request ended.
    pub fn finish(&self, now: Time, outcome: Outcome) {
        self.in_flight.fetch_sub(1, Relaxed);
        match outcome {
            Outcome::Success(rtt) => self.succeeded(now, rtt),
            Outcome::Failure(rtt) | Outcome::Overloaded(rtt) => self.failed(now, rtt),
            Outcome::Unknown => {}
        }
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// The moving average of latency, as it stands; `None` before the first answer.
    pub fn latency(&self) -> Option<Duration> {
        let stored = f64::from_bits(self.latency.load(Relaxed));
        (stored >= 0.0).then(|| Duration::from_micros(stored as u64))
    }

    /// Peak-EWMA cost: latency × (in flight + 1) × penalty. Lower is better; compares only with other endpoints at
    /// the same moment. An endpoint that is not used gets cheaper with time, so that it is tried again.
    pub fn cost(&self, now: Time) -> f64 {
        let stored = f64::from_bits(self.latency.load(Relaxed));
        let idle = now.as_micros().saturating_sub(self.updated.load(Relaxed));
        let latency = match stored < 0.0 {
            true => micros(DEFAULT_RTT) as f64 * fade(idle, UNPROBED_DECAY),
            false => stored * fade(idle, EWMA_DECAY),
        };
        // Half a microsecond at least: a cost of zero would hide the requests in flight.
        latency.max(0.5) * f64::from(self.in_flight().saturating_add(1)) * self.penalty(now)
    }

    /// Cost for least request: in flight × penalty.
    pub fn request_cost(&self, now: Time) -> f64 {
        f64::from(self.in_flight().saturating_add(1)) * self.penalty(now)
    }

    /// The factor by which recent failures make this endpoint dearer; 1: none.
    pub fn penalty(&self, now: Time) -> f64 {
        match self.penalty_until.load(Relaxed).saturating_sub(now.as_micros()) {
            0 => 1.0,
            left => (left as f64 / micros(PENALTY_DECAY) as f64).exp(),
        }
    }

    /// It asked to be left alone until then (`Retry-After`); the caller caps the time.
    pub fn leave_alone(&self, until: Time) {
        self.alone_until.fetch_max(until.as_micros(), Relaxed);
    }

    /// Whether it asked to be left alone now.
    pub fn wants_rest(&self, now: Time) -> bool {
        self.alone_until.load(Relaxed) > now.as_micros()
    }

    /// Peak: a higher sample counts at once, a lower one by its share of the time constant.
    fn succeeded(&self, now: Time, rtt: Duration) {
        let sample = rtt.as_secs_f64() * 1e6;
        let stored = f64::from_bits(self.latency.load(Relaxed));
        let elapsed = now.as_micros().saturating_sub(self.updated.swap(now.as_micros(), Relaxed));
        let latency = match stored < 0.0 || sample > stored {
            true => sample,
            false => {
                let keep = fade(elapsed, EWMA_DECAY);
                stored * keep + sample * (1.0 - keep)
            }
        };
        self.latency.store(latency.to_bits(), Relaxed);
        if self.failures_in_row.load(Relaxed) != 0 {
            self.failures_in_row.store(0, Relaxed);
        }
        let left = self.penalty_until.load(Relaxed).saturating_sub(now.as_micros());
        if left != 0 {
            self.penalty_until.store(now.as_micros() + left / 2, Relaxed);
        }
    }

    /// The time of a failure says nothing good about latency, but may say something bad.
    fn failed(&self, now: Time, rtt: Duration) {
        let stored = f64::from_bits(self.latency.load(Relaxed));
        let known = if stored < 0.0 { micros(DEFAULT_RTT) as f64 } else { stored };
        self.latency.store(known.max(rtt.as_secs_f64() * 1e6).to_bits(), Relaxed);
        self.updated.store(now.as_micros(), Relaxed);
        let earlier = self.failures_in_row.fetch_add(1, Relaxed).min(8);
        let penalty = PENALTY_FIRST.saturating_mul(1 << earlier).min(PENALTY_MAX);
        self.penalty_until.fetch_max(now.plus(penalty).as_micros(), Relaxed);
    }
}

/// About e^(-elapsed / decay): (1 - x/32)^32, five multiplications instead of a call of `exp` for each look.
fn fade(elapsed_micros: u64, decay: Duration) -> f64 {
    let x = elapsed_micros as f64 / micros(decay) as f64;
    let mut y = (1.0 - x / 32.0).max(0.0);
    for _ in 0..5 {
        y *= y;
    }
    y
}

#[cfg(test)]
mod tests;
