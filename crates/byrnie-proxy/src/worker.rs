//! One data-plane thread: its pools, its cached metric handles, its randomness. Nothing of it leaves the thread.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Cache};
use byrnie_decide::Time;

use crate::admit::Decisions;
use crate::config::Config;
use crate::http::hints::Hints;
use crate::observe::SeriesCache;
use crate::pool::Pools;
use crate::process::Process;
use crate::room::Line;

/// The fraction of the square root of 2, times 2^64, made odd.
const SQRT_2: u64 = 0x6a09_e667_f3bc_c909;

/// A configuration while something of one thread uses it. Each request asks several times: counting who holds it must
/// not be an affair of all threads.
pub struct InForce(Arc<Config>);

impl Deref for InForce {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0
    }
}

/// The configuration as one thread saw it last.
struct Latest {
    cache: Cache<Arc<ArcSwap<Config>>, Arc<Config>>,
    handed_out: Rc<InForce>,
}

/// What the tasks of one thread share.
pub struct Worker {
    /// 0, 1, …: the shard of metric cells.
    pub index: usize,
    /// What all workers share.
    pub process: Arc<Process>,
    /// Connections to endpoints.
    pub pools: Pools,
    /// Metric handles by who, whom and route.
    pub series: RefCell<SeriesCache>,
    /// Counters of authorization decisions.
    pub decisions: Decisions,
    latest: RefCell<Latest>,
    /// Who asks, where there is little memory.
    pub line: Line,
    /// What applications say before their answers.
    pub hints: Hints,
    random: Cell<u64>,
    draws: Cell<u64>,
}

impl Worker {
    /// A worker without connections.
    pub fn new(index: usize, process: Arc<Process>) -> Rc<Self> {
        let random = Cell::new(rand::random::<u64>() | 1);
        let mut cache = Cache::new(Arc::clone(&process.config));
        let handed_out = Rc::new(InForce(Arc::clone(cache.load())));
        Rc::new(Self {
            index,
            process,
            latest: RefCell::new(Latest { cache, handed_out }),
            line: Line::default(),
            pools: Pools::default(),
            series: RefCell::default(),
            decisions: Decisions::default(),
            hints: Hints::default(),
            random,
            draws: Cell::new(rand::random()),
        })
    }

    /// The configuration in force now. What it replaces is let go of at the next call, which each worker makes at least
    /// once a second.
    pub fn config(&self) -> Rc<InForce> {
        let mut latest = self.latest.borrow_mut();
        let Latest { cache, handed_out } = &mut *latest;
        let now = cache.load();
        if !Arc::ptr_eq(now, &handed_out.0) {
            *handed_out = Rc::new(InForce(Arc::clone(now)));
        }
        Rc::clone(handed_out)
    }

    /// The decisions' clock.
    pub fn time(&self, now: Instant) -> Time {
        self.process.time(now)
    }

    /// 64 bits for the choice of an endpoint: spread as evenly as can be (multiples of the square root of 2), so that
    /// shares hold over few requests, too. Not of the same sequence as the choice of a backend before.
    pub fn draw(&self) -> u64 {
        let draw = self.draws.get().wrapping_add(SQRT_2);
        self.draws.set(draw);
        draw
    }

    /// 64 bits for balancing and jitter (xorshift64*, Vigna 2016): fast, and nothing secret depends on it.
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
