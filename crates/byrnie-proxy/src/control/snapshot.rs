//! The snapshot on disk: written soon after something changed, one write at a time, off the loop's thread.

use std::path::{Path, PathBuf};

use byrnie_plan::Key;
use byrnie_wire::snapshot::{Kept, SnapshotError, load, save};
use byrnie_wire::{Encoded, encode};
use tokio::task::JoinHandle;

use crate::config::Assembler;

/// The file's name in the state directory.
const FILE: &str = "snapshot.bin";

/// The file, and whether it is behind.
pub struct Snapshot {
    path: PathBuf,
    is_behind: bool,
    writing: Option<JoinHandle<()>>,
}

impl Snapshot {
    /// The file in this directory.
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE), is_behind: false, writing: None }
    }

    /// What the last life held; nothing, if there is none or it cannot be used.
    pub fn load(&self) -> Vec<Kept> {
        match load(&self.path) {
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
        self.is_behind = true;
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
        self.is_behind = false;
        let (path, all) = (self.path.clone(), all(assembler));
        trouble.clear();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&path, &all) {
                tracing::error!(%error, "the snapshot cannot be written");
            }
        }));
    }

    /// Writes now, if there is something to write.
    pub fn save(&mut self, assembler: &Assembler, trouble: &mut String) {
        if !std::mem::take(&mut self.is_behind) {
            return;
        }
        if let Err(error) = write(&self.path, &all(assembler)) {
            tracing::error!(%error, "the snapshot cannot be written");
            *trouble = error.to_string();
        }
    }
}

fn all(assembler: &Assembler) -> Vec<(Key, Encoded)> {
    assembler.held().map(|(key, resource)| (key.clone(), encode(resource))).collect()
}

fn write(path: &Path, all: &[(Key, Encoded)]) -> Result<(), SnapshotError> {
    save(path, all.iter().map(|(key, encoded)| (key, encoded)))
}
