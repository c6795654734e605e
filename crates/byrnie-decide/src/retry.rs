//! Whether a failed try is worth another one.
//!
//! A request that was provably not processed may always be repeated; one that may have been processed only when its
//! method makes that harmless or the operator said so. The budget holds for all of them: retries must not multiply
//! the load of a service that is going down.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use byrnie_plan::Retry;

use crate::{Deadline, Time};

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Provably not processed: no connection, nothing written, REFUSED_STREAM, a stream beyond GOAWAY's last.
    NotProcessed,
    /// A kept-alive connection that had served before died before any byte of the answer: most likely the origin
    /// closed it while idle.
    ReusedConnectionDied,
    /// The connection died after the request was sent, or within the answer's head.
    ConnectionDied,
    /// The try's own time-out.
    TimedOut,
    /// An answer with this status.
    Status(u16),
    /// An answer with this gRPC status.
    Grpc(u16),
}

/// The request and the try that failed.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The request's method.
    pub method: &'a str,
    /// Retries made before: 0 for the first try.
    pub retries: u32,
    /// Whether the whole body is still at hand (or there is none).
    pub replayable: bool,
    /// Of the request.
    pub deadline: Deadline,
}

/// What to do after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again after this time. The budget is charged.
    Retry {
        /// Zero for the first retry of a request that was not processed.
        backoff: Duration,
    },
    /// Pass the failure on.
    No(NoRetry),
}

/// Why there is no other try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoRetry {
    /// Such a failure is not retried.
    NotRetriable,
    /// It would be, with another method: it may have been processed.
    Method,
    /// All tries are used.
    Attempts,
    /// The body is gone.
    Body,
    /// No time is left for the backoff.
    Deadline,
    /// The budget is used up. Worth a metric: it means that a service fails at large.
    Budget,
}

/// Decides about another try, and charges the budget when there is one. `random`: 64 random bits for the jitter.
pub fn should_retry(
    failure: Failure,
    attempt: &Attempt<'_>,
    settings: &Retry,
    budget: &RetryBudget,
    now: Time,
    random: u64,
) -> RetryDecision {
    if let Err(reason) = is_retriable(failure, attempt.method, settings) {
        return RetryDecision::No(reason);
    }
    if attempt.retries >= settings.attempts {
        return RetryDecision::No(NoRetry::Attempts);
    }
    if !attempt.replayable {
        return RetryDecision::No(NoRetry::Body);
    }
    let at_once =
        matches!(failure, Failure::NotProcessed | Failure::ReusedConnectionDied) && attempt.retries == 0;
    let backoff = if at_once { Duration::ZERO } else { backoff(settings, attempt.retries, random) };
    if attempt.deadline.remaining(now).is_some_and(|left| left <= backoff) {
        return RetryDecision::No(NoRetry::Deadline);
    }
    match budget.withdraw(settings.budget, now) {
        true => RetryDecision::Retry { backoff },
        false => RetryDecision::No(NoRetry::Budget),
    }
}

fn is_retriable(failure: Failure, method: &str, settings: &Retry) -> Result<(), NoRetry> {
    let on = &settings.on;
    let safe = matches!(method, "GET" | "HEAD" | "OPTIONS");
    let idempotent = safe || matches!(method, "PUT" | "DELETE" | "TRACE");
    let (wanted, harmless) = match failure {
        Failure::NotProcessed => (true, true),
        Failure::ReusedConnectionDied => (safe || on.connection_error, safe),
        Failure::ConnectionDied => (on.connection_error, safe),
        Failure::TimedOut => (on.timeout || on.connection_error || on.has_status(504), safe),
        Failure::Status(status) => (on.has_status(status), idempotent),
        // Every gRPC call is a POST: naming a code is the operator's word.
        Failure::Grpc(code) => (on.grpc_codes.contains(&code), true),
    };
    match (wanted, harmless || on.unsafe_methods) {
        (true, true) => Ok(()),
        (true, false) => Err(NoRetry::Method),
        (false, _) => Err(NoRetry::NotRetriable),
    }
}

/// Exponential, between a half and the whole of it by chance, so that callers do not come back together.
fn backoff(settings: &Retry, retries: u32, random: u64) -> Duration {
    let full = settings.backoff.saturating_mul(1 << retries.min(16)).min(settings.backoff_max);
    let share = 0.5 + 0.5 * (random >> 11) as f64 / (1u64 << 53) as f64;
    full.mul_f64(share)
}

/// Length of the window that a budget looks back on, in seconds. Source: Linkerd's and Finagle's.
const WINDOW_SECONDS: u64 = 10;

/// Requests and retries of the last ten seconds towards one service, for the whole process.
///
/// Ten slots of one second, without locks. When a second begins, two workers may reset its slot at the same moment
/// and lose a few counts; the limit itself is checked after counting, so it is never exceeded by more than that.
#[derive(Debug, Default)]
pub struct RetryBudget {
    /// From the first request on: most services that a proxy knows are never called.
    slots: OnceLock<Box<[Slot; WINDOW_SECONDS as usize]>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// The second that the counts belong to, plus one (0: none yet).
    second: AtomicU64,
    requests: AtomicU32,
    retries: AtomicU32,
}

impl RetryBudget {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request (not a retry).
    pub fn deposit(&self, now: Time) {
        if let Some(slot) = self.slot(now) {
            slot.requests.fetch_add(1, Relaxed);
        }
    }

    /// Counts a retry if the budget allows one: `percent` of the requests of the last ten seconds, and
    /// `min_per_second` for each of these seconds.
    #[must_use]
    pub fn withdraw(&self, settings: byrnie_plan::RetryBudget, now: Time) -> bool {
        let Some(slot) = self.slot(now) else { return false };
        slot.retries.fetch_add(1, Relaxed);
        let (requests, retries) = self.counts(now);
        let allowed = requests * u64::from(settings.percent) / 100
            + u64::from(settings.min_per_second) * WINDOW_SECONDS;
        if retries <= allowed {
            return true;
        }
        slot.retries.fetch_sub(1, Relaxed);
        false
    }

    /// Requests and retries of the last ten seconds.
    pub fn counts(&self, now: Time) -> (u64, u64) {
        let second = now.as_secs() + 1;
        let current = |slot: &&Slot| {
            let of = slot.second.load(Relaxed);
            of != 0 && of <= second && second - of < WINDOW_SECONDS
        };
        let slots = self.slots.get().into_iter().flat_map(|slots| slots.iter());
        slots.filter(current).fold((0, 0), |(requests, retries), slot| {
            (
                requests + u64::from(slot.requests.load(Relaxed)),
                retries + u64::from(slot.retries.load(Relaxed)),
            )
        })
    }

    /// The slot of this second, emptied if it held an older one.
    fn slot(&self, now: Time) -> Option<&Slot> {
        let second = now.as_secs() + 1;
        let slot = self.slots.get_or_init(Box::default).get((second % WINDOW_SECONDS) as usize)?;
        let of = slot.second.load(Relaxed);
        if of != second && slot.second.compare_exchange(of, second, Relaxed, Relaxed).is_ok() {
            slot.requests.store(0, Relaxed);
            slot.retries.store(0, Relaxed);
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests;
