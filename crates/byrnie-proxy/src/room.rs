//! How much is left where there is little memory (a control group of less than 256 MiB), and for whom.
//!
//! What is in use says too little: a connection on which nothing happens has little, and takes many times more when its
//! client asks; a request takes most of what it needs when it connects to an endpoint. A thousand of them that went on
//! by what was in use then would be the end of the process. So those that ask go on one after another, as long as there
//! is room, and what requests will take counts before they take it.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use byrnie_net::cgroup::{Gauge, Memory, Reading};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::error::{Kind, ProxyError};
use crate::process::Process;

/// How long connections wait for room before they are refused: shorter than clients wait, and long enough for idle
/// connections to go.
const PATIENCE: Duration = Duration::from_secs(1);

/// A worker that needs longer than this for a turn of all that is ready has more to do than it can.
const LATE: Duration = Duration::from_millis(250);

/// After which a look says nothing about now any more: longer than a turn takes where there is too much to do.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// How often it is looked whether there is room.
pub const LOOK: Duration = Duration::from_millis(5);

/// What a connection takes beyond what a silent one has, until it is set up: TLS, and what codecs prepare.
const CONNECTION: u64 = 48 * 1024;

/// What a request takes until its answer comes, when it needs a new connection to an endpoint.
const REQUEST: u64 = 32 * 1024;

/// Connections and requests between two looks: they take less than lies between refusing and the end.
const EACH: u32 = 16;

/// What all workers share.
pub struct Room {
    /// `None`: it could not be opened, and only the control thread looks.
    gauge: Option<Gauge>,
    limit: AtomicU64,
    reclaimable: AtomicU64,
    /// At the last look.
    used: AtomicU64,
    /// Connections and requests since the start.
    begun: AtomicU32,
    /// Connections that are being set up.
    entering: AtomicU32,
    /// Requests that wait for an answer.
    unanswered: AtomicU32,
    /// A connection waits for room.
    wanted: AtomicBool,
}

impl Room {
    /// Of this group.
    pub fn new(memory: &Memory) -> Self {
        let reading = memory.read().unwrap_or_default();
        let room = Self {
            gauge: memory.gauge().ok(),
            limit: AtomicU64::default(),
            reclaimable: AtomicU64::default(),
            used: AtomicU64::default(),
            begun: AtomicU32::default(),
            entering: AtomicU32::default(),
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
            && let Some(usage) = self.gauge.as_ref().and_then(Gauge::usage)
        {
            self.used.store(usage.saturating_sub(self.reclaimable.load(Relaxed)), Relaxed);
        }
    }

    /// The share of memory that is in use, or will be by what is on its way, in percent.
    pub fn share(&self) -> u8 {
        let promised = [(&self.entering, CONNECTION), (&self.unanswered, REQUEST)];
        let promised = promised.map(|(count, each)| u64::from(count.load(Relaxed)) * each);
        let used = self.used.load(Relaxed) + promised.iter().sum::<u64>();
        super::overload::percent(used, self.limit.load(Relaxed))
    }

    /// Asks for connections on which nothing happens to end.
    pub fn want(&self) {
        self.wanted.store(true, Relaxed);
    }

    /// Whether that was asked for since the last time.
    pub fn is_wanted(&self) -> bool {
        self.wanted.swap(false, Relaxed)
    }

    /// A connection is being set up, as long as this lives.
    pub fn enter(&self) -> Counted<'_> {
        Counted::new(&self.entering)
    }

    /// A request has no answer yet, as long as this lives.
    pub fn wait(&self) -> Counted<'_> {
        Counted::new(&self.unanswered)
    }
}

/// The connections of one worker on which something was said, where there is little memory: each goes on when it is its
/// turn and there is room. Meanwhile what was said is the kernel's.
pub struct Line {
    turn: Semaphore,
    patience: Patience,
    /// How long the worker's last turn of all that is ready took.
    turn_took: Cell<Duration>,
}

/// How long there has been no room, for those who wait one behind the other.
#[derive(Default)]
pub struct Patience(Cell<Option<Denied>>);

/// Since when, and when it was looked last.
#[derive(Clone, Copy)]
struct Denied {
    since: Instant,
    last: Instant,
}

impl Patience {
    /// There is room.
    pub fn renew(&self) {
        self.0.set(None);
    }

    /// There is none: whether that has been so for `PATIENCE`. When nobody has looked for long, it begins anew.
    pub fn ends(&self) -> bool {
        let now = Instant::now();
        let known = self.0.get().filter(|denied| now - denied.last < FORGOTTEN);
        let since = known.map_or(now, |denied| denied.since);
        self.0.set(Some(Denied { since, last: now }));
        now - since >= PATIENCE
    }
}

/// There is no room, and has not been for a while.
pub struct Full;

impl From<Full> for ProxyError {
    fn from(_: Full) -> Self {
        Self::unprocessed(Kind::Shed, "there is no room for more")
    }
}

impl Default for Line {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), patience: Patience::default(), turn_took: Cell::default() }
    }
}

impl Line {
    /// Lets all others of the worker's tasks go on that have something to do.
    pub async fn let_others_go_on(&self) {
        let began = Instant::now();
        tokio::task::yield_now().await;
        self.turn_took.set(began.elapsed());
    }

    /// Whether those who said that they are done, and so may have gone, are not to be waited on.
    pub fn is_late(&self) -> bool {
        self.turn_took.get() >= LATE
    }

    /// Waits in line, `PATIENCE` at most when it is one's turn. Hold on to what this gives until what the connection
    /// needs was taken.
    pub async fn pass<'a>(&self, process: &'a Process) -> Result<Option<Counted<'a>>, Full> {
        let Some(room) = process.overload.little() else { return Ok(None) };
        // Never closed; and then nobody would wait.
        let _turn = self.turn.acquire().await;
        loop {
            if process.overload.has_room_to_ask(&process.config.load().settings) {
                self.patience.renew();
                return Ok(Some(room.enter()));
            }
            if self.patience.ends() {
                process.counters.limit_shed.inc();
                return Err(Full);
            }
            room.want();
            tokio::time::sleep(LOOK).await;
        }
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
        let room = Room::new(&Memory::of(group.path()).unwrap());
        assert_eq!(room.share(), 25);
        let waiting: Vec<_> = (0..512).map(|_| room.wait()).collect();
        assert_eq!(room.share(), 50);
        drop(waiting);
        let entering: Vec<_> = (0..128).map(|_| room.enter()).collect();
        assert_eq!(room.share(), 34);
        drop(entering);
        assert_eq!(room.share(), 25);
        write("memory.current", 32 * MIB);
        (0..EACH).for_each(|_| room.look());
        assert_eq!(room.share(), 50, "it was looked at again");
        assert!(!room.is_wanted());
        room.want();
        assert!(room.is_wanted() && !room.is_wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_with_too_much_to_do_knows_it() {
        let line = Line::default();
        tokio::join!(line.let_others_go_on(), tokio::time::advance(LATE / 2));
        assert!(!line.is_late());
        tokio::join!(line.let_others_go_on(), tokio::time::advance(LATE));
        assert!(line.is_late());
        line.let_others_go_on().await;
        assert!(!line.is_late(), "it has caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_begins_anew() {
        let patience = Patience::default();
        assert!(!patience.ends());
        tokio::time::advance(PATIENCE).await;
        assert!(patience.ends() && patience.ends());
        tokio::time::advance(FORGOTTEN).await;
        assert!(!patience.ends(), "it was long ago");
        tokio::time::advance(PATIENCE).await;
        patience.renew();
        assert!(!patience.ends(), "there was room");
    }
}
