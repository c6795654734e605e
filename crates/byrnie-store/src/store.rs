//! The trait that every home implements.

use std::pin::Pin;

use serde_json::Value;

use crate::error::StoreError;
use crate::types::{
    Batch, Lease, LeaseRequest, ListQuery, ObjectKey, Outcome, Page, Precondition, StoredObject, Version,
    Watch, Write,
};

/// A boxed future, so that `Arc<dyn Store>` works: the homes are chosen at start, and nothing here is hot.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A home of objects. Dropping the future of a write does not undo the write.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// One object, `None` if there is none.
    fn get<'a>(&'a self, key: &'a ObjectKey) -> Answer<'a, Option<StoredObject>>;

    /// A page of one kind.
    fn list(&self, query: ListQuery) -> Answer<'_, Page>;

    /// Tells of every change of these kinds (none named: of all) after `from`; `None`: from now on. Begins with
    /// what has happened since, in order, then a [`crate::Event::Bookmark`]. A version that is unknown, or too
    /// old to tell what came after it, gives a [`crate::Event::Gap`].
    fn watch(&self, kinds: &[&str], from: Option<Version>) -> Answer<'_, Watch>;

    /// All writes of the batch, in one transaction; answered once it is on the disk.
    ///
    /// The store sets in `metadata`: `name` and `namespace` from the key; `uid` and `creationTimestamp` at
    /// creation; `resourceVersion` with every change; `generation`, from 1, with every change outside of
    /// `metadata` and `status`. What a caller writes there, and `status`, is ignored. A put that changes
    /// nothing is [`Outcome::Unchanged`].
    ///
    /// `status` is the union of its owners' parts. An owner's write replaces all that this owner wrote before
    /// and nothing else. Objects are united field by field; arrays are joined in the order of the owners'
    /// names (so each controller brings its own `parents` or `ancestors`, which carry `controllerName`), where
    /// elements with a `type` (conditions) may stand under one owner only. A field, or a condition type, of
    /// another owner is refused with [`StoreError::StatusOwned`]. (In Kubernetes: server-side apply with the
    /// owner as field manager, not forced.)
    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>>;

    /// Takes, renews or gives up a lease.
    fn lease(&self, request: LeaseRequest) -> Answer<'_, Lease>;

    /// A write on its own: creates an object that must not be there yet.
    fn create<'a>(&'a self, key: &ObjectKey, value: Value) -> Answer<'a, Outcome> {
        self.update(key, value, Precondition::Absent)
    }

    /// A write on its own: [`Write::Put`].
    fn update<'a>(
        &'a self,
        key: &ObjectKey,
        value: Value,
        precondition: Precondition,
    ) -> Answer<'a, Outcome> {
        self.write_one(Write::Put { key: key.clone(), value, precondition })
    }

    /// A write on its own: [`Write::Delete`].
    fn delete<'a>(&'a self, key: &ObjectKey, precondition: Precondition) -> Answer<'a, Outcome> {
        self.write_one(Write::Delete { key: key.clone(), precondition })
    }

    /// A write on its own: [`Write::Status`].
    fn update_status<'a>(
        &'a self,
        key: &ObjectKey,
        owner: &str,
        status: Value,
        precondition: Precondition,
    ) -> Answer<'a, Outcome> {
        self.write_one(Write::Status { key: key.clone(), owner: owner.to_owned(), status, precondition })
    }

    /// A batch of one.
    fn write_one(&self, write: Write) -> Answer<'_, Outcome> {
        Box::pin(async move {
            let outcomes = self.write(Batch { writes: vec![write], fence: None }).await?;
            Ok(outcomes.into_iter().next().unwrap_or(Outcome::Absent)) // one write, one outcome
        })
    }
}
