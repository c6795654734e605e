use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use byrnie_plan::HashSource;

use super::*;
use crate::{Outcome, xxh64};

/// What an endpoint of the simulation does: how long it takes, and whether it fails.
type Behaviour = fn() -> (Duration, bool);

fn fast() -> (Duration, bool) {
    (Duration::from_millis(10), true)
}

fn ten_times_slower() -> (Duration, bool) {
    (Duration::from_millis(100), true)
}

fn fails_at_once() -> (Duration, bool) {
    (Duration::from_micros(200), false)
}

/// Requests arrive evenly for `seconds`; returns each endpoint's share of those after the first second.
fn shares(balancer: &Balancer, endpoints: &[Behaviour], rps: u64, seconds: u64) -> Vec<f64> {
    let names: Vec<(u32, String)> = (0..endpoints.len()).map(|i| (1, i.to_string())).collect();
    let picker = Picker::new(balancer, &names);
    let loads: Vec<EndpointLoad> = endpoints.iter().map(|_| EndpointLoad::new(Time::ZERO)).collect();
    let mut ends: BinaryHeap<Reverse<(u64, usize, u64)>> = BinaryHeap::new();
    let mut counts = vec![0u64; endpoints.len()];
    let finish = |ends: &mut BinaryHeap<Reverse<(u64, usize, u64)>>, until: u64| {
        while let Some(Reverse((at, endpoint, began))) =
            ends.peek().copied().filter(|Reverse(end)| end.0 <= until)
        {
            ends.pop();
            let took = Duration::from_micros(at - began);
            let ok = endpoints[endpoint]().1;
            let outcome = if ok { Outcome::Success(took) } else { Outcome::Failure(took) };
            loads[endpoint].finish(Time::from_micros(at), outcome);
        }
    };
    for request in 0..rps * seconds {
        let micros = request * 1_000_000 / rps;
        finish(&mut ends, micros);
        let random = second_draw(request);
        let context = PickContext { now: Time::from_micros(micros), random, hash: None };
        let picked = picker.pick(context, |i| &loads[i], |_| true).unwrap();
        loads[picked].start();
        let took = endpoints[picked]().0.as_micros() as u64;
        ends.push(Reverse((micros + took, picked, micros)));
        if micros >= 1_000_000 {
            counts[picked] += 1;
        }
    }
    let total: u64 = counts.iter().sum();
    counts.iter().map(|count| *count as f64 / total as f64).collect()
}

#[test]
fn an_endpoint_ten_times_slower_gets_a_tenth_at_most() {
    for rps in [20, 200, 2_000] {
        let shares = shares(&Balancer::PeakEwma, &[fast, ten_times_slower, fast], rps, 60);
        assert!(shares[1] <= 0.10, "{rps} rps: {shares:?}");
        assert!((shares[0] - shares[2]).abs() < 0.1, "{rps} rps: {shares:?}");
    }
}

#[test]
fn an_endpoint_that_fails_at_once_gets_two_percent_at_most_after_a_second() {
    for rps in [30, 200, 2_000] {
        let shares = shares(&Balancer::PeakEwma, &[fast, fast, fails_at_once], rps, 60);
        assert!(shares[2] <= 0.02, "{rps} rps: {shares:?}");
        assert!(shares[2] > 0.0, "it must be probed, or it never comes back");
    }
    let shares = shares(&Balancer::LeastRequest, &[fast, fast, fails_at_once], 200, 60);
    assert!(shares[2] <= 0.02, "least request: {shares:?}");
}

#[test]
fn equal_endpoints_share_evenly() {
    for balancer in [Balancer::PeakEwma, Balancer::LeastRequest, Balancer::Random, Balancer::RoundRobin] {
        let shares = shares(&balancer, &[fast, fast, fast, fast], 500, 30);
        assert!(shares.iter().all(|share| (share - 0.25).abs() < 0.03), "{balancer:?}: {shares:?}");
    }
}

fn counts(picker: &Picker, loads: &[EndpointLoad], usable: impl Fn(usize) -> bool, draws: u64) -> Vec<u64> {
    let mut counts = vec![0; loads.len()];
    for draw in 0..draws {
        let random = second_draw(draw);
        let context = PickContext { now: Time::ZERO, random, hash: Some(xxh64(&draw.to_le_bytes())) };
        if let Some(picked) = picker.pick(context, |i| &loads[i], &usable) {
            counts[picked] += 1;
        }
    }
    counts
}

fn idle(count: usize) -> Vec<EndpointLoad> {
    (0..count).map(|_| EndpointLoad::new(Time::ZERO)).collect()
}

fn all_balancers() -> [Balancer; 6] {
    let source = || HashSource::Header("x".to_owned());
    [
        Balancer::PeakEwma,
        Balancer::LeastRequest,
        Balancer::RoundRobin,
        Balancer::Random,
        Balancer::RingHash(source()),
        Balancer::Maglev(source()),
    ]
}

#[test]
fn weights_hold() {
    let endpoints = [(60, "a"), (0, "b"), (30, "c"), (10, "d")];
    for balancer in all_balancers() {
        let counts = counts(&Picker::new(&balancer, &endpoints), &idle(4), |_| true, 10_000);
        // By chance, three standard deviations are 1.5 points; the points of a ring lie by chance, too.
        let tolerance = if matches!(balancer, Balancer::RingHash(_)) { 4.0 } else { 1.5 };
        for (count, (weight, _)) in counts.iter().zip(endpoints) {
            let percent = *count as f64 / 100.0;
            assert!((percent - f64::from(weight)).abs() < tolerance, "{balancer:?}: {counts:?}");
        }
    }
}

/// As the proxy draws: multiples of the square root of 2.
#[test]
fn weights_hold_within_a_point_over_ten_thousand_requests() {
    let endpoints = [(60, "a"), (0, "b"), (30, "c"), (10, "d")];
    for balancer in [Balancer::PeakEwma, Balancer::LeastRequest, Balancer::RoundRobin, Balancer::Random] {
        for start in 0..20u64 {
            let picker = Picker::new(&balancer, &endpoints);
            let loads = idle(4);
            let mut counts = [0u64; 4];
            let mut random = second_draw(start);
            for _ in 0..10_000 {
                random = random.wrapping_add(0x6a09_e667_f3bc_c909);
                let context = PickContext { now: Time::ZERO, random, hash: None };
                counts[picker.pick(context, |i| &loads[i], |_| true).unwrap()] += 1;
            }
            for (count, (weight, _)) in counts.iter().zip(endpoints) {
                let percent = *count as f64 / 100.0;
                assert!((percent - f64::from(weight)).abs() < 1.0, "{balancer:?}: {counts:?}");
            }
        }
    }
}

#[test]
fn only_usable_endpoints_are_picked_and_one_that_is_left_is_always_found() {
    let endpoints: Vec<(u32, String)> = (0..7).map(|i| (u32::from(i != 3), i.to_string())).collect();
    for balancer in all_balancers() {
        let picker = Picker::new(&balancer, &endpoints);
        assert_eq!(counts(&picker, &idle(7), |i| i == 5, 100)[5], 100, "{balancer:?}");
        assert_eq!(counts(&picker, &idle(7), |_| false, 100), [0; 7], "{balancer:?}");
        assert_eq!(counts(&picker, &idle(7), |i| i == 3, 100), [0; 7], "weight 0, {balancer:?}");
        assert!(counts(&Picker::new::<&str>(&balancer, &[]), &[], |_| true, 10).is_empty());
        assert_eq!(counts(&Picker::new(&balancer, &[(0, "a")]), &idle(1), |_| true, 10), [0]);
    }
}

#[test]
fn hashing_is_consistent() {
    let source = HashSource::SourceAddress;
    for balancer in [Balancer::RingHash(source.clone()), Balancer::Maglev(source)] {
        for count in [3usize, 10, 50] {
            let before: Vec<(u32, String)> = (0..count).map(|i| (1, format!("10.0.0.{i}:80"))).collect();
            let gone = count / 2;
            let after: Vec<(u32, String)> =
                before.iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, e)| e.clone()).collect();
            let (a, b) = (Picker::new(&balancer, &before), Picker::new(&balancer, &after));
            let loads = idle(count);
            let keys = 20_000u64;
            let moved = (0..keys)
                .filter(|key| {
                    let context =
                        PickContext { now: Time::ZERO, random: *key, hash: Some(xxh64(&key.to_le_bytes())) };
                    let old = a.pick(context, |i| &loads[i], |_| true).unwrap();
                    let new = b.pick(context, |i| &loads[i], |_| true).unwrap();
                    before[old].1 != after[new].1
                })
                .count();
            let limit = 1.2 / count as f64;
            assert!(
                moved as f64 / keys as f64 <= limit,
                "{balancer:?}, {count} endpoints: {moved} of {keys}"
            );
        }
    }
}

#[test]
fn round_robin_spreads_its_turns() {
    let schedule = tables::schedule(&[5, 1, 1]);
    assert_eq!(*schedule, [0, 0, 1, 0, 2, 0, 0]);
    assert_eq!(*tables::schedule(&[7, 7]), [0, 1]);
    assert_eq!(*tables::schedule(&[]), []);
    let huge = tables::schedule(&[u32::MAX, 1, u32::MAX / 2]);
    assert!(huge.len() <= 4100 && huge.contains(&1));
}

#[test]
fn three_workers_see_one_load() {
    let picker = Picker::new(&Balancer::LeastRequest, &[(1, "a"), (1, "b"), (1, "c")]);
    let loads = idle(3);
    std::thread::scope(|scope| {
        for worker in 0..3u64 {
            let (picker, loads) = (&picker, &loads);
            scope.spawn(move || {
                for request in 0..1_000 {
                    let random = second_draw(worker << 32 | request);
                    let context = PickContext { now: Time::ZERO, random, hash: None };
                    let picked = picker.pick(context, |i| &loads[i], |_| true).unwrap();
                    loads[picked].start();
                }
            });
        }
    });
    let in_flight: Vec<u32> = loads.iter().map(EndpointLoad::in_flight).collect();
    assert_eq!(in_flight.iter().sum::<u32>(), 3_000);
    assert!(in_flight.iter().all(|n| n.abs_diff(1_000) < 20), "{in_flight:?}");
}
