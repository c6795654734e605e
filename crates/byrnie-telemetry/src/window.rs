//! The last five minutes of a mesh, in the control plane's memory: what `stat`, `routes`, `edges` and `top` show.
//!
//! Deltas of many proxies are added up in slots of ten seconds. Bounded: beyond `max_keys` new label sets are counted
//! under one that knows only the direction.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_plan::ObjectName;
use foldhash::{HashMap, HashMapExt};

use crate::{Delta, Direction, Labels, Outcome, RequestTally, TcpTally};

/// The numbers of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSettings {
    /// How far back it goes. Default 300 s.
    pub span: Duration,
    /// Length of one slot. Default 10 s.
    pub slot: Duration,
    /// Label sets of each kind at most. Default 20,000.
    pub max_keys: usize,
}

impl Default for WindowSettings {
    fn default() -> Self {
        Self { span: Duration::from_secs(300), slot: Duration::from_secs(10), max_keys: 20_000 }
    }
}

/// Who, whom, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey {
    /// Who and whom.
    pub labels: Arc<Labels>,
    /// How requests ended.
    pub outcome: Outcome,
}

/// Who, whom, and how it ended.
pub type TcpKey = RequestKey;

/// Requests of some label sets over some time.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestTotals {
    /// All of them.
    pub tally: RequestTally,
    /// Of these, the ones that failed ([`Outcome::is_failure`]).
    pub failures: u64,
    /// Of these, the ones over mTLS.
    pub secured: u64,
    /// The time that was looked at.
    pub over: Duration,
}

impl RequestTotals {
    /// How many requests.
    pub fn count(&self) -> u64 {
        self.tally.count()
    }

    /// Share of requests that did not fail, 0–1; `None` without requests.
    pub fn success(&self) -> Option<f64> {
        let count = self.count();
        (count != 0).then(|| 1.0 - self.failures as f64 / count as f64)
    }

    /// Requests per second.
    pub fn rps(&self) -> f64 {
        rate(self.count(), self.over)
    }

    /// A quantile of latency, for example 0.99; `None` without requests.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        self.tally.latency.quantile(share)
    }

    /// Whether all of them were mTLS; `None` without requests.
    pub fn all_secured(&self) -> Option<bool> {
        let count = self.count();
        (count != 0).then_some(self.secured == count)
    }
}

/// Connections of some label sets over some time.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct TcpTotals {
    /// What happened in that time.
    pub tally: TcpTally,
    /// Open now.
    pub open: u64,
    /// The time that was looked at.
    pub over: Duration,
}

/// Five minutes of a mesh.
#[derive(Debug)]
pub struct Window {
    settings: WindowSettings,
    start: Instant,
    requests: HashMap<RequestKey, VecDeque<(u64, RequestTally)>>,
    tcp: HashMap<TcpKey, TcpHistory>,
    /// Deltas that had no room.
    overflowed: u64,
    /// The slot that was last cleaned up after.
    cleaned: u64,
}

#[derive(Debug, Default)]
struct TcpHistory {
    slots: VecDeque<(u64, TcpTally)>,
    /// Open connections by the proxy that reported them.
    open: BTreeMap<ObjectName, i64>,
}

impl Window {
    /// An empty one; `start` is when counting begins.
    pub fn new(settings: WindowSettings, start: Instant) -> Self {
        Self { settings, start, requests: HashMap::new(), tcp: HashMap::new(), overflowed: 0, cleaned: 0 }
    }

    /// Adds what a proxy (named by its workload or gateway) reported.
    pub fn merge(&mut self, reporter: &ObjectName, delta: Delta, now: Instant) {
        let slot = self.slot(now);
        if slot != self.cleaned {
            self.cleaned = slot;
            self.forget_old(slot);
        }
        for request in delta.requests {
            let mut key = RequestKey { labels: request.labels, outcome: request.outcome };
            if self.requests.len() >= self.settings.max_keys && !self.requests.contains_key(&key) {
                self.overflowed += 1;
                key = overflow(&key);
            }
            let slots = self.requests.entry(key).or_default();
            last(slots, slot).merge(&request.tally);
        }
        for connection in delta.connections {
            let mut key = TcpKey { labels: connection.labels, outcome: connection.outcome };
            if self.tcp.len() >= self.settings.max_keys && !self.tcp.contains_key(&key) {
                self.overflowed += 1;
                key = overflow(&key);
            }
            let history = self.tcp.entry(key).or_default();
            let change = signed(connection.tally.opened) - signed(connection.tally.closed);
            if change != 0 {
                let open = history.open.entry(reporter.clone()).or_default();
                *open += change;
                if *open == 0 {
                    history.open.remove(reporter);
                }
            }
            last(&mut history.slots, slot).merge(&connection.tally);
        }
    }

    /// A proxy is gone, or began anew: its open connections are no more.
    pub fn forget(&mut self, reporter: &ObjectName) {
        self.tcp.values_mut().for_each(|history| {
            history.open.remove(reporter);
        });
    }

    /// Requests of the last `span` (up to five minutes), summed under what `group` makes of their keys; `None` leaves
    /// them out.
    pub fn requests<K: Ord>(
        &self,
        now: Instant,
        span: Duration,
        mut group: impl FnMut(&RequestKey) -> Option<K>,
    ) -> BTreeMap<K, RequestTotals> {
        let (first, over) = self.reach(now, span);
        let mut out = BTreeMap::new();
        for (key, slots) in &self.requests {
            let mut recent = slots.iter().filter(|(slot, _)| *slot >= first).peekable();
            if recent.peek().is_none() {
                continue;
            }
            let Some(group) = group(key) else { continue };
            let totals: &mut RequestTotals = out.entry(group).or_default();
            totals.over = over;
            for (_, tally) in recent {
                let count = tally.count();
                totals.failures += if key.outcome.is_failure() { count } else { 0 };
                totals.secured += if key.labels.secured { count } else { 0 };
                totals.tally.merge(tally);
            }
        }
        out
    }

    /// Connections of the last `span`, and those that are open now, summed as [`Self::requests`] does.
    pub fn connections<K: Ord>(
        &self,
        now: Instant,
        span: Duration,
        mut group: impl FnMut(&TcpKey) -> Option<K>,
    ) -> BTreeMap<K, TcpTotals> {
        let (first, over) = self.reach(now, span);
        let mut out = BTreeMap::new();
        for (key, history) in &self.tcp {
            let mut recent = history.slots.iter().filter(|(slot, _)| *slot >= first).peekable();
            let open: i64 = history.open.values().map(|open| (*open).max(0)).sum();
            if recent.peek().is_none() && open == 0 {
                continue;
            }
            let Some(group) = group(key) else { continue };
            let totals: &mut TcpTotals = out.entry(group).or_default();
            totals.over = over;
            totals.open += open.unsigned_abs();
            recent.for_each(|(_, tally)| totals.tally.merge(tally));
        }
        out
    }

    /// Reported label sets that had no room.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// How many label sets are held.
    pub fn keys(&self) -> usize {
        self.requests.len() + self.tcp.len()
    }

    fn slot(&self, now: Instant) -> u64 {
        let slot = self.settings.slot.as_millis().max(1);
        let since = now.saturating_duration_since(self.start).as_millis();
        u64::try_from(since / slot).unwrap_or(u64::MAX)
    }

    /// The first slot of the last `span`, and the time from its begin until now: slots are whole, so the time is the
    /// one that the counts belong to.
    fn reach(&self, now: Instant, span: Duration) -> (u64, Duration) {
        let span = span.min(self.settings.span);
        let since = now.saturating_duration_since(self.start);
        let begin = since.saturating_sub(span);
        let first =
            u64::try_from(begin.as_millis() / self.settings.slot.as_millis().max(1)).unwrap_or(u64::MAX);
        let first_at = self.settings.slot.saturating_mul(u32::try_from(first).unwrap_or(u32::MAX));
        (first, since.saturating_sub(first_at))
    }

    fn forget_old(&mut self, slot: u64) {
        let kept = self.settings.span.as_millis().div_ceil(self.settings.slot.as_millis().max(1));
        let first = slot.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX));
        self.requests.retain(|_, slots| {
            drop_before(slots, first);
            !slots.is_empty()
        });
        self.tcp.retain(|_, history| {
            drop_before(&mut history.slots, first);
            !history.slots.is_empty() || !history.open.is_empty()
        });
    }
}

/// The tally of this slot, which is the newest.
fn last<T: Default>(slots: &mut VecDeque<(u64, T)>, slot: u64) -> &mut T {
    if slots.back().is_none_or(|(newest, _)| *newest < slot) {
        slots.push_back((slot, T::default()));
    }
    let at = slots.len() - 1;
    // The slot was pushed above, if none was there.
    #[allow(clippy::indexing_slicing)]
    &mut slots[at].1
}

fn drop_before<T>(slots: &mut VecDeque<(u64, T)>, first: u64) {
    while slots.front().is_some_and(|(slot, _)| *slot < first) {
        slots.pop_front();
    }
}

fn overflow(key: &RequestKey) -> RequestKey {
    let labels = Labels { why: "overflow".to_owned(), ..Labels::new(Direction::Outbound) };
    let failed = if key.outcome.is_failure() { 500 } else { 200 };
    let outcome = Outcome { status: failed, error: "overflow".to_owned(), ..Outcome::default() };
    RequestKey { labels: Arc::new(labels), outcome }
}

fn rate(count: u64, over: Duration) -> f64 {
    // A window that has just begun would otherwise show absurd rates.
    count as f64 / over.as_secs_f64().max(1.0)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
