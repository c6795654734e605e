//! Time as a parameter.

use std::time::Duration;

/// A moment, in microseconds since some fixed point of the process (never the wall clock: it may jump).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(u64);

impl Time {
    /// The fixed point itself.
    pub const ZERO: Self = Self(0);

    /// A moment so many microseconds after the fixed point.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A moment so many milliseconds after the fixed point.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// A moment so long after the fixed point.
    pub fn after(duration: Duration) -> Self {
        Self(micros(duration))
    }

    /// Microseconds since the fixed point.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the fixed point.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This moment and a while.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

/// Microseconds of a duration, saturating.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
