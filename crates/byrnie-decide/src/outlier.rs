//! Endpoints that are left out for a while because they fail, and how they come back.
//!
//! An endpoint that is ejected stays out until its time is over and then until one request, the probe, succeeds there:
//! time alone brings nobody back. A probe that fails doubles the time.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use byrnie_plan::Outlier;

use crate::Time;
use crate::time::micros;

mod compare;

pub use compare::{OutlierClock, compare};

/// Why an endpoint was ejected: the label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EjectionReason {
    /// So many failures in a row.
    ConsecutiveFailures,
    /// It succeeded less often than the others.
    SuccessRate,
    /// It was slower than the others.
    Latency,
    /// It was out, and its probe failed.
    Probe,
}

impl EjectionReason {
    /// As metrics and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::SuccessRate => "success_rate",
            Self::Latency => "latency",
            Self::Probe => "probe",
        }
    }
}

/// What a failure led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    /// Nothing.
    None,
    /// The endpoint is left out until then, and from then on until a probe succeeds.
    Until(Time),
    /// It would be, but half of the endpoints are out already.
    Refused,
}

/// Failures and ejections of one endpoint, shared by all workers.
#[derive(Debug, Default)]
pub struct OutlierState {
    failures: AtomicU32,
    /// How often in a row it was ejected: the exponent of the next ejection's length.
    ejections: AtomicU32,
    /// Microseconds; 0: in service.
    out_until: AtomicU64,
    /// When it came back last, in microseconds.
    back_since: AtomicU64,
    /// Somebody has the one request that shall tell how it is.
    probing: AtomicBool,
    /// Of the interval that runs.
    window: Window,
}

#[derive(Debug, Default)]
struct Window {
    succeeded: AtomicU32,
    failed: AtomicU32,
    latency_micros: AtomicU64,
}

/// What one interval has shown of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    succeeded: u32,
    failed: u32,
    latency_micros: u64,
}

impl OutlierState {
    /// Whether it is left out: its time is not over, or no probe has succeeded since.
    pub fn is_out(&self) -> bool {
        self.out_until.load(Relaxed) != 0
    }

    /// When it may be probed; `None`: it is in service.
    pub fn out_until(&self) -> Option<Time> {
        Some(self.out_until.load(Relaxed)).filter(|until| *until != 0).map(Time::from_micros)
    }

    /// How often in a row it was ejected.
    pub fn ejections(&self) -> u32 {
        self.ejections.load(Relaxed)
    }

    /// Takes the one probe, if the time for it has come and nobody has it. Who has it tells how it went:
    /// [`Self::probe_succeeded`], [`Self::probe_failed`] or [`Self::probe_given_up`].
    #[must_use]
    pub fn take_probe(&self, now: Time) -> bool {
        let until = self.out_until.load(Relaxed);
        until != 0 && until <= now.as_micros() && !self.probing.swap(true, Relaxed)
    }

    /// When somebody is to take the probe; `None`: it is in service, or somebody has it.
    pub fn next_probe(&self) -> Option<Time> {
        self.out_until().filter(|_| !self.probing.load(Relaxed))
    }

    /// Back in service.
    pub fn probe_succeeded(&self, now: Time) {
        self.failures.store(0, Relaxed);
        self.window.take();
        self.back_since.store(now.as_micros(), Relaxed);
        self.out_until.store(0, Relaxed);
        self.probing.store(false, Relaxed);
    }

    /// Out again, for twice as long.
    pub fn probe_failed(&self, settings: &Outlier, now: Time) -> Time {
        let ejections = self.ejections.fetch_add(1, Relaxed);
        let until = now.plus(length(settings, ejections));
        self.out_until.store(until.as_micros().max(1), Relaxed);
        self.probing.store(false, Relaxed);
        until
    }

    /// The probe said nothing: the next request is one.
    pub fn probe_given_up(&self) {
        self.probing.store(false, Relaxed);
    }

    /// A request succeeded, after this time. Says nothing about an endpoint that is out: it may have begun before.
    pub fn succeeded(&self, settings: &Outlier, latency: Duration) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if settings.success_rate.is_some() || settings.latency.is_some() {
            self.window.succeeded.fetch_add(1, Relaxed);
            self.window.latency_micros.fetch_add(micros(latency), Relaxed);
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
        if settings.success_rate.is_some() {
            self.window.failed.fetch_add(1, Relaxed);
        }
        if settings.consecutive_failures == 0 || self.is_out() {
            return Ejection::None;
        }
        if self.failures.fetch_add(1, Relaxed) + 1 < settings.consecutive_failures {
            return Ejection::None;
        }
        self.eject(settings, now, all)
    }

    /// Leaves the endpoint out, unless more than half would then be.
    fn eject<'a>(
        &self,
        settings: &Outlier,
        now: Time,
        all: impl Iterator<Item = &'a OutlierState> + Clone,
    ) -> Ejection {
        let ejections = self.past_ejections(settings, now);
        let until = now.plus(length(settings, ejections));
        // Who ejects it at the same moment, for another failure, has ejected it once.
        if self.out_until.compare_exchange(0, until.as_micros().max(1), Relaxed, Relaxed).is_err() {
            return Ejection::None;
        }
        // Eject first, count then: two workers that eject two endpoints at once see each other.
        let (count, out) =
            all.fold((0usize, 0usize), |(n, out), state| (n + 1, out + usize::from(state.is_out())));
        if out * 2 > count {
            self.out_until.store(0, Relaxed);
            return Ejection::Refused;
        }
        self.failures.store(0, Relaxed);
        self.ejections.store(ejections + 1, Relaxed);
        Ejection::Until(until)
    }

    /// Ejections in a row. Each `base` spent in service takes one back.
    fn past_ejections(&self, settings: &Outlier, now: Time) -> u32 {
        let base = micros(settings.base_ejection).max(1);
        let in_service = now.as_micros().saturating_sub(self.back_since.load(Relaxed));
        let forgiven = u32::try_from(in_service / base).unwrap_or(u32::MAX);
        self.ejections.load(Relaxed).saturating_sub(forgiven)
    }
}

impl Window {
    fn take(&self) -> Seen {
        Seen {
            succeeded: self.succeeded.swap(0, Relaxed),
            failed: self.failed.swap(0, Relaxed),
            latency_micros: self.latency_micros.swap(0, Relaxed),
        }
    }
}

/// `base` × 2^ejections, capped.
fn length(settings: &Outlier, ejections: u32) -> Duration {
    let base = micros(settings.base_ejection).max(1);
    let longest = micros(settings.max_ejection).max(base);
    Duration::from_micros(base.saturating_mul(1u64 << ejections.min(32)).min(longest))
}

#[cfg(test)]
mod tests;
