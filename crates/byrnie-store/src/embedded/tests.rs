//! How much waits for the writer, and how much is read at once.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;
use crate::types::Precondition;

/// Nothing in these tests takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

fn scratch() -> (tempfile::TempDir, EmbeddedStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&dir.path().join("store.redb"), EmbeddedOptions::default()).unwrap();
    (dir, store)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let all = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "never: {what}");
}

#[tokio::test]
async fn calls_beyond_the_queue_wait_and_none_is_refused() {
    let (_dir, store) = scratch();
    let store = Arc::new(store);
    assert_eq!(store.commands.max_capacity(), 1_024);
    // There is one write transaction at a time: while this one is open, the writer is busy.
    let busy = store.database.begin_write().unwrap();
    // What one commit takes, what waits for the next one, and one more.
    let calls = 256 + 1_024 + 1;
    let call = |number| {
        let (store, value) = (Arc::clone(&store), serde_json::json!({"apiVersion": "v1", "kind": "Service"}));
        let key = ObjectKey::new("Service", "shop", format!("web-{number}"));
        let writes = vec![Write::Put { key, value, precondition: Precondition::None }];
        tokio::spawn(async move { store.write(Batch { writes, ..Batch::default() }).await })
    };
    let waiting: Vec<_> = (0..calls).map(call).collect();
    until("the queue is full", || store.commands.capacity() == 0).await;
    assert!(waiting.iter().all(|call| !call.is_finished()));
    busy.abort().unwrap();
    for call in waiting {
        tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(store.commands.capacity(), 1_024);
}

#[tokio::test]
async fn reads_beyond_the_limit_wait_and_none_is_refused() {
    let (_dir, store) = scratch();
    let under_way = Arc::new(AtomicUsize::new(0));
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let read = || {
        let (reader, under_way, gate) = (store.reader.clone(), Arc::clone(&under_way), Arc::clone(&gate));
        tokio::spawn(async move {
            let work = move |_| {
                under_way.fetch_add(1, Ordering::SeqCst);
                let _ = gate.lock().unwrap().recv();
                Ok(())
            };
            reader.read(work).await
        })
    };
    let mut reads: Vec<_> = (0..40).map(|_| read()).collect();
    until("32 are under way", || under_way.load(Ordering::SeqCst) == 32).await;
    assert!(reads.iter().all(|read| !read.is_finished()));
    assert_eq!(store.reader.permits.available_permits(), 0);
    drop(go);
    for read in &mut reads {
        read.await.unwrap().unwrap();
    }
    assert_eq!((under_way.load(Ordering::SeqCst), store.reader.permits.available_permits()), (40, 32));
}
