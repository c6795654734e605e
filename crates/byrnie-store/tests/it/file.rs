//! The embedded home's file.

use std::os::unix::fs::PermissionsExt;

use byrnie_store::{EmbeddedOptions, EmbeddedStore, Event, Precondition, Store, StoreError};

use crate::{caught_up, key, object, scratch, service};

fn open(path: &std::path::Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, EmbeddedOptions::default())
}

#[tokio::test]
async fn a_watch_continues_over_a_restart() {
    let (_dir, path) = scratch();
    let store = open(&path).unwrap();
    let first = object(store.create(&key("web"), service(1)).await.unwrap());
    let mut watch = store.watch(&[], None).await.unwrap();
    let second = object(store.update(&key("web"), service(2), Precondition::None).await.unwrap());
    store.close().await;
    while let Some(event) = watch.next().await {
        assert_ne!(event, Event::Gap);
    }
    let store = open(&path).unwrap();
    assert_eq!(store.get(&key("web")).await.unwrap().as_ref(), Some(&second));
    let mut watch = store.watch(&[], Some(first.version)).await.unwrap();
    assert_eq!(caught_up(&mut watch).await, [Event::Applied(second.clone())]);
    let third =
        object(store.update(&key("web"), service(3), Precondition::Version(second.version)).await.unwrap());
    assert_eq!(watch.next().await, Some(Event::Applied(third)));
}

#[tokio::test]
async fn one_process_has_the_file() {
    let (_dir, path) = scratch();
    let store = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(error.code(), "BYR0470");
    assert!(error.to_string().contains("--data-dir"), "{error}");
    store.close().await;
    open(&path).unwrap();
}

#[tokio::test]
async fn the_file_is_private_and_alone() {
    let (dir, path) = scratch();
    let store = open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    store.close().await;
}

#[test]
fn what_is_no_store_is_refused() {
    let (dir, path) = scratch();
    std::fs::write(&path, "not a store at all, but long enough to be read as one").unwrap();
    assert_eq!(open(&path).unwrap_err().code(), "BYR0471");
    assert_eq!(open(&dir.path().join("no/such/dir")).unwrap_err().code(), "BYR0471");
    assert_eq!(open(dir.path()).unwrap_err().code(), "BYR0471");
}
