//! How long a request and each of its tries may take.

use std::time::Duration;

use byrnie_plan::{Timeouts, TrafficSettings};

use crate::Time;

/// The moment at which a request is given up; `None`: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Time>);

impl Deadline {
    /// No limit.
    pub const NEVER: Self = Self(None);

    /// The deadline of a request that arrives now. The route's time-out goes before the service's, an explicit zero
    /// switches it off; `incoming` (what the caller's proxy says is left) only ever shortens.
    pub fn new(now: Time, route: Timeouts, settings: &TrafficSettings, incoming: Option<Duration>) -> Self {
        let shortest = [request_limit(route, settings), incoming].into_iter().flatten().min();
        Self(shortest.map(|limit| now.plus(limit)))
    }

    /// The moment; `None`: never.
    pub fn at(self) -> Option<Time> {
        self.0
    }

    /// What is left; `None`: no limit; zero: over.
    pub fn remaining(self, now: Time) -> Option<Duration> {
        self.0.map(|at| at.since(now))
    }

    /// Whether it is over.
    pub fn is_over(self, now: Time) -> bool {
        self.0.is_some_and(|at| at <= now)
    }
}

/// The time that a whole request may take: the route's, else the service's. `None`: no limit.
pub fn request_limit(route: Timeouts, settings: &TrafficSettings) -> Option<Duration> {
    route.request.or(settings.request_timeout).filter(|limit| !limit.is_zero())
}

/// The time that one try may take, whatever is left of the request's: the route's, else the retry settings'. `None`:
/// no limit.
pub fn try_limit(route: Timeouts, per_try: Option<Duration>) -> Option<Duration> {
    route.backend_request.or(per_try).filter(|limit| !limit.is_zero())
}

/// The time that one try may take: the route's, else the retry settings'; never beyond the deadline. `None`: no limit.
pub fn try_timeout(
    route: Timeouts,
    per_try: Option<Duration>,
    deadline: Deadline,
    now: Time,
) -> Option<Duration> {
    [try_limit(route, per_try), deadline.remaining(now)].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn the_nearest_setting_and_the_shortest_time_win() {
        let now = Time::from_millis(5_000);
        let settings = TrafficSettings { request_timeout: secs(10), ..TrafficSettings::default() };
        for (route, incoming, left) in [
            (None, None, secs(10)),
            (secs(20), None, secs(20)),
            (secs(0), None, None),
            (secs(0), secs(3), secs(3)),
            (secs(2), secs(3), secs(2)),
            (None, secs(30), secs(10)),
        ] {
            let timeouts = Timeouts { request: route, backend_request: None };
            let deadline = Deadline::new(now, timeouts, &settings, incoming);
            assert_eq!(deadline.remaining(now), left, "{route:?} {incoming:?}");
        }
    }

    #[test]
    fn a_try_ends_with_the_request() {
        let now = Time::from_millis(5_000);
        let settings = TrafficSettings { request_timeout: secs(10), ..TrafficSettings::default() };
        let timeouts = Timeouts { request: None, backend_request: secs(4) };
        let deadline = Deadline::new(now, timeouts, &settings, None);
        assert_eq!(try_timeout(timeouts, secs(1), deadline, now), secs(4));
        assert_eq!(try_timeout(Timeouts::default(), secs(1), deadline, now), secs(1));
        let late = now.plus(Duration::from_secs(8));
        assert_eq!(try_timeout(timeouts, None, deadline, late), secs(2));
        assert!(deadline.is_over(now.plus(Duration::from_secs(10))));
        assert_eq!(try_timeout(Timeouts::default(), None, Deadline::NEVER, now), None);
    }
}
