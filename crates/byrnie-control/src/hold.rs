//! What a full list lacks is not always gone. A delete event is obeyed at once, down to no endpoint at all; but when
//! the watch was lost, and the list that replaces it would take more than half of a Service's endpoints, then these are
//! kept for a minute: traffic goes on meanwhile, and somebody is told.
//!
//! Must never know: stores, clocks. The caller says what time it is.

use std::collections::{BTreeSet, HashMap, HashSet};

use byrnie_api::{Kind, ObjectKey};
use byrnie_plan::{Endpoints, ObjectName, Resource};
use jiff::{SignedDuration, Timestamp};

use crate::table::Table;

/// How long they are kept.
pub const HOLD: SignedDuration = SignedDuration::from_secs(60);

/// What is kept, and until when.
#[derive(Debug, Default)]
pub struct Hold(HashMap<ObjectKey, Timestamp>);

impl Hold {
    /// Of what a full list lacks, what is gone indeed. The rest is kept.
    pub fn sift(&mut self, gone: Vec<ObjectKey>, table: &Table, now: Timestamp) -> Vec<ObjectKey> {
        let suspicious = suspicious(&gone, table);
        let is_kept = |key: &ObjectKey| self.0.contains_key(key) || suspicious.contains(key);
        let (kept, gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(is_kept);
        for key in kept {
            let until = now.checked_add(HOLD).unwrap_or(Timestamp::MAX);
            let until = *self.0.entry(key.clone()).or_insert(until);
            tracing::error!(
                code = "BYR0468", %key, %until,
                "a list of the store lacks what was there, and with it more than half of a Service's endpoints; kept for now"
            );
        }
        gone
    }

    /// It is there after all, or a delete event says that it is not.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.0.remove(key);
    }

    /// When the next of them is gone for good.
    pub fn next(&self) -> Option<Timestamp> {
        self.0.values().min().copied()
    }

    /// Those whose time has come.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<ObjectKey> {
        let due: Vec<ObjectKey> =
            self.0.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        due.iter().for_each(|key| self.forget(key));
        due
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The Workloads without which a Service would lose more than half of its endpoints, and the Services that have any.
fn suspicious(gone: &[ObjectKey], table: &Table) -> HashSet<ObjectKey> {
    let mut suspicious = HashSet::new();
    if gone.is_empty() {
        return suspicious;
    }
    let gone: HashSet<&ObjectKey> = gone.iter().collect();
    let key = |kind, name: &ObjectName| ObjectKey::new(kind, name.namespace.as_str(), name.name.as_str());
    for published in table.all() {
        let Resource::Endpoints(endpoints) = &published.resource else { continue };
        let workloads = workloads(endpoints);
        let lost: Vec<ObjectKey> =
            workloads.iter().map(|name| key(Kind::Workload, name)).filter(|key| gone.contains(key)).collect();
        if lost.len() * 2 > workloads.len() {
            suspicious.extend(lost);
        }
        let service = key(Kind::Service, &endpoints.service);
        if !workloads.is_empty() && gone.contains(&service) {
            suspicious.insert(service);
        }
    }
    suspicious
}

fn workloads(endpoints: &Endpoints) -> BTreeSet<&ObjectName> {
    endpoints.ports.iter().flat_map(|port| &port.endpoints).map(|endpoint| &endpoint.workload).collect()
}
