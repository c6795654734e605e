//! The numbers that workers add to.
//!
//! Each worker has cells of its own, so that an add is never contended. Cells hold only what was not collected yet
//! (the registry takes it away each second), so 32 bits are enough for counts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::histogram::{BUCKETS, bucket_of};
use crate::registry::Inner;
use crate::{Labels, Outcome, RequestTally, TcpTally};

/// Different outcomes of one series that are told apart; more go to `overflow`.
const OUTCOMES: usize = 12;

/// How one request ended, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RequestEnd<'a> {
    /// HTTP status; 0: none was sent.
    pub status: u16,
    /// The gRPC status, for gRPC.
    pub grpc_status: Option<u16>,
    /// The error's code, empty when all went well.
    pub error: &'a str,
    /// The policy that refused; empty: none.
    pub policy: &'a str,
    /// From the request's head to the response's end.
    pub duration: Duration,
    /// Tries after the first.
    pub retries: u32,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

/// The requests of one label set on one worker: the handle to keep.
#[derive(Debug)]
pub struct RequestSeries {
    labels: Arc<Labels>,
    /// Filled from the front, never emptied.
    outcomes: [OnceLock<Box<OutcomeCell>>; OUTCOMES],
    overflow: Arc<RequestCell>,
    registry: Weak<Inner>,
}

#[derive(Debug)]
struct OutcomeCell {
    outcome: Outcome,
    /// The registry's overflow cell, when there was no room for another series.
    cell: Arc<RequestCell>,
}

impl RequestSeries {
    pub(crate) fn new(labels: Arc<Labels>, overflow: Arc<RequestCell>, registry: Weak<Inner>) -> Self {
        Self { labels, outcomes: Default::default(), overflow, registry }
    }

    /// The labels.
    pub fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }

    /// Counts a request that ended. No lock and no allocation, but for the first one of each outcome.
    pub fn record(&self, end: &RequestEnd<'_>) {
        for slot in &self.outcomes {
            match slot.get() {
                Some(known) if known.is(end) => return known.cell.record(end),
                Some(_) => {}
                None => {
                    if let Some(cell) = self.first_of(slot, end) {
                        return cell.record(end);
                    }
                    // Another thread took this slot; look on.
                }
            }
        }
        self.overflow.record(end);
    }

    /// Fills a slot; `None`: it was taken for another outcome meanwhile.
    fn first_of<'a>(
        &self,
        slot: &'a OnceLock<Box<OutcomeCell>>,
        end: &RequestEnd<'_>,
    ) -> Option<&'a RequestCell> {
        let known = slot.get_or_init(|| {
            let outcome = Outcome {
                status: end.status,
                grpc_status: end.grpc_status,
                error: bounded(end.error),
                policy: bounded(end.policy),
            };
            let registry = self.registry.upgrade();
            let room = registry.is_some_and(|registry| registry.admit(&self.labels, &outcome));
            let cell = if room { Arc::default() } else { Arc::clone(&self.overflow) };
            Box::new(OutcomeCell { outcome, cell })
        });
        known.is(end).then_some(&known.cell)
    }

    /// Takes away what was counted since the last time.
    pub(crate) fn drain(&self, mut take: impl FnMut(&Outcome, RequestTally)) {
        let known = self.outcomes.iter().map_while(OnceLock::get);
        for OutcomeCell { outcome, cell } in known.map(|known| &**known) {
            if !Arc::ptr_eq(cell, &self.overflow) {
                let tally = cell.drain();
                if !tally.is_empty() {
                    take(outcome, tally);
                }
            }
        }
    }
}

impl OutcomeCell {
    fn is(&self, end: &RequestEnd<'_>) -> bool {
        let Outcome { status, grpc_status, error, policy } = &self.outcome;
        *status == end.status
            && *grpc_status == end.grpc_status
            && same(error, end.error)
            && same(policy, end.policy)
    }
}

/// Longest label value, in bytes.
const LABEL_LIMIT: usize = 256;

pub(crate) fn bounded(text: &str) -> String {
    cut(text).to_owned()
}

/// Nearly always both are empty, and that must not reach `memcmp`: the pointer of an empty text points nowhere, and a
/// masked vector load from an unmapped page costs more than 100 ns (measured) although it reads nothing.
fn same(kept: &str, given: &str) -> bool {
    kept.is_empty() == given.is_empty() && (kept.is_empty() || kept == cut(given))
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LABEL_LIMIT)).unwrap_or(text)
}

/// Counts of one label set and outcome on one worker.
#[derive(Debug)]
pub(crate) struct RequestCell {
    sum_us: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    retries: AtomicU32,
    buckets: [AtomicU32; BUCKETS],
}

impl Default for RequestCell {
    fn default() -> Self {
        Self {
            sum_us: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            retries: AtomicU32::new(0),
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

impl RequestCell {
    fn record(&self, end: &RequestEnd<'_>) {
        // Never 0: a sum of 0 tells the collector that there is nothing to take.
        let micros = u64::try_from(end.duration.as_micros()).unwrap_or(u64::MAX).max(1);
        if let Some(bucket) = self.buckets.get(usize::from(bucket_of(micros))) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(micros, Relaxed);
        if end.request_bytes != 0 {
            self.request_bytes.fetch_add(end.request_bytes, Relaxed);
        }
        if end.response_bytes != 0 {
            self.response_bytes.fetch_add(end.response_bytes, Relaxed);
        }
        if end.retries != 0 {
            self.retries.fetch_add(end.retries, Relaxed);
        }
    }

    pub(crate) fn drain(&self) -> RequestTally {
        if self.sum_us.load(Relaxed) == 0 {
            return RequestTally::default();
        }
        let mut tally = RequestTally {
            retries: take32(&self.retries),
            request_bytes: take(&self.request_bytes),
            response_bytes: take(&self.response_bytes),
            ..RequestTally::default()
        };
        tally.latency.sum_us = take(&self.sum_us);
        for (bucket, count) in (0u16..).zip(&self.buckets) {
            match take32(count) {
                0 => {}
                count => tally.latency.buckets.push((bucket, count)),
            }
        }
        tally
    }
}

/// Connections of one label set on one worker: the handle to keep.
#[derive(Debug, Default)]
pub struct TcpCell {
    opened: AtomicU64,
    closed: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

impl TcpCell {
    /// A connection began.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// A connection ended.
    pub fn closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// Bytes came from the client.
    pub fn received(&self, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes went to the client.
    pub fn sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn drain(&self) -> TcpTally {
        TcpTally {
            opened: take(&self.opened),
            closed: take(&self.closed),
            received_bytes: take(&self.received_bytes),
            sent_bytes: take(&self.sent_bytes),
        }
    }
}

/// Most are zero: look before the locked exchange.
fn take(value: &AtomicU64) -> u64 {
    if value.load(Relaxed) == 0 { 0 } else { value.swap(0, Relaxed) }
}

fn take32(value: &AtomicU32) -> u64 {
    if value.load(Relaxed) == 0 { 0 } else { u64::from(value.swap(0, Relaxed)) }
}
