use byrnie_plan::RetryOn;

use super::*;

const NOW: Time = Time::from_millis(100_000);

fn settings(on: RetryOn) -> Retry {
    Retry { on, ..Retry::default() }
}

fn decide(failure: Failure, method: &str, on: RetryOn) -> RetryDecision {
    let attempt = Attempt { method, retries: 0, replayable: true, deadline: Deadline::NEVER };
    should_retry(failure, &attempt, &settings(on), &RetryBudget::new(), NOW, 0)
}

fn is_retried(failure: Failure, method: &str, on: &RetryOn) -> bool {
    matches!(decide(failure, method, on.clone()), RetryDecision::Retry { .. })
}

#[test]
fn what_is_worth_another_try() {
    let plain = RetryOn::default();
    let wide = RetryOn {
        statuses: vec![503, 504],
        grpc_codes: vec![14],
        connection_error: true,
        ..RetryOn::default()
    };
    let reckless = RetryOn { unsafe_methods: true, ..wide.clone() };
    let columns = [&plain, &wide, &reckless];
    for (failure, method, expected) in [
        (Failure::NotProcessed, "GET", [true, true, true]),
        (Failure::NotProcessed, "POST", [true, true, true]),
        (Failure::ReusedConnectionDied, "GET", [true, true, true]),
        (Failure::ReusedConnectionDied, "HEAD", [true, true, true]),
        (Failure::ReusedConnectionDied, "OPTIONS", [true, true, true]),
        (Failure::ReusedConnectionDied, "PUT", [false, false, true]),
        (Failure::ReusedConnectionDied, "POST", [false, false, true]),
        (Failure::ConnectionDied, "GET", [false, true, true]),
        (Failure::ConnectionDied, "POST", [false, false, true]),
        (Failure::TimedOut, "GET", [false, true, true]),
        (Failure::TimedOut, "POST", [false, false, true]),
        (Failure::Status(503), "GET", [false, true, true]),
        (Failure::Status(503), "PUT", [false, true, true]),
        (Failure::Status(503), "POST", [false, false, true]),
        (Failure::Status(500), "GET", [false, false, false]),
        (Failure::Grpc(14), "POST", [false, true, true]),
        (Failure::Grpc(13), "POST", [false, false, false]),
    ] {
        assert_eq!(columns.map(|on| is_retried(failure, method, on)), expected, "{failure:?} {method}");
    }
    assert_eq!(decide(Failure::Status(503), "POST", wide), RetryDecision::No(NoRetry::Method));
    assert_eq!(decide(Failure::Status(503), "GET", plain), RetryDecision::No(NoRetry::NotRetriable));
}

#[test]
fn limits_of_a_request() {
    let budget = RetryBudget::new();
    let first = Attempt { method: "GET", retries: 0, replayable: true, deadline: Deadline::NEVER };
    let ask = |attempt: Attempt<'_>, settings: &Retry| {
        should_retry(Failure::NotProcessed, &attempt, settings, &budget, NOW, u64::MAX)
    };
    let settings = Retry::default();
    assert_eq!(ask(first, &settings), RetryDecision::Retry { backoff: Duration::ZERO });
    let second = ask(Attempt { retries: 1, ..first }, &settings);
    assert!(
        matches!(second, RetryDecision::Retry { backoff } if backoff > Duration::from_millis(49)),
        "{second:?}"
    );
    assert_eq!(ask(Attempt { retries: 2, ..first }, &settings), RetryDecision::No(NoRetry::Attempts));
    let never = Retry { attempts: 0, ..Retry::default() };
    assert_eq!(ask(first, &never), RetryDecision::No(NoRetry::Attempts));
    assert_eq!(ask(Attempt { replayable: false, ..first }, &settings), RetryDecision::No(NoRetry::Body));
    let settings_limit = byrnie_plan::TrafficSettings {
        request_timeout: Some(Duration::from_millis(40)),
        ..Default::default()
    };
    let deadline = Deadline::new(NOW, byrnie_plan::Timeouts::default(), &settings_limit, None);
    let late = Attempt { retries: 1, deadline, ..first };
    assert_eq!(ask(late, &settings), RetryDecision::No(NoRetry::Deadline));
    // Only the two retries were charged.
    assert_eq!(budget.counts(NOW), (0, 2));
}

#[test]
fn backoff_doubles_is_capped_and_jittered() {
    let settings = Retry::default();
    for (retries, full) in [(0, 25), (1, 50), (2, 100), (3, 200), (4, 250), (40, 250)] {
        let full = Duration::from_millis(full);
        let (low, high) = (backoff(&settings, retries, 0), backoff(&settings, retries, u64::MAX));
        assert_eq!(low, full / 2);
        assert!(high <= full && high > full.mul_f64(0.99), "{retries}: {high:?}");
    }
}

#[test]
fn a_budget_is_a_share_and_a_minimum() {
    let settings = byrnie_plan::RetryBudget { percent: 20, min_per_second: 3 };
    let take_all =
        |budget: &RetryBudget, now: Time| (0..10_000).take_while(|_| budget.withdraw(settings, now)).count();
    let budget = RetryBudget::new();
    assert_eq!(take_all(&budget, NOW), 30);
    let budget = RetryBudget::new();
    (0..1_000).for_each(|_| budget.deposit(NOW));
    assert_eq!(take_all(&budget, NOW), 230);
    assert_eq!(budget.counts(NOW), (1_000, 230));
    // Nine seconds later all of it still counts, a second later nothing does.
    assert_eq!(take_all(&budget, NOW.plus(Duration::from_secs(9))), 0);
    assert_eq!(budget.counts(NOW.plus(Duration::from_secs(10))), (0, 0));
    assert_eq!(take_all(&budget, NOW.plus(Duration::from_secs(10))), 30);
    let nothing = byrnie_plan::RetryBudget { percent: 0, min_per_second: 0 };
    assert!(!RetryBudget::new().withdraw(nothing, NOW));
}

#[test]
fn a_service_that_fails_at_large_gets_a_fifth_more_at_most() {
    let settings = byrnie_plan::RetryBudget { percent: 20, min_per_second: 3 };
    let budget = RetryBudget::new();
    let mut retries = 0;
    for millis in 0..60_000 {
        let now = Time::from_millis(millis);
        budget.deposit(now);
        retries += u64::from(budget.withdraw(settings, now)) + u64::from(budget.withdraw(settings, now));
    }
    assert!((12_000..12_500).contains(&retries), "{retries} retries of 60,000 requests");
}

#[test]
fn the_budget_is_the_processes_not_the_workers() {
    let settings = byrnie_plan::RetryBudget { percent: 10, min_per_second: 0 };
    for workers in [1, 3] {
        let budget = RetryBudget::new();
        let granted = AtomicU32::new(0);
        (0..3_000).for_each(|_| budget.deposit(NOW));
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        granted.fetch_add(u32::from(budget.withdraw(settings, NOW)), Relaxed);
                    }
                });
            }
        });
        let granted = granted.into_inner();
        // Never more; two that try the last one at once may both go without.
        assert!(granted <= 300 && granted > 295, "{workers} workers: {granted}");
    }
}
