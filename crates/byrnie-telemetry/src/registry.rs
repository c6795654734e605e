//! All series of one process: hands out handles, collects what workers counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;

use crate::cells::{RequestCell, bounded};
use crate::plain::Families;
use crate::{
    Counter, Delta, Desc, Direction, Gauge, Labels, Outcome, RequestDelta, RequestSeries, RequestTally,
    TcpCell, TcpDelta, TcpTally, names,
};

/// A series that did not change for so long is no longer shown, and dropped when nobody holds it.
pub const IDLE_AFTER: Duration = Duration::from_secs(600);

/// The numbers of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Request and connection series at most (label set × outcome). Default 2,000.
    pub max_series: usize,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self { max_series: 2_000 }
    }
}

/// All series of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    settings: RegistrySettings,
    /// Series there are: label sets × outcomes, workers apart.
    series: AtomicUsize,
    /// What has no room is counted here, workers together.
    overflow: Arc<RequestCell>,
    overflow_tcp: Arc<TcpCell>,
    overflowed: Arc<Counter>,
    pub(crate) tables: Mutex<Tables>,
    pub(crate) counters: Mutex<Families<Counter>>,
    pub(crate) gauges: Mutex<Families<Gauge>>,
}

#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) requests: HashMap<Arc<Labels>, RequestEntry>,
    pub(crate) tcp: HashMap<(Arc<Labels>, Outcome), TcpEntry>,
}

/// One label set.
#[derive(Debug)]
pub(crate) struct RequestEntry {
    /// By worker.
    shards: Vec<Option<Arc<RequestSeries>>>,
    pub(crate) outcomes: Outcomes,
    last_change: Instant,
}

#[derive(Debug)]
pub(crate) struct TcpEntry {
    /// By worker.
    shards: Vec<Option<Arc<TcpCell>>>,
    pub(crate) sums: Sums<TcpTally>,
    last_change: Instant,
}

/// What was collected, by outcome, ascending. Most label sets have a single one, and a map would take the room of
/// eleven for it.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(pub(crate) Vec<(Outcome, Sums<RequestTally>)>);

/// What was collected.
#[derive(Debug, Default)]
pub(crate) struct Sums<T> {
    pub(crate) total: T,
    /// Of it, what no delta has carried yet.
    pub(crate) unsent: T,
}

impl Registry {
    /// An empty one.
    pub fn new(settings: RegistrySettings) -> Self {
        let mut counters: Families<Counter> = Families::default();
        Self(Arc::new(Inner {
            settings,
            series: AtomicUsize::new(0),
            overflow: Arc::default(),
            overflow_tcp: Arc::default(),
            overflowed: counters.cell(&names::METRICS_OVERFLOW, &[]),
            tables: Mutex::new(Tables { requests: HashMap::new(), tcp: HashMap::new() }),
            counters: Mutex::new(counters),
            gauges: Mutex::default(),
        }))
    }

    /// The requests of a label set on one worker (0, 1, …). Takes a lock: call once for each (route, endpoint,
    /// peer), keep the handle.
    pub fn requests(&self, worker: usize, labels: &Labels, now: Instant) -> Arc<RequestSeries> {
        let inner = &self.0;
        let mut tables = inner.tables.lock();
        if let Some(entry) = tables.requests.get_mut(labels)
            && let Some(Some(known)) = entry.shards.get(worker)
        {
            entry.last_change = now;
            return Arc::clone(known);
        }
        let labels = Arc::new(bounded_labels(labels));
        let made =
            RequestSeries::new(Arc::clone(&labels), Arc::clone(&inner.overflow), Arc::downgrade(inner));
        let made = Arc::new(made);
        let room = inner.has_room() && tables.requests.len() < inner.settings.max_series;
        // A label set that has no room is not kept: its handle counts as overflow.
        if room || tables.requests.contains_key(&labels) {
            let entry = tables.requests.entry(labels).or_insert_with(|| RequestEntry::new(now));
            fill(&mut entry.shards, worker, &made);
            entry.last_change = now;
        }
        made
    }

    /// The connections of a label set on one worker; `error` and `policy` as for requests, empty when all is well.
    /// Takes a lock: call once for each connection.
    pub fn connections(
        &self,
        worker: usize,
        labels: &Labels,
        error: &str,
        policy: &str,
        now: Instant,
    ) -> Arc<TcpCell> {
        let inner = &self.0;
        let outcome = Outcome { error: bounded(error), policy: bounded(policy), ..Outcome::default() };
        let key = (Arc::new(bounded_labels(labels)), outcome);
        let mut tables = inner.tables.lock();
        if !tables.tcp.contains_key(&key) {
            if !inner.has_room() {
                inner.overflowed.inc();
                return Arc::clone(&inner.overflow_tcp);
            }
            inner.series.fetch_add(1, Relaxed);
        }
        let entry = tables.tcp.entry(key).or_insert_with(|| TcpEntry::new(now));
        entry.last_change = now;
        if let Some(Some(known)) = entry.shards.get(worker) {
            return Arc::clone(known);
        }
        let made = Arc::default();
        fill(&mut entry.shards, worker, &made);
        made
    }

    /// A counter that the proxy names itself. Takes a lock: keep the handle.
    pub fn counter(&self, desc: &'static Desc, values: &[&str]) -> Arc<Counter> {
        self.0.counters.lock().cell(desc, values)
    }

    /// A gauge that the proxy names itself. Takes a lock: keep the handle.
    pub fn gauge(&self, desc: &'static Desc, values: &[&str]) -> Arc<Gauge> {
        self.0.gauges.lock().cell(desc, values)
    }

    /// What changed since the last call: for the push to the control plane, each second. Also drops what is idle.
    pub fn take_delta(&self, now: Instant) -> Delta {
        let mut tables = self.0.tables.lock();
        self.0.collect(&mut tables, now);
        let mut delta = Delta::default();
        for (labels, entry) in &mut tables.requests {
            for (outcome, sums) in &mut entry.outcomes.0 {
                let tally = std::mem::take(&mut sums.unsent);
                if !tally.is_empty() {
                    let (labels, outcome) = (Arc::clone(labels), outcome.clone());
                    delta.requests.push(RequestDelta { labels, outcome, tally });
                }
            }
        }
        for ((labels, outcome), entry) in &mut tables.tcp {
            let tally = std::mem::take(&mut entry.sums.unsent);
            if !tally.is_empty() {
                let (labels, outcome) = (Arc::clone(labels), outcome.clone());
                delta.connections.push(TcpDelta { labels, outcome, tally });
            }
        }
        self.0.drop_idle(&mut tables, now);
        delta
    }

    /// How many request and connection series there are.
    pub fn series(&self) -> usize {
        self.0.series()
    }
}

impl Inner {
    fn has_room(&self) -> bool {
        self.series.load(Relaxed) < self.settings.max_series
    }

    pub(crate) fn series(&self) -> usize {
        self.series.load(Relaxed)
    }

    /// Whether a new outcome may have a cell of its own. Called once for each outcome, label set and worker.
    pub(crate) fn admit(&self, labels: &Arc<Labels>, outcome: &Outcome) -> bool {
        let mut tables = self.tables.lock();
        let room = self.has_room();
        let Some(entry) = tables.requests.get_mut(labels) else {
            self.overflowed.inc();
            return false;
        };
        if entry.outcomes.get(outcome).is_some() {
            return true;
        }
        if !room {
            self.overflowed.inc();
            return false;
        }
        self.series.fetch_add(1, Relaxed);
        entry.outcomes.add(outcome);
        true
    }

    /// Takes away what the workers counted.
    pub(crate) fn collect(&self, tables: &mut Tables, now: Instant) {
        for entry in tables.requests.values_mut() {
            let outcomes = &mut entry.outcomes;
            for shard in entry.shards.iter().flatten() {
                shard.drain(|outcome, tally| {
                    if let Some(sums) = outcomes.get(outcome) {
                        sums.total.merge(&tally);
                        sums.unsent.merge(&tally);
                        entry.last_change = now;
                    }
                });
            }
        }
        for entry in tables.tcp.values_mut() {
            for tally in entry.shards.iter().flatten().map(|shard| shard.drain()).filter(|t| !t.is_empty()) {
                entry.sums.total.merge(&tally);
                entry.sums.unsent.merge(&tally);
                entry.last_change = now;
            }
        }
        self.collect_overflow(tables, now);
    }

    fn collect_overflow(&self, tables: &mut Tables, now: Instant) {
        let labels = || Arc::new(Labels { why: "overflow".to_owned(), ..Labels::new(Direction::Outbound) });
        let outcome = || Outcome { error: "overflow".to_owned(), ..Outcome::default() };
        let tally = self.overflow.drain();
        if !tally.is_empty() {
            let entry = tables.requests.entry(labels()).or_insert_with(|| RequestEntry::new(now));
            entry.outcomes.add(&outcome());
            if let Some(sums) = entry.outcomes.get(&outcome()) {
                sums.total.merge(&tally);
                sums.unsent.merge(&tally);
            }
            entry.last_change = now;
        }
        let tally = self.overflow_tcp.drain();
        if !tally.is_empty() {
            let entry = tables.tcp.entry((labels(), outcome())).or_insert_with(|| TcpEntry::new(now));
            entry.sums.total.merge(&tally);
            entry.sums.unsent.merge(&tally);
            entry.last_change = now;
        }
    }

    /// Handles are given out under the lock only, so a count of one stays one while it is held.
    fn drop_idle(&self, tables: &mut Tables, now: Instant) {
        let mut dropped = 0;
        tables.requests.retain(|_, entry| {
            let held = entry.shards.iter().flatten().any(|shard| Arc::strong_count(shard) > 1);
            let keep = held || !is_idle(entry.last_change, now);
            // The overflow entry has no shards and was never counted.
            dropped += if keep || entry.shards.is_empty() { 0 } else { entry.outcomes.0.len() };
            keep
        });
        tables.tcp.retain(|_, entry| {
            let held = entry.shards.iter().flatten().any(|shard| Arc::strong_count(shard) > 1);
            let keep = held || !is_idle(entry.last_change, now);
            dropped += usize::from(!keep && !entry.shards.is_empty());
            keep
        });
        self.series.fetch_sub(dropped, Relaxed);
    }
}

impl Outcomes {
    fn get(&mut self, outcome: &Outcome) -> Option<&mut Sums<RequestTally>> {
        let at = self.0.binary_search_by(|(known, _)| known.cmp(outcome)).ok()?;
        self.0.get_mut(at).map(|(_, sums)| sums)
    }

    /// Nothing is collected yet where it is new.
    fn add(&mut self, outcome: &Outcome) {
        if let Err(at) = self.0.binary_search_by(|(known, _)| known.cmp(outcome)) {
            self.0.reserve_exact(1);
            self.0.insert(at, (outcome.clone(), Sums::default()));
        }
    }
}

impl RequestEntry {
    fn new(now: Instant) -> Self {
        Self { shards: Vec::new(), outcomes: Outcomes::default(), last_change: now }
    }

    /// Whether a scrape shows it.
    pub(crate) fn is_shown(&self, now: Instant) -> bool {
        !is_idle(self.last_change, now)
    }
}

impl TcpEntry {
    fn new(now: Instant) -> Self {
        Self { shards: Vec::new(), sums: Sums::default(), last_change: now }
    }

    /// Whether a scrape shows it: an open connection is shown, however quiet.
    pub(crate) fn is_shown(&self, now: Instant) -> bool {
        !is_idle(self.last_change, now) || self.sums.total.opened > self.sums.total.closed
    }
}

fn is_idle(last_change: Instant, now: Instant) -> bool {
    now.saturating_duration_since(last_change) >= IDLE_AFTER
}

fn fill<T>(shards: &mut Vec<Option<Arc<T>>>, worker: usize, made: &Arc<T>) {
    if shards.len() <= worker {
        shards.resize_with(worker + 1, || None);
    }
    if let Some(shard) = shards.get_mut(worker) {
        *shard = Some(Arc::clone(made));
    }
}

/// Object names are bounded by their own rules; the only free text is `why`.
fn bounded_labels(labels: &Labels) -> Labels {
    Labels { why: bounded(&labels.why), ..labels.clone() }
}

#[cfg(test)]
mod tests;
