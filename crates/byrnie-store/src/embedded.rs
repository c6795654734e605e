//! The embedded home: one file of the redb engine, one process.
//!
//! One thread writes; what waits for it is committed together, with one sync ([`writer`]). Reads run beside it
//! on tokio's blocking threads, each on a snapshot ([`reader`]). Watches read the event log that is kept in the
//! same file and the same transactions, so that a slow watch costs nobody anything, and one from before a
//! restart continues ([`follow`]).

mod failure;
mod follow;
mod reader;
mod schema;
mod stage;
mod tables;
mod writer;

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use redb::Database;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::embedded::failure::Failure;
use crate::embedded::reader::{MAX_READERS, Reader};
use crate::embedded::writer::Command;
use crate::error::{StoreError, open};
use crate::object::check_key;
use crate::store::{Answer, Store};
use crate::types::{
    Batch, Lease, LeaseRequest, ListQuery, MAX_BATCH, ObjectKey, Outcome, Page, StoredObject, Version, Watch,
    Write,
};

/// Calls that may wait for the writer; beyond that callers wait before they are queued.
const QUEUE: usize = 1024;

/// Settings of an [`EmbeddedStore`].
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedOptions {
    /// Events kept for watches that are behind. Default 10,000: beyond that a new list is cheaper anyway.
    pub event_log: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { event_log: 10_000 }
    }
}

/// A store in one file.
#[derive(Debug)]
pub struct EmbeddedStore {
    commands: mpsc::Sender<Command>,
    latest: watch::Receiver<u64>,
    reader: Reader,
    failure: Failure,
    database: Arc<Database>,
    stopped: oneshot::Receiver<()>,
}

impl EmbeddedStore {
    /// Opens the file, or makes it (mode 0600). Blocks: a repair after a crash reads the whole file.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        if !path.try_exists().map_err(open(path))? {
            create(path)?;
        }
        let database = Arc::new(schema::open_database(path)?);
        let state = schema::check(&database, path)?;
        let failure = Failure::default();
        let reader = Reader::new(&database, state.epoch.clone(), failure.clone());
        let (commands, queue) = mpsc::channel(QUEUE);
        let (told, latest) = watch::channel(state.sequence);
        let (stop, stopped) = oneshot::channel();
        let writer = writer::Writer::new(database.clone(), state, options.event_log, told, failure.clone());
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                writer.run(queue);
                let _ = stop.send(()); // nobody may be waiting
            })
            .map_err(open(path))?;
        Ok(Self { commands, latest, reader, failure, database, stopped })
    }

    /// Waits until a read or write of the file fails: from then on nothing is read or written any more, so the
    /// process should end and begin anew.
    pub async fn failed(&self) -> StoreError {
        self.failure.happened().await
    }

    /// Waits for what is under way, ends all watches, and lets go of the file.
    pub async fn close(self) {
        drop(self.commands);
        let _ = self.stopped.await; // an error means that it has ended, too
        self.reader.drain().await;
        drop(self.database);
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// Made aside and linked to its name once it is whole: a kill in between leaves no half of a file.
fn create(path: &Path) -> Result<(), StoreError> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let aside = PathBuf::from(format!("{}.{}.{call}", path.display(), std::process::id()));
    let _ = std::fs::remove_file(&aside); // of a killed process with the same number
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(open(path))?;
    let made = schema::initialise(&aside).and_then(|()| match std::fs::hard_link(&aside, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()), // another process was faster
        other => other.map_err(open(path)),
    });
    let removed = std::fs::remove_file(&aside).map_err(open(path));
    made.and(removed)?;
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(open(path))
}

fn check_batch(batch: &Batch) -> Result<(), StoreError> {
    if batch.writes.len() > MAX_BATCH {
        return Err(StoreError::TooLarge { what: "a batch".to_owned(), limit: "10,000 writes" });
    }
    batch.writes.iter().try_for_each(|write| match write {
        Write::Put { key, .. } | Write::Delete { key, .. } => check_key(key),
        Write::Status { key, owner, .. } if owner.is_empty() => {
            Err(StoreError::Malformed(format!("{key}: a status needs an owner")))
        }
        Write::Status { key, .. } => check_key(key),
    })
}

impl Store for EmbeddedStore {
    fn get<'a>(&'a self, key: &'a ObjectKey) -> Answer<'a, Option<StoredObject>> {
        Box::pin(async move {
            check_key(key)?;
            self.reader.get(key.clone()).await
        })
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Page> {
        Box::pin(self.reader.list(query))
    }

    fn watch(&self, kinds: &[&str], from: Option<Version>) -> Answer<'_, Watch> {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Box::pin(async move { Ok(follow::start(self.reader.clone(), self.latest.clone(), kinds, from)) })
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        Box::pin(async move {
            check_batch(&batch)?;
            self.ask(|reply| Command::Write { batch, reply }).await
        })
    }

    fn lease(&self, request: LeaseRequest) -> Answer<'_, Lease> {
        Box::pin(self.ask(|reply| Command::Lease { request, reply }))
    }
}

/// At most this many reads at once; shared by all readers of one file.
fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_READERS as usize))
}

#[cfg(test)]
mod tests;
