//! Virtual addresses of Services: given once, kept in the store, published after they are on the disk.
//!
//! Before a batch of changes is compiled, Services without addresses get some: they are written into the Services'
//! statuses (with an owner of their own), and what is compiled is what the store then holds. So `apply` answers when
//! the addresses are there, and no proxy ever hears of one that a crash could take back. Addresses of deleted Services
//! rest for a while, in a record of their own, so that nobody who still knows one reaches somebody else by it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use byrnie_api::kinds::{self, VirtualRange};
use byrnie_api::{Kind, Object, ObjectKey, Typed};
use byrnie_mesh::Change;
use byrnie_plan::ObjectName;
use byrnie_store::{Batch, Outcome, Precondition, Store, StoreError, StoredObject, Write};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::compile_loop::{mesh_key, mesh_of};
use crate::status::fill_times;
use crate::storage::{self, store_key};

mod pool;

use pool::{Pool, Resting};

/// Whose part of a Service's status the addresses are.
const OWNER: &str = "byrnie.dev/addresses";
/// Statuses written in one transaction.
const BATCH: usize = 1_000;

/// Gives addresses, and knows who waits for one.
#[derive(Debug, Default)]
pub struct Addresses {
    pool: Pool,
    /// Services that there was none for.
    waiting: BTreeSet<ObjectName>,
}

/// The record of addresses that rest: a kind that only this module knows.
fn record_key() -> byrnie_store::ObjectKey {
    byrnie_store::ObjectKey::new("VirtualAddressRest", "", "default")
}

/// What one batch comes to.
#[derive(Default)]
struct Work {
    statuses: BTreeMap<ObjectName, Value>,
    /// What rests is other than before.
    rests: bool,
}

impl Addresses {
    /// Who has what, as the store says.
    pub async fn load(
        store: &dyn Store,
        objects: &std::collections::HashMap<ObjectKey, Object>,
    ) -> Result<Self, StoreError> {
        let mesh = objects.get(&mesh_key()).map(mesh_of).unwrap_or_default();
        let mut addresses = Self { pool: Pool::new(range_of(&mesh)), waiting: BTreeSet::new() };
        // In the order of names: of two that claim one address, the same one keeps it in every life.
        let services: BTreeMap<ObjectName, &kinds::Service> = objects.values().filter_map(service).collect();
        for (name, service) in services {
            addresses.pool.keep(&name, &held(service));
        }
        let record = store.get(&record_key()).await?;
        let resting = record.map(|record| read_record(&record, addresses.pool.range())).unwrap_or_default();
        for (number, resting) in resting {
            addresses.pool.rest(number, resting);
        }
        Ok(addresses)
    }

    /// Gives addresses to the Services among these changes that have none; the changes then hold what the store holds.
    pub async fn assign(&mut self, store: &dyn Store, changes: &mut [Change]) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let mut work = Work::default();
        let mut freed = false;
        for change in changes.iter() {
            match change {
                Change::Applied(object) => {
                    if object.key() == mesh_key() {
                        self.range_is(range_of(&mesh_of(object)), store, now, &mut work).await?;
                    } else if let Some((name, service)) = service(object) {
                        self.look_at(name, service, now, &mut work);
                    }
                }
                Change::Deleted(key) if *key == mesh_key() => {
                    self.range_is(VirtualRange::default(), store, now, &mut work).await?;
                }
                Change::Deleted(key) if key.kind == Kind::Service => {
                    let name = ObjectName::new(&key.namespace, &key.name);
                    work.statuses.remove(&name);
                    self.waiting.remove(&name);
                    freed |= self.pool.release(&name, now);
                }
                Change::Deleted(_) => {}
            }
        }
        work.rests |= freed;
        self.write(store, work, changes).await
    }

    /// When somebody who waits may get an address by time alone.
    pub fn next_try(&self) -> Option<Timestamp> {
        self.pool.next_free().filter(|_| !self.waiting.is_empty())
    }

    /// Gives what has become free to those who wait. What comes of it arrives by the store's watch.
    pub async fn try_again(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let mut work = Work { rests: true, ..Work::default() };
        for name in std::mem::take(&mut self.waiting) {
            self.give(name, now, &mut work);
        }
        self.write(store, work, &mut []).await
    }

    fn look_at(&mut self, name: ObjectName, service: &kinds::Service, now: Timestamp, work: &mut Work) {
        let held = held(service);
        if service.spec.type_ == Some(kinds::ServiceType::ExternalName) {
            self.waiting.remove(&name);
            work.rests |= self.pool.release(&name, now);
            if !held.is_empty() || is_refused(service) {
                work.statuses.insert(name, Value::Null);
            }
            return;
        }
        // A new object of a name whose old one had an address: the address is still its own.
        if self.pool.of(&name).is_some_and(|own| own == held) || self.pool.keep(&name, &held) {
            self.waiting.remove(&name);
            return;
        }
        match self.pool.take(&name, now) {
            Some(addresses) => {
                self.waiting.remove(&name);
                work.statuses.insert(name, given(&addresses));
            }
            None => {
                self.waiting.insert(name.clone());
                if !is_refused(service) {
                    work.statuses.insert(name, refused(self.pool.range()));
                }
            }
        }
    }

    fn give(&mut self, name: ObjectName, now: Timestamp, work: &mut Work) {
        match self.pool.take(&name, now) {
            Some(addresses) => drop(work.statuses.insert(name, given(&addresses))),
            None => drop(self.waiting.insert(name)),
        }
    }

    /// Another range: everybody outside of it gets another address.
    async fn range_is(
        &mut self,
        range: VirtualRange,
        store: &dyn Store,
        now: Timestamp,
        work: &mut Work,
    ) -> Result<(), StoreError> {
        if range == *self.pool.range() {
            return Ok(());
        }
        self.pool = Pool::new(range);
        self.waiting.clear();
        work.rests = true;
        let (items, _) = storage::list(store, Kind::Service, None).await?;
        let objects: Vec<Object> = items.into_iter().filter_map(storage::object).collect();
        let services: Vec<_> = objects.iter().filter_map(service).collect();
        for (name, service) in &services {
            self.pool.keep(name, &held(service));
        }
        for (name, service) in services {
            self.look_at(name, service, now, work);
        }
        Ok(())
    }

    async fn write(&self, store: &dyn Store, work: Work, changes: &mut [Change]) -> Result<(), StoreError> {
        let mut writes = Vec::with_capacity(work.statuses.len() + 1);
        for (name, mut status) in work.statuses {
            let key = store_key(&ObjectKey::new(Kind::Service, name.namespace.as_str(), name.name.as_str()));
            if status.get("conditions").is_some() {
                status = fill_times(status, None);
            }
            let owner = OWNER.to_owned();
            writes.push(Write::Status { key, owner, status, precondition: Precondition::Exists });
        }
        if work.rests {
            let value = record(&self.pool);
            writes.push(Write::Put { key: record_key(), value, precondition: Precondition::None });
        }
        for batch in writes.chunks(BATCH) {
            for stored in write_all(store, batch).await? {
                let Some(object) = storage::mesh_key(&stored.key).and_then(|_| storage::object(stored))
                else {
                    continue;
                };
                let key = object.key();
                let is_it = |change: &&mut Change| matches!(change, Change::Applied(old) if old.key() == key);
                changes.iter_mut().filter(is_it).for_each(|change| *change = Change::Applied(object.clone()));
            }
        }
        Ok(())
    }
}

/// All at once; one by one where an object has gone meanwhile.
async fn write_all(store: &dyn Store, writes: &[Write]) -> Result<Vec<StoredObject>, StoreError> {
    let stored = |outcomes: Vec<Outcome>| outcomes.iter().filter_map(|o| o.object().cloned()).collect();
    match store.write(Batch { writes: writes.to_vec(), fence: None }).await {
        Err(StoreError::NotFound(_)) => {}
        outcomes => return outcomes.map(stored),
    }
    let mut outcomes = Vec::new();
    for write in writes {
        match store.write_one(write.clone()).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(StoreError::NotFound(_)) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(stored(outcomes))
}

fn range_of(mesh: &kinds::Mesh) -> VirtualRange {
    // It was checked when it was applied.
    mesh.spec.virtual_addresses.range().unwrap_or_default()
}

fn service(object: &Object) -> Option<(ObjectName, &kinds::Service)> {
    let key = object.key();
    match object.typed() {
        Typed::Service(service) => Some((ObjectName::new(key.namespace, key.name), service)),
        _ => None,
    }
}

fn held(service: &kinds::Service) -> Vec<IpAddr> {
    service.status.as_ref().map(|status| status.virtual_addresses.clone()).unwrap_or_default()
}

fn is_refused(service: &kinds::Service) -> bool {
    service
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == "Addressed")
}

fn given(addresses: &[IpAddr]) -> Value {
    json!({ "virtualAddresses": addresses })
}

fn refused(range: &VirtualRange) -> Value {
    let message = format!("all {} virtual addresses are taken or rest", range.len());
    json!({ "conditions": [{ "type": "Addressed", "status": "False", "reason": "Exhausted", "message": message }] })
}

fn record(pool: &Pool) -> Value {
    let resting: serde_json::Map<String, Value> = pool
        .resting()
        .filter_map(|(number, resting)| {
            let address = pool.range().addresses(number).first()?.to_string();
            let of = resting.service.to_string();
            Some((address, json!({ "service": of, "until": resting.until.to_string() })))
        })
        .collect();
    json!({ "apiVersion": "internal.byrnie.dev/v1", "kind": "VirtualAddressRest",
        "metadata": { "name": "default" }, "spec": { "resting": resting } })
}

fn read_record(record: &StoredObject, range: &VirtualRange) -> Vec<(u32, Resting)> {
    let resting = record.value["spec"]["resting"].as_object();
    let entry = |(address, entry): (&String, &Value)| {
        let address: IpAddr = address.parse().ok()?;
        let number = range.number_of_v4(address)?;
        let service = entry["service"].as_str()?.parse().ok()?;
        let until = entry["until"].as_str()?.parse().ok()?;
        Some((number, Resting { service, until }))
    };
    resting.into_iter().flatten().filter_map(entry).collect()
}
