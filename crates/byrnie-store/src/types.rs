//! What goes in and out of a store.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::mpsc;

/// Largest object, in bytes of JSON: etcd's default request limit is 1.5 MiB, and an object must fit any home.
pub const MAX_OBJECT_BYTES: usize = 1024 * 1024;
/// Most writes in one batch.
pub const MAX_BATCH: usize = 10_000;

/// A point in the store's history. Opaque: equal or not, never older or newer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// From the text of `metadata.resourceVersion`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it stands in `metadata.resourceVersion`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which object. Displayed as `Kind namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The kind; any text by which the caller tells kinds apart.
    pub kind: String,
    /// Empty for an object of the whole mesh.
    pub namespace: String,
    /// The name within kind and namespace.
    pub name: String,
}

impl ObjectKey {
    /// Joins the three parts.
    pub fn new(kind: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", self.kind, self.namespace, self.name)
    }
}

/// An object as it stands in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredObject {
    /// Where it stands.
    pub key: ObjectKey,
    /// Also in `value.metadata.resourceVersion`.
    pub version: Version,
    /// The whole object, `metadata` and `status` included.
    pub value: Value,
}

/// What must hold for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: create or replace.
    None,
    /// There is no such object.
    Absent,
    /// There is one.
    Exists,
    /// It is at this very version.
    Version(Version),
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Create or replace an object, all but its status.
    Put {
        /// Which.
        key: ObjectKey,
        /// The object; its `status` and server-set metadata are ignored.
        value: Value,
        /// On what condition.
        precondition: Precondition,
    },
    /// Replace one owner's part of an object's status.
    Status {
        /// Which object; it must exist.
        key: ObjectKey,
        /// Whose part, for example a controller's name.
        owner: String,
        /// The part; null removes it.
        status: Value,
        /// On what condition.
        precondition: Precondition,
    },
    /// Remove an object and its status.
    Delete {
        /// Which.
        key: ObjectKey,
        /// On what condition. With [`Precondition::None`] an absent object is no error.
        precondition: Precondition,
    },
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In this order; a later one sees the earlier ones. At most [`MAX_BATCH`].
    pub writes: Vec<Write>,
    /// Refuse all if the lease has passed on since.
    pub fence: Option<Fence>,
}

/// Proof of having held a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub lease: String,
    /// The token that it was granted with.
    pub token: u64,
}

/// What one write did.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is new.
    Created(StoredObject),
    /// It has changed.
    Updated(StoredObject),
    /// It already was as wanted: no new version, no event.
    Unchanged(StoredObject),
    /// It is gone; this is the last of it, at the version of the deletion.
    Deleted(StoredObject),
    /// It was not there to be deleted.
    Absent,
}

impl Outcome {
    /// The object after the write, or the last of it.
    pub fn object(&self) -> Option<&StoredObject> {
        match self {
            Self::Created(o) | Self::Updated(o) | Self::Unchanged(o) | Self::Deleted(o) => Some(o),
            Self::Absent => None,
        }
    }
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Objects of this kind.
    pub kind: String,
    /// Only of this namespace (empty: only those of the whole mesh). `None`: of all.
    pub namespace: Option<String>,
    /// Where the page before ended.
    pub page: Option<PageToken>,
    /// Most objects in the page. `None`: all, read at one instant.
    pub limit: Option<usize>,
}

/// Where the next page begins. Opaque; only for the query that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(pub(crate) String);

impl PageToken {
    /// From the text of a token.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As text, for a client.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A part of a list, in the order of namespace and name.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The objects.
    pub items: Vec<StoredObject>,
    /// `None`: that was the last page.
    pub next: Option<PageToken>,
    /// Where to watch from: the version at which the *first* page was read. Later pages may already hold newer
    /// objects; a watch from here tells of those again, and ends at the truth.
    pub version: Version,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The object is now this.
    Applied(StoredObject),
    /// The object is gone; with the last of it, at the version of the deletion.
    Deleted(ObjectKey, StoredObject),
    /// Everything up to this version was told. Sent once a watch has caught up, and whenever it has again.
    Bookmark(Version),
    /// Events are missing: list again and watch from that list. The last event of a watch.
    Gap,
}

/// A stream of events. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<Event>,
}

impl Watch {
    /// For homes: a watch fed through `events`.
    pub(crate) fn new(events: mpsc::Receiver<Event>) -> Self {
        Self { events }
    }

    /// The next event. `None` after [`Event::Gap`], and when the store was closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// A wish to hold a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The lease's name.
    pub name: String,
    /// Who wants it: unique per process.
    pub holder: String,
    /// For how long from `now`. Zero gives it up.
    pub ttl: Duration,
    /// The caller's clock. Holders' clocks must agree to well within `ttl`; the fencing token guards the rest.
    pub now: SystemTime,
}

/// Who has a lease now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The requester, until `now + ttl`. The token grows whenever the lease changes hands or has lapsed in
    /// between, and stays the same while it is renewed in time.
    Granted {
        /// For [`Fence`].
        token: u64,
    },
    /// Somebody else.
    Held {
        /// Who.
        holder: String,
        /// Until when.
        until: SystemTime,
    },
}
