use byrnie_plan::{LatencyOutlier, SuccessRateOutlier};

use super::*;

fn settings() -> Outlier {
    Outlier {
        consecutive_failures: 3,
        base_ejection: Duration::from_secs(1),
        max_ejection: Duration::from_secs(4),
        ..Outlier::default()
    }
}

fn endpoints(count: usize) -> Vec<OutlierState> {
    (0..count).map(|_| OutlierState::default()).collect()
}

fn eject(all: &[OutlierState], index: usize, now: Time) -> Ejection {
    for _ in 0..2 {
        assert_eq!(all[index].failed(&settings(), now, all.iter()), Ejection::None);
    }
    all[index].failed(&settings(), now, all.iter())
}

#[test]
fn ejects_after_exactly_n_failures_in_a_row() {
    for n in [1, 2, 3, 7, 100] {
        let settings = Outlier { consecutive_failures: n, ..settings() };
        let all = endpoints(2);
        let now = Time::from_millis(10_000);
        for _ in 1..n {
            assert_eq!(all[0].failed(&settings, now, all.iter()), Ejection::None);
        }
        all[0].succeeded(&settings, Duration::ZERO);
        for _ in 1..n {
            assert_eq!(all[0].failed(&settings, now, all.iter()), Ejection::None);
        }
        let last = all[0].failed(&settings, now, all.iter());
        assert_eq!(last, Ejection::Until(Time::from_millis(11_000)), "{n}");
        assert!(all[0].is_out());
        assert_eq!(all[0].failed(&settings, now, all.iter()), Ejection::None, "it is out already");
    }
}

#[test]
fn one_probe_after_the_time_brings_it_back() {
    let all = endpoints(2);
    let now = Time::from_millis(10_000);
    eject(&all, 0, now);
    assert!(!all[1].take_probe(now), "it is in service");
    assert!(!all[0].take_probe(Time::from_millis(10_999)));
    let due = Time::from_millis(11_000);
    assert!(all[0].take_probe(due));
    assert!(!all[0].take_probe(due), "there is one probe");
    assert!(all[0].is_out(), "time alone brings nobody back");
    all[0].probe_given_up();
    assert!(all[0].take_probe(due));
    all[0].probe_succeeded(due);
    assert!(!all[0].is_out());
    assert_eq!(all[0].out_until(), None);
}

#[test]
fn the_time_doubles_with_each_failed_probe_up_to_the_cap_and_is_forgiven() {
    let all = endpoints(2);
    let mut now = Time::from_millis(10_000);
    let Ejection::Until(mut until) = eject(&all, 0, now) else { panic!("not ejected") };
    for seconds in [2, 4, 4] {
        now = until;
        assert!(all[0].take_probe(now));
        until = all[0].probe_failed(&settings(), now);
        assert_eq!(until.since(now), Duration::from_secs(seconds));
        assert!(!all[0].take_probe(Time::from_micros(until.as_micros() - 1)));
    }
    now = until;
    assert!(all[0].take_probe(now));
    all[0].probe_succeeded(now);
    // At once it is as before, after long good service all is forgiven.
    let Ejection::Until(again) = eject(&all, 0, now) else { panic!("not ejected") };
    assert_eq!(again.since(now), Duration::from_secs(4));
    assert!(all[0].take_probe(again));
    all[0].probe_succeeded(again);
    now = again.plus(Duration::from_secs(60));
    assert_eq!(eject(&all, 0, now), Ejection::Until(now.plus(Duration::from_secs(1))));
}

#[test]
fn never_more_than_half() {
    let now = Time::from_millis(10_000);
    for count in 1..=7 {
        let all = endpoints(count);
        for index in 0..count {
            eject(&all, index, now);
        }
        assert_eq!(all.iter().filter(|s| s.is_out()).count(), count / 2, "of {count}");
    }
}

#[test]
fn never_more_than_half_with_three_threads_at_once() {
    let now = Time::from_millis(10_000);
    for _ in 0..50 {
        let all = endpoints(6);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let all = &all;
                scope.spawn(move || {
                    for index in 0..6 {
                        for _ in 0..3 {
                            all[(index + thread * 2) % 6].failed(&settings(), now, all.iter());
                        }
                    }
                });
            }
        });
        assert!(all.iter().filter(|s| s.is_out()).count() <= 3);
    }
}

#[test]
fn three_threads_get_one_probe() {
    let all = endpoints(2);
    eject(&all, 0, Time::from_millis(10_000));
    let taken = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    taken.fetch_add(u32::from(all[0].take_probe(Time::from_millis(20_000))), Relaxed);
                }
            });
        }
    });
    assert_eq!(taken.into_inner(), 1);
}

#[test]
fn zero_never_ejects() {
    let all = endpoints(4);
    let settings = Outlier { consecutive_failures: 0, ..settings() };
    for _ in 0..100 {
        assert_eq!(all[0].failed(&settings, Time::ZERO, all.iter()), Ejection::None);
    }
}

/// Ejected by one comparison after so many successes and failures each, with these mean latencies in milliseconds.
fn compared(settings: &Outlier, did: &[(u32, u32, u64)]) -> Vec<(usize, EjectionReason)> {
    let all = endpoints(did.len());
    for (state, (good, bad, millis)) in all.iter().zip(did) {
        (0..*good).for_each(|_| state.succeeded(settings, Duration::from_millis(*millis)));
        for _ in 0..*bad {
            state.failed(settings, Time::ZERO, all.iter());
        }
    }
    let all: Vec<&OutlierState> = all.iter().collect();
    let ejected = compare(settings, Time::from_millis(1_000), &all);
    assert!(compare(settings, Time::from_millis(2_000), &all).is_empty(), "each interval counts anew");
    ejected
        .into_iter()
        .filter(|(_, _, ejection)| matches!(ejection, Ejection::Until(_)))
        .map(|(index, reason, _)| (index, reason))
        .collect()
}

#[test]
fn who_succeeds_less_often_than_the_others_is_ejected() {
    let of = |rule| Outlier { consecutive_failures: 0, success_rate: Some(rule), ..settings() };
    let rule = SuccessRateOutlier::default();
    let out = |index| vec![(index, EjectionReason::SuccessRate)];
    let good = (100, 0, 1);
    for (rule, did, expected) in [
        (rule, vec![good, good, (50, 50, 1), good, good], out(2)),
        (rule, vec![good, good, (99, 1, 1), good, good], out(2)),
        // Five endpoints are needed, with a hundred requests each.
        (rule, vec![good, good, (0, 100, 1), good], vec![]),
        (rule, vec![good, good, (49, 50, 1), good, good], vec![]),
        (
            SuccessRateOutlier { minimum_requests: 99, ..rule },
            vec![good, good, (49, 50, 1), good, good],
            out(2),
        ),
        // All alike.
        (rule, vec![(50, 50, 1); 5], vec![]),
        (SuccessRateOutlier { threshold_percent: 80, ..rule }, vec![good, (79, 21, 1)], out(1)),
        (SuccessRateOutlier { threshold_percent: 80, ..rule }, vec![good, (80, 20, 1)], vec![]),
        // Half at most, the worst first.
        (SuccessRateOutlier { threshold_percent: 80, ..rule }, vec![(79, 21, 1), (10, 90, 1)], out(1)),
    ] {
        assert_eq!(compared(&of(rule), &did), expected, "{did:?}");
    }
}

#[test]
fn who_is_slower_than_the_others_is_ejected() {
    let of = |rule| Outlier { consecutive_failures: 0, latency: Some(rule), ..settings() };
    let rule = LatencyOutlier::default();
    let out = |index| vec![(index, EjectionReason::Latency)];
    let fast = (20, 0, 20);
    for (rule, did, expected) in [
        (rule, vec![fast, fast, (20, 0, 61)], out(2)),
        (rule, vec![fast, fast, (20, 0, 60)], vec![]),
        // Three endpoints are needed, with twenty answers each.
        (rule, vec![fast, (20, 0, 500)], vec![]),
        (rule, vec![fast, fast, (19, 0, 500)], vec![]),
        // Below 50 ms nobody is too slow.
        (rule, vec![(20, 0, 1), (20, 0, 1), (20, 0, 49)], vec![]),
        (LatencyOutlier { minimum_endpoints: 2, ..rule }, vec![fast, (20, 0, 500)], out(1)),
        (
            LatencyOutlier { factor_percent: 150, ..rule },
            vec![(20, 0, 100), (20, 0, 100), (20, 0, 151)],
            out(2),
        ),
    ] {
        assert_eq!(compared(&of(rule), &did), expected, "{did:?}");
    }
}

#[test]
fn an_interval_is_compared_once() {
    let clock = OutlierClock::default();
    let interval = Duration::from_secs(10);
    assert!(!clock.is_due(interval, Time::from_millis(5_000)), "the first one begins");
    assert!(!clock.is_due(interval, Time::from_millis(14_999)));
    assert!(clock.is_due(interval, Time::from_millis(15_000)));
    assert!(!clock.is_due(interval, Time::from_millis(15_000)));
    assert!(clock.is_due(interval, Time::from_millis(90_000)));
}
