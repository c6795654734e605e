//! Pauses between attempts: exponential, jittered, so that thousands of proxies do not come back together.

use std::time::Duration;

use rand::RngExt;

/// First and largest pause (ztunnel's 10 ms and 15 s), and when to forget.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `first`, doubling up to `max`. A connection that lasted `max` counts as stable.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// The next pause: between a half and the whole of the current step.
    pub fn next_pause(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.max);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// A connection ended that lasted `lasted`: a stable one starts over.
    pub fn ended_after(&mut self, lasted: Duration) {
        if lasted >= self.max {
            self.next = self.first;
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_secs(15))
    }
}
