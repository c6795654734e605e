use byrnie_plan::ObjectName;

use super::*;
use crate::RequestEnd;

fn labels(peer: usize) -> Labels {
    Labels {
        service: Some(ObjectName::new("shop", "web")),
        source: Some(ObjectName::new("shop", format!("client-{peer}"))),
        ..Labels::new(Direction::Inbound)
    }
}

fn ok(millis: u64) -> RequestEnd<'static> {
    let duration = Duration::from_millis(millis);
    RequestEnd { status: 200, duration, response_bytes: 10, ..RequestEnd::default() }
}

fn registry(max_series: usize) -> (Registry, Instant) {
    (Registry::new(RegistrySettings { max_series }), Instant::now())
}

#[test]
fn workers_are_added_up_and_a_delta_is_told_once() {
    let (registry, now) = registry(100);
    for worker in 0..3 {
        let series = registry.requests(worker, &labels(0), now);
        assert!(Arc::ptr_eq(&series, &registry.requests(worker, &labels(0), now)));
        series.record(&ok(5));
        series.record(&RequestEnd { retries: 1, ..ok(5) });
        series.record(&RequestEnd { status: 503, error: "BYR0201", ..ok(1) });
    }
    assert_eq!(registry.series(), 2);
    let mut delta = registry.take_delta(now);
    delta.requests.sort_by(|a, b| a.outcome.cmp(&b.outcome));
    let [good, bad] = &delta.requests[..] else { panic!("{delta:?}") };
    assert_eq!((good.outcome.status, good.tally.count(), good.tally.retries), (200, 6, 3));
    assert_eq!((good.tally.response_bytes, good.tally.latency.sum_us), (60, 30_000));
    assert_eq!((bad.outcome.status, bad.outcome.error.as_str(), bad.tally.count()), (503, "BYR0201", 3));
    assert!(registry.take_delta(now).is_empty());
    registry.requests(1, &labels(0), now).record(&ok(5));
    assert_eq!(registry.take_delta(now).requests[0].tally.count(), 1);
}

#[test]
fn a_scrape_takes_nothing_from_the_delta() {
    let (registry, now) = registry(100);
    registry.requests(0, &labels(0), now).record(&ok(5));
    assert!(registry.render(now).contains("byrnie_requests_total{"));
    assert_eq!(registry.take_delta(now).requests[0].tally.count(), 1);
    assert!(registry.render(now).contains("byrnie_requests_total{"));
}

#[test]
fn series_are_bounded_and_nothing_is_lost() {
    let (registry, now) = registry(10);
    for peer in 0..50 {
        let series = registry.requests(0, &labels(peer), now);
        (0..3).for_each(|_| series.record(&ok(1)));
    }
    assert_eq!(registry.series(), 10);
    let delta = registry.take_delta(now);
    assert_eq!(delta.requests.len(), 11);
    assert_eq!(delta.requests.iter().map(|r| r.tally.count()).sum::<u64>(), 150);
    let overflow = delta.requests.iter().find(|r| r.outcome.error == "overflow").unwrap();
    assert_eq!(overflow.tally.count(), 120);
    let text = registry.render(now);
    assert!(
        text.contains("service=\"overflow\"") && text.contains("byrnie_metrics_overflow_total 40"),
        "{text}"
    );
    assert!(text.contains("byrnie_metrics_series 10"), "{text}");
}

#[test]
fn outcomes_of_one_label_set_are_bounded() {
    let (registry, now) = registry(1_000);
    let series = registry.requests(0, &labels(0), now);
    for status in 200..300 {
        series.record(&RequestEnd { status, ..ok(1) });
    }
    assert_eq!(registry.series(), 12);
    let counts: u64 = registry.take_delta(now).requests.iter().map(|r| r.tally.count()).sum();
    assert_eq!(counts, 100);
}

#[test]
fn long_label_values_are_cut_and_still_found_again() {
    let (registry, now) = registry(10);
    let series = registry.requests(0, &labels(0), now);
    let policy = "ü".repeat(1_000);
    for _ in 0..3 {
        series.record(&RequestEnd { status: 403, policy: &policy, ..ok(1) });
    }
    assert_eq!(registry.series(), 1);
    assert_eq!(registry.take_delta(now).requests[0].outcome.policy.len(), 256);
}

#[test]
fn idle_series_are_hidden_and_dropped_when_nobody_holds_them() {
    let (registry, now) = registry(10);
    let held = registry.requests(0, &labels(0), now);
    held.record(&ok(1));
    registry.requests(0, &labels(1), now).record(&ok(1));
    let tcp = registry.connections(0, &labels(0), "", "", now);
    tcp.opened();
    registry.take_delta(now);
    assert_eq!(registry.series(), 3);
    let later = now + IDLE_AFTER;
    registry.take_delta(later);
    assert_eq!(registry.series(), 2);
    let text = registry.render(later);
    assert!(!text.contains("byrnie_requests_total{"), "{text}");
    // An open connection stays visible.
    assert!(text.contains("byrnie_tcp_open_connections{") && text.contains("} 1"), "{text}");
    held.record(&ok(1));
    tcp.closed();
    drop((held, tcp));
    assert!(
        registry.render(later).lines().any(|l| l.starts_with("byrnie_requests_total{") && l.ends_with(" 2"))
    );
    registry.take_delta(later + IDLE_AFTER);
    assert_eq!(registry.series(), 0);
}

#[test]
fn connections_are_counted() {
    let (registry, now) = registry(1);
    let cell = registry.connections(0, &labels(0), "", "", now);
    cell.opened();
    cell.received(5);
    cell.sent(7);
    cell.closed();
    let full = registry.connections(0, &labels(1), "BYR0202", "", now);
    full.opened();
    let mut delta = registry.take_delta(now);
    delta.connections.sort_by_key(|c| c.outcome.error.clone());
    assert_eq!(
        delta.connections[0].tally,
        TcpTally { opened: 1, closed: 1, received_bytes: 5, sent_bytes: 7 }
    );
    assert_eq!(delta.connections[1].outcome.error, "overflow");
}

#[test]
fn nothing_is_lost_while_workers_count_and_others_collect() {
    let (registry, now) = registry(100);
    let mut told = 0;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let registry = registry.clone();
                scope.spawn(move || {
                    let series = registry.requests(worker, &labels(0), now);
                    for n in 0..30_000u64 {
                        let status = if n % 10 == 0 { 503 } else { 200 };
                        series.record(&RequestEnd { status, ..ok(n % 7) });
                    }
                })
            })
            .collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            told += count(&registry.take_delta(now));
            registry.render(now);
        }
    });
    told += count(&registry.take_delta(now));
    assert_eq!(told, 90_000);
}

fn count(delta: &Delta) -> u64 {
    delta.requests.iter().map(|r| r.tally.count()).sum()
}

#[test]
fn footprint() {
    assert!(size_of::<RequestCell>() <= 608, "{}", size_of::<RequestCell>());
    assert!(size_of::<RequestSeries>() <= 224, "{}", size_of::<RequestSeries>());
    assert_eq!(size_of::<TcpCell>(), 32);
}
