//! How long to wait before something that died is started again.

use std::time::Duration;

/// The first wait: a proxy that was killed is back within a second.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// What lived this long counts as healthy: the next wait is the first again.
const HEALTHY: Duration = Duration::from_secs(10);
/// Waits vary by this share either way, so that things that died together do not return together.
const JITTER: f64 = 0.2;

/// The waits of one child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a child that lived for `alive`. `random` is between 0 and 1.
    pub fn next(&mut self, alive: Duration, random: f64) -> Duration {
        if alive >= HEALTHY {
            self.failures = 0;
        }
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_a_healthy_life() {
        let mut backoff = Backoff::default();
        let mut next = |alive| backoff.next(Duration::from_secs(alive), 0.5).as_millis();
        let waits: Vec<u128> = (0..11).map(|_| next(0)).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(next(10), 100);
        assert_eq!(next(9), 200);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        for (random, want) in [(0.0, 80), (1.0, 120), (7.0, 120)] {
            assert_eq!(Backoff::default().next(Duration::ZERO, random).as_millis(), want);
        }
        let mut long = Backoff { failures: 40 };
        assert_eq!(long.next(Duration::ZERO, 1.0), LONGEST);
    }
}
