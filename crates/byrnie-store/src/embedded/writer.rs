//! The one thread that writes. Calls that wait are committed together; each is still all or nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use redb::{Database, Durability, WriteTransaction};
use tokio::sync::{mpsc, oneshot, watch};

use super::failure::Failure;
use super::schema::State;
use super::stage::Stage;
use super::tables::Tables;
use crate::error::{StoreError, engine};
use crate::types::{Batch, Lease, LeaseRequest, Outcome};

/// Calls in one commit: one sync serves them all.
const MAX_GROUP: usize = 256;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A call to the writer.
pub(super) enum Command {
    Write { batch: Batch, reply: Reply<Vec<Outcome>> },
    Lease { request: LeaseRequest, reply: Reply<Lease> },
}

impl Command {
    fn refuse(self, error: &StoreError) {
        match self {
            Self::Write { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Lease { reply, .. } => drop(reply.send(Err(error.clone()))),
        }
    }
}

/// A call that was worked on and waits for the commit.
enum Worked {
    Write(Reply<Vec<Outcome>>, Result<Vec<Outcome>, StoreError>),
    Lease(Reply<Lease>, Result<Lease, StoreError>),
}

impl Worked {
    /// Answers; `failed` if the commit did. Whoever does not wait any more is no error.
    fn answer(self, failed: Option<&StoreError>) {
        match self {
            Self::Write(reply, result) => drop(reply.send(failed.map_or(result, |error| Err(error.clone())))),
            Self::Lease(reply, result) => drop(reply.send(failed.map_or(result, |error| Err(error.clone())))),
        }
    }
}

pub(super) struct Writer {
    database: Arc<Database>,
    state: State,
    event_log: u64,
    told: watch::Sender<u64>,
    failure: Failure,
}

impl Writer {
    pub(super) fn new(
        database: Arc<Database>,
        state: State,
        event_log: u64,
        told: watch::Sender<u64>,
        failure: Failure,
    ) -> Self {
        Self { database, state, event_log, told, failure }
    }

    /// Until the last store handle is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(first) = queue.blocking_recv() {
            let mut group = VecDeque::from([first]);
            while group.len() < MAX_GROUP
                && let Ok(next) = queue.try_recv()
            {
                group.push_back(next);
            }
            self.commit(group);
        }
    }

    fn commit(&mut self, mut group: VecDeque<Command>) {
        let mut worked = Vec::with_capacity(group.len());
        match self.try_commit(&mut group, &mut worked) {
            Ok(sequence) => {
                self.state.sequence = sequence;
                self.told.send_if_modified(|told| std::mem::replace(told, sequence) != sequence);
                worked.into_iter().for_each(|call| call.answer(None));
            }
            Err(error) => {
                tracing::error!(%error, cause = ?error, "the store cannot commit");
                self.failure.note(&error);
                worked.into_iter().for_each(|call| call.answer(Some(&error)));
                group.into_iter().for_each(|command| command.refuse(&error));
            }
        }
    }

    /// Moves calls from `group` to `worked`. The sequence number after the commit.
    fn try_commit(&self, group: &mut VecDeque<Command>, worked: &mut Vec<Worked>) -> Result<u64, StoreError> {
        let mut transaction = self.database.begin_write().map_err(engine)?;
        transaction.set_durability(Durability::Immediate).map_err(engine)?;
        let (sequence, dirty) = self.work(&transaction, group, worked)?;
        if dirty {
            transaction.commit().map_err(engine)?;
        } else {
            transaction.abort().map_err(engine)?;
        }
        Ok(sequence)
    }

    fn work(
        &self,
        transaction: &WriteTransaction,
        group: &mut VecDeque<Command>,
        worked: &mut Vec<Worked>,
    ) -> Result<(u64, bool), StoreError> {
        let mut tables = Tables::open(transaction)?;
        let (mut sequence, mut dirty) = (self.state.sequence, false);
        while let Some(command) = group.pop_front() {
            match command {
                Command::Write { batch, reply } => {
                    let mut stage = Stage::new(&tables, &self.state, sequence);
                    let result = stage.run(batch);
                    let staged = stage.staged;
                    let changed = result.is_ok() && !staged.events.is_empty();
                    worked.push(Worked::Write(reply, result));
                    if changed {
                        sequence += staged.events.len() as u64;
                        tables.keep(staged, sequence)?;
                        dirty = true;
                    }
                }
                Command::Lease { request, reply } => {
                    let result = tables.lease(&request);
                    dirty |= result.is_ok();
                    worked.push(Worked::Lease(reply, result));
                }
            }
        }
        if sequence != self.state.sequence {
            tables.end_at(sequence)?;
            tables.trim(sequence.saturating_sub(self.event_log))?;
        }
        Ok((sequence, dirty))
    }
}
