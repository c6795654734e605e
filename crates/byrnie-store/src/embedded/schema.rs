//! What lies in the file.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `format`, `epoch`, `sequence` | a number |
//! | `objects` | kind NUL namespace NUL name | the object as JSON |
//! | `status-parts` | the same | owner → part, as JSON |
//! | `events` | sequence number | [`LoggedEvent`] as JSON |
//! | `leases` | name | [`StoredLease`] as JSON |

use std::path::Path;
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{StoreError, engine};
use crate::types::{Event, ObjectKey, StoredObject, Version};

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
pub(super) const STATUS_PARTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("status-parts");
pub(super) const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
pub(super) const LEASES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("leases");

const FORMAT: u64 = 1;

/// One line of the event log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LoggedEvent {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub deleted: bool,
    pub value: Value,
}

/// A lease, also one that has lapsed: its token must never come again.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct StoredLease {
    pub holder: String,
    pub until_ms: u64,
    pub token: u64,
}

/// What a file is at when it is opened.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub epoch: Epoch,
    pub sequence: u64,
}

/// Drawn when the file was made and part of every version, so that a version of another file is never taken for
/// one of this.
#[derive(Clone, Debug)]
pub(super) struct Epoch(u32);

impl Epoch {
    pub(super) fn version(&self, sequence: u64) -> Version {
        Version::new(format!("{sequence}-{:08x}", self.0))
    }

    /// The sequence number of a version of this file.
    pub(super) fn sequence(&self, version: &str) -> Option<u64> {
        let sequence = version.split_once('-')?.0.parse().ok()?;
        (self.version(sequence).as_str() == version).then_some(sequence)
    }
}

impl LoggedEvent {
    pub(super) fn into_event(self, version: Version) -> Event {
        let key = ObjectKey { kind: self.kind, namespace: self.namespace, name: self.name };
        let object = StoredObject { key: key.clone(), version, value: self.value };
        if self.deleted { Event::Deleted(key, object) } else { Event::Applied(object) }
    }
}

pub(super) fn row(key: &ObjectKey) -> String {
    format!("{}\0{}\0{}", key.kind, key.namespace, key.name)
}

pub(super) fn key_of(row: &str) -> Option<ObjectKey> {
    let mut parts = row.split('\0');
    let key = ObjectKey::new(parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(key)
}

/// The object of a row.
pub(super) fn object_of(row: &str, bytes: &[u8]) -> Result<StoredObject, StoreError> {
    let key = key_of(row).ok_or_else(|| StoreError::Damaged(format!("row {row:?}")))?;
    let value: Value = decode(row, bytes)?;
    let version = value["metadata"]["resourceVersion"].as_str().map(Version::new);
    let version = version.ok_or_else(|| StoreError::Damaged(format!("{key} has no version")))?;
    Ok(StoredObject { key, version, value })
}

pub(super) fn decode<'a, T: Deserialize<'a>>(row: &str, bytes: &'a [u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Damaged(format!("row {row:?}: {error}")))
}

pub(super) fn open_database(path: &Path) -> Result<Database, StoreError> {
    Database::open(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Locked { path: path.to_owned() },
        other => StoreError::Open { path: path.to_owned(), source: Arc::new(other) },
    })
}

/// Fills an empty file.
pub(super) fn initialise(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Open { path: path.to_owned(), source: Arc::new(error) };
    let database = Database::create(path).map_err(failed)?;
    let transaction = database.begin_write().map_err(engine)?;
    {
        let mut meta = transaction.open_table(META).map_err(engine)?;
        meta.insert("format", FORMAT).map_err(engine)?;
        meta.insert("epoch", u64::from(rand::random::<u32>())).map_err(engine)?;
        meta.insert("sequence", 0).map_err(engine)?;
        transaction.open_table(OBJECTS).map_err(engine)?;
        transaction.open_table(STATUS_PARTS).map_err(engine)?;
        transaction.open_table(EVENTS).map_err(engine)?;
        transaction.open_table(LEASES).map_err(engine)?;
    }
    transaction.commit().map_err(engine)
}

/// Reads where the file is at.
pub(super) fn check(database: &Database, path: &Path) -> Result<State, StoreError> {
    let transaction = database.begin_read().map_err(engine)?;
    let meta = transaction.open_table(META).map_err(engine)?;
    let number = |name: &str| match meta.get(name) {
        Ok(Some(guard)) => Ok(guard.value()),
        Ok(None) => Err(StoreError::Damaged(format!("no {name}"))),
        Err(error) => Err(engine(error)),
    };
    let found = number("format")?;
    if found != FORMAT {
        return Err(StoreError::Format { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(State { epoch: Epoch(number("epoch")? as u32), sequence: number("sequence")? }) // drawn as a u32
}
