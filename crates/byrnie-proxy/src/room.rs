//! How much is left where there is little memory (a control group of less than 256 MiB), and for whom.
//!
//! What is in use says too little: a connection that was just accepted has nothing yet, and takes many times more when
//! it asks; a request takes most of what it needs when it connects to an endpoint. A thousand of them that were let in
//! by what was in use then would be the end of the process. So what they will take counts before they take it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use byrnie_net::cgroup::{Memory, Reading};

/// What a connection takes beyond what a silent one has, until its first request has its answer: the codec's buffers
/// (20 KiB in a release build), and what a request takes.
const CONNECTION: u64 = 48 * 1024;

/// What a request takes until its answer comes, when it needs a new connection to an endpoint.
const REQUEST: u64 = 32 * 1024;

/// Connections and requests between two looks: they take less than lies between refusing and the end.
const EACH: u32 = 16;

/// What all workers share.
pub struct Room {
    memory: Memory,
    limit: AtomicU64,
    reclaimable: AtomicU64,
    /// At the last look.
    used: AtomicU64,
    /// Connections and requests since the start.
    begun: AtomicU32,
    /// Connections that have taken what they need.
    settled: AtomicU32,
    /// Requests that wait for an answer.
    unanswered: AtomicU32,
    /// A connection waits for room.
    wanted: AtomicBool,
}

impl Room {
    /// Of this group.
    pub fn new(memory: Memory) -> Self {
        let reading = memory.read().unwrap_or_default();
        let room = Self {
            memory,
            limit: AtomicU64::default(),
            reclaimable: AtomicU64::default(),
            used: AtomicU64::default(),
            begun: AtomicU32::default(),
            settled: AtomicU32::default(),
            unanswered: AtomicU32::default(),
            wanted: AtomicBool::default(),
        };
        room.note(reading);
        room
    }

    /// What was seen just now.
    pub fn note(&self, reading: Reading) {
        self.limit.store(reading.limit, Relaxed);
        self.reclaimable.store(reading.reclaimable, Relaxed);
        self.used.store(reading.used, Relaxed);
    }

    /// A connection or request has come. 100 ms from one look to the next are enough to fill little memory, so every
    /// few of them there is another one.
    pub fn look(&self) {
        if self.begun.fetch_add(1, Relaxed).is_multiple_of(EACH)
            && let Some(usage) = self.memory.usage()
        {
            self.used.store(usage.saturating_sub(self.reclaimable.load(Relaxed)), Relaxed);
        }
    }

    /// The share of memory that is in use, or will be by the requests that are there, in percent.
    pub fn by_requests(&self) -> u8 {
        self.share(self.used_by_requests())
    }

    /// The same with what all that is open will take, and one more connection. `open`: those to clients.
    pub fn by_connections(&self, open: usize) -> u8 {
        let unsettled = (open as u64).saturating_sub(self.settled.load(Relaxed).into());
        self.share(self.used_by_requests() + (unsettled + 1) * CONNECTION)
    }

    fn used_by_requests(&self) -> u64 {
        self.used.load(Relaxed) + u64::from(self.unanswered.load(Relaxed)) * REQUEST
    }

    fn share(&self, bytes: u64) -> u8 {
        super::overload::percent(bytes, self.limit.load(Relaxed))
    }

    /// Asks for connections on which nothing happens to end.
    pub fn want(&self) {
        self.wanted.store(true, Relaxed);
    }

    /// Whether that was asked for since the last time.
    pub fn is_wanted(&self) -> bool {
        self.wanted.swap(false, Relaxed)
    }

    /// A connection has what it needs, as long as this lives.
    pub fn settle(&self) -> Counted<'_> {
        Counted::new(&self.settled)
    }

    /// A request has no answer yet, as long as this lives.
    pub fn wait(&self) -> Counted<'_> {
        Counted::new(&self.unanswered)
    }
}

/// One more, until it is dropped.
pub struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_will_be_taken_counts_before_it_is() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: u64| fs::write(group.path().join(name), bytes.to_string()).unwrap();
        write("memory.max", 64 * MIB);
        write("memory.current", 16 * MIB);
        let room = Room::new(Memory::of(group.path()).unwrap());
        assert_eq!((room.by_requests(), room.by_connections(0)), (25, 25));
        // Accepted, and silent so far: each will take its share.
        assert_eq!((room.by_requests(), room.by_connections(512)), (25, 62));
        let settled: Vec<_> = (0..512).map(|_| room.settle()).collect();
        assert_eq!(room.by_connections(512), 25);
        drop(settled);
        let waiting: Vec<_> = (0..512).map(|_| room.wait()).collect();
        assert_eq!((room.by_requests(), room.by_connections(512)), (50, 87));
        drop(waiting);
        write("memory.current", 32 * MIB);
        (0..EACH).for_each(|_| room.look());
        assert_eq!(room.by_requests(), 50, "it was looked at again");
        assert!(!room.is_wanted());
        room.want();
        assert!(room.is_wanted() && !room.is_wanted());
    }
}
