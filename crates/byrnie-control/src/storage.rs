//! The store's objects as the mesh knows them.

use std::collections::HashMap;

use byrnie_api::{KINDS, Kind, Object, ObjectKey};
use byrnie_store::{ListQuery, Store, StoreError, StoredObject, Version};

/// Objects in one page of a list.
const PAGE: usize = 1_000;

/// Where an object stands in the store.
pub fn store_key(key: &ObjectKey) -> byrnie_store::ObjectKey {
    byrnie_store::ObjectKey::new(key.kind.name(), &key.namespace, &key.name)
}

/// Which object of the mesh stands there; `None` for a kind of a newer program.
pub fn mesh_key(key: &byrnie_store::ObjectKey) -> Option<ObjectKey> {
    let kind = KINDS.iter().find(|row| row.name == key.kind)?.kind;
    Some(ObjectKey::new(kind, key.namespace.as_str(), key.name.as_str()))
}

/// The typed object. One that another version of the program wrote and this one cannot read is logged and left out:
/// it has no effect, the others have theirs.
pub fn object(stored: StoredObject) -> Option<Object> {
    Object::from_value(stored.value)
        .inspect_err(
            |cause| tracing::error!(object = %stored.key, %cause, "an object in the store cannot be read"),
        )
        .ok()
}

/// All objects of a kind, page by page; and the version to watch from.
pub async fn list(
    store: &dyn Store,
    kind: Kind,
    namespace: Option<&str>,
) -> Result<(Vec<StoredObject>, Version), StoreError> {
    let mut query = ListQuery {
        kind: kind.name().to_owned(),
        namespace: namespace.map(str::to_owned),
        page: None,
        limit: Some(PAGE),
    };
    let mut page = store.list(query.clone()).await?;
    let (mut items, version) = (page.items, page.version);
    while let Some(next) = page.next {
        query.page = Some(next);
        page = store.list(query.clone()).await?;
        items.append(&mut page.items);
    }
    Ok((items, version))
}

/// Every object, and the version to watch from: that of the first look, so that nothing falls between.
pub async fn load(store: &dyn Store) -> Result<(HashMap<ObjectKey, Object>, Version), StoreError> {
    let version = current(store).await?;
    let mut objects = HashMap::new();
    for row in KINDS {
        let (items, _) = list(store, row.kind, None).await?;
        objects.extend(items.into_iter().filter_map(object).map(|object| (object.key(), object)));
    }
    Ok((objects, version))
}

/// The store's newest version.
pub async fn current(store: &dyn Store) -> Result<Version, StoreError> {
    let query = ListQuery { kind: Kind::Mesh.name().to_owned(), limit: Some(1), ..ListQuery::default() };
    Ok(store.list(query).await?.version)
}
