//! Buckets by key, in a fixed amount of memory.
//!
//! A table of sets of eight. A key that is not in its set takes over the bucket there that is nearest to full, *with
//! its debt*: where that is full, nothing is lost (a full bucket says nothing); where none is, the newcomer begins
//! with what the other one had used. So a flood of keys never gives anybody tokens back, neither its sender nor anybody
//! else: buckets with more debt stay, and all that pass through one place share its rate (the idea of Metwally's
//! "space-saving" counters).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets in one set: two cache lines.
const WAYS: usize = 8;

/// Buckets by key. Made when the first key comes: most limits of a large mesh never see a request in this process.
#[derive(Debug)]
pub(super) struct Keyed {
    sets: usize,
    table: OnceLock<Box<[Set]>>,
}

#[derive(Debug, Default)]
struct Set([Slot; WAYS]);

#[derive(Debug, Default)]
struct Slot {
    /// Hash of the key; 0: never used.
    key: AtomicU64,
    /// When the bucket is full again.
    full_at: AtomicU64,
}

impl Keyed {
    /// At most `max_keys` buckets, rounded up to whole sets.
    pub(super) fn new(max_keys: u32) -> Self {
        Self { sets: (max_keys as usize).div_ceil(WAYS).max(1), table: OnceLock::new() }
    }

    /// The bucket of a key, and whether it was another's and still in use.
    pub(super) fn find(&self, hash: u64, now: u64) -> (&AtomicU64, bool) {
        let hash = hash.max(1);
        let table = self.table.get_or_init(|| (0..self.sets).map(|_| Set::default()).collect());
        // The upper bits choose the set, all of them name the key.
        let at = usize::try_from((u128::from(hash) * table.len() as u128) >> 64).unwrap_or(0);
        let slots = &table[at].0;
        loop {
            let mut nearest = (&slots[0], slots[0].key.load(Relaxed), u64::MAX);
            for slot in slots {
                let key = slot.key.load(Relaxed);
                if key == hash {
                    return (&slot.full_at, false);
                }
                let full_at = if key == 0 { 0 } else { slot.full_at.load(Relaxed).max(1) };
                if full_at < nearest.2 {
                    nearest = (slot, key, full_at);
                }
            }
            let (slot, key, full_at) = nearest;
            // Another worker may have put a key there: look again, it may be this one.
            if slot.key.compare_exchange(key, hash, Relaxed, Relaxed).is_ok() {
                return (&slot.full_at, full_at > now);
            }
        }
    }
}
