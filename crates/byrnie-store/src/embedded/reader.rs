//! Reads on snapshots, beside the writer.

use std::sync::{Arc, Weak};

use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::schema::{self, EVENTS, Epoch, META, OBJECTS, row};
use crate::error::{StoreError, engine};
use crate::types::{Event, ListQuery, ObjectKey, Page, PageToken, StoredObject, Version};

/// Reads at once; more wait. Small next to tokio's 512 blocking threads, large next to two cores.
pub(super) const MAX_READERS: u32 = 32;

/// Shared by the store and its watches. Does not keep the file open.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    database: Weak<Database>,
    pub(super) permits: Arc<Semaphore>,
    failure: Failure,
    pub(super) epoch: Epoch,
}

/// What stands in the event log after some point.
pub(super) enum Logged {
    /// Events up to and including this sequence number.
    Events(Vec<Event>, u64),
    /// The log begins later.
    Lost,
}

impl Reader {
    pub(super) fn new(database: &Arc<Database>, epoch: Epoch, failure: Failure) -> Self {
        Self { database: Arc::downgrade(database), permits: super::permits(), failure, epoch }
    }

    /// Waits for all reads under way and refuses new ones.
    pub(super) async fn drain(&self) {
        let _all = self.permits.acquire_many(MAX_READERS).await;
        self.permits.close();
    }

    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let database = self.database.upgrade().ok_or(StoreError::Closed)?;
        let work = tokio::task::spawn_blocking(move || {
            let result = database.begin_read().map_err(engine).and_then(read);
            drop(database); // before the permit: whoever has all permits is alone with the file
            drop(permit);
            result
        });
        work.await.map_err(|_| StoreError::Closed)?.inspect_err(|error| self.failure.note(error))
    }

    pub(super) async fn get(&self, key: ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        let get = move |transaction: ReadTransaction| {
            let row = row(&key);
            let table = transaction.open_table(OBJECTS).map_err(engine)?;
            let found = table.get(row.as_str()).map_err(engine)?;
            found.map(|guard| schema::object_of(&row, guard.value())).transpose()
        };
        self.read(get).await
    }

    pub(super) async fn list(&self, query: ListQuery) -> Result<Page, StoreError> {
        let epoch = self.epoch.clone();
        self.read(move |transaction| list(&transaction, &epoch, &query)).await
    }

    /// At most `limit` events after `after`, only of `kinds` (none: of all), but counting the others, too.
    pub(super) async fn log(
        &self,
        after: u64,
        limit: usize,
        kinds: Arc<[String]>,
    ) -> Result<Logged, StoreError> {
        let epoch = self.epoch.clone();
        self.read(move |transaction| log(&transaction, &epoch, after, limit, &kinds)).await
    }
}

fn list(transaction: &ReadTransaction, epoch: &Epoch, query: &ListQuery) -> Result<Page, StoreError> {
    let first = match &query.namespace {
        None => format!("{}\0", query.kind),
        Some(namespace) => format!("{}\0{namespace}\0", query.kind),
    };
    // The first text that does not begin with `first`: NUL, its last character, becomes the next one.
    let end = format!("{}\u{1}", &first[..first.len() - 1]);
    let meta = transaction.open_table(META).map_err(engine)?;
    let sequence = meta.get("sequence").map_err(engine)?.map_or(0, |guard| guard.value());
    let (version, start) = match &query.page {
        None => (epoch.version(sequence), first.clone()),
        Some(token) => resume(token, &first)?,
    };
    let table = transaction.open_table(OBJECTS).map_err(engine)?;
    let mut items = Vec::new();
    for entry in table.range::<&str>(start.as_str()..end.as_str()).map_err(engine)? {
        let (row, value) = entry.map_err(engine)?;
        if Some(items.len()) == query.limit {
            let next = Some(PageToken(format!("{version} {}", row.value())));
            return Ok(Page { items, next, version });
        }
        items.push(schema::object_of(row.value(), value.value())?);
    }
    Ok(Page { items, next: None, version })
}

/// A page token is the first page's version and the first row to come.
fn resume(token: &PageToken, first: &str) -> Result<(Version, String), StoreError> {
    match token.0.split_once(' ') {
        Some((version, row)) if row.starts_with(first) => Ok((Version::new(version), row.to_owned())),
        _ => Err(StoreError::Malformed(
            "the page token is not from this list; list again from the start".into(),
        )),
    }
}

fn log(
    transaction: &ReadTransaction,
    epoch: &Epoch,
    after: u64,
    limit: usize,
    kinds: &[String],
) -> Result<Logged, StoreError> {
    let table = transaction.open_table(EVENTS).map_err(engine)?;
    let (mut events, mut last) = (Vec::new(), after);
    for entry in table.range(after + 1..).map_err(engine)?.take(limit) {
        let (sequence, value) = entry.map_err(engine)?;
        // Numbers are given without holes: one that is missing has been dropped from the log.
        if sequence.value() != last + 1 {
            return Ok(Logged::Lost);
        }
        last = sequence.value();
        let event: schema::LoggedEvent = schema::decode("event", value.value())?;
        if kinds.is_empty() || kinds.contains(&event.kind) {
            events.push(event.into_event(epoch.version(last)));
        }
    }
    Ok(Logged::Events(events, last))
}
