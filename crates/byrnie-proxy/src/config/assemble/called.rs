//! Services that the workload has called by their virtual address: subscribed to from the first call on.

use std::collections::BTreeSet;
use std::sync::Arc;

use byrnie_plan::{Key, NAME_SHARDS, ObjectName};

use super::needs;

/// Most services that are subscribed to because they were called. Source: design section 6.
const LIMIT: usize = 1_000;

/// What was called.
#[derive(Default)]
pub(super) struct Called {
    /// Whether traffic is captured at all.
    pub(super) captures: bool,
    services: BTreeSet<ObjectName>,
}

impl Called {
    /// True: it is new.
    pub(super) fn add(&mut self, service: ObjectName) -> bool {
        self.captures && self.services.insert(service)
    }

    /// True: it was there.
    pub(super) fn remove(&mut self, service: &ObjectName) -> bool {
        self.services.remove(service)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &ObjectName> {
        self.services.iter()
    }

    /// Those beyond the limit: the ones with the smallest `used`.
    pub(super) fn oldest(&self, used: impl Fn(&ObjectName) -> u64) -> Vec<ObjectName> {
        let too_many = self.services.len().saturating_sub(LIMIT);
        if too_many == 0 {
            return Vec::new();
        }
        let mut by_age: Vec<_> = self.services.iter().map(|service| (used(service), service)).collect();
        by_age.sort();
        by_age.into_iter().take(too_many).map(|(_, service)| service.clone()).collect()
    }

    /// What must be subscribed to for it.
    pub(super) fn keys(&self, own_namespace: &Arc<str>) -> Vec<Key> {
        let mut keys = Vec::new();
        if self.captures {
            keys.extend((0..NAME_SHARDS).map(Key::Names));
        }
        self.services.iter().for_each(|service| needs::push_called(&mut keys, service, own_namespace));
        keys
    }

    /// Whether a destination may come into being because something is known of this key.
    pub(super) fn involves(&self, key: &Key) -> bool {
        match key {
            Key::Service(service) | Key::Endpoints(service) | Key::Routes { service, .. } => {
                self.services.contains(service)
            }
            Key::Names(_) => self.captures,
            _ => false,
        }
    }
}
