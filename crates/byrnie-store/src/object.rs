//! The fields of an object that the store sets itself, and what counts as a change.

use serde_json::{Map, Value};

use crate::error::StoreError;
use crate::types::{MAX_OBJECT_BYTES, ObjectKey};

/// Longest part of a key, in bytes (the longest name of a Kubernetes object).
const MAX_KEY_PART: usize = 253;

/// Set by the store; ignored when a caller brings them.
const SERVER_SET: [&str; 5] = ["uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"];

/// Refuses keys that could not be told apart on the disk, or are no names.
pub(crate) fn check_key(key: &ObjectKey) -> Result<(), StoreError> {
    let parts = [&key.kind, &key.namespace, &key.name];
    if key.kind.is_empty() || key.name.is_empty() || parts.iter().any(|part| part.contains('\0')) {
        return Err(StoreError::Malformed(format!("{key:?} is no name of an object")));
    }
    if parts.iter().any(|part| part.len() > MAX_KEY_PART) {
        return Err(StoreError::TooLarge { what: format!("a part of the name {key}"), limit: "253 bytes" });
    }
    Ok(())
}

/// The object to store in place of `old`, or `None` when nothing has changed. Its `resourceVersion` is still to
/// be set; see [`set_version`].
pub(crate) fn merge(
    key: &ObjectKey,
    new: Value,
    old: Option<&Value>,
    stamp: impl FnOnce() -> (String, String),
) -> Result<Option<Value>, StoreError> {
    let Value::Object(mut new) = new else {
        return Err(StoreError::Malformed(format!("{key}: the value is no JSON object")));
    };
    let mut metadata = match new.remove("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(metadata)) => metadata,
        Some(_) => {
            return Err(StoreError::Malformed(format!("{key}: metadata is no JSON object")));
        }
    };
    for field in SERVER_SET {
        metadata.shift_remove(field);
    }
    metadata.insert("name".to_owned(), key.name.clone().into());
    if key.namespace.is_empty() {
        metadata.shift_remove("namespace");
    } else {
        metadata.insert("namespace".to_owned(), key.namespace.clone().into());
    }
    new.shift_remove("status");
    match old {
        None => {
            let (uid, created) = stamp();
            metadata.insert("uid".to_owned(), uid.into());
            metadata.insert("creationTimestamp".to_owned(), created.into());
            metadata.insert("generation".to_owned(), 1.into());
        }
        Some(old) => {
            for field in SERVER_SET {
                if let Some(value) = old["metadata"].get(field) {
                    metadata.insert(field.to_owned(), value.clone());
                }
            }
            if !same_content(&new, old) {
                let generation = old["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
                metadata.insert("generation".to_owned(), generation.into());
            }
            if let Some(status) = old.get("status") {
                new.insert("status".to_owned(), status.clone());
            }
        }
    }
    new.insert("metadata".to_owned(), Value::Object(metadata));
    let new = Value::Object(new);
    Ok((old != Some(&new)).then_some(new))
}

/// Whether two objects are equal outside of metadata and status.
fn same_content(new: &Map<String, Value>, old: &Value) -> bool {
    let is_content = |field: &str| field != "metadata" && field != "status";
    let Value::Object(old) = old else { return false };
    old.keys().filter(|field| is_content(field)).count() == new.len()
        && new.iter().all(|(field, value)| old.get(field) == Some(value))
}

/// Puts the version into `metadata.resourceVersion`.
pub(crate) fn set_version(value: &mut Value, version: &str) {
    value["metadata"]["resourceVersion"] = version.into();
}

/// The bytes to store, within the limit.
pub(crate) fn encode(key: &ObjectKey, value: &Value) -> Result<Vec<u8>, StoreError> {
    let bytes =
        serde_json::to_vec(value).map_err(|error| StoreError::Malformed(format!("{key}: {error}")))?;
    if bytes.len() > MAX_OBJECT_BYTES {
        return Err(StoreError::TooLarge { what: key.to_string(), limit: "1 MiB" });
    }
    Ok(bytes)
}

/// A random (version 4) UUID, and the time of day to the second.
pub(crate) fn new_stamp() -> (String, String) {
    let bits = rand::random::<u128>() & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let uid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let now = jiff::Timestamp::now();
    let created = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    (uid, created)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn generation_counts_changes_of_content_only() {
        let key = ObjectKey::new("Service", "shop", "web");
        let stamp = || ("u".to_owned(), "t".to_owned());
        let put = |new, old: Option<&Value>| merge(&key, new, old, stamp).unwrap();
        let mut first = put(json!({"kind": "Service", "spec": {"a": 1}, "status": {"x": 1}}), None).unwrap();
        set_version(&mut first, "7");
        assert_eq!(
            first,
            json!({"kind": "Service", "spec": {"a": 1}, "metadata": {"name": "web", "namespace": "shop",
                "uid": "u", "creationTimestamp": "t", "generation": 1, "resourceVersion": "7"}})
        );
        let foreign =
            json!({"kind": "Service", "spec": {"a": 1}, "metadata": {"uid": "evil", "generation": 9}});
        assert_eq!(put(foreign, Some(&first)), None);
        let label = json!({"kind": "Service", "spec": {"a": 1}, "metadata": {"labels": {"l": "1"}}});
        assert_eq!(put(label, Some(&first)).unwrap()["metadata"]["generation"], 1);
        let spec = json!({"kind": "Service", "spec": {"a": 2}});
        assert_eq!(put(spec, Some(&first)).unwrap()["metadata"]["generation"], 2);
        assert_eq!(put(json!({"kind": "Service"}), Some(&first)).unwrap()["metadata"]["generation"], 2);
        assert!(merge(&key, json!([]), None, stamp).is_err());
    }

    #[test]
    fn uids_are_random_uuids() {
        let (uid, created) = new_stamp();
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
        assert!(matches!(&uid[19..20], "8" | "9" | "a" | "b"), "{uid}");
        assert!(created.ends_with('Z') && created.len() == 20, "{created}");
        assert_ne!(new_stamp().0, uid);
    }
}
