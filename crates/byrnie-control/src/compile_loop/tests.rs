//! Lists that lack what was there, and delete events.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use byrnie_plan::{ObjectName, Resource};
use byrnie_store::{
    Answer, Batch, EmbeddedOptions, EmbeddedStore, Lease, LeaseRequest, ListQuery, Outcome, Page,
    Precondition, Store, StoredObject,
};
use serde_json::json;

use super::*;
use crate::authority::Authority;
use crate::hold::HOLD;
use crate::run::ControlPlaneOptions;

/// A store whose lists may lack all but the first Workload, as one that comes up empty-handed would have it.
#[derive(Debug)]
struct Forgetful {
    inner: EmbeddedStore,
    forgets: AtomicBool,
}

impl Store for Forgetful {
    fn get<'a>(&'a self, key: &'a byrnie_store::ObjectKey) -> Answer<'a, Option<StoredObject>> {
        self.inner.get(key)
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Page> {
        Box::pin(async move {
            let lacks = query.kind == "Workload" && self.forgets.load(Relaxed);
            let mut page = self.inner.list(query).await?;
            if lacks {
                page.items.truncate(1);
            }
            Ok(page)
        })
    }

    fn watch(&self, kinds: &[&str], from: Option<Version>) -> Answer<'_, Watch> {
        self.inner.watch(kinds, from)
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        self.inner.write(batch)
    }

    fn lease(&self, request: LeaseRequest) -> Answer<'_, Lease> {
        self.inner.lease(request)
    }
}

/// Service `a/s` of four workloads, and `a/t` of the first alone.
async fn world(dir: &Path) -> (Arc<Forgetful>, Control) {
    let inner = EmbeddedStore::open(&dir.join("store.redb"), EmbeddedOptions::default()).unwrap();
    let store = Arc::new(Forgetful { inner, forgets: AtomicBool::new(false) });
    let mut objects = vec![service("s", json!({"app": "s"})), service("t", json!({"only": "w0"}))];
    for index in 0..4 {
        objects.push(json!({"apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "Workload",
            "metadata": {"name": format!("w{index}"), "namespace": "a",
                "labels": {"app": "s", "only": format!("w{index}")}},
            "spec": {"proxy": "none", "ports": [{"name": "http", "port": 9000 + index}]}}));
    }
    for object in objects {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let key = byrnie_store::ObjectKey::new(text(&object["kind"]), "a", text(&object["metadata"]["name"]));
        store.create(&key, object).await.unwrap();
    }
    let options = ControlPlaneOptions {
        data_dir: dir.to_owned(),
        run_id: "run".to_owned(),
        xds_listener: None,
        version: String::new(),
        transparent: false,
    };
    let authority = Authority::open(dir, "cluster.local", Duration::from_secs(3600)).unwrap();
    let control =
        Control::new(options, ([127, 0, 0, 1], 1).into(), Arc::clone(&store) as Arc<dyn Store>, authority);
    (store, control)
}

fn service(name: &str, selector: serde_json::Value) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "a"},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": "http"}]}})
}

fn endpoints(control: &Control, service: &str) -> usize {
    let published = control.table.get(&Key::Endpoints(ObjectName::new("a", service)));
    match published.as_ref().map(|published| &published.resource) {
        Some(Resource::Endpoints(endpoints)) => endpoints.ports[0].endpoints.len(),
        _ => 0,
    }
}

fn workload(name: &str) -> byrnie_store::ObjectKey {
    byrnie_store::ObjectKey::new("Workload", "a", name)
}

#[tokio::test]
async fn a_list_that_lacks_more_than_half_is_not_believed_for_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let (store, control) = world(dir.path()).await;
    let mut follower = Follower::start(&control, false).await.unwrap();
    assert_eq!((endpoints(&control, "s"), endpoints(&control, "t")), (4, 1));
    store.forgets.store(true, Relaxed);
    follower.relist(&control).await.unwrap();
    assert_eq!(endpoints(&control, "s"), 4, "three of four are more than half");
    assert_eq!(control.metrics.held.get(), 3);
    // What is asked again is not kept for longer, and counted once.
    let until = follower.hold.next().unwrap();
    follower.relist(&control).await.unwrap();
    assert_eq!((follower.hold.next(), control.metrics.held.get()), (Some(until), 3));
    follower.end_hold(&control, until - jiff::SignedDuration::from_millis(1));
    assert_eq!(endpoints(&control, "s"), 4);
    assert!(until > Timestamp::now() + HOLD - jiff::SignedDuration::from_secs(30));
    follower.end_hold(&control, until);
    assert_eq!((endpoints(&control, "s"), follower.hold.next()), (1, None), "gone for good");
    assert_eq!(endpoints(&control, "t"), 1);
    store.forgets.store(false, Relaxed);
    follower.relist(&control).await.unwrap();
    assert_eq!(endpoints(&control, "s"), 4, "and back with the next list");
}

#[tokio::test]
async fn what_is_kept_and_comes_back_stays_and_a_delete_event_is_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, control) = world(dir.path()).await;
    let mut follower = Follower::start(&control, false).await.unwrap();
    store.forgets.store(true, Relaxed);
    follower.relist(&control).await.unwrap();
    assert_eq!(endpoints(&control, "s"), 4);
    let until = follower.hold.next().unwrap();
    // One is written anew, one is deleted while somebody listens.
    let old = store.get(&workload("w1")).await.unwrap().unwrap();
    let mut new = old.value.clone();
    new["spec"]["weight"] = json!(2);
    store.update(&workload("w1"), new, Precondition::None).await.unwrap();
    store.delete(&workload("w2"), Precondition::None).await.unwrap();
    take(&mut follower, &control).await;
    assert_eq!(endpoints(&control, "s"), 3, "the deleted one is gone at once");
    follower.end_hold(&control, until);
    assert_eq!(endpoints(&control, "s"), 2, "w0 was never lacking, w1 is back");
}

#[tokio::test]
async fn deletes_are_obeyed_down_to_no_endpoint_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (store, control) = world(dir.path()).await;
    let mut follower = Follower::start(&control, false).await.unwrap();
    for index in 0..4 {
        store.delete(&workload(&format!("w{index}")), Precondition::None).await.unwrap();
    }
    take(&mut follower, &control).await;
    assert_eq!((endpoints(&control, "s"), control.metrics.held.get()), (0, 0));
    // Less than half of what a list lacks is believed as well.
    let other = tempfile::tempdir().unwrap();
    let (store, control) = world(other.path()).await;
    let mut follower = Follower::start(&control, false).await.unwrap();
    store.delete(&workload("w3"), Precondition::None).await.unwrap();
    follower.relist(&control).await.unwrap();
    assert_eq!((endpoints(&control, "s"), control.metrics.held.get()), (3, 0));
}

/// What the watch has to tell by now.
async fn take(follower: &mut Follower, control: &Control) {
    let newest = storage::current(&*control.store).await.unwrap();
    loop {
        let (mut changes, mut versions) = (Vec::new(), Vec::new());
        let first = follower.watch.next().await;
        assert!(follower.next_batch(first, &mut changes, &mut versions).await);
        compile(control, &changes);
        if versions.contains(&newest) {
            return;
        }
    }
}
