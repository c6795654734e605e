//! The road of a change: store watch → compile → publish → statuses back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use byrnie_api::kinds::Mesh;
use byrnie_api::{Kind, Object, ObjectKey, Typed};
use byrnie_mesh::{Change, Output};
use byrnie_plan::Key;
use byrnie_store::{Event, StoreError, Version, Watch};
use jiff::Timestamp;

use crate::addresses::Addresses;
use crate::hold::Hold;
use crate::state::Control;
use crate::{storage, table};

/// Events compiled together. They are there already: nothing waits for more to come.
const BATCH: usize = 1_000;
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the store. `known` is what was compiled already.
pub struct Follower {
    known: HashSet<ObjectKey>,
    watch: Watch,
    /// Only where proxies capture traffic.
    addresses: Option<Addresses>,
    /// What a list lacked and is kept for now; also in `known`.
    hold: Hold,
}

impl Follower {
    /// Compiles what is in the store and begins to watch.
    pub async fn start(control: &Control, transparent: bool) -> Result<Self, StoreError> {
        let (objects, version) = storage::load(&*control.store).await?;
        let known: HashSet<ObjectKey> = objects.keys().cloned().collect();
        let mut addresses = match transparent {
            true => Some(Addresses::load(&*control.store, &objects).await?),
            false => None,
        };
        let mut changes: Vec<Change> = objects.into_values().map(Change::Applied).collect();
        assign(control, &mut addresses, &mut changes).await;
        compile(control, &changes);
        let watch = control.store.watch(&[], Some(version.clone())).await?;
        control.progress.passed(version);
        Ok(Self { known, watch, addresses, hold: Hold::default() })
    }

    /// Follows for ever.
    pub async fn run(mut self, control: &Control) {
        loop {
            self.follow(control).await;
            control.metrics.gaps.inc();
            while let Err(cause) = self.relist(control).await {
                tracing::error!(%cause, "the store cannot be read; what is compiled stays in force");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Takes events as they come, until some are missing.
    async fn follow(&mut self, control: &Control) {
        loop {
            let (mut changes, mut versions) = (Vec::new(), Vec::new());
            let first = self.first(control).await;
            let is_whole = self.next_batch(first, &mut changes, &mut versions).await;
            assign(control, &mut self.addresses, &mut changes).await;
            compile(control, &changes);
            versions.into_iter().for_each(|version| control.progress.passed(version));
            if !is_whole {
                return;
            }
        }
    }

    /// The next event, however long it takes. Meanwhile who waits for a virtual address may get one, and experiments
    /// come to their ends.
    async fn first(&mut self, control: &Control) -> Option<Event> {
        loop {
            let retry = self.addresses.as_ref().and_then(Addresses::next_try);
            let expiry = control.compiler.lock().next_expiry();
            let Some(until) = retry.into_iter().chain(expiry).chain(self.hold.next()).min() else {
                return self.watch.next().await;
            };
            let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
            // The clock may be set, or the machine sleep, in between.
            if let Ok(event) = tokio::time::timeout(wait.min(LOOK_AT_CLOCK), self.watch.next()).await {
                return event;
            }
            expire(control);
            self.end_hold(control, Timestamp::now());
            if let Some(addresses) = self.addresses.as_mut().filter(|_| retry.is_some_and(is_due))
                && let Err(cause) = addresses.try_again(&*control.store).await
            {
                tracing::error!(%cause, "virtual addresses cannot be written");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// All that is there already; a bookmark says that this is all. `false`: events are missing.
    async fn next_batch(
        &mut self,
        first: Option<Event>,
        changes: &mut Vec<Change>,
        versions: &mut Vec<Version>,
    ) -> bool {
        let mut next = first;
        loop {
            match next {
                Some(Event::Applied(stored)) => {
                    versions.push(stored.version.clone());
                    if storage::mesh_key(&stored.key).is_some()
                        && let Some(object) = storage::object(stored)
                    {
                        self.hold.forget(&object.key());
                        self.known.insert(object.key());
                        changes.push(Change::Applied(object));
                    }
                }
                Some(Event::Deleted(key, last)) => {
                    versions.push(last.version);
                    if let Some(key) = storage::mesh_key(&key) {
                        self.hold.forget(&key);
                        self.known.remove(&key);
                        changes.push(Change::Deleted(key));
                    }
                }
                Some(Event::Bookmark(version)) => {
                    versions.push(version);
                    return true;
                }
                Some(Event::Gap) | None => return false,
            }
            if changes.len() >= BATCH {
                return true;
            }
            next = self.watch.next().await;
        }
    }

    /// After a gap: everything anew, and what is no longer there is gone, unless that is hard to believe.
    async fn relist(&mut self, control: &Control) -> Result<(), StoreError> {
        let (objects, version) = storage::load(&*control.store).await?;
        let lacking = self.known.iter().filter(|key| !objects.contains_key(*key)).cloned().collect();
        objects.keys().for_each(|key| self.hold.forget(key));
        let before = self.hold.len();
        let gone = self.hold.sift(lacking, &control.table, Timestamp::now());
        control.metrics.held.add((self.hold.len() - before) as u64);
        for key in &gone {
            self.known.remove(key);
        }
        let mut changes: Vec<Change> = gone.into_iter().map(Change::Deleted).collect();
        self.known.extend(objects.keys().cloned());
        changes.extend(objects.into_values().map(Change::Applied));
        assign(control, &mut self.addresses, &mut changes).await;
        compile(control, &changes);
        self.watch = control.store.watch(&[], Some(version.clone())).await?;
        control.progress.passed_all(version);
        Ok(())
    }

    /// What was kept for long enough is gone.
    fn end_hold(&mut self, control: &Control, now: Timestamp) {
        let due = self.hold.take_due(now);
        for key in &due {
            self.known.remove(key);
        }
        compile(control, &due.into_iter().map(Change::Deleted).collect::<Vec<_>>());
    }
}

/// Gives virtual addresses where some are missing. When the store fails, what has none is compiled without.
async fn assign(control: &Control, addresses: &mut Option<Addresses>, changes: &mut [Change]) {
    if let Some(addresses) = addresses
        && let Err(cause) = addresses.assign(&*control.store, changes).await
    {
        tracing::error!(%cause, "virtual addresses cannot be written");
    }
}

/// Compiles changes and publishes what came of it.
fn compile(control: &Control, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    let started = Instant::now();
    changes.iter().for_each(|change| take_settings(control, change));
    changes.iter().for_each(|change| control.health.follow(change));
    let output = {
        let mut compiler = control.compiler.lock();
        // First, so that what is over already is never put in force.
        let ended = compiler.advance(Timestamp::now());
        (ended, compiler.apply(changes))
    };
    publish(control, output.0);
    publish(control, output.1);
    control.metrics.compiled(changes.len(), started.elapsed());
}

/// Longest wait for a time of the clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(10);

fn is_due(at: Timestamp) -> bool {
    at <= Timestamp::now()
}

/// Ends what has come to its end.
fn expire(control: &Control) {
    let output = control.compiler.lock().advance(Timestamp::now());
    publish(control, output);
}

/// Publishes resources and hands statuses on.
pub fn publish(control: &Control, output: Output) {
    let mut closed = Vec::new();
    {
        let mut identities = control.identities.lock();
        for update in &output.updates {
            if let Key::InboundPolicy(workload) = &update.key
                && identities.set(workload, update.resource.as_ref())
            {
                closed.push(workload.clone());
            }
        }
    }
    let changes = output.updates.into_iter().map(|update| table::Change {
        key: update.key,
        state: update.resource.map(|resource| (byrnie_wire::encode(&resource), resource)),
    });
    control.table.publish(changes.collect());
    // Its certificate says who it was; nobody serves under a name that is another's now.
    closed.iter().for_each(|workload| control.nodes.remove(workload));
    for update in output.statuses {
        control.put_compiled_status(update.key, update.status);
    }
}

/// What the control plane itself takes from the Mesh: how long certificates live.
fn take_settings(control: &Control, change: &Change) {
    match change {
        Change::Applied(object) if object.key() == mesh_key() => {
            control.authority.set_lifetime(mesh_of(object).spec.certificates.lifetime.into());
        }
        Change::Deleted(key) if *key == mesh_key() => {
            control.authority.set_lifetime(Mesh::default().spec.certificates.lifetime.into());
        }
        _ => {}
    }
}

/// The only Mesh that counts.
pub fn mesh_key() -> ObjectKey {
    ObjectKey::new(Kind::Mesh, "", "default")
}

/// The Mesh in an object; the defaults in another one.
pub fn mesh_of(object: &Object) -> Mesh {
    match object.typed() {
        Typed::Mesh(mesh) => mesh.clone(),
        _ => Mesh::default(),
    }
}

/// The Mesh in the store; the defaults without one.
pub async fn stored_mesh(store: &dyn byrnie_store::Store) -> Result<Mesh, StoreError> {
    let stored = store.get(&storage::store_key(&mesh_key())).await?;
    Ok(stored.and_then(storage::object).map_or_else(Mesh::default, |object| mesh_of(&object)))
}

/// Whether nobody can hold a certificate yet: there is no workload and no gateway.
pub async fn is_unused(store: &dyn byrnie_store::Store) -> Result<bool, StoreError> {
    for kind in [Kind::Workload, Kind::Gateway] {
        if !storage::list(store, kind, None).await?.0.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
