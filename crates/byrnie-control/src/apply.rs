//! `apply`: objects in, all or nothing.
//!
//! An object that a source (a file's path) created says so in an annotation; `prune` removes those of the source that
//! it no longer names, and nothing else. Namespaces come into being with their first object and belong to no source.

use std::collections::{BTreeMap, BTreeSet};

use byrnie_api::{Finding, KINDS, Kind, Object, ObjectKey, Severity, codes, read_value};
use byrnie_store::{Batch, MAX_BATCH, Outcome, Precondition, Store, StoreError, StoredObject, Write};
use serde_json::{Map, Value, json};

use crate::api::{ApplyAction, ApplyRequest, ApplyResponse, ApplyResult, ErrorBody, FindingItem};
use crate::compile_loop::{is_unused, mesh_key, mesh_of};
use crate::error;
use crate::state::{Control, finding_item};
use crate::storage::{self, store_key};

/// Names the source that created an object.
pub const SOURCE_ANNOTATION: &str = "byrnie.dev/applied-from";
/// Tries when somebody else changes the same objects at the same moment.
const TRIES: usize = 5;
/// Metadata that only the store sets.
const SERVER_SET: [&str; 5] = ["uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"];

/// Applies a request.
pub async fn apply(control: &Control, request: ApplyRequest) -> Result<ApplyResponse, ErrorBody> {
    let (objects, mut findings) = read(&request)?;
    check_trust_domain(control, &objects, request.dry_run).await?;
    check_immutable(&*control.store, &objects).await?;
    for _ in 0..TRIES {
        let plan = Plan::make(&*control.store, &request, &objects).await.map_err(error::from_store)?;
        if request.dry_run {
            return Ok(ApplyResponse { results: plan.results, findings });
        }
        let mut results = plan.results;
        match control.store.write(Batch { writes: plan.writes, fence: None }).await {
            Ok(outcomes) => {
                record(&mut results, &outcomes);
                if let Some(last) =
                    outcomes.iter().rev().find(|o| !matches!(o, Outcome::Unchanged(_) | Outcome::Absent))
                {
                    let version = last.object().map(|object| object.version.clone());
                    if let Some(version) = version {
                        control.compiled(version).await?;
                    }
                }
                let keys: Vec<ObjectKey> = objects.iter().map(Object::key).collect();
                findings.extend(control.findings_about(&keys));
                return Ok(ApplyResponse { results, findings });
            }
            // Somebody was faster: look again.
            Err(StoreError::AlreadyExists(_) | StoreError::NotFound(_) | StoreError::Conflict { .. }) => {}
            Err(cause) => return Err(error::from_store(cause)),
        }
    }
    Err(error::conflict("one of the objects"))
}

/// Reads strictly. What is refused refuses all.
fn read(request: &ApplyRequest) -> Result<(Vec<Object>, Vec<FindingItem>), ErrorBody> {
    let (mut objects, mut findings): (Vec<Object>, Vec<FindingItem>) = (Vec::new(), Vec::new());
    let mut is_refused = false;
    for (index, value) in request.objects.iter().enumerate() {
        let reading = read_value(value.clone());
        is_refused |= reading.has_errors();
        findings
            .extend(reading.findings.iter().map(|f| FindingItem { index: Some(index), ..finding_item(f) }));
        for (object, _) in reading.objects {
            let key = object.key();
            if objects.iter().any(|earlier| earlier.key() == key) {
                objects.retain(|earlier| earlier.key() != key);
                let twice = Finding::new(
                    codes::DUPLICATE_OBJECT,
                    Severity::Warning,
                    "given twice; the later one counts",
                );
                findings.push(FindingItem { index: Some(index), ..finding_item(&twice.about(key)) });
            }
            objects.push(object);
        }
    }
    if is_refused { Err(error::refused(findings)) } else { Ok((objects, findings)) }
}

/// Certificates name the trust domain: it can be chosen until the first workload or gateway is there.
async fn check_trust_domain(control: &Control, objects: &[Object], dry_run: bool) -> Result<(), ErrorBody> {
    let Some(mesh) = objects.iter().find(|object| object.key() == mesh_key()) else {
        return Ok(());
    };
    let (wanted, present) = (mesh_of(mesh).spec.trust_domain, control.authority.trust_domain());
    if wanted == present {
        return Ok(());
    }
    if !is_unused(&*control.store).await.map_err(error::store_failed)? {
        return Err(error::trust_domain(&present, &wanted));
    }
    if !dry_run {
        control.authority.replace(&wanted).map_err(error::store_failed)?;
        let output = control.compiler.lock().set_trust_bundle(control.authority.bundle());
        crate::compile_loop::publish(control, output);
    }
    Ok(())
}

/// The one rule of the Gateway API's CRDs between an object and what was there before.
async fn check_immutable(store: &dyn Store, objects: &[Object]) -> Result<(), ErrorBody> {
    const FIELD: &str = "/spec/controllerName";
    for object in objects.iter().filter(|object| object.key().kind == Kind::GatewayClass) {
        let old = store.get(&store_key(&object.key())).await.map_err(error::from_store)?;
        let (old, new) = (old.and_then(|old| old.value.pointer(FIELD).cloned()), object.to_value());
        if old.is_some_and(|old| Some(&old) != new.pointer(FIELD)) {
            let message = "the controller of a class is fixed when the class is created";
            let finding = Finding::new(codes::IMMUTABLE_FIELD, Severity::Error, message);
            let finding = finding.about(object.key()).field("spec.controllerName");
            return Err(error::refused(vec![finding_item(&finding)]));
        }
    }
    Ok(())
}

/// What will be written, and what that comes to for each object.
struct Plan {
    writes: Vec<Write>,
    results: Vec<ApplyResult>,
}

impl Plan {
    async fn make(store: &dyn Store, request: &ApplyRequest, objects: &[Object]) -> Result<Self, StoreError> {
        let mut plan = Self { writes: Vec::new(), results: Vec::new() };
        plan.namespaces(store, objects).await?;
        for object in objects {
            plan.put(store, request, object).await?;
        }
        if let (true, Some(source)) = (request.prune, &request.source) {
            plan.prune(store, source, objects).await?;
        }
        if plan.writes.len() > MAX_BATCH {
            return Err(StoreError::TooLarge { what: "the request".to_owned(), limit: "10,000 objects" });
        }
        Ok(plan)
    }

    /// Namespaces that the objects live in and that are not there yet.
    async fn namespaces(&mut self, store: &dyn Store, objects: &[Object]) -> Result<(), StoreError> {
        let key = |name: &str| ObjectKey::new(Kind::Namespace, "", name);
        let wanted: BTreeSet<&str> =
            objects.iter().map(|o| o.metadata().namespace.as_str()).filter(|ns| !ns.is_empty()).collect();
        for name in wanted {
            let key = key(name);
            let is_given = objects.iter().any(|object| object.key() == key);
            if !is_given && store.get(&store_key(&key)).await?.is_none() {
                let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                self.add(&key, ApplyAction::Created, value, Precondition::None);
            }
        }
        Ok(())
    }

    async fn put(
        &mut self,
        store: &dyn Store,
        request: &ApplyRequest,
        object: &Object,
    ) -> Result<(), StoreError> {
        let key = object.key();
        let old = store.get(&store_key(&key)).await?;
        let mut value = object.to_value();
        let source = match &old {
            Some(old) => source_of(&old.value).map(str::to_owned),
            None => request.source.clone(),
        };
        set_source(&mut value, source);
        let (action, precondition) = match &old {
            None => (ApplyAction::Created, Precondition::Absent),
            Some(old) if is_same(&value, &old.value) => (ApplyAction::Unchanged, Precondition::Exists),
            Some(_) => (ApplyAction::Configured, Precondition::Exists),
        };
        self.add(&key, action, value, precondition);
        Ok(())
    }

    async fn prune(&mut self, store: &dyn Store, source: &str, objects: &[Object]) -> Result<(), StoreError> {
        let named: BTreeSet<ObjectKey> = objects.iter().map(Object::key).collect();
        for row in KINDS {
            let (items, _) = storage::list(store, row.kind, None).await?;
            for stored in items.into_iter().filter(|stored| source_of(&stored.value) == Some(source)) {
                let key = ObjectKey::new(row.kind, stored.key.namespace.as_str(), stored.key.name.as_str());
                if !named.contains(&key) {
                    self.writes.push(Write::Delete { key: stored.key, precondition: Precondition::None });
                    self.results.push(result(&key, ApplyAction::Pruned));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &ObjectKey, action: ApplyAction, value: Value, precondition: Precondition) {
        self.writes.push(Write::Put { key: store_key(key), value, precondition });
        self.results.push(result(key, action));
    }
}

/// Corrects what was planned by what has happened.
fn record(results: &mut [ApplyResult], outcomes: &[Outcome]) {
    for (result, outcome) in results.iter_mut().zip(outcomes) {
        result.action = match outcome {
            Outcome::Created(_) => ApplyAction::Created,
            Outcome::Updated(_) => ApplyAction::Configured,
            Outcome::Unchanged(_) => ApplyAction::Unchanged,
            Outcome::Deleted(_) | Outcome::Absent => ApplyAction::Pruned,
        };
    }
}

/// One line of an answer.
pub fn result(key: &ObjectKey, action: ApplyAction) -> ApplyResult {
    ApplyResult {
        kind: key.kind.name().to_owned(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        action,
    }
}

/// Which object a stored one is, as an answer names it.
pub fn result_of(stored: &StoredObject, action: ApplyAction) -> ApplyResult {
    let key = &stored.key;
    ApplyResult { kind: key.kind.clone(), namespace: key.namespace.clone(), name: key.name.clone(), action }
}

fn source_of(value: &Value) -> Option<&str> {
    value.get("metadata")?.get("annotations")?.get(SOURCE_ANNOTATION)?.as_str()
}

/// The annotation is ours: what a file says there is ignored.
fn set_source(value: &mut Value, source: Option<String>) {
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    let Some(annotations) = annotations.as_object_mut() else {
        return;
    };
    match source {
        Some(source) => annotations.insert(SOURCE_ANNOTATION.to_owned(), Value::String(source)),
        None => annotations.shift_remove(SOURCE_ANNOTATION),
    };
    if annotations.is_empty() {
        metadata.shift_remove("annotations");
    }
}

/// Whether a put would change nothing.
fn is_same(new: &Value, old: &Value) -> bool {
    fn content(value: &Value) -> BTreeMap<&str, &Value> {
        let fields = value.as_object().into_iter().flatten();
        fields.map(|(k, v)| (k.as_str(), v)).filter(|(k, _)| !matches!(*k, "metadata" | "status")).collect()
    }
    fn metadata(value: &Value) -> BTreeMap<&str, &Value> {
        let fields = value.get("metadata").and_then(Value::as_object).into_iter().flatten();
        fields.map(|(k, v)| (k.as_str(), v)).filter(|(k, _)| !SERVER_SET.contains(k)).collect()
    }
    content(new) == content(old) && metadata(new) == metadata(old)
}
