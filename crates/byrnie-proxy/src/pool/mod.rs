//! Connections to endpoints, kept per worker: bounded, closed when idle, evicted when the endpoint or its identity
//! goes.

mod allowed;
mod h1;
mod h2;
mod sending;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use byrnie_decide::Failure;
use foldhash::HashMap;
use http::Response;

use tokio::sync::Notify;

use crate::config::{Cluster, Endpoint};
use crate::error::{Kind, ProxyError};
use crate::http::Message;
use crate::http::body::Body;
use crate::process::Gauged;
use crate::tls::Alpn;
use crate::worker::Worker;

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// How long connections may be idle where there is little memory: those of a burst are not worth what they take.
const IDLE_WITH_LITTLE: Duration = Duration::from_secs(2);

/// How old they may be there: what is left of a burst lies scattered, and each of it keeps a page that is nearly empty.
const AGE_WITH_LITTLE: Duration = Duration::from_secs(30);

/// A connection takes nothing new in the last part of its age, one in so many by chance.
const JITTER: u32 = 10;

/// The pools of one worker: by endpoint; those of HTTP/2 by peer.
#[derive(Default)]
pub struct Pools {
    h1: RefCell<HashMap<u64, Rc<h1::Pool>>>,
    h2: RefCell<HashMap<u64, Rc<h2::Pool>>>,
    shown: RefCell<Shown>,
}

/// Connections to the own application that show a client's address are for that client alone.
#[derive(Default)]
struct Shown {
    h1: HashMap<(u64, IpAddr), Rc<h1::Pool>>,
    h2: HashMap<(u64, IpAddr), Rc<h2::Pool>>,
}

/// What is spoken to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1 in plaintext.
    Http1,
    /// HTTP/2 in plaintext, with prior knowledge.
    Http2,
    /// `byrnie/1` over mTLS.
    Mesh,
}

/// A place on a connection, ready for one request.
pub enum Slot {
    /// HTTP/1.1.
    H1(h1::Lease),
    /// HTTP/2.
    H2(h2::Lease),
}

/// What a request holds until its response is complete.
pub enum Lease {
    /// The whole connection.
    H1(h1::Lease),
    /// A stream.
    H2(h2::Lease),
}

impl Lease {
    /// The response is complete: the connection can take another request.
    pub fn give_back(self, now: Instant) {
        match self {
            Self::H1(lease) => lease.give_back(now),
            Self::H2(lease) => drop(lease),
        }
    }
}

/// Why a request got no response.
pub struct SendFailure {
    /// What to say.
    pub error: ProxyError,
    /// What it means for another try.
    pub failure: Failure,
}

impl SendFailure {
    /// A request that was sent already: a mistake of this program.
    fn gone() -> Self {
        let error = ProxyError::unprocessed(Kind::Internal, "the request is gone");
        Self { error, failure: Failure::NotProcessed }
    }
}

/// Gets a place on a connection to the endpoint: an idle one, a new one, or a turn in the queue. `shown`: whose address
/// the application is to see.
pub async fn acquire(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    wire: Wire,
    shown: Option<SocketAddr>,
) -> Result<Slot, ProxyError> {
    if let Some(client) = shown {
        return acquire_shown(worker, cluster, endpoint, wire, client.ip()).await;
    }
    match wire {
        Wire::Http1 => {
            let pool = {
                let mut pools = worker.pools.h1.borrow_mut();
                Rc::clone(pools.entry(endpoint.id).or_insert_with(|| h1::Pool::new(worker, endpoint, None)))
            };
            h1::acquire(worker, cluster, &pool).await.map(Slot::H1)
        }
        Wire::Http2 | Wire::Mesh => {
            let pool = {
                let mut pools = worker.pools.h2.borrow_mut();
                Rc::clone(pools.entry(endpoint.peer.id).or_insert_with(|| h2::Pool::new(endpoint, None)))
            };
            let alpn = (wire == Wire::Mesh).then_some(Alpn::Requests);
            h2::acquire(worker, cluster, &pool, alpn).await.map(Slot::H2)
        }
    }
}

/// The same for a connection that shows the client's address. Its port is the kernel's choice: requests of several
/// connections of the client share it.
async fn acquire_shown(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    wire: Wire,
    client: IpAddr,
) -> Result<Slot, ProxyError> {
    let shown = Some(SocketAddr::new(client, 0));
    if wire == Wire::Http1 {
        let pool = {
            let pools = &mut worker.pools.shown.borrow_mut().h1;
            let new = || h1::Pool::new(worker, endpoint, shown);
            Rc::clone(pools.entry((endpoint.id, client)).or_insert_with(new))
        };
        return h1::acquire(worker, cluster, &pool).await.map(Slot::H1);
    }
    let pool = {
        let pools = &mut worker.pools.shown.borrow_mut().h2;
        Rc::clone(pools.entry((endpoint.id, client)).or_insert_with(|| h2::Pool::new(endpoint, shown)))
    };
    h2::acquire(worker, cluster, &pool, None).await.map(Slot::H2)
}

impl Slot {
    /// Whether a switch of protocols can be asked for by extended CONNECT.
    pub async fn offers_switches(&self) -> bool {
        match self {
            Self::H1(_) => false,
            Self::H2(lease) => lease.offers_switches().await,
        }
    }

    /// Sends the request and waits for the response's head. The lease is held until its body is read. What could not be
    /// sent is in `message` again: its body whole, its head perhaps gone.
    pub async fn send(
        self,
        worker: &Worker,
        message: &mut Message,
    ) -> Result<(Response<Body>, Lease), SendFailure> {
        match self {
            Self::H1(lease) => lease.send(message).await,
            Self::H2(lease) => lease.send(worker, message).await,
        }
    }
}

/// When a connection that is opened now takes nothing new any more: those that are opened together must not all end
/// together.
fn retirement(worker: &Worker) -> Instant {
    let mut age = worker.config().settings.upstream_max_age;
    if worker.process.overload.little().is_some() {
        age = age.min(AGE_WITH_LITTLE);
    }
    let by_chance = (worker.random() >> 32) as u32;
    let less = (age / JITTER).mul_f64(f64::from(by_chance) / f64::from(u32::MAX));
    Instant::now() + (age - less)
}

/// Takes a place among the connections of an endpoint or a peer. `false`: its limit is reached.
fn reserve(cluster: &Cluster, connections: &AtomicU32) -> bool {
    let limit = cluster.settings.limits.max_connections;
    // Never counts beyond the limit, not even for a moment: another worker that looks in that moment would go to sleep
    // over a free place, and nobody would wake it.
    let taken = connections.fetch_update(Relaxed, Relaxed, |open| (open < limit).then_some(open + 1));
    taken.is_ok()
}

/// One connection to an endpoint, counted until it is closed.
struct Counted {
    endpoint: Arc<Endpoint>,
    _open: Gauged,
}

impl Counted {
    /// Counts a connection whose place is reserved.
    fn new(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>) -> Self {
        Self { endpoint: Arc::clone(endpoint), _open: worker.process.count_upstream() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.endpoint.connections.fetch_sub(1, Relaxed);
        self.endpoint.freed.notify_one();
    }
}

/// Waits in the queue for a connection, within the limit of those that may wait.
async fn wait_for_turn(
    worker: &Worker,
    cluster: &Cluster,
    (count, wanted): (&AtomicU32, &Notify),
    turn: impl Future<Output = ()>,
) -> Result<(), ProxyError> {
    let limit = cluster.settings.limits.max_pending;
    let waiting = Waiting { cluster, count };
    count.fetch_add(1, Relaxed);
    wanted.notify_waiters();
    if cluster.pending.fetch_add(1, Relaxed) >= limit {
        drop(waiting);
        worker.process.counters.limit_pending.inc();
        return Err(ProxyError::unprocessed(
            Kind::Overload,
            format!("{limit} requests for {} wait for a connection (maxPending)", cluster.service.service),
        ));
    }
    turn.await;
    Ok(())
}

struct Waiting<'a> {
    cluster: &'a Cluster,
    /// Who waits at the same endpoint or peer.
    count: &'a AtomicU32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.cluster.pending.fetch_sub(1, Relaxed);
        self.count.fetch_sub(1, Relaxed);
    }
}

impl Pools {
    /// Closes what is idle for long or too old, half of what nobody needed since the last time, and the pools of
    /// endpoints that are gone. A request that is under way holds its pool, and gives its connection back to it.
    pub(crate) fn sweep(&self, idle: Duration, now: Instant) {
        self.h1.borrow_mut().retain(|_, pool| pool.sweep(idle, now) || Rc::strong_count(pool) > 1);
        self.h2.borrow_mut().retain(|_, pool| pool.sweep(idle, now) || Rc::strong_count(pool) > 1);
        let shown = &mut *self.shown.borrow_mut();
        shown.h1.retain(|_, pool| pool.sweep(idle, now) || Rc::strong_count(pool) > 1);
        shown.h2.retain(|_, pool| pool.sweep(idle, now) || Rc::strong_count(pool) > 1);
    }
}

/// Sweeps a worker's pools, every five seconds. Ends with the worker.
pub async fn sweep(worker: Weak<Worker>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(worker) = worker.upgrade() else { return };
        let (mut idle, now) = (worker.config().settings.upstream_idle_timeout, Instant::now());
        if worker.process.overload.little().is_some() {
            idle = idle.min(IDLE_WITH_LITTLE);
        }
        worker.pools.sweep(idle, now);
    }
}
