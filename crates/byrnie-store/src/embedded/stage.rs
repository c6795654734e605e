//! One batch: what it would change, worked out before anything is touched.

use redb::ReadableTable;
use serde_json::{Map, Value};

use super::schema::{self, LoggedEvent, State, row};
use super::tables::{Rows, Tables, to_bytes};
use crate::error::{StoreError, engine};
use crate::types::{Batch, Fence, ObjectKey, Outcome, Precondition, StoredObject, Write};
use crate::{object, status};

/// What a batch will change, if all of it succeeds.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) objects: Rows,
    pub(super) parts: Rows,
    pub(super) events: Vec<LoggedEvent>,
}

/// A batch at work: reads through what it has staged to the tables, and touches the tables not at all.
pub(super) struct Stage<'a, 't> {
    tables: &'a Tables<'t>,
    state: &'a State,
    sequence: u64,
    pub(super) staged: Staged,
}

impl<'a, 't> Stage<'a, 't> {
    pub(super) fn new(tables: &'a Tables<'t>, state: &'a State, sequence: u64) -> Self {
        Self { tables, state, sequence, staged: Staged::default() }
    }

    pub(super) fn run(&mut self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        if let Some(Fence { lease, token }) = batch.fence {
            let current = self.tables.stored_lease(&lease)?.token;
            if current != token {
                return Err(StoreError::Fenced { lease, token, current });
            }
        }
        batch.writes.into_iter().map(|write| self.write(write)).collect()
    }

    fn write(&mut self, write: Write) -> Result<Outcome, StoreError> {
        match write {
            Write::Put { key, value, precondition } => self.put(key, value, &precondition),
            Write::Status { key, owner, status, precondition } => {
                self.status(key, owner, status, &precondition)
            }
            Write::Delete { key, precondition } => self.delete(key, &precondition),
        }
    }

    fn put(
        &mut self,
        key: ObjectKey,
        value: Value,
        precondition: &Precondition,
    ) -> Result<Outcome, StoreError> {
        let old = self.read(&key)?;
        check(&key, old.as_ref(), precondition)?;
        let merged = object::merge(&key, value, old.as_ref().map(|old| &old.value), object::new_stamp)?;
        match (merged, old) {
            (None, Some(old)) => Ok(Outcome::Unchanged(old)),
            (None, None) => Ok(Outcome::Absent), // cannot be: a new object is a change
            (Some(value), old) => {
                let object = self.record(key, value, false)?;
                Ok(if old.is_some() { Outcome::Updated(object) } else { Outcome::Created(object) })
            }
        }
    }

    fn status(
        &mut self,
        key: ObjectKey,
        owner: String,
        part: Value,
        precondition: &Precondition,
    ) -> Result<Outcome, StoreError> {
        let old = self.read(&key)?;
        check(&key, old.as_ref(), precondition)?;
        let Some(mut old) = old else {
            return Err(StoreError::NotFound(key));
        };
        let mut parts = self.read_parts(&key)?;
        match part {
            Value::Null => drop(parts.shift_remove(&owner)),
            Value::Object(_) => drop(parts.insert(owner.clone(), part)),
            _ => {
                return Err(StoreError::Malformed(format!("{key}: the status is no JSON object")));
            }
        }
        let united = status::unite(&parts, &owner).map_err(|claimed| StoreError::StatusOwned {
            key: key.clone(),
            path: claimed.path,
            owner: claimed.owner,
        })?;
        // Parts may move between owners without a change of the whole; they are only kept with a change, and
        // an equal whole needs none.
        if old.value.get("status").unwrap_or(&Value::Null) == &united {
            return Ok(Outcome::Unchanged(old));
        }
        if let Value::Object(fields) = &mut old.value {
            match united {
                Value::Null => drop(fields.shift_remove("status")),
                united => drop(fields.insert("status".to_owned(), united)),
            }
        }
        self.staged.parts.insert(row(&key), Some(to_bytes(&parts)?));
        Ok(Outcome::Updated(self.record(key, old.value, false)?))
    }

    fn delete(&mut self, key: ObjectKey, precondition: &Precondition) -> Result<Outcome, StoreError> {
        let old = self.read(&key)?;
        check(&key, old.as_ref(), precondition)?;
        let Some(old) = old else {
            return Ok(Outcome::Absent);
        };
        self.staged.parts.insert(row(&key), None);
        Ok(Outcome::Deleted(self.record(key, old.value, true)?))
    }

    /// Gives the change its version, stages it and its event.
    fn record(
        &mut self,
        key: ObjectKey,
        mut value: Value,
        deleted: bool,
    ) -> Result<StoredObject, StoreError> {
        self.sequence += 1;
        let version = self.state.epoch.version(self.sequence);
        object::set_version(&mut value, version.as_str());
        let bytes = object::encode(&key, &value)?;
        self.staged.objects.insert(row(&key), (!deleted).then_some(bytes));
        self.staged.events.push(LoggedEvent {
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            deleted,
            value: value.clone(),
        });
        Ok(StoredObject { key, version, value })
    }

    fn read(&self, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        let row = row(key);
        match self.staged.objects.get(&row) {
            Some(staged) => staged.as_ref().map(|bytes| schema::object_of(&row, bytes)).transpose(),
            None => {
                let found = self.tables.objects.get(row.as_str()).map_err(engine)?;
                found.map(|guard| schema::object_of(&row, guard.value())).transpose()
            }
        }
    }

    fn read_parts(&self, key: &ObjectKey) -> Result<Map<String, Value>, StoreError> {
        let row = row(key);
        match self.staged.parts.get(&row) {
            Some(staged) => staged.as_ref().map_or(Ok(Map::new()), |bytes| schema::decode(&row, bytes)),
            None => {
                let found = self.tables.parts.get(row.as_str()).map_err(engine)?;
                found.map_or(Ok(Map::new()), |guard| schema::decode(&row, guard.value()))
            }
        }
    }
}

fn check(key: &ObjectKey, old: Option<&StoredObject>, precondition: &Precondition) -> Result<(), StoreError> {
    match (precondition, old) {
        (Precondition::None, _) | (Precondition::Absent, None) | (Precondition::Exists, Some(_)) => Ok(()),
        (Precondition::Absent, Some(_)) => Err(StoreError::AlreadyExists(key.clone())),
        (Precondition::Exists | Precondition::Version(_), None) => Err(StoreError::NotFound(key.clone())),
        (Precondition::Version(wanted), Some(old)) if *wanted == old.version => Ok(()),
        (Precondition::Version(_), Some(old)) => {
            Err(StoreError::Conflict { key: key.clone(), found: old.version.clone() })
        }
    }
}
