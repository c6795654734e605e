use super::*;

const MS: Duration = Duration::from_millis(1);

fn answered(load: &EndpointLoad, at: u64, rtt: Duration) {
    load.start();
    load.finish(Time::from_millis(at), Outcome::Success(rtt));
}

#[test]
fn one_cache_line() {
    assert_eq!((size_of::<EndpointLoad>(), align_of::<EndpointLoad>()), (64, 64));
}

#[test]
fn fade_is_close_to_the_exponential() {
    for micros in (0..30_000_000).step_by(100_000) {
        let exact = (-(micros as f64) / 1e7).exp();
        assert!((fade(micros, EWMA_DECAY) - exact).abs() < 0.02, "{micros}");
    }
    assert_eq!(fade(u64::MAX, EWMA_DECAY), 0.0);
}

#[test]
fn a_peak_counts_at_once_and_fades() {
    let load = EndpointLoad::new(Time::ZERO);
    assert_eq!(load.latency(), None);
    answered(&load, 100, 10 * MS);
    assert_eq!(load.latency(), Some(10 * MS));
    answered(&load, 200, 100 * MS);
    assert_eq!(load.latency(), Some(100 * MS));
    answered(&load, 10_200, 10 * MS);
    let latency = load.latency().unwrap().as_secs_f64() * 1e3;
    assert!((40.0..46.0).contains(&latency), "after one time constant: {latency} ms");
}

#[test]
fn requests_in_flight_make_it_dearer() {
    let load = EndpointLoad::new(Time::ZERO);
    answered(&load, 0, 10 * MS);
    let idle = load.cost(Time::ZERO);
    load.start();
    load.start();
    assert_eq!(load.in_flight(), 2);
    assert!((load.cost(Time::ZERO) / idle - 3.0).abs() < 1e-9);
    assert!(!load.try_start(2));
    assert!(load.try_start(3));
    assert_eq!(load.in_flight(), 3);
}

#[test]
fn an_unused_endpoint_gets_cheaper_until_it_is_tried() {
    let (slow, fast) = (EndpointLoad::new(Time::ZERO), EndpointLoad::new(Time::ZERO));
    answered(&slow, 0, 100 * MS);
    answered(&fast, 0, 10 * MS);
    answered(&fast, 25_000, 10 * MS);
    assert!(slow.cost(Time::from_millis(10_000)) > 10_000.0);
    assert!(slow.cost(Time::from_millis(25_000)) < fast.cost(Time::from_millis(25_000)));
}

#[test]
fn failures_repel_more_and_more_and_one_success_begins_to_forgive() {
    let load = EndpointLoad::new(Time::ZERO);
    let now = Time::from_millis(1_000);
    let mut penalties = Vec::new();
    for _ in 0..6 {
        load.start();
        load.finish(now, Outcome::Failure(Duration::from_micros(50)));
        penalties.push(load.penalty(now).round() as u64);
    }
    assert_eq!(penalties, [2, 4, 16, 256, 1000, 1000]);
    // Failing at once does not look fast.
    assert_eq!(load.latency(), Some(DEFAULT_RTT));
    assert_eq!(load.penalty(now.plus(Duration::from_secs(18))), 1.0);
    answered(&load, 1_000, 10 * MS);
    assert!(load.penalty(now) < 32.0);
    load.start();
    load.finish(now, Outcome::Unknown);
    assert_eq!(load.in_flight(), 0);
}

#[test]
fn counts_are_exact_with_several_threads() {
    let load = EndpointLoad::new(Time::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for at in 0..10_000 {
                    load.start();
                    load.start();
                    load.finish(Time::from_millis(at), Outcome::Success(MS));
                }
            });
        }
    });
    assert_eq!(load.in_flight(), 30_000);
}
