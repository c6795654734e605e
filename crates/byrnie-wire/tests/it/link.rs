//! What the protocol promises, over a real link.

use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::Key;
use byrnie_wire::client::{Backoff, ByteStream, ClientOptions, Connector, Event, Events, Handle, client};
use byrnie_wire::report::{Report, TapEnd, TapEvent, TapFilter, TapRequest, TapWhat};
use byrnie_wire::server::{Incoming, Order};
use byrnie_wire::{NodeStatus, Version};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::plane::{Plane, disconnected, key, next, node, nowhere, resource, start, tcp};

/// Takes updates until `Synced`, acknowledges them; says what came.
async fn synced(handle: &Handle, events: &mut Events) -> (Vec<Key>, Vec<Key>) {
    let (mut updated, mut unchanged) = (Vec::new(), Vec::new());
    loop {
        match next(events).await {
            Event::Update { key, version, resource } => {
                resource.unwrap();
                handle.ack(&key, version);
                updated.push(key);
            }
            Event::Unchanged(key) => unchanged.push(key),
            Event::Synced => {
                updated.sort();
                unchanged.sort();
                return (updated, unchanged);
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn settled(said: &mut UnboundedReceiver<Incoming>, wanted: &Key) -> (Version, Option<String>) {
    loop {
        if let Incoming::Settled { key, version, rejected, .. } = said.recv().await.unwrap()
            && key == *wanted
        {
            return (version, rejected.map(|why| format!("{} {}", why.code, why.reason)));
        }
    }
}

#[tokio::test]
async fn a_restarted_control_plane_resends_nothing() {
    let (plane, mut said) = Plane::new();
    let versions: Vec<_> = (0..50).map(|n| plane.publish(&resource(n, 1))).collect();
    let (address, server) = plane.listen().await;
    let address = Arc::new(std::sync::Mutex::new(address));
    let current = address.clone();
    let (handle, mut events) = start(Arc::new(move || tcp(*current.lock().unwrap())()));
    assert_eq!(handle.subscribe((0..51).map(|n| (key(n), None))), 0);
    let (updated, unchanged) = synced(&handle, &mut events).await;
    assert_eq!((updated.len(), unchanged.len()), (51, 0));
    assert_eq!(settled(&mut said, &key(49)).await, (versions[49], None));

    // Another process with the same compiled state, and one change in between.
    server.abort();
    plane.order(&Order::Close("BYR0499: the control plane stops".into()));
    let (replica, mut said) = Plane::new();
    (0..50).for_each(|n| {
        replica.publish(&resource(n, if n == 7 { 2 } else { 1 }));
    });
    *address.lock().unwrap() = replica.listen().await.0;
    let (updated, unchanged) = synced(&handle, &mut events).await;
    assert_eq!(updated, [key(50), key(7)], "what is absent is told, what changed is sent");
    assert_eq!(unchanged.len(), 49);
    assert_eq!(settled(&mut said, &key(49)).await, (versions[49], None));
    assert_eq!(handle.held(&key(49)), Some(versions[49]));
}

#[tokio::test]
async fn one_of_many_is_refused_and_the_others_count() {
    let (plane, mut said) = Plane::new();
    let versions: Vec<_> = (0..20).map(|n| plane.publish(&resource(n, 1))).collect();
    let (handle, mut events) = start(plane.pipes());
    handle.subscribe((0..20).map(|n| (key(n), None)));
    for _ in 0..20 {
        let Event::Update { key: of, version, .. } = next(&mut events).await else { panic!() };
        match of == key(13) {
            true => handle.nack(&of, version, "BYR0999", "the port is taken"),
            false => handle.ack(&of, version),
        }
    }
    assert_eq!(settled(&mut said, &key(13)).await, (versions[13], Some("BYR0999 the port is taken".into())));
    assert_eq!(settled(&mut said, &key(14)).await.1, None);
    assert_eq!(handle.held(&key(13)), None);
    let better = plane.publish(&resource(13, 2));
    assert!(matches!(next(&mut events).await, Event::Synced));
    let Event::Update { version, .. } = next(&mut events).await else { panic!() };
    assert_eq!(version, better);
    handle.ack(&key(13), version);
    assert_eq!(settled(&mut said, &key(13)).await, (better, None));
}

#[tokio::test]
async fn a_slow_proxy_gets_the_latest_state() {
    let (plane, mut said) = Plane::new();
    let (address, _server) = plane.listen().await;
    let (handle, mut events) = start(tcp(address));
    handle.subscribe([(key(0), None)]);
    assert!(matches!(next(&mut events).await, Event::Update { resource: Ok(None), .. }));
    // It neither reads nor answers while the state changes ten thousand times.
    let mut last = Version::ABSENT;
    for revision in 1..=10_000 {
        last = plane.publish(&resource(0, revision));
    }
    let mut updates = 0;
    loop {
        if let Event::Update { key, version, .. } = next(&mut events).await {
            handle.ack(&key, version);
            updates += 1;
            if version == last {
                break;
            }
        }
    }
    assert!(updates < 100, "{updates} of 10,000");
    while settled(&mut said, &key(0)).await.0 != last {}
}

#[tokio::test]
async fn what_is_gone_is_told_and_what_nobody_wants_is_not() {
    let (plane, mut said) = Plane::new();
    let version = plane.publish(&resource(0, 1));
    let (handle, mut events) = start(plane.pipes());
    handle.subscribe([(key(0), Some(version)), (key(1), None)]);
    assert_eq!(synced(&handle, &mut events).await, (vec![key(1)], vec![key(0)]));
    plane.put(key(0), None);
    let Event::Update { key: gone, version, resource: Ok(None) } = next(&mut events).await else { panic!() };
    assert_eq!((gone, version), (key(0), Version::ABSENT));
    handle.ack(&key(0), version);
    assert_eq!(handle.held(&key(0)), None);
    handle.unsubscribe([&key(0)]);
    while said.recv().await.unwrap() != Incoming::Unsubscribed(key(0)) {}
    plane.publish(&resource(0, 2));
    plane.publish(&resource(1, 2));
    assert!(matches!(next(&mut events).await, Event::Update { key: of, .. } if of == key(1)));
}

#[tokio::test]
async fn status_reports_and_taps_go_both_ways() {
    let (plane, mut said) = Plane::new();
    let (handle, mut events) = start(plane.pipes());
    let status = NodeStatus {
        unhealthy: String::new(),
        pid: 7,
        admin: Some("127.0.0.1:1".parse().unwrap()),
        mesh: None,
        http_proxy: None,
        address: None,
        rules_restored: 0,
        version: "v".into(),
        not_after: None,
        upstreams: Vec::new(),
        draining: true,
        run: String::new(),
    };
    assert!(matches!(said.recv().await.unwrap(), Incoming::Hello(who) if who == node()));
    handle.status(status.clone());
    assert_eq!(said.recv().await.unwrap(), Incoming::Status(status));
    let report = Report { interval_ms: 1, histogram_layout: 1, ..Report::default() };
    handle.report(report.clone());
    assert_eq!(said.recv().await.unwrap(), Incoming::Report(report));
    let tap = TapRequest { id: 3, filter: TapFilter::default(), limit: 5 };
    plane.order(&Order::TapStart(tap.clone()));
    assert!(matches!(next(&mut events).await, Event::Synced));
    assert!(matches!(next(&mut events).await, Event::TapRequest(asked) if asked == tap));
    let end = TapEnd {
        since_start_us: 1,
        response_bytes: 2,
        grpc_status: None,
        error: String::new(),
        delayed_us: 0,
    };
    let event = TapEvent { tap: 3, request: 1, at_ms: 1, what: TapWhat::End(end) };
    assert_eq!(handle.tap([event.clone(), TapEvent { tap: 4, ..event.clone() }]), 1);
    assert_eq!(said.recv().await.unwrap(), Incoming::Tap(event));
    plane.order(&Order::TapStop(3));
    assert!(matches!(next(&mut events).await, Event::TapStop(3)));
}

#[tokio::test]
async fn a_refusal_reaches_the_proxy_with_its_code() {
    let (plane, _said) = Plane::new();
    plane.forbid(key(5));
    let (handle, mut events) = start(plane.pipes());
    // Much to say, so that some of it is still unsaid when the refusal comes.
    handle.subscribe((0..5_000).map(|n| (key(n), None)));
    assert_eq!(disconnected(&mut events).await, "BYR0364: Upstreams/shop/w5 is not yours");
}

#[tokio::test]
async fn the_driver_ends_when_it_is_told_or_nobody_listens() {
    let (plane, mut said) = Plane::new();
    let options = |connector| ClientOptions { node: node(), connector, backoff: Backoff::default() };
    for connector in [plane.pipes(), nowhere()] {
        let (handle, _events, driver) = client(options(connector.clone()));
        let running = tokio::spawn(driver.run());
        handle.close();
        running.await.unwrap();
        let (_handle, events, driver) = client(options(connector));
        let running = tokio::spawn(driver.run());
        drop(events);
        running.await.unwrap();
    }
    let (handle, _events, driver) = client(options(plane.pipes()));
    let running = tokio::spawn(driver.run());
    assert!(matches!(said.recv().await.unwrap(), Incoming::Hello(_)));
    handle.close();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_does_not_answer_is_tried_again() {
    let (_handle, mut events) = start(nowhere());
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        let reason = disconnected(&mut events).await;
        assert!(reason.contains("no answer from the control plane within 10 s"), "{reason}");
    }
    let took = began.elapsed();
    assert!(took > Duration::from_secs(30) && took < Duration::from_secs(31), "{took:?}");
}

/// A partition: nothing is refused, nothing arrives. Pings notice it, and what is in force stays.
#[tokio::test(start_paused = true)]
async fn a_frozen_link_is_noticed_and_replaced() {
    let (plane, mut said) = Plane::new();
    let version = plane.publish(&resource(0, 1));
    let (link, freeze) = freezable(plane.pipes());
    let (handle, mut events) = start(link);
    handle.subscribe([(key(0), None)]);
    assert_eq!(synced(&handle, &mut events).await.0, [key(0)]);
    assert_eq!(settled(&mut said, &key(0)).await, (version, None));
    freeze.send_replace(true);
    let began = tokio::time::Instant::now();
    let reason = disconnected(&mut events).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(20) && took <= Duration::from_secs(31), "{took:?} {reason}");
    freeze.send_replace(false);
    assert_eq!(synced(&handle, &mut events).await, (Vec::new(), vec![key(0)]));
}

/// A connector whose streams carry nothing while the switch is on.
fn freezable(inner: Connector) -> (Connector, tokio::sync::watch::Sender<bool>) {
    let (switch, frozen) = tokio::sync::watch::channel(false);
    let connector: Connector = Arc::new(move || {
        let (connecting, mut frozen) = (inner(), frozen.clone());
        Box::pin(async move {
            let mut theirs = connecting.await?;
            let (ours, mut near) = tokio::io::duplex(256 * 1024);
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut theirs) => {}
                    // Both ends stay open, and nobody reads them any more.
                    _ = async { frozen.wait_for(|frozen| *frozen).await.is_ok() } => std::future::pending().await,
                }
            });
            Ok(Box::new(ours) as Box<dyn ByteStream>)
        })
    });
    (connector, switch)
}
