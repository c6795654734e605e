//! Where the mesh's objects rest: one trait, [`Store`], and its homes. Today one: [`EmbeddedStore`], a single
//! file; etcd and the Kubernetes API server are to come and must pass the same tests (`tests/it/contract.rs`).
//!
//! Owns: versions, preconditions, watches, status owners, leases, and what lies on the disk.
//! Must never know: what a kind means. An object is a JSON object with `metadata`; see [`Store::write`] for the
//! few fields that the store itself sets.
//!
//! **Invariants.** What was confirmed survives kill -9 and power loss: a write is answered after its commit
//! is synced. A watch never loses or reorders: it either delivers every event in order or says
//! [`Event::Gap`] and ends. A version is opaque and compared for equality only.

mod embedded;
mod error;
mod object;
mod status;
mod store;
mod types;

pub use embedded::{EmbeddedOptions, EmbeddedStore};
pub use error::StoreError;
pub use store::{Answer, Store};
pub use types::{
    Batch, Event, Fence, Lease, LeaseRequest, ListQuery, MAX_BATCH, MAX_OBJECT_BYTES, ObjectKey, Outcome,
    Page, PageToken, Precondition, StoredObject, Version, Watch, Write,
};
