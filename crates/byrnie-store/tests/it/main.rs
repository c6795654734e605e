//! The promises of a store, over every home: `contract` holds for all of them, `crash` and `file` are of the
//! embedded home's file.

// A test file is all test code, helpers included; clippy.toml allows these in #[test] functions only.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contract;
mod crash;
mod disk;
mod file;
mod model;

use std::path::PathBuf;
use std::sync::Arc;

use byrnie_store::{EmbeddedOptions, EmbeddedStore, Event, ObjectKey, Outcome, Store, StoredObject, Watch};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A home with nothing in it, and what must live as long.
pub(crate) struct Home {
    pub(crate) store: Arc<dyn Store>,
    _dir: TempDir,
}

/// Makes homes of one kind; the number is how many events it keeps for watches.
pub(crate) type Factory = fn(u64) -> Home;

fn embedded(event_log: u64) -> Home {
    let (dir, path) = scratch();
    Home { store: Arc::new(EmbeddedStore::open(&path, EmbeddedOptions { event_log }).unwrap()), _dir: dir }
}

fn scratch() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    (dir, path)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("Service", "shop", name)
}

fn service(port: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "spec": {"port": port}})
}

fn object(outcome: Outcome) -> StoredObject {
    outcome.object().unwrap().clone()
}

/// The next event that is no bookmark.
async fn change(watch: &mut Watch) -> Event {
    loop {
        match watch.next().await.expect("the watch goes on") {
            Event::Bookmark(_) => {}
            other => return other,
        }
    }
}

/// Everything that a new watch tells until it has caught up for the first time.
async fn caught_up(watch: &mut Watch) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match watch.next().await.expect("the watch goes on") {
            Event::Bookmark(_) => return events,
            other => events.push(other),
        }
    }
}
