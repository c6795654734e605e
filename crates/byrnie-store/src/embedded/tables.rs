//! The tables within one write transaction.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use redb::{ReadableTable, Table, WriteTransaction};

use super::schema::{self, EVENTS, LEASES, META, OBJECTS, STATUS_PARTS, StoredLease};
use super::stage::Staged;
use crate::error::{StoreError, engine};
use crate::types::{Lease, LeaseRequest};

/// The tables of one transaction.
pub(super) struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    pub(super) objects: Table<'t, &'static str, &'static [u8]>,
    pub(super) parts: Table<'t, &'static str, &'static [u8]>,
    events: Table<'t, u64, &'static [u8]>,
    leases: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: transaction.open_table(META).map_err(engine)?,
            objects: transaction.open_table(OBJECTS).map_err(engine)?,
            parts: transaction.open_table(STATUS_PARTS).map_err(engine)?,
            events: transaction.open_table(EVENTS).map_err(engine)?,
            leases: transaction.open_table(LEASES).map_err(engine)?,
        })
    }

    /// Puts a batch that succeeded into the transaction; its last event has number `last`.
    pub(super) fn keep(&mut self, staged: Staged, last: u64) -> Result<(), StoreError> {
        put_all(&mut self.objects, staged.objects)?;
        put_all(&mut self.parts, staged.parts)?;
        let first = last + 1 - staged.events.len() as u64;
        for (sequence, event) in (first..).zip(staged.events) {
            let bytes = to_bytes(&event)?;
            self.events.insert(sequence, bytes.as_slice()).map_err(engine)?;
        }
        Ok(())
    }

    /// Notes the number of the last event.
    pub(super) fn end_at(&mut self, sequence: u64) -> Result<(), StoreError> {
        self.meta.insert("sequence", sequence).map_err(engine)?;
        Ok(())
    }

    /// Drops events up to and including number `last`.
    pub(super) fn trim(&mut self, last: u64) -> Result<(), StoreError> {
        self.events.retain_in(..=last, |_, _| false).map_err(engine)
    }

    pub(super) fn stored_lease(&self, name: &str) -> Result<StoredLease, StoreError> {
        let found = self.leases.get(name).map_err(engine)?;
        found.map_or(Ok(StoredLease::default()), |guard| schema::decode(name, guard.value()))
    }

    pub(super) fn lease(&mut self, request: &LeaseRequest) -> Result<Lease, StoreError> {
        let stored = self.stored_lease(&request.name)?;
        let epoch = SystemTime::UNIX_EPOCH;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now_ms = milliseconds(request.now.duration_since(epoch).unwrap_or_default());
        let live = stored.until_ms > now_ms;
        let ours = stored.holder == request.holder;
        if live && !ours {
            let until = epoch + Duration::from_millis(stored.until_ms);
            return Ok(Lease::Held { holder: stored.holder, until });
        }
        let token = if live { stored.token } else { stored.token + 1 };
        let until_ms = now_ms.saturating_add(milliseconds(request.ttl));
        let lease = StoredLease { holder: request.holder.clone(), until_ms, token };
        let bytes = to_bytes(&lease)?;
        self.leases.insert(request.name.as_str(), bytes.as_slice()).map_err(engine)?;
        Ok(Lease::Granted { token })
    }
}

pub(super) fn to_bytes<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Malformed(error.to_string()))
}

pub(super) type Rows = BTreeMap<String, Option<Vec<u8>>>;

fn put_all(table: &mut Table<'_, &'static str, &'static [u8]>, rows: Rows) -> Result<(), StoreError> {
    for (row, bytes) in rows {
        match bytes {
            Some(bytes) => drop(table.insert(row.as_str(), bytes.as_slice()).map_err(engine)?),
            None => drop(table.remove(row.as_str()).map_err(engine)?),
        }
    }
    Ok(())
}
