//! What is compiled now, encoded once for all subscribers, and who wants to hear of changes.
//!
//! Each published state of a key has a number (`seq`) that only grows; "this proxy obeys what was compiled when the
//! question came" is a comparison of numbers. A subscriber's mailbox holds keys, not states: a slow one finds the
//! latest state when it looks, and holds up nobody.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use byrnie_plan::{Key, Resource};
use byrnie_wire::Encoded;
use byrnie_wire::report::TapRequest;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The state of one key.
#[derive(Debug)]
pub struct Published {
    /// When it was published, as a number that only grows.
    pub seq: u64,
    /// The encoding and its hash.
    pub encoded: Encoded,
    /// What is encoded.
    pub resource: Resource,
}

/// What a subscriber sees under a key.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number of this state; 0 for a key that never held anything.
    pub seq: u64,
    /// `None`: there is nothing under the key.
    pub published: Option<Arc<Published>>,
}

/// All published states. Locked for lookups and set updates only, never across an await.
#[derive(Debug, Default)]
pub struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seq: u64,
    entries: HashMap<Key, Arc<Published>>,
    subscribers: HashMap<Key, Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    /// When the key lost its state; meaningless while it has one.
    absent_since: u64,
    mailboxes: HashMap<u64, Arc<Mailbox>>,
}

/// One key's new state: `None` removes it.
pub struct Change {
    /// The key.
    pub key: Key,
    /// Its encoding and content.
    pub state: Option<(Encoded, Resource)>,
}

impl Table {
    /// Publishes states and tells the subscribers of what differs. Answers how many keys differ.
    pub fn publish(&self, changes: Vec<Change>) -> usize {
        let mut inner = self.inner.lock();
        changes.into_iter().map(|change| usize::from(inner.publish(change))).sum()
    }

    /// The number of the newest state.
    pub fn seq(&self) -> u64 {
        self.inner.lock().seq
    }

    /// What stands under a key.
    pub fn get(&self, key: &Key) -> Option<Arc<Published>> {
        self.inner.lock().entries.get(key).cloned()
    }

    /// What a subscriber of this key should know.
    pub fn see(&self, key: &Key) -> Seen {
        self.inner.lock().see(key)
    }

    /// Every state, in no order.
    pub fn all(&self) -> Vec<Arc<Published>> {
        self.inner.lock().entries.values().cloned().collect()
    }

    /// Registers a mailbox and answers the key's state at this moment: nothing falls between.
    pub fn subscribe(&self, key: &Key, mailbox: &Arc<Mailbox>) -> Seen {
        let mut inner = self.inner.lock();
        let seen = inner.see(key);
        inner.subscribers.entry(key.clone()).or_default().mailboxes.insert(mailbox.id, Arc::clone(mailbox));
        seen
    }

    /// Forgets a mailbox of these keys.
    pub fn unsubscribe<'a>(&self, keys: impl IntoIterator<Item = &'a Key>, mailbox: &Mailbox) {
        let mut inner = self.inner.lock();
        for key in keys {
            if let Some(subscribers) = inner.subscribers.get_mut(key) {
                subscribers.mailboxes.remove(&mailbox.id);
                if subscribers.mailboxes.is_empty() {
                    inner.subscribers.remove(key);
                }
            }
        }
        drop(inner);
        mailbox.dirty.lock().clear();
    }

    /// Number of keys that hold something, and of subscriptions.
    pub fn size(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.entries.len(), inner.subscribers.values().map(|s| s.mailboxes.len()).sum())
    }
}

impl Inner {
    fn see(&self, key: &Key) -> Seen {
        match self.entries.get(key) {
            Some(published) => Seen { seq: published.seq, published: Some(Arc::clone(published)) },
            None => {
                let seq = self.subscribers.get(key).map_or(0, |s| s.absent_since);
                Seen { seq, published: None }
            }
        }
    }

    fn publish(&mut self, change: Change) -> bool {
        let seq = self.seq + 1;
        let old = self.entries.get(&change.key);
        match change.state {
            Some((encoded, _)) if old.is_some_and(|old| old.encoded.version == encoded.version) => {
                return false;
            }
            None if old.is_none() => return false,
            Some((encoded, resource)) => {
                self.entries.insert(change.key.clone(), Arc::new(Published { seq, encoded, resource }));
            }
            None => {
                self.entries.remove(&change.key);
            }
        }
        self.seq = seq;
        if let Some(subscribers) = self.subscribers.get_mut(&change.key) {
            subscribers.absent_since = seq;
            for mailbox in subscribers.mailboxes.values() {
                mailbox.put(change.key.clone());
            }
        }
        true
    }
}

/// Which of its keys a subscriber has not looked at since they changed. Never longer than its subscriptions.
#[derive(Debug)]
pub struct Mailbox {
    id: u64,
    dirty: Mutex<BTreeSet<Key>>,
    orders: Mutex<VecDeque<ProxyOrder>>,
    notify: Notify,
}

/// What a subscriber is told beside resources. There are few taps and questions, so few of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyOrder {
    /// Show requests.
    Start(Box<TapRequest>),
    /// Stop showing them.
    Stop(u64),
    /// A question about the proxy itself, with its id.
    Ask(u64, String),
}

impl Mailbox {
    /// An empty one. `id` is unique among all that live.
    pub fn new(id: u64) -> Arc<Self> {
        Arc::new(Self { id, dirty: Mutex::default(), orders: Mutex::default(), notify: Notify::new() })
    }

    /// Adds an order.
    pub fn order(&self, order: ProxyOrder) {
        self.orders.lock().push_back(order);
        self.notify.notify_one();
    }

    /// Takes the next order.
    pub fn take_order(&self) -> Option<ProxyOrder> {
        self.orders.lock().pop_front()
    }

    /// Marks a key.
    pub fn put(&self, key: Key) {
        self.dirty.lock().insert(key);
        self.notify.notify_one();
    }

    /// Waits until something is in it; may be cancelled. There is one waiter at most.
    pub async fn changed(&self) {
        while self.dirty.lock().is_empty() && self.orders.lock().is_empty() {
            self.notify.notified().await;
        }
    }

    /// Takes up to `limit` marked keys.
    pub fn take(&self, limit: usize) -> Vec<Key> {
        let mut dirty = self.dirty.lock();
        let mut keys = Vec::with_capacity(limit.min(dirty.len()));
        while keys.len() < limit {
            let Some(key) = dirty.pop_first() else { break };
            keys.push(key);
        }
        keys
    }
}

#[cfg(test)]
mod tests;
