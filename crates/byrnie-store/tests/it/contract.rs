//! What every home promises. A new home adds one line to `homes!`.

use std::time::{Duration, SystemTime};

use byrnie_store::{
    Batch, Event, Fence, Lease, LeaseRequest, ListQuery, ObjectKey, Outcome, PageToken, Precondition, Store,
    Version, Write,
};
use serde_json::{Value, json};

use crate::{Factory, caught_up, change, key, object, service};

macro_rules! homes {
    ($($home:ident: [$($test:ident),* $(,)?])*) => {$(
        mod $home {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::$home).await;
            })*
        }
    )*};
}

homes! {
    embedded: [
        objects_are_created_changed_and_deleted, preconditions_hold, batches_happen_whole_or_not,
        odd_input_is_refused, lists_come_in_pages, watches_tell_in_order, watches_begin_where_asked,
        unknown_versions_are_gaps, slow_watches_are_told_of_gaps, status_has_owners, leases_pass_on, fences_hold,
    ]
}

fn code<T: std::fmt::Debug>(result: Result<T, byrnie_store::StoreError>) -> &'static str {
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with(error.code()), "{error}");
    error.code()
}

async fn objects_are_created_changed_and_deleted(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    assert_eq!(store.get(&key("web")).await.unwrap(), None);
    let first = store.create(&key("web"), service(80)).await.unwrap();
    assert!(matches!(first, Outcome::Created(_)), "{first:?}");
    let first = object(first);
    assert_eq!(store.get(&key("web")).await.unwrap().as_ref(), Some(&first));
    let metadata = &first.value["metadata"];
    assert_eq!(metadata["resourceVersion"], first.version.as_str());
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!("web"), &json!("shop")));
    assert_eq!(metadata["generation"], 1);

    let again = store.update(&key("web"), service(80), Precondition::None).await.unwrap();
    assert_eq!(again, Outcome::Unchanged(first.clone()));
    let second = store.update(&key("web"), service(81), Precondition::None).await.unwrap();
    assert!(matches!(second, Outcome::Updated(_)), "{second:?}");
    let second = object(second);
    assert_ne!(second.version, first.version);
    assert_eq!(second.value["metadata"]["generation"], 2);
    assert_eq!(second.value["metadata"]["uid"], metadata["uid"]);

    let Outcome::Deleted(last) = store.delete(&key("web"), Precondition::None).await.unwrap() else {
        panic!()
    };
    assert_eq!(last.value["spec"], second.value["spec"]);
    assert_eq!(store.get(&key("web")).await.unwrap(), None);
    assert_eq!(store.delete(&key("web"), Precondition::None).await.unwrap(), Outcome::Absent);
    let reborn = object(store.create(&key("web"), service(80)).await.unwrap());
    assert_ne!(reborn.value["metadata"]["uid"], metadata["uid"], "another object of the same name");
    assert_eq!(reborn.value["metadata"]["generation"], 1);
}

async fn preconditions_hold(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    let old = Version::new("nonsense");
    assert_eq!(code(store.update(&key("web"), service(1), Precondition::Exists).await), "BYR0474");
    assert_eq!(
        code(store.update(&key("web"), service(1), Precondition::Version(old.clone())).await),
        "BYR0474"
    );
    assert_eq!(code(store.delete(&key("web"), Precondition::Exists).await), "BYR0474");
    let first = object(store.create(&key("web"), service(1)).await.unwrap());
    assert_eq!(code(store.create(&key("web"), service(1)).await), "BYR0475");
    assert_eq!(code(store.update(&key("web"), service(2), Precondition::Version(old)).await), "BYR0476");
    let at_first = Precondition::Version(first.version);
    store.update(&key("web"), service(2), at_first.clone()).await.unwrap();
    assert_eq!(code(store.update(&key("web"), service(3), at_first.clone()).await), "BYR0476");
    assert_eq!(code(store.update_status(&key("web"), "a", json!({}), at_first.clone()).await), "BYR0476");
    assert_eq!(code(store.delete(&key("web"), at_first).await), "BYR0476");
    store.update(&key("web"), service(3), Precondition::Exists).await.unwrap();
    store.delete(&key("web"), Precondition::Exists).await.unwrap();
}

fn put(name: &str, port: u64, precondition: Precondition) -> Write {
    Write::Put { key: key(name), value: service(port), precondition }
}

async fn batches_happen_whole_or_not(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    let mut watch = store.watch(&[], None).await.unwrap();
    caught_up(&mut watch).await;
    let bad = vec![
        put("a", 1, Precondition::None),
        Write::Status {
            key: key("a"),
            owner: "me".into(),
            status: json!({"x": 1}),
            precondition: Precondition::None,
        },
        Write::Delete { key: key("a"), precondition: Precondition::Exists },
        put("b", 1, Precondition::Exists),
    ];
    assert_eq!(code(store.write(Batch { writes: bad, fence: None }).await), "BYR0474");
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    let good = vec![
        put("a", 1, Precondition::Absent),
        put("a", 2, Precondition::Exists),
        Write::Delete { key: key("a"), precondition: Precondition::None },
        put("a", 3, Precondition::Absent),
        put("b", 1, Precondition::None),
    ];
    let outcomes = store.write(Batch { writes: good, fence: None }).await.unwrap();
    assert_eq!(outcomes.len(), 5);
    assert_eq!(store.get(&key("a")).await.unwrap().as_ref(), outcomes[3].object());
    for outcome in &outcomes {
        match change(&mut watch).await {
            Event::Applied(object) => assert_eq!(Some(&object), outcome.object()),
            Event::Deleted(_, last) => assert_eq!(Outcome::Deleted(last), *outcome),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.write(Batch::default()).await.unwrap(), []);
}

async fn odd_input_is_refused(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    for odd in [ObjectKey::new("", "", "x"), ObjectKey::new("K", "", ""), ObjectKey::new("K", "a\0b", "c")] {
        assert_eq!(code(store.create(&odd, service(1)).await), "BYR0479", "{odd:?}");
        assert_eq!(code(store.get(&odd).await), "BYR0479", "{odd:?}");
    }
    assert_eq!(code(store.create(&ObjectKey::new("K", "n", "x".repeat(254)), service(1)).await), "BYR0478");
    for value in [json!([]), json!("x"), json!({"metadata": 1})] {
        assert_eq!(code(store.create(&key("web"), value).await), "BYR0479");
    }
    let large = json!({"spec": "x".repeat(1024 * 1024)});
    assert_eq!(code(store.create(&key("web"), large).await), "BYR0478");
    let many = (0..10_001).map(|i| put(&i.to_string(), 1, Precondition::None)).collect();
    assert_eq!(code(store.write(Batch { writes: many, fence: None }).await), "BYR0478");
    store.create(&key("web"), service(1)).await.unwrap();
    for (owner, status) in [("", json!({})), ("me", json!([])), ("me", json!(1))] {
        assert_eq!(
            code(store.update_status(&key("web"), owner, status, Precondition::None).await),
            "BYR0479"
        );
    }
    let query =
        ListQuery { kind: "Service".into(), page: Some(PageToken::new("junk")), ..ListQuery::default() };
    assert_eq!(code(store.list(query).await), "BYR0479");
}

async fn lists_come_in_pages(make: Factory) {
    let home = make(1000);
    let store = home.store.as_ref();
    let names = [("", "m"), ("shop", "a"), ("shop", "b"), ("shop", "c"), ("shop-2", "a"), ("store", "a")];
    for (namespace, name) in names {
        store.create(&ObjectKey::new("Service", namespace, name), service(1)).await.unwrap();
        store.create(&ObjectKey::new("ServiceX", namespace, name), service(1)).await.unwrap();
    }
    let query = |namespace: Option<&str>, limit, page| ListQuery {
        kind: "Service".into(),
        namespace: namespace.map(str::to_owned),
        page,
        limit,
    };
    let names_of = |items: &[byrnie_store::StoredObject]| {
        items.iter().map(|o| (o.key.namespace.clone(), o.key.name.clone())).collect::<Vec<_>>()
    };
    let all = store.list(query(None, None, None)).await.unwrap();
    assert_eq!(names_of(&all.items), names.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())));
    assert!(all.items.iter().all(|object| object.key.kind == "Service"));
    for (namespace, count) in [("shop", 3), ("shop-2", 1), ("", 1), ("none", 0)] {
        let page = store.list(query(Some(namespace), None, None)).await.unwrap();
        assert_eq!((page.items.len(), page.next), (count, None), "{namespace}");
    }

    // In pages, with changes in between: from the first page's version a watch ends at the truth.
    let mut page = store.list(query(None, Some(2), None)).await.unwrap();
    let (version, mut seen) = (page.version.clone(), page.items.clone());
    store.delete(&key("a"), Precondition::None).await.unwrap();
    store.create(&key("bb"), service(1)).await.unwrap();
    while let Some(next) = page.next.take() {
        page = store.list(query(None, Some(2), Some(PageToken::new(next.as_str())))).await.unwrap();
        assert!(page.items.len() <= 2);
        assert_eq!(page.version, version);
        seen.extend(page.items.clone());
    }
    assert_eq!(seen.len(), 7, "a is still in it, bb already");
    let mut watch = store.watch(&["Service"], Some(version)).await.unwrap();
    for event in caught_up(&mut watch).await {
        let (Event::Applied(object) | Event::Deleted(_, object)) = &event else { panic!("{event:?}") };
        seen.retain(|other| other.key != object.key);
        if let Event::Applied(object) = event {
            seen.push(object);
        }
    }
    seen.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(seen, store.list(query(None, None, None)).await.unwrap().items);
}

async fn watches_tell_in_order(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    let mut all = store.watch(&[], None).await.unwrap();
    let mut routes = store.watch(&["HTTPRoute", "TCPRoute"], None).await.unwrap();
    caught_up(&mut all).await;
    let route = ObjectKey::new("HTTPRoute", "shop", "front");
    let web = object(store.create(&key("web"), service(1)).await.unwrap());
    let front = object(store.create(&route, json!({})).await.unwrap());
    let web_2 = object(store.update(&key("web"), service(2), Precondition::None).await.unwrap());
    store.update(&key("web"), service(2), Precondition::None).await.unwrap();
    let gone = object(store.delete(&route, Precondition::None).await.unwrap());
    assert_ne!(gone.version, front.version);
    let deleted = Event::Deleted(route, gone.clone());
    for expected in
        [Event::Applied(web), Event::Applied(front.clone()), Event::Applied(web_2), deleted.clone()]
    {
        assert_eq!(change(&mut all).await, expected);
    }
    assert_eq!(change(&mut routes).await, Event::Applied(front));
    assert_eq!(change(&mut routes).await, deleted);
    assert_eq!(all.next().await, Some(Event::Bookmark(gone.version)));
}

async fn watches_begin_where_asked(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    let empty =
        store.list(ListQuery { kind: "Service".into(), ..ListQuery::default() }).await.unwrap().version;
    let mut versions = vec![empty];
    for port in 0..5 {
        versions.push(
            object(store.update(&key("web"), service(port), Precondition::None).await.unwrap()).version,
        );
    }
    for (i, version) in versions.iter().enumerate() {
        let mut watch = store.watch(&["Service"], Some(version.clone())).await.unwrap();
        let ports: Vec<Value> = caught_up(&mut watch)
            .await
            .into_iter()
            .map(|event| match event {
                Event::Applied(object) => object.value["spec"]["port"].clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ports, (i as u64..5).map(Value::from).collect::<Vec<_>>());
    }
    let mut now = store.watch(&["Service"], None).await.unwrap();
    assert_eq!(now.next().await, Some(Event::Bookmark(versions[5].clone())));
}

async fn unknown_versions_are_gaps(make: Factory) {
    let (home, other) = (make(3), make(100));
    let store = home.store.as_ref();
    let foreign = object(other.store.create(&key("web"), service(1)).await.unwrap()).version;
    let first = object(store.create(&key("web"), service(0)).await.unwrap()).version;
    for port in 1..6 {
        store.update(&key("web"), service(port), Precondition::None).await.unwrap();
    }
    for version in [foreign, first, Version::new(""), Version::new("1"), Version::new("99999999-0")] {
        let mut watch = store.watch(&[], Some(version.clone())).await.unwrap();
        assert_eq!(watch.next().await, Some(Event::Gap), "{version}");
        assert_eq!(watch.next().await, None, "a gap is the end");
    }
}

/// A watcher that does not read while the log moves on is told so; what it was told before is whole.
async fn slow_watches_are_told_of_gaps(make: Factory) {
    let home = make(50);
    let store = home.store.as_ref();
    let mut watch = store.watch(&[], None).await.unwrap();
    caught_up(&mut watch).await;
    for port in 0..20 {
        let writes = (0..50).map(|i| put("web", port * 50 + i, Precondition::None)).collect();
        store.write(Batch { writes, fence: None }).await.unwrap();
    }
    let mut next_port = 0;
    loop {
        match change(&mut watch).await {
            Event::Applied(object) => {
                assert_eq!(object.value["spec"]["port"], next_port);
                next_port += 1;
            }
            Event::Gap => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(next_port < 1000, "{next_port}");
    assert_eq!(watch.next().await, None);
}

async fn status_has_owners(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    let set = |owner: &'static str, status: Value| {
        let store = home.store.clone();
        async move { store.update_status(&key("web"), owner, status, Precondition::None).await }
    };
    assert_eq!(code(set("ours", json!({})).await), "BYR0474");
    let created = object(store.create(&key("web"), service(1)).await.unwrap());
    let accepted = json!({"type": "Accepted", "status": "True"});
    let ours = json!({"conditions": [accepted], "parents": [{"controllerName": "ours"}]});
    let theirs = json!({"parents": [{"controllerName": "a/theirs"}], "proxy": {"run": 1}});
    let first = object(set("ours", ours.clone()).await.unwrap());
    assert_eq!(first.value["status"], ours);
    assert_eq!(first.value["metadata"]["generation"], 1, "a status is no new generation");
    assert_ne!(first.version, created.version);
    assert!(matches!(set("ours", ours.clone()).await.unwrap(), Outcome::Unchanged(_)));
    let both = object(set("a/theirs", theirs).await.unwrap());
    let parents = json!([{"controllerName": "a/theirs"}, {"controllerName": "ours"}]);
    assert_eq!(both.value["status"]["parents"], parents);
    assert_eq!(code(set("third", json!({"proxy": {"run": 2}})).await), "BYR0477");
    assert_eq!(code(set("third", json!({"conditions": [{"type": "Accepted"}]})).await), "BYR0477");

    // Specs do not touch statuses, statuses do not touch specs, and an owner replaces all of its own.
    let mut forged = service(2);
    forged["status"] = json!({"proxy": null});
    let spec = object(store.update(&key("web"), forged, Precondition::None).await.unwrap());
    assert_eq!(spec.value["status"], both.value["status"]);
    let less = object(set("ours", json!({"parents": []})).await.unwrap());
    assert_eq!(less.value["status"]["parents"], json!([{"controllerName": "a/theirs"}]));
    assert_eq!(less.value["status"].get("conditions"), None);
    assert_eq!(less.value["spec"], json!({"port": 2}));
    let none = object(set("a/theirs", Value::Null).await.unwrap());
    assert_eq!(none.value["status"], json!({"parents": []}));
    assert_eq!(object(set("ours", Value::Null).await.unwrap()).value.get("status"), None);

    // Parts go with their object.
    set("ours", ours).await.unwrap();
    store.delete(&key("web"), Precondition::None).await.unwrap();
    store.create(&key("web"), service(1)).await.unwrap();
    let fresh = object(set("third", json!({"x": 1})).await.unwrap());
    assert_eq!(fresh.value["status"], json!({"x": 1}));
}

fn lease(holder: &str, ttl: u64, second: u64) -> LeaseRequest {
    LeaseRequest {
        name: "leader".into(),
        holder: holder.into(),
        ttl: Duration::from_secs(ttl),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second),
    }
}

async fn token(store: &dyn Store, request: LeaseRequest) -> u64 {
    match store.lease(request).await.unwrap() {
        Lease::Granted { token } => token,
        held => panic!("{held:?}"),
    }
}

async fn leases_pass_on(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    let first = token(store, lease("a", 10, 0)).await;
    let until = lease("a", 10, 10).now;
    assert_eq!(store.lease(lease("b", 10, 9)).await.unwrap(), Lease::Held { holder: "a".into(), until });
    assert_eq!(token(store, lease("a", 10, 9)).await, first, "renewed in time");
    assert!(matches!(store.lease(lease("b", 10, 18)).await.unwrap(), Lease::Held { .. }));
    let second = token(store, lease("b", 10, 19)).await;
    assert!(second > first, "it lapsed");
    assert_eq!(token(store, lease("b", 0, 20)).await, second, "given up");
    let third = token(store, lease("a", 10, 20)).await;
    assert!(third > second);
    assert!(token(store, lease("a", 10, 40)).await > third, "lapsed in between, the same holder");
    let other = LeaseRequest { name: "other".into(), ..lease("b", 10, 40) };
    token(store, other).await;
}

async fn fences_hold(make: Factory) {
    let home = make(100);
    let store = home.store.as_ref();
    let batch = |token, port| Batch {
        writes: vec![put("web", port, Precondition::None)],
        fence: Some(Fence { lease: "leader".into(), token }),
    };
    assert_eq!(code(store.write(batch(1, 1)).await), "BYR0480");
    let first = token(store, lease("a", 10, 0)).await;
    store.write(batch(first, 1)).await.unwrap();
    let second = token(store, lease("b", 10, 20)).await;
    assert_eq!(code(store.write(batch(first, 2)).await), "BYR0480");
    store.write(batch(second, 3)).await.unwrap();
    assert_eq!(store.get(&key("web")).await.unwrap().unwrap().value["spec"]["port"], 3);
}
