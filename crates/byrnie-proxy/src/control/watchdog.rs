//! Which workers are stuck: a task that never gives way stops every connection of its thread.

use std::time::{Duration, Instant};

/// A worker that has not moved for so long is stuck. Longer than any honest poll takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen of each worker last, and when it moved.
#[derive(Default)]
pub struct Watchdog {
    seen: Vec<(u64, Instant)>,
}

impl Watchdog {
    /// The workers that have not moved for [`PATIENCE`].
    pub fn stuck(&mut self, beats: impl Iterator<Item = u64>, now: Instant) -> Vec<usize> {
        let mut stuck = Vec::new();
        for (index, beat) in beats.enumerate() {
            match self.seen.get_mut(index) {
                None => self.seen.push((beat, now)),
                Some(seen) if seen.0 != beat => *seen = (beat, now),
                Some(seen) if now.saturating_duration_since(seen.1) >= PATIENCE => stuck.push(index),
                Some(_) => {}
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_move_is_stuck_until_he_moves() {
        let (mut watchdog, start) = (Watchdog::default(), Instant::now());
        let mut at = |seconds, beats: [u64; 2]| {
            watchdog.stuck(beats.into_iter(), start + Duration::from_secs(seconds))
        };
        assert!(at(0, [1, 1]).is_empty());
        assert!(at(4, [5, 1]).is_empty());
        assert_eq!(at(5, [6, 1]), [1]);
        assert_eq!(at(9, [6, 1]), [1]);
        assert_eq!(at(10, [6, 2]), [0]);
        assert!(at(11, [7, 2]).is_empty());
    }
}
