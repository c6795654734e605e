//! What can go wrong: BYR0470–BYR0489.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::types::{ObjectKey, Version};

/// A refused or failed request. After an error nothing of the batch has happened, but for [`Self::Storage`] and
/// [`Self::Closed`], where it may or may not have: read again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error(
        "BYR0470: the store {} is in use by another process; stop the other mesh, or use another --data-dir",
        path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be made or opened.
    #[error(
        "BYR0471: cannot open the store {}: check owner, permissions and free space of the data directory",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system or the engine said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A read or write of the file failed. The engine refuses everything from then on, since it cannot know what
    /// is on the disk: open the file again, best by starting the process again.
    #[error(
        "BYR0472: the store's file cannot be read or written: {source}; check the disk for space and errors, then \
         start the control plane again"
    )]
    Storage {
        /// What the engine said.
        source: Arc<redb::Error>,
    },
    /// What is in the file is not what was written.
    #[error("BYR0473: the store holds damaged data ({0}); restore the file from a backup")]
    Damaged(String),
    /// There is no such object.
    #[error("BYR0474: {0} does not exist")]
    NotFound(ObjectKey),
    /// There is one already.
    #[error("BYR0475: {0} already exists")]
    AlreadyExists(ObjectKey),
    /// Somebody was faster.
    #[error("BYR0476: {key} is at version {found} now; read it again and repeat the change")]
    Conflict {
        /// The object.
        key: ObjectKey,
        /// Its version.
        found: Version,
    },
    /// Two owners of one thing.
    #[error("BYR0477: status.{path} of {key} belongs to {owner}; two controllers claim this object")]
    StatusOwned {
        /// The object.
        key: ObjectKey,
        /// The field in its status.
        path: String,
        /// Who has it.
        owner: String,
    },
    /// Beyond a limit.
    #[error("BYR0478: {what} is larger than the store takes ({limit})")]
    TooLarge {
        /// What.
        what: String,
        /// The limit with its unit.
        limit: &'static str,
    },
    /// No JSON object, or a name that cannot be one.
    #[error("BYR0479: {0}")]
    Malformed(String),
    /// The lease has passed on.
    #[error(
        "BYR0480: lease {lease:?} is no longer ours (token {token}, now {current}); this replica must stop writing"
    )]
    Fenced {
        /// The lease.
        lease: String,
        /// What was presented.
        token: u64,
        /// What is current.
        current: u64,
    },
    /// The store was closed.
    #[error("BYR0481: the store is closed")]
    Closed,
    /// The file was written by another version of the program.
    #[error(
        "BYR0482: the store {} has format {found}, this program knows {known}; use the program that wrote it",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        known: u64,
    },
}

impl StoreError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "BYR0470",
            Self::Open { .. } => "BYR0471",
            Self::Storage { .. } => "BYR0472",
            Self::Damaged(_) => "BYR0473",
            Self::NotFound(_) => "BYR0474",
            Self::AlreadyExists(_) => "BYR0475",
            Self::Conflict { .. } => "BYR0476",
            Self::StatusOwned { .. } => "BYR0477",
            Self::TooLarge { .. } => "BYR0478",
            Self::Malformed(_) => "BYR0479",
            Self::Fenced { .. } => "BYR0480",
            Self::Closed => "BYR0481",
            Self::Format { .. } => "BYR0482",
        }
    }
}

/// Any of the engine's error types.
pub(crate) fn engine(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Storage { source: Arc::new(error.into()) }
}

/// A file that cannot be made.
pub(crate) fn open(path: &std::path::Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Open { path, source: Arc::new(source) }
}
