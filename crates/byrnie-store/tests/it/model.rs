//! Many writers, many watchers, a simple model: nothing is lost, repeated or told in another order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use byrnie_store::{Event, ListQuery, ObjectKey, Outcome, Precondition, Store, StoredObject, Version, Watch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{Factory, key, object, service};

type Model = BTreeMap<ObjectKey, StoredObject>;

const WRITERS: u64 = 4;
const WRITES: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_watches_lose_and_reorder_nothing() {
    every_watch_tells_the_same_history(crate::embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_watches_end_at_the_truth_over_gaps() {
    a_watcher_with_gaps_ends_at_the_truth(crate::embedded).await;
}

/// Changes objects at random; the versions of its changes, in the order in which they were confirmed.
async fn write_at_random(store: Arc<dyn Store>, seed: u64) -> Vec<Version> {
    let (mut random, mut made) = (StdRng::seed_from_u64(seed), Vec::new());
    for i in 0..WRITES {
        let key = key(&format!("web-{}", random.random_range(0..6)));
        let outcome = match random.random_range(0..4) {
            0 => store.delete(&key, Precondition::None).await.unwrap(),
            _ => store.update(&key, service(seed * WRITES + i), Precondition::None).await.unwrap(),
        };
        if !matches!(outcome, Outcome::Unchanged(_) | Outcome::Absent) {
            made.push(object(outcome).version);
        }
    }
    made
}

fn apply(model: &mut Model, event: &Event) {
    match event {
        Event::Applied(object) => drop(model.insert(object.key.clone(), object.clone())),
        Event::Deleted(key, _) => assert!(model.remove(key).is_some(), "{key} was there"),
        Event::Bookmark(_) | Event::Gap => {}
    }
}

async fn read(store: &dyn Store) -> (Model, Version) {
    let page = store.list(ListQuery { kind: "Service".into(), ..ListQuery::default() }).await.unwrap();
    (page.items.into_iter().map(|object| (object.key.clone(), object)).collect(), page.version)
}

/// The events up to the change that `is_last` names.
async fn history(mut watch: Watch, last: Version) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = watch.next().await.expect("the watch goes on");
        match &event {
            Event::Bookmark(version) if *version == last => return events,
            Event::Bookmark(_) => {}
            Event::Gap => panic!("no gap within the log"),
            Event::Applied(_) | Event::Deleted(..) => events.push(event),
        }
    }
}

async fn every_watch_tells_the_same_history(make: Factory) {
    let home = make(10_000);
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(home.store.watch(&["Service"], None).await.unwrap());
    }
    let (_, start) = read(home.store.as_ref()).await;
    let writers: Vec<_> =
        (0..WRITERS).map(|seed| tokio::spawn(write_at_random(home.store.clone(), seed))).collect();
    let mut confirmed = Vec::new();
    for writer in writers {
        confirmed.push(writer.await.unwrap());
    }
    // One that begins late, from before everything.
    watches.push(home.store.watch(&["Service"], Some(start)).await.unwrap());
    let (truth, last) = read(home.store.as_ref()).await;
    let mut histories = Vec::new();
    for watch in watches {
        histories.push(history(watch, last.clone()).await);
    }
    assert!(histories.iter().all(|history| *history == histories[0]));
    let mut model = Model::new();
    histories[0].iter().for_each(|event| apply(&mut model, event));
    assert_eq!(model, truth);

    let place: HashMap<&Version, usize> =
        histories[0].iter().enumerate().map(|(i, e)| (version_of(e), i)).collect();
    assert_eq!(place.len(), confirmed.iter().map(Vec::len).sum::<usize>(), "each change once");
    for made in &confirmed {
        let places: Vec<usize> = made.iter().map(|version| place[version]).collect();
        assert!(places.is_sorted(), "a writer's changes in its order");
    }
}

fn version_of(event: &Event) -> &Version {
    match event {
        Event::Applied(object) | Event::Deleted(_, object) => &object.version,
        other => panic!("{other:?}"),
    }
}

/// The log holds ten events only: watchers fall behind, list again, and are right in the end.
async fn a_watcher_with_gaps_ends_at_the_truth(make: Factory) {
    let home = make(10);
    let writers: Vec<_> =
        (0..WRITERS).map(|seed| tokio::spawn(write_at_random(home.store.clone(), 100 + seed))).collect();
    let watcher = {
        let store = home.store.clone();
        tokio::spawn(async move {
            let (mut model, version) = read(store.as_ref()).await;
            let mut watch = store.watch(&["Service"], Some(version)).await.unwrap();
            loop {
                match watch.next().await.expect("a gap comes before the end") {
                    Event::Gap => {
                        let (fresh, version) = read(store.as_ref()).await;
                        model = fresh;
                        watch = store.watch(&["Service"], Some(version)).await.unwrap();
                    }
                    Event::Applied(object) if object.key == key("last") => return model,
                    event => apply(&mut model, &event),
                }
                if model.contains_key(&key("last")) {
                    model.remove(&key("last"));
                    return model;
                }
                tokio::task::yield_now().await; // slower than it could be
            }
        })
    };
    for writer in writers {
        writer.await.unwrap();
    }
    let (truth, _) = read(home.store.as_ref()).await;
    home.store.create(&key("last"), service(0)).await.unwrap();
    assert_eq!(watcher.await.unwrap(), truth);
}
