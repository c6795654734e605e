use super::*;
use crate::{Histogram, RequestDelta, TcpDelta, bucket_of};

fn labels(service: &str, secured: bool) -> Arc<Labels> {
    let service = Some(ObjectName::new("shop", service));
    Arc::new(Labels { service, secured, ..Labels::new(Direction::Outbound) })
}

fn requests(service: &str, status: u16, count: u64, millis: u64) -> Delta {
    let mut latency = Histogram { sum_us: count * millis * 1_000, ..Histogram::default() };
    latency.add(bucket_of(millis * 1_000), count);
    let outcome = Outcome { status, ..Outcome::default() };
    let tally = RequestTally { latency, ..RequestTally::default() };
    Delta {
        requests: vec![RequestDelta { labels: labels(service, true), outcome, tally }],
        connections: Vec::new(),
    }
}

fn connections(opened: u64, closed: u64) -> Delta {
    let tally = TcpTally { opened, closed, received_bytes: 100, sent_bytes: 200 };
    let connection = TcpDelta { labels: labels("db", true), outcome: Outcome::default(), tally };
    Delta { requests: Vec::new(), connections: vec![connection] }
}

fn proxy(name: &str) -> ObjectName {
    ObjectName::new("shop", name)
}

const MINUTE: Duration = Duration::from_secs(60);

fn by_service(key: &RequestKey) -> Option<String> {
    key.labels.service.as_ref().map(|service| service.name.clone())
}

#[test]
fn adds_up_what_many_proxies_report() {
    let start = Instant::now();
    let mut window = Window::new(WindowSettings::default(), start);
    let at = |seconds| start + Duration::from_secs(seconds);
    for second in 1..=60 {
        window.merge(&proxy("a-1"), requests("web", 200, 9, 10), at(second));
        window.merge(&proxy("a-2"), requests("web", 503, 1, 100), at(second));
        window.merge(&proxy("a-2"), requests("api", 404, 5, 1), at(second));
    }
    let totals = window.requests(at(60), MINUTE, by_service);
    let web = &totals["web"];
    assert_eq!((web.count(), web.failures, web.all_secured()), (600, 60, Some(true)));
    assert!((web.success().unwrap() - 0.9).abs() < 1e-9);
    assert!((web.rps() - 10.0).abs() < 1e-9);
    let p50 = web.quantile(0.5).unwrap().as_secs_f64();
    let p95 = web.quantile(0.95).unwrap().as_secs_f64();
    assert!((0.009..=0.010).contains(&p50) && (0.090..=0.100).contains(&p95), "{p50} {p95}");
    // A 404 is an answer.
    assert_eq!(totals["api"].success(), Some(1.0));
    assert_eq!(RequestTotals::default().success(), None);
}

#[test]
fn looks_back_as_far_as_asked_and_forgets_after_five_minutes() {
    let start = Instant::now();
    let mut window = Window::new(WindowSettings::default(), start);
    let at = |seconds| start + Duration::from_secs(seconds);
    window.merge(&proxy("a"), requests("web", 200, 100, 1), at(5));
    window.merge(&proxy("a"), requests("web", 200, 10, 1), at(95));
    let count = |window: &Window, now: u64, span: u64| {
        let totals = window.requests(at(now), Duration::from_secs(span), by_service);
        totals.get("web").map(|t| (t.count(), t.over.as_secs()))
    };
    // Slots are whole, so the time is stretched to the slot's begin, and rates stay right.
    assert_eq!(count(&window, 99, 60), Some((10, 69)));
    assert_eq!(count(&window, 99, 300), Some((110, 99)));
    assert_eq!(count(&window, 99, 9_999), Some((110, 99)));
    assert_eq!(count(&window, 330, 300), Some((10, 300)));
    assert_eq!(count(&window, 500, 300), None);
    window.merge(&proxy("a"), requests("api", 200, 1, 1), at(500));
    assert_eq!(window.keys(), 1);
}

#[test]
fn open_connections_outlive_the_window_but_not_their_proxy() {
    let start = Instant::now();
    let mut window = Window::new(WindowSettings::default(), start);
    let at = |seconds| start + Duration::from_secs(seconds);
    window.merge(&proxy("a"), connections(3, 1), at(1));
    window.merge(&proxy("b"), connections(1, 0), at(1));
    let totals = |window: &Window, now| window.connections(at(now), MINUTE, by_service).get("db").copied();
    let now = totals(&window, 2).unwrap();
    assert_eq!((now.open, now.tally.opened, now.tally.sent_bytes), (3, 4, 400));
    window.merge(&proxy("c"), requests("web", 200, 1, 1), at(1_000));
    let later = totals(&window, 1_000).unwrap();
    assert_eq!((later.open, later.tally.opened), (3, 0));
    window.forget(&proxy("a"));
    assert_eq!(totals(&window, 1_000).unwrap().open, 1);
    window.merge(&proxy("b"), connections(0, 1), at(1_001));
    window.merge(&proxy("c"), requests("web", 200, 1, 1), at(2_000));
    assert_eq!(totals(&window, 2_000), None);
    assert_eq!(window.keys(), 1);
}

#[test]
fn keys_are_bounded_and_nothing_is_lost() {
    let start = Instant::now();
    let settings = WindowSettings { max_keys: 5, ..WindowSettings::default() };
    let mut window = Window::new(settings, start);
    for index in 0..20 {
        window.merge(&proxy("a"), requests(&format!("s{index}"), 200, 1, 1), start);
    }
    assert_eq!((window.keys(), window.overflowed()), (6, 15));
    let all = window.requests(start, MINUTE, |_| Some(()));
    assert_eq!(all[&()].count(), 20);
}
