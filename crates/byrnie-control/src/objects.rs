//! Objects as the API shows them: list, watch, delete.

use std::collections::BTreeMap;
use std::sync::Arc;

use byrnie_api::labels::Selector;
use byrnie_api::{KINDS, Kind};
use byrnie_store::{Batch, Event, MAX_BATCH, Outcome, Precondition, StoredObject, Watch, Write};
use futures_util::Stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::{ApplyAction, DeleteResponse, ErrorBody, ListQuery, ObjectList, WatchEvent, WatchEventType};
use crate::apply::result_of;
use crate::state::Control;
use crate::{error, storage};

/// Lines that wait for a slow client before the watch waits for it; the store keeps what comes after.
const QUEUE: usize = 64;

/// Which objects are wanted.
struct Filter {
    kind: Kind,
    namespace: Option<String>,
    name: Option<String>,
    selector: Selector,
}

impl Filter {
    fn read(kind: &str, query: &ListQuery) -> Result<Self, ErrorBody> {
        let selector = query.label_selector.as_deref().unwrap_or_default();
        Ok(Self {
            kind: Kind::from_word(kind).ok_or_else(|| error::unknown_kind(kind))?,
            namespace: query.namespace.clone(),
            name: query.name.clone(),
            selector: selector.parse().map_err(error::bad_selector)?,
        })
    }

    fn takes(&self, stored: &StoredObject) -> bool {
        let key = &stored.key;
        let is_here =
            !self.kind.is_namespaced() || self.namespace.as_ref().is_none_or(|ns| *ns == key.namespace);
        is_here
            && self.name.as_ref().is_none_or(|name| *name == key.name)
            && (self.selector.is_empty() || self.selector.matches(&labels(&stored.value)))
    }
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.get("metadata").and_then(|metadata| metadata.get("labels")).and_then(Value::as_object);
    let pairs = labels.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// `GET /v1/objects/{kind}`.
pub async fn list(control: &Control, kind: &str, query: &ListQuery) -> Result<ObjectList, ErrorBody> {
    let filter = Filter::read(kind, query)?;
    let namespace = query.namespace.as_deref().filter(|_| filter.kind.is_namespaced());
    let (items, _) =
        storage::list(&*control.store, filter.kind, namespace).await.map_err(error::from_store)?;
    Ok(ObjectList { items: items.into_iter().filter(|s| filter.takes(s)).map(|s| s.value).collect() })
}

/// `GET /v1/objects/{kind}?watch=true`: what is there, a bookmark, then changes.
pub async fn watch(
    control: &Arc<Control>,
    kind: &str,
    query: &ListQuery,
) -> Result<impl Stream<Item = WatchEvent> + Send + 'static, ErrorBody> {
    let filter = Filter::read(kind, query)?;
    let (items, version) =
        storage::list(&*control.store, filter.kind, None).await.map_err(error::from_store)?;
    let watch = control.store.watch(&[filter.kind.name()], Some(version)).await.map_err(error::from_store)?;
    let (lines, stream) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        tokio::select! {
            () = lines.closed() => {}
            () = tell(&filter, items, watch, &lines) => {}
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// Ends when the client leaves or the store's watch ends.
async fn tell(filter: &Filter, items: Vec<StoredObject>, mut watch: Watch, lines: &mpsc::Sender<WatchEvent>) {
    // What the client was told of, with the versions, so that nothing is told twice.
    let mut told: BTreeMap<byrnie_store::ObjectKey, byrnie_store::Version> = BTreeMap::new();
    for stored in items.into_iter().filter(|stored| filter.takes(stored)) {
        told.insert(stored.key, stored.version);
        if lines.send(WatchEvent { event: WatchEventType::Added, object: stored.value }).await.is_err() {
            return;
        }
    }
    let bookmark = json!({ "kind": filter.kind.name() });
    if lines.send(WatchEvent { event: WatchEventType::Bookmark, object: bookmark }).await.is_err() {
        return;
    }
    while let Some(event) = watch.next().await {
        let line = match event {
            Event::Applied(stored) if filter.takes(&stored) => {
                let before = told.insert(stored.key, stored.version.clone());
                let event = match before {
                    Some(before) if before == stored.version => continue,
                    Some(_) => WatchEventType::Modified,
                    None => WatchEventType::Added,
                };
                WatchEvent { event, object: stored.value }
            }
            Event::Applied(stored) | Event::Deleted(_, stored) => match told.remove(&stored.key) {
                Some(_) => WatchEvent { event: WatchEventType::Deleted, object: stored.value },
                None => continue,
            },
            Event::Bookmark(_) => continue,
            Event::Gap => WatchEvent::error(&error::watch_gap()),
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

/// `DELETE /v1/objects/{kind}/{namespace}/{name}`. A Namespace goes with all that is in it.
pub async fn delete(
    control: &Control,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<DeleteResponse, ErrorBody> {
    let kind = Kind::from_word(kind).ok_or_else(|| error::unknown_kind(kind))?;
    let namespace = if kind.is_namespaced() { namespace } else { "" };
    let key = byrnie_store::ObjectKey::new(kind.name(), namespace, name);
    if control.store.get(&key).await.map_err(error::from_store)?.is_none() {
        return Err(error::not_found(kind.name(), namespace, name));
    }
    let mut keys = vec![key];
    if kind == Kind::Namespace {
        for row in KINDS.iter().filter(|row| row.kind.is_namespaced()) {
            let (items, _) =
                storage::list(&*control.store, row.kind, Some(name)).await.map_err(error::from_store)?;
            keys.extend(items.into_iter().map(|stored| stored.key));
        }
    }
    let mut response = DeleteResponse::default();
    for keys in keys.chunks(MAX_BATCH) {
        let writes =
            keys.iter().map(|key| Write::Delete { key: key.clone(), precondition: Precondition::None });
        let batch = Batch { writes: writes.collect(), fence: None };
        let outcomes = control.store.write(batch).await.map_err(error::from_store)?;
        response.deleted.extend(outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Deleted(stored) => Some(result_of(stored, ApplyAction::Pruned)),
            _ => None,
        }));
    }
    control.caught_up().await?;
    Ok(response)
}
