//! The road of a change: store watch → compile → publish → statuses back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use byrnie_api::kinds::Mesh;
use byrnie_api::{Kind, Object, ObjectKey, Typed};
use byrnie_mesh::{Change, Output};
use byrnie_plan::Key;
use byrnie_store::{Event, StoreError, Version, Watch};

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
}

impl Follower {
    /// Compiles what is in the store and begins to watch.
    pub async fn start(control: &Control) -> Result<Self, StoreError> {
        let (objects, version) = storage::load(&*control.store).await?;
        let known: HashSet<ObjectKey> = objects.keys().cloned().collect();
        let changes: Vec<Change> = objects.into_values().map(Change::Applied).collect();
        compile(control, &changes);
        let watch = control.store.watch(&[], Some(version.clone())).await?;
        control.progress.passed(version);
        Ok(Self { known, watch })
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
            let is_whole = self.next_batch(&mut changes, &mut versions).await;
            compile(control, &changes);
            versions.into_iter().for_each(|version| control.progress.passed(version));
            if !is_whole {
                return;
            }
        }
    }

    /// All that is there already; a bookmark says that this is all. `false`: events are missing.
    async fn next_batch(&mut self, changes: &mut Vec<Change>, versions: &mut Vec<Version>) -> bool {
        while changes.len() < BATCH {
            match self.watch.next().await {
                Some(Event::Applied(stored)) => {
                    versions.push(stored.version.clone());
                    if let Some(object) = storage::object(stored) {
                        self.known.insert(object.key());
                        changes.push(Change::Applied(object));
                    }
                }
                Some(Event::Deleted(key, last)) => {
                    versions.push(last.version);
                    if let Some(key) = storage::mesh_key(&key) {
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
        }
        true
    }

    /// After a gap: everything anew, and what is no longer there is gone.
    async fn relist(&mut self, control: &Control) -> Result<(), StoreError> {
        let (objects, version) = storage::load(&*control.store).await?;
        let gone = self.known.iter().filter(|key| !objects.contains_key(*key)).cloned();
        let mut changes: Vec<Change> = gone.map(Change::Deleted).collect();
        self.known = objects.keys().cloned().collect();
        changes.extend(objects.into_values().map(Change::Applied));
        compile(control, &changes);
        self.watch = control.store.watch(&[], Some(version.clone())).await?;
        control.progress.passed_all(version);
        Ok(())
    }
}

/// Compiles changes and publishes what came of it.
fn compile(control: &Control, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    let started = Instant::now();
    changes.iter().for_each(|change| take_settings(control, change));
    let output = control.compiler.lock().apply(changes);
    publish(control, output);
    control.metrics.compiled(changes.len(), started.elapsed());
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
