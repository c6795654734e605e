//! Endpoints that are left out for a while because they fail.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use byrnie_plan::Outlier;

use crate::Time;
use crate::time::micros;

/// What a failure led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    /// Nothing.
    None,
    /// The endpoint is left out until then.
    Until(Time),
    /// It would be, but half of the endpoints are out already.
    Refused,
}

/// Consecutive failures and ejections of one endpoint, shared by all workers.
#[derive(Debug, Default)]
pub struct OutlierState {
    failures: AtomicU32,
    /// How often in a row it was ejected: the exponent of the next ejection's length.
    ejections: AtomicU32,
    /// Microseconds; 0: never ejected.
    ejected_until: AtomicU64,
}

impl OutlierState {
    /// Whether it is left out now.
    pub fn is_ejected(&self, now: Time) -> bool {
        self.ejected_until.load(Relaxed) > now.as_micros()
    }

    /// Until when it is left out; `None`: it is not.
    pub fn ejected_until(&self, now: Time) -> Option<Time> {
        self.is_ejected(now).then(|| Time::from_micros(self.ejected_until.load(Relaxed)))
    }

    /// A request succeeded.
    pub fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// A request failed (5xx, connection error, reset). `all` are all endpoints of the service, this one among
    /// them; it is read only when an ejection is due.
    pub fn failed<'a>(
        &self,
        settings: &Outlier,
        now: Time,
        all: impl Iterator<Item = &'a OutlierState> + Clone,
    ) -> Ejection {
        if settings.consecutive_failures == 0 || self.is_ejected(now) {
            return Ejection::None;
        }
        if self.failures.fetch_add(1, Relaxed) + 1 < settings.consecutive_failures {
            return Ejection::None;
        }
        let before = self.ejected_until.load(Relaxed);
        let until = now.as_micros().saturating_add(self.ejection_micros(settings, now));
        self.ejected_until.store(until, Relaxed);
        // Eject first, count then: two workers that eject two endpoints at once see each other.
        let (count, ejected) =
            all.fold((0usize, 0usize), |(n, out), state| (n + 1, out + usize::from(state.is_ejected(now))));
        if ejected * 2 > count {
            self.ejected_until.store(before, Relaxed);
            return Ejection::Refused;
        }
        self.failures.store(0, Relaxed);
        self.ejections.fetch_add(1, Relaxed);
        Ejection::Until(Time::from_micros(until))
    }

    /// `base` × 2^ejections, capped. Each `base` spent in service takes one ejection back.
    fn ejection_micros(&self, settings: &Outlier, now: Time) -> u64 {
        let base = micros(settings.base_ejection).max(1);
        let in_service = now.as_micros().saturating_sub(self.ejected_until.load(Relaxed));
        let forgiven = u32::try_from(in_service / base).unwrap_or(u32::MAX);
        let ejections = self.ejections.load(Relaxed).saturating_sub(forgiven);
        self.ejections.store(ejections, Relaxed);
        base.saturating_mul(1u64 << ejections.min(32)).min(micros(settings.max_ejection).max(base))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings() -> Outlier {
        Outlier {
            consecutive_failures: 3,
            base_ejection: Duration::from_secs(1),
            max_ejection: Duration::from_secs(4),
        }
    }

    fn endpoints(count: usize) -> Vec<OutlierState> {
        (0..count).map(|_| OutlierState::default()).collect()
    }

    fn eject(all: &[OutlierState], index: usize, now: Time) -> Ejection {
        for _ in 0..2 {
            assert_eq!(all[index].failed(&settings(), now, all.iter()), Ejection::None);
        }
        all[index].failed(&settings(), now, all.iter())
    }

    #[test]
    fn ejects_after_exactly_n_failures_in_a_row() {
        let all = endpoints(2);
        let now = Time::from_millis(10_000);
        assert_eq!(all[0].failed(&settings(), now, all.iter()), Ejection::None);
        assert_eq!(all[0].failed(&settings(), now, all.iter()), Ejection::None);
        all[0].succeeded();
        assert_eq!(eject(&all, 0, now), Ejection::Until(Time::from_millis(11_000)));
        assert!(all[0].is_ejected(Time::from_millis(10_999)));
        assert!(!all[0].is_ejected(Time::from_millis(11_000)));
    }

    #[test]
    fn the_time_doubles_up_to_the_cap_and_is_forgiven() {
        let all = endpoints(2);
        let mut now = Time::from_millis(10_000);
        for seconds in [1, 2, 4, 4] {
            let Ejection::Until(until) = eject(&all, 0, now) else { panic!("not ejected") };
            assert_eq!(until.since(now), Duration::from_secs(seconds));
            now = until;
        }
        now = now.plus(Duration::from_secs(60));
        assert_eq!(eject(&all, 0, now), Ejection::Until(now.plus(Duration::from_secs(1))));
    }

    #[test]
    fn never_more_than_half() {
        let now = Time::from_millis(10_000);
        for count in 1..=7 {
            let all = endpoints(count);
            for index in 0..count {
                eject(&all, index, now);
            }
            assert_eq!(all.iter().filter(|s| s.is_ejected(now)).count(), count / 2, "of {count}");
        }
    }

    #[test]
    fn zero_never_ejects() {
        let all = endpoints(4);
        let settings = Outlier { consecutive_failures: 0, ..settings() };
        for _ in 0..100 {
            assert_eq!(all[0].failed(&settings, Time::ZERO, all.iter()), Ejection::None);
        }
    }
}
