use super::*;

fn view<'a>(path: &'a str, service: Option<&'a ObjectName>) -> TapView<'a> {
    TapView {
        direction: Direction::Inbound,
        source: None,
        destination: None,
        service,
        peer_identity: None,
        secured: true,
        protocol: "HTTP/1.1",
        method: "GET",
        host: "web",
        path,
        route: "main/0",
    }
}

fn hub() -> (TapHub, Arc<Counter>) {
    let dropped: Arc<Counter> = Arc::default();
    (TapHub::new(Arc::clone(&dropped)), dropped)
}

#[test]
fn nobody_taps_nothing_happens() {
    let (hub, _) = hub();
    assert!(hub.is_idle());
    assert!(hub.start(&view("/", None), 0).is_none());
    assert!(hub.drain().is_empty());
}

#[test]
fn a_request_is_told_from_start_to_end_to_each_who_asked() {
    let (hub, _) = hub();
    assert!(hub.add(7, TapFilter::default(), 10));
    assert!(hub.add(8, TapFilter { path_prefix: Some("/a".to_owned()), ..TapFilter::default() }, 10));
    assert!(hub.add(9, TapFilter { method: Some("POST".to_owned()), ..TapFilter::default() }, 10));
    let watch = hub.start(&view("/a?x", None), 1_000).unwrap();
    watch.response(1_001, TapResponse { status: 200, since_start_us: 900 });
    watch.end(1_002, TapEnd { since_start_us: 1_500, response_bytes: 5, ..TapEnd::default() });
    let events = hub.drain();
    assert_eq!(events.iter().map(|e| e.tap).collect::<Vec<_>>(), [7, 8, 7, 8, 7, 8]);
    assert!(events.iter().all(|e| e.request == events[0].request));
    assert!(matches!(&events[0].what, TapWhat::Start(start) if start.path == "/a?x" && start.secured));
    assert!(matches!(&events[2].what, TapWhat::Response(response) if response.status == 200));
    assert!(matches!(&events[5].what, TapWhat::End(end) if end.response_bytes == 5));
    hub.remove(7);
    hub.remove(8);
    assert!(hub.start(&view("/a", None), 1_003).is_none());
    hub.remove(9);
    assert!(hub.is_idle());
}

#[test]
fn filters() {
    let web = ObjectName::new("shop", "web");
    let api = ObjectName::new("shop", "api");
    let filter = |change: fn(&mut TapFilter)| {
        let mut filter = TapFilter::default();
        change(&mut filter);
        filter
    };
    for (filter, expected) in [
        (filter(|_| {}), true),
        (filter(|f| f.direction = Some(Direction::Inbound)), true),
        (filter(|f| f.direction = Some(Direction::Outbound)), false),
        (filter(|f| f.host = Some("web".to_owned())), true),
        (filter(|f| f.host = Some("api".to_owned())), false),
        (filter(|f| f.method = Some("GET".to_owned())), true),
        (filter(|f| f.path_prefix = Some("/b".to_owned())), false),
        (filter(|f| f.source = Some(ObjectName::new("shop", "x"))), false),
        (filter(|f| f.destination = Some(ObjectName::new("shop", "x"))), false),
    ] {
        assert_eq!(filter.matches(&view("/a", Some(&web))), expected, "{filter:?}");
    }
    let service = TapFilter { service: Some(web.clone()), ..TapFilter::default() };
    assert!(service.matches(&view("/", Some(&web))));
    assert!(!service.matches(&view("/", Some(&api))));
    assert!(!service.matches(&view("/", None)));
}

#[test]
fn requests_per_second_are_limited() {
    let (hub, _) = hub();
    assert!(hub.add(1, TapFilter::default(), 3));
    let shown = |at: u64| (0..10).filter(|_| hub.start(&view("/", None), at).is_some()).count();
    assert_eq!((shown(1_000), shown(1_999), shown(2_000)), (3, 0, 3));
}

#[test]
fn taps_and_events_are_bounded() {
    let (hub, dropped) = hub();
    for id in 0..TAPS as u64 {
        assert!(hub.add(id, TapFilter::default(), u32::MAX));
    }
    assert!(!hub.add(99, TapFilter::default(), 1));
    assert!(hub.add(3, TapFilter::default(), u32::MAX), "one that is there is replaced");
    for _ in 0..QUEUE {
        hub.start(&view("/", None), 0);
    }
    assert_eq!(hub.drain().len(), QUEUE);
    assert_eq!(dropped.get(), (QUEUE * (TAPS - 1)) as u64);
    hub.clear();
    assert!(hub.is_idle());
}

#[test]
fn long_texts_are_cut() {
    let (hub, _) = hub();
    assert!(hub.add(1, TapFilter::default(), 1));
    let path = format!("/{}", "ü".repeat(2_000));
    hub.start(&view(&path, None), 0);
    let TapWhat::Start(start) = &hub.drain()[0].what else { panic!("no start") };
    assert_eq!(start.path.len(), 1_023);
}
