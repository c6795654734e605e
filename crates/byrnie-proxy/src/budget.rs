//! How many bytes this process keeps for others, and how many it has promised to take: one number for all connections.
//! Each buffer has a limit of its own, but ten thousand of them together have more than a machine.
//!
//! What is held counts as it grows. Windows of HTTP/2 are promises that few take up, so they refuse nobody: the more is
//! promised already, the smaller are those of a new connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use byrnie_telemetry::Counter;

/// How much smaller windows become where there is no room for whole ones: to a quarter, to a sixteenth.
const SHIFTS: [u32; 2] = [0, 2];
const SMALLEST: u32 = 4;

/// What all workers share.
pub struct Budget {
    limit: AtomicU64,
    held: AtomicU64,
    promised: AtomicU64,
    refused: Arc<Counter>,
}

/// Bytes held by one holder; given back when dropped.
pub struct Held {
    budget: Arc<Budget>,
    bytes: u64,
}

/// The windows of one connection of HTTP/2, in bytes. The promise ends when it is dropped.
pub struct Windows {
    /// Of a stream.
    pub stream: u32,
    /// Of the connection.
    pub connection: u32,
    budget: Arc<Budget>,
}

impl Budget {
    /// Without a bound, until one is set.
    pub fn new(refused: Arc<Counter>) -> Arc<Self> {
        let (held, promised) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { limit: AtomicU64::new(u64::MAX), held, promised, refused })
    }

    /// Bounds what is held, and what is promised, by `percent` of what this process may use; 0: no bound.
    pub fn set(&self, bytes: Option<u64>, percent: u8) {
        let share = |bytes: u64| bytes / 100 * u64::from(percent);
        self.limit.store(bytes.filter(|_| percent > 0).map_or(u64::MAX, share), Relaxed);
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// A holder of nothing yet.
    pub fn holder(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: 0 }
    }

    /// Whether so many bytes more may be held; they are, then.
    fn take(&self, bytes: u64) -> bool {
        if self.held.fetch_add(bytes, Relaxed).saturating_add(bytes) <= self.limit.load(Relaxed) {
            return true;
        }
        self.held.fetch_sub(bytes, Relaxed);
        self.refused.inc();
        false
    }

    /// The windows of a new connection: these, or smaller ones in the same proportion.
    pub fn windows(self: &Arc<Self>, stream: u32, connection: u32) -> Windows {
        let promised = self.promised.load(Relaxed);
        let room = self.limit.load(Relaxed).saturating_sub(promised);
        let fits = SHIFTS.into_iter().find(|shift| u64::from(connection >> shift) <= room);
        let shift = fits.unwrap_or(SMALLEST);
        let connection = connection >> shift;
        self.promised.fetch_add(connection.into(), Relaxed);
        Windows { stream: stream >> shift, connection, budget: Arc::clone(self) }
    }
}

impl Held {
    /// Holds so many bytes in all, if there is room; else what it was.
    pub fn reach(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = more == 0 || self.budget.take(more);
        if fits {
            self.bytes += more;
        }
        fits
    }

    /// Holds so many bytes more, if there is room.
    pub fn add(&mut self, bytes: usize) -> bool {
        self.reach(self.bytes.saturating_add(bytes as u64))
    }

    /// Holds so many bytes in all, whether there is room or not: they are there already.
    pub fn hold(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.bytes);
        self.budget.held.fetch_add(more, Relaxed);
        self.bytes += more;
    }

    /// Whether what all hold is within the bound; that it is not counts as a refusal.
    pub fn fits(&self) -> bool {
        let fits = self.budget.held() <= self.budget.limit.load(Relaxed);
        if !fits {
            self.budget.refused.inc();
        }
        fits
    }

    /// Holds nothing any more.
    pub fn give_back(&mut self) {
        if self.bytes > 0 {
            self.budget.held.fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.budget.promised.fetch_sub(self.connection.into(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use byrnie_telemetry::{Registry, names};

    use super::*;

    fn budget(limit: u64) -> Arc<Budget> {
        let budget = Budget::new(
            Registry::new(byrnie_telemetry::RegistrySettings::default())
                .counter(&names::LIMIT_REJECTIONS, &["buffers"]),
        );
        budget.set(Some(limit * 4), 25);
        budget
    }

    #[test]
    fn what_is_held_is_bounded_and_comes_back() {
        let budget = budget(1000);
        let (mut one, mut other) = (budget.holder(), budget.holder());
        assert!(one.reach(600) && one.reach(500) && one.add(300));
        assert!(!other.add(101) && budget.held() == 900);
        assert!(other.add(100));
        drop(one);
        assert!(other.reach(1000) && !other.reach(1001));
        other.give_back();
        assert_eq!(budget.held(), 0);
        other.hold(1000);
        assert!(other.fits());
        other.hold(1001);
        assert!(!other.fits() && !budget.holder().reach(1));
        other.give_back();
        budget.set(Some(1), 0);
        assert!(other.reach(1 << 40));
    }

    #[test]
    fn windows_become_smaller_and_large_again() {
        let budget = budget(1000);
        let sizes = |windows: &Windows| (windows.stream, windows.connection);
        let whole = budget.windows(160, 800);
        let (quarter, least) = (budget.windows(160, 800), budget.windows(160, 800));
        assert_eq!([&whole, &quarter, &least].map(sizes), [(160, 800), (40, 200), (10, 50)]);
        drop((whole, quarter));
        assert_eq!(sizes(&budget.windows(160, 800)), (160, 800));
    }
}
