//! The proxies: who is connected, what each subscribed to, and how far it obeys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use byrnie_plan::{Key, ObjectName, WorkloadIdentity};
use byrnie_wire::report::PoolState;
use byrnie_wire::{NodeInfo, NodeStatus};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::api::{PoolTotals, ProxyItem, SyncState};
use crate::table::{Mailbox, Table};

/// All proxies that were seen since the start, one for each workload: a newer stream replaces an older one.
#[derive(Debug, Default)]
pub struct Nodes {
    next_id: AtomicU64,
    by_workload: Mutex<BTreeMap<ObjectName, Arc<Node>>>,
    /// Somebody connected.
    arrivals: Notify,
}

/// One proxy's stream.
#[derive(Debug)]
pub struct Node {
    /// What it said about itself, proven by `identity`.
    pub info: NodeInfo,
    /// What its certificate says.
    pub identity: WorkloadIdentity,
    /// What it has not been told yet.
    pub mailbox: Arc<Mailbox>,
    /// Ends the stream: a newer one came, or its workload went.
    pub close: CancellationToken,
    state: Mutex<State>,
    /// Something was acknowledged or refused, or the stream ended.
    settled: Notify,
}

#[derive(Debug)]
struct State {
    connected: bool,
    since: Timestamp,
    status: Option<NodeStatus>,
    pools: Vec<PoolState>,
    keys: HashMap<Key, Progress>,
}

/// How far a proxy is with one key.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// The number of the newest state that it answered.
    settled: Option<u64>,
    /// Its answer was no, and it keeps what it had.
    rejected: Option<Rejected>,
}

/// Why a proxy refused a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// `BYR0350` and the like.
    pub code: String,
    /// The proxy's own words.
    pub reason: String,
}

impl Nodes {
    /// A new stream; one of the same workload that is still open is closed. `None`: that one is of a newer process, as
    /// while a proxy is replaced by another.
    pub fn connect(&self, info: NodeInfo, identity: WorkloadIdentity) -> Option<Arc<Node>> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (status, pools, keys) = (None, Vec::new(), HashMap::new());
        let state = State { connected: true, since: Timestamp::now(), status, pools, keys };
        let name = info.workload.clone();
        let node = Arc::new(Node {
            info,
            identity,
            mailbox: Mailbox::new(id),
            close: CancellationToken::new(),
            state: Mutex::new(state),
            settled: Notify::new(),
        });
        let mut by_workload = self.by_workload.lock();
        if by_workload.get(&name).is_some_and(|old| old.is_connected() && old.is_newer_than(&node.info)) {
            return None;
        }
        let old = by_workload.insert(name, Arc::clone(&node));
        drop(by_workload);
        if let Some(old) = old {
            old.close.cancel();
        }
        self.arrivals.notify_waiters();
        Some(node)
    }

    /// Every proxy, ordered by namespace and name.
    pub fn all(&self) -> Vec<Arc<Node>> {
        self.by_workload.lock().values().cloned().collect()
    }

    /// The proxy of a workload.
    pub fn get(&self, workload: &ObjectName) -> Option<Arc<Node>> {
        self.by_workload.lock().get(workload).cloned()
    }

    /// Closes the stream of a workload that no longer exists and forgets it.
    pub fn remove(&self, workload: &ObjectName) {
        let gone = self.by_workload.lock().remove(workload);
        if let Some(node) = gone {
            node.close.cancel();
        }
    }

    /// Number of open streams.
    pub fn connected(&self) -> usize {
        self.all().iter().filter(|node| node.is_connected()).count()
    }

    /// Waits until a workload's proxy is connected; may be cancelled.
    pub async fn arrival(&self, workload: &ObjectName) -> Arc<Node> {
        loop {
            let next = self.arrivals.notified();
            tokio::pin!(next);
            // Registered before the look, so that an arrival between the two is not missed.
            next.as_mut().enable();
            if let Some(node) = self.get(workload).filter(|node| node.is_connected()) {
                return node;
            }
            next.await;
        }
    }
}

impl Node {
    /// Whether the stream is open.
    pub fn is_connected(&self) -> bool {
        self.state.lock().connected
    }

    /// Whether this is a newer process of the same proxy. Those of another run of the supervisor cannot be compared.
    fn is_newer_than(&self, other: &NodeInfo) -> bool {
        self.info.run == other.run && self.info.generation > other.generation
    }

    /// Whether its stream ended within this time.
    pub fn left_within(&self, time: std::time::Duration) -> bool {
        let state = self.state.lock();
        let since = Timestamp::now().duration_since(state.since).unsigned_abs();
        !state.connected && since < time
    }

    /// The stream ended. What it said last stays for the operator to see.
    pub fn disconnect(&self, table: &Table) {
        let keys: Vec<Key> = {
            let mut state = self.state.lock();
            state.connected = false;
            state.since = Timestamp::now();
            state.keys.keys().cloned().collect()
        };
        table.unsubscribe(&keys, &self.mailbox);
        self.settled.notify_waiters();
    }

    /// Keeps what the proxy says about itself. Answers whether it differs from before.
    pub fn set_status(&self, status: NodeStatus) -> bool {
        let mut state = self.state.lock();
        let differs = state.status.as_ref() != Some(&status);
        state.status = Some(status);
        differs
    }

    /// What the proxy said last about itself.
    pub fn status(&self) -> Option<NodeStatus> {
        self.state.lock().status.clone()
    }

    /// Keeps what it said last about its connections: instead of what was there or, where one report came in parts,
    /// with that.
    pub fn set_pools(&self, is_first: bool, pools: Vec<PoolState>) {
        let mut state = self.state.lock();
        if is_first {
            state.pools.clear();
        }
        state.pools.extend(pools);
    }

    /// The proxy wants to hear of a key.
    pub fn subscribed(&self, key: Key) {
        self.state.lock().keys.insert(key, Progress::default());
    }

    /// It does not any more. Answers whether a refusal went with it.
    pub fn unsubscribed(&self, key: &Key) -> bool {
        let gone = self.state.lock().keys.remove(key);
        self.settled.notify_waiters();
        gone.is_some_and(|progress| progress.rejected.is_some())
    }

    /// It obeys the state of this number, or refuses it. Answers whether a refusal came, changed or went.
    pub fn answered(&self, key: &Key, seq: u64, rejected: Option<Rejected>) -> bool {
        let mut state = self.state.lock();
        let Some(progress) = state.keys.get_mut(key) else { return false };
        let differs = progress.rejected != rejected;
        progress.settled = Some(seq);
        progress.rejected = rejected;
        drop(state);
        self.settled.notify_waiters();
        differs
    }

    /// Why it refuses the state of a key, if it does.
    pub fn rejection(&self, key: &Key) -> Option<Rejected> {
        self.state.lock().keys.get(key)?.rejected.clone()
    }

    /// The keys whose present state it has not answered, with the numbers of these states. A state that is newer
    /// than `upto` does not count, but on a key that it has not answered at all.
    pub fn unsettled(&self, table: &Table, upto: u64) -> Vec<(Key, u64)> {
        let state = self.state.lock();
        if !state.connected {
            return Vec::new();
        }
        let keys = state.keys.iter().map(|(key, progress)| (key, progress.settled, table.see(key).seq));
        keys.filter(|(_, settled, seq)| settled.is_none_or(|settled| settled < *seq && *seq <= upto))
            .map(|(key, _, seq)| (key.clone(), seq))
            .collect()
    }

    /// What it refused and still refuses, ordered by key.
    pub fn rejections(&self) -> Vec<(Key, Rejected)> {
        let state = self.state.lock();
        let mut rejected: Vec<_> = state
            .keys
            .iter()
            .filter_map(|(key, progress)| Some((key.clone(), progress.rejected.clone()?)))
            .collect();
        rejected.sort_by(|a, b| a.0.cmp(&b.0));
        rejected
    }

    /// Waits until it answered these states or newer ones, dropped the keys, or went. May be cancelled.
    pub async fn until_settled(&self, wanted: &[(Key, u64)]) {
        loop {
            let next = self.settled.notified();
            tokio::pin!(next);
            next.as_mut().enable();
            if self.has_settled(wanted) {
                return;
            }
            next.await;
        }
    }

    fn has_settled(&self, wanted: &[(Key, u64)]) -> bool {
        let state = self.state.lock();
        let is_pending = |(key, seq): &(Key, u64)| {
            state.keys.get(key).is_some_and(|progress| progress.settled.is_none_or(|settled| settled < *seq))
        };
        !state.connected || !wanted.iter().any(is_pending)
    }

    /// As the operator sees it.
    pub fn item(&self, table: &Table) -> ProxyItem {
        let stale = self.unsettled(table, u64::MAX).len();
        let rejections = self.rejections();
        let state = self.state.lock();
        let status = state.status.as_ref();
        let address = |a: Option<std::net::SocketAddr>| a.map(|a| a.to_string()).unwrap_or_default();
        let sync = match () {
            () if !rejections.is_empty() => SyncState::Rejected,
            () if !state.connected || stale > 0 => SyncState::Stale,
            () => SyncState::Synced,
        };
        ProxyItem {
            namespace: self.info.workload.namespace.clone(),
            workload: self.info.workload.name.clone(),
            pid: status.map_or(self.info.pid, |s| s.pid),
            admin: address(status.and_then(|s| s.admin)),
            sync,
            not_after: status.and_then(|s| s.not_after).map(timestamp).unwrap_or_default(),
            role: role_name(self.info.role).to_owned(),
            version: self.info.version.clone(),
            identity: self.identity.to_string(),
            mesh: address(status.and_then(|s| s.mesh)),
            address: status.and_then(|s| s.address).map(|address| address.to_string()),
            rules_restored: status.map_or(0, |s| s.rules_restored),
            connected: state.connected,
            since: state.since.to_string(),
            subscribed: state.keys.len(),
            stale,
            pools: totals(if state.connected { &state.pools } else { &[] }),
            rejected: rejections.iter().map(|(k, r)| format!("{k}: {} {}", r.code, r.reason)).collect(),
            upstreams: status.map(|s| s.upstreams.iter().map(upstream).collect()).unwrap_or_default(),
        }
    }
}

/// `sidecar` or `gateway`.
pub fn role_name(role: byrnie_wire::Role) -> &'static str {
    match role {
        byrnie_wire::Role::Sidecar => "sidecar",
        byrnie_wire::Role::Gateway => "gateway",
    }
}

fn totals(pools: &[PoolState]) -> PoolTotals {
    let sum = |of: fn(&PoolState) -> u32| pools.iter().map(|pool| u64::from(of(pool))).sum();
    // Who waits, waits for a Service: each of its endpoints has the same number.
    let waiting: BTreeMap<_, _> =
        pools.iter().map(|pool| ((&pool.service, pool.port), u64::from(pool.pending))).collect();
    PoolTotals {
        connections: sum(|pool| pool.connections),
        in_flight: sum(|pool| pool.in_flight),
        pending: waiting.values().sum(),
        ejected: pools.iter().filter(|pool| pool.ejected).map(|pool| pool.workload.to_string()).collect(),
    }
}

fn upstream(upstream: &byrnie_wire::UpstreamAddress) -> String {
    format!("{}:{}={}", upstream.service, upstream.port, upstream.address)
}

/// Seconds since 1970 as RFC 3339; empty when no calendar has them.
pub fn timestamp(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default()
}
