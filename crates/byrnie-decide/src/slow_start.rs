//! The share of endpoints that are new.

use std::time::Duration;

use crate::Time;
use crate::weight::second_draw;

/// Which endpoints may be picked for one request while some are new. Drawn once for the request, so that a new endpoint
/// gets exactly its part of what it would get otherwise, whatever the balancer does with the others.
#[derive(Clone, Copy, Debug)]
pub struct SlowStartGate {
    window: Duration,
    now: Time,
    /// An endpoint of at least this part of its way is admitted.
    part: f64,
}

impl SlowStartGate {
    /// Draws. `oldest`: since when the oldest endpoint is there; endpoints that are all new share as if none were.
    pub fn draw(window: Duration, oldest: Time, now: Time, random: u64) -> Self {
        // Another draw than the one that picks.
        let chance = (second_draw(random.rotate_left(32)) >> 11) as f64 / (1u64 << 53) as f64;
        Self { window, now, part: chance * part(window, oldest, now) }
    }

    /// Whether an endpoint that is there since then may be picked.
    pub fn admits(&self, since: Time) -> bool {
        part(self.window, since, self.now) > self.part
    }
}

/// 0 at the beginning, 1 when the time is over.
fn part(window: Duration, since: Time, now: Time) -> f64 {
    if window.is_zero() {
        return 1.0;
    }
    (now.since(since).as_secs_f64() / window.as_secs_f64()).min(1.0)
}

#[cfg(test)]
mod tests {
    use byrnie_plan::Balancer;

    use super::*;
    use crate::{EndpointLoad, Outcome, PickContext, Picker};

    const WINDOW: Duration = Duration::from_secs(30);

    /// The share of the last endpoint, which is new, of requests around a moment after its start.
    fn share(balancer: &Balancer, old: usize, age_millis: u64) -> f64 {
        let names: Vec<(u32, String)> = (0..=old).map(|i| (1, i.to_string())).collect();
        let picker = Picker::new(balancer, &names);
        let born = Time::from_millis(1_000_000);
        let loads: Vec<EndpointLoad> = (0..=old).map(|_| EndpointLoad::new(Time::ZERO)).collect();
        let requests = 20_000u64;
        let mut count = 0;
        for request in 0..requests {
            let now = born.plus(Duration::from_millis(age_millis));
            let random = second_draw(request * 3 + age_millis);
            let gate = SlowStartGate::draw(WINDOW, Time::ZERO, now, random);
            let since = |i: usize| if i == old { born } else { Time::ZERO };
            let context = PickContext { now, random, hash: None };
            let picked = picker.pick(context, |i| &loads[i], |i| gate.admits(since(i))).unwrap();
            count += u64::from(picked == old);
            // All answer after the same time.
            loads[picked].start();
            loads[picked].finish(now, Outcome::Success(Duration::from_millis(5)));
        }
        count as f64 / requests as f64
    }

    #[test]
    fn the_share_of_a_new_endpoint_grows_linearly() {
        for balancer in [Balancer::PeakEwma, Balancer::LeastRequest, Balancer::Random, Balancer::RoundRobin] {
            for old in [1, 3, 9] {
                let fair = share(&balancer, old, 60_000);
                for tenth in 1..=10 {
                    let share = share(&balancer, old, tenth * 3_000);
                    let expected = fair * tenth as f64 / 10.0;
                    let off = (share - expected).abs() / fair;
                    assert!(off < 0.10, "{balancer:?}, {old} old, at {tenth}/10: {share} of {fair}");
                }
                assert_eq!(share(&balancer, old, 0), 0.0);
            }
        }
    }

    #[test]
    fn endpoints_that_are_all_new_share_evenly() {
        let born = Time::from_millis(1_000_000);
        let now = born.plus(Duration::from_secs(3));
        let gate = SlowStartGate::draw(WINDOW, born, now, 7);
        assert!(gate.admits(born));
        let later = born.plus(Duration::from_secs(2));
        let admitted =
            (0..10_000).filter(|n| SlowStartGate::draw(WINDOW, born, now, second_draw(*n)).admits(later));
        let admitted = admitted.count();
        assert!((3_100..3_600).contains(&admitted), "a third of the oldest's: {admitted}");
    }
}
