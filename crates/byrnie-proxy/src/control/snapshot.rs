//! The snapshot on disk: written soon after something changed, one write at a time, off the loop's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use byrnie_plan::Key;
use byrnie_wire::snapshot::{Kept, SnapshotError, load, save};
use byrnie_wire::{Encoded, encode};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::config::Assembler;

/// The file's name in the state directory.
const FILE: &str = "snapshot.bin";

/// The file, and whether it is behind.
pub struct Snapshot {
    /// `None`: nothing is kept.
    path: Option<PathBuf>,
    is_behind: bool,
    writing: Option<JoinHandle<()>>,
    /// Counts the states that were taken.
    taken: u64,
    /// The newest state on disk: one writer at a time, and an older state never over a newer one.
    written: Arc<Mutex<u64>>,
}

impl Snapshot {
    /// The file in this directory.
    pub fn new(state_dir: Option<&Path>) -> Self {
        let path = state_dir.map(|state_dir| state_dir.join(FILE));
        Self { path, is_behind: false, writing: None, taken: 0, written: Arc::default() }
    }

    /// What the last life held; nothing, if there is none or it cannot be used.
    pub fn load(&self) -> Vec<Kept> {
        let Some(path) = &self.path else { return Vec::new() };
        match load(path) {
            Ok(kept) => kept,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "starting without a snapshot");
                Vec::new()
            }
        }
    }

    /// Something came in force.
    pub fn changed(&mut self) {
        self.is_behind = self.path.is_some();
    }

    /// Whether something came in force since it was written last.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Writes beside the loop, if there is something to write and the last time is over.
    pub fn save_if_due(&mut self, assembler: &Assembler, trouble: &mut String) {
        if !self.is_behind || self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let Some(state) = self.take(assembler) else { return };
        trouble.clear();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = state.write() {
                tracing::error!(%error, "the snapshot cannot be written");
            }
        }));
    }

    /// Writes now, if there is something to write.
    pub fn save(&mut self, assembler: &Assembler, trouble: &mut String) {
        if !self.is_behind {
            return;
        }
        let Some(state) = self.take(assembler) else { return };
        if let Err(error) = state.write() {
            tracing::error!(%error, "the snapshot cannot be written");
            *trouble = error.to_string();
        }
    }

    fn take(&mut self, assembler: &Assembler) -> Option<State> {
        let path = self.path.clone()?;
        self.is_behind = false;
        self.taken += 1;
        let all = assembler.held().map(|(key, resource)| (key.clone(), encode(resource)));
        Some(State { path, number: self.taken, all: all.collect(), written: Arc::clone(&self.written) })
    }
}

/// What was in force at one moment.
struct State {
    path: PathBuf,
    number: u64,
    all: Vec<(Key, Encoded)>,
    written: Arc<Mutex<u64>>,
}

impl State {
    fn write(&self) -> Result<(), SnapshotError> {
        let mut written = self.written.lock();
        if *written > self.number {
            return Ok(());
        }
        save(&self.path, self.all.iter().map(|(key, encoded)| (key, encoded)))?;
        *written = self.number;
        Ok(())
    }
}
