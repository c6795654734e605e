//! Whether an application is healthy, from what its health checks answer.

use std::time::Duration;

use byrnie_plan::HealthCheck;

/// Until the first good answer a check is asked at least this often: an application that starts is wanted soon.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// What one check has shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthState {
    /// `None`: nothing yet.
    healthy: Option<bool>,
    /// It was healthy once.
    was_healthy: bool,
    /// Answers in a row that say otherwise.
    against: u32,
}

impl HealthState {
    /// Takes an answer. Gives what holds from now on, where that has changed.
    pub fn answered(&mut self, check: &HealthCheck, good: bool) -> Option<bool> {
        self.was_healthy |= good;
        let needed = match self.healthy {
            // The first answer decides.
            None => 1,
            Some(healthy) if healthy == good => {
                self.against = 0;
                return None;
            }
            Some(true) => check.unhealthy_threshold,
            Some(false) => check.healthy_threshold,
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.healthy = Some(good);
        Some(good)
    }

    /// How long to wait before the next question. `random`: 64 random bits.
    pub fn pause(&self, check: &HealthCheck, random: u64) -> Duration {
        let interval = if self.was_healthy { check.interval } else { check.interval.min(IMPATIENCE) };
        let chance = (random >> 11) as f64 / (1u64 << 53) as f64;
        interval.mul_f64(1.0 + chance * f64::from(check.jitter_percent) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use byrnie_plan::HealthProtocol;

    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            address: ([127, 0, 0, 1], 80).into(),
            protocol: HealthProtocol::Tcp,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            jitter_percent: 10,
        }
    }

    fn changes(answers: &str) -> String {
        let mut state = HealthState::default();
        let took = answers.chars().map(|c| state.answered(&check(), c == '+'));
        took.map(|change| change.map_or('.', |healthy| if healthy { '+' } else { '-' })).collect()
    }

    #[test]
    fn it_changes_after_exactly_the_threshold() {
        for (answers, expected) in [
            ("+---", "+..-"),
            ("+--+---", "+.....-"),
            ("+---+-++", "+..-...+"),
            ("-", "-"),
            ("-++", "-.+"),
            ("+++", "+.."),
            ("------", "-....."),
        ] {
            assert_eq!(changes(answers), expected, "{answers}");
        }
    }

    #[test]
    fn pauses_are_jittered_and_shorter_until_it_was_healthy_once() {
        let mut state = HealthState::default();
        assert_eq!(state.pause(&check(), 0), Duration::from_secs(1));
        state.answered(&check(), true);
        assert_eq!(state.pause(&check(), 0), Duration::from_secs(10));
        let longest = state.pause(&check(), u64::MAX);
        assert!(longest > Duration::from_millis(10_990) && longest <= Duration::from_secs(11), "{longest:?}");
        let exact = HealthCheck { jitter_percent: 0, ..check() };
        assert_eq!(state.pause(&exact, u64::MAX), Duration::from_secs(10));
    }
}
