use std::net::{IpAddr, Ipv4Addr};

use byrnie_plan::{HostPattern, HttpMatch, PathMatch, RateLimit, TextMatch, TrafficMatch};
use proptest::prelude::*;

use super::*;
use crate::RequestView;

type Headers = [(String, String)];

fn limit(number: u32, per: Duration, burst: u32) -> RateLimit {
    RateLimit {
        name: "0".to_owned(),
        unit: RateUnit::Requests,
        matches: Vec::new(),
        key: Vec::new(),
        number,
        per,
        burst,
        max_keys: 8,
    }
}

fn limiter(limits: Vec<RateLimit>) -> RateLimiter {
    let plan =
        RateLimits { policy: "a/p".to_owned(), scope: "x".to_owned(), shadow: false, headers: true, limits };
    RateLimiter::compile(&plan, 7).unwrap()
}

fn from<'a>(path: &'a str, headers: &'a Headers, identity: Option<&'a str>) -> Arrival<'a, Headers> {
    let request = RequestView { method: "GET", host: "h", path, query: None, headers };
    Arrival { request: Some(request), identity, address: IpAddr::V4(Ipv4Addr::LOCALHOST) }
}

fn plain() -> Arrival<'static, Headers> {
    from("/", &[], None)
}

fn passes(limiter: &RateLimiter, arrival: &Arrival<'_, Headers>, now: Time) -> bool {
    !limiter.take(arrival, now).refused
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_burst_passes_at_once_and_then_one_at_a_time() {
    let limiter = limiter(vec![limit(10, SECOND, 5)]);
    let at = Time::from_millis;
    let passed = (0..20).filter(|_| passes(&limiter, &plain(), at(1000))).count();
    assert_eq!(passed, 5);
    assert!(!passes(&limiter, &plain(), at(1099)));
    assert!(passes(&limiter, &plain(), at(1100)));
    assert!(!passes(&limiter, &plain(), at(1100)));
    // Full again after half a second, and never fuller.
    let passed = (0..20).filter(|_| passes(&limiter, &plain(), at(9000))).count();
    assert_eq!(passed, 5);
}

#[test]
fn what_is_left_and_when_there_is_more() {
    let limiter = limiter(vec![limit(2, SECOND, 2)]);
    let now = Time::from_millis(5000);
    let quota = |remaining, reset| Quota { limit: 0, remaining, reset: Duration::from_millis(reset) };
    assert_eq!(limiter.take(&plain(), now).quotas[..], [quota(1, 500)]);
    assert_eq!(limiter.take(&plain(), now).quotas[..], [quota(0, 1000)]);
    let verdict = limiter.take(&plain(), Time::from_millis(5100));
    assert!(verdict.refused);
    assert_eq!(verdict.quotas[..], [quota(0, 400)], "when the next one may pass");
}

#[test]
fn the_number_is_right_at_every_rate() {
    for (number, per_ms) in [(1, 1000), (7, 1000), (100, 1000), (3333, 1000), (1_000_000, 1000), (60, 60_000)]
    {
        let per = Duration::from_millis(per_ms);
        let limiter = limiter(vec![limit(number, per, 3)]);
        // Ten periods of asking three times as often as is allowed.
        let step = (per_ms * 1_000_000 / u64::from(number) / 3).max(1);
        let until = 10 * per_ms * 1_000_000;
        let asked = (0..).map(|i| i * step).take_while(|nanos| *nanos < until).take(30_000_000 / 10);
        let mut passed = 0_u64;
        let mut last = 0;
        for nanos in asked {
            last = nanos;
            passed += u64::from(passes(&limiter, &plain(), Time::from_micros(nanos / 1000)));
        }
        let wanted = 3.0 + last as f64 / (per_ms as f64 * 1e6) * f64::from(number);
        let off = (passed as f64 - wanted).abs() / wanted;
        assert!(
            off <= 0.02 || (passed as f64 - wanted).abs() <= 1.0,
            "{number} per {per:?}: {passed}/{wanted}"
        );
    }
}

#[test]
fn workers_share_one_bucket_exactly() {
    let limiter = limiter(vec![limit(1000, SECOND, 1000)]);
    let hammer = |now: Time| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| (0..2000).filter(|_| passes(&limiter, &plain(), now)).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        })
    };
    assert_eq!(hammer(Time::from_millis(10_000)), 1000);
    assert_eq!(hammer(Time::from_millis(10_500)), 500);
    assert_eq!(hammer(Time::from_millis(60_000)), 1000);
}

#[test]
fn a_refusal_takes_nothing_from_the_other_limits() {
    let limiter = limiter(vec![limit(10, SECOND, 10), limit(1, SECOND, 1)]);
    let now = Time::from_millis(1000);
    assert!(passes(&limiter, &plain(), now));
    for _ in 0..50 {
        assert!(!passes(&limiter, &plain(), now));
    }
    let verdict = limiter.take(&plain(), Time::from_millis(2000));
    assert_eq!((verdict.quotas[0].remaining, verdict.refused), (9, false), "two were taken, one came back");
}

#[test]
fn limits_are_for_what_they_match() {
    let mut users = limit(1, SECOND, 1);
    users.matches = vec![TrafficMatch {
        request: Some(HttpMatch {
            host_scope: 0,
            host: HostPattern::Any,
            path: PathMatch::Prefix("/users".to_owned()),
            method: Some("GET".to_owned()),
            headers: Vec::new(),
            queries: Vec::new(),
            rule: 0,
        }),
        identities: vec![TextMatch::Exact("spiffe://x/ns/a/sa/b".to_owned())],
    }];
    let limiter = limiter(vec![users]);
    let now = Time::from_millis(1000);
    let caller = Some("spiffe://x/ns/a/sa/b");
    for _ in 0..3 {
        assert!(passes(&limiter, &from("/other", &[], caller), now));
        assert!(passes(&limiter, &from("/users/1", &[], None), now), "nobody is not somebody");
        assert!(passes(&limiter, &from("/users/1", &[], Some("spiffe://x/ns/a/sa/c")), now));
    }
    assert!(passes(&limiter, &from("/users/1", &[], caller), now));
    assert!(!passes(&limiter, &from("/users/1", &[], caller), now));
    assert_eq!(limiter.meant(&from("/users/1", &[], caller)).collect::<Vec<_>>(), [0]);
    assert_eq!(limiter.meant(&plain()).count(), 0);
}

#[test]
fn requests_and_connections_are_counted_apart() {
    let mut connections = limit(1, SECOND, 1);
    connections.unit = RateUnit::Connections;
    let limiter = limiter(vec![connections]);
    let bytes: Arrival<'_, Headers> =
        Arrival { request: None, identity: None, address: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let now = Time::from_millis(1000);
    assert!(passes(&limiter, &bytes, now) && !passes(&limiter, &bytes, now));
    assert!(passes(&limiter, &plain(), now));
}

fn keyed(max_keys: u32, burst: u32) -> RateLimiter {
    let mut one = limit(1, Duration::from_secs(3600), burst);
    (one.key, one.max_keys) = (vec![RateKey::Header("x-user".to_owned())], max_keys);
    limiter(vec![one])
}

fn user(name: &str) -> Vec<(String, String)> {
    vec![("x-user".to_owned(), name.to_owned())]
}

#[test]
fn each_key_has_its_bucket_and_no_key_is_one_key() {
    let limiter = keyed(100, 2);
    let now = Time::from_millis(1000);
    for name in ["ann", "bob"] {
        let headers = user(name);
        let passed = (0..5).filter(|_| passes(&limiter, &from("/", &headers, None), now)).count();
        assert_eq!(passed, 2, "{name}");
    }
    let without = (0..5).filter(|_| passes(&limiter, &plain(), now)).count();
    assert_eq!(without, 2, "those without the header share one bucket");
}

#[test]
fn a_flood_of_keys_gives_nobody_tokens_back() {
    let limiter = keyed(64, 10);
    let now = Time::from_millis(1000);
    let victim = user("victim");
    let used = (0..20).filter(|_| passes(&limiter, &from("/", &victim, None), now)).count();
    assert_eq!(used, 10);
    let (mut flooded, mut displaced) = (0, 0);
    for number in 0..20_000 {
        let headers = user(&format!("attacker-{number}"));
        let verdict = limiter.take(&from("/", &headers, None), now);
        flooded += usize::from(!verdict.refused);
        displaced += verdict.displaced;
    }
    assert!(!passes(&limiter, &from("/", &victim, None), now), "the victim's bucket is as empty as before");
    // Fresh keys do not help: 64 buckets of 10, some of which the victim has used.
    assert!(flooded <= 64 * 10 - 10, "{flooded}");
    assert!(displaced > 19_000, "{displaced}");
    // Later, when buckets are full again, newcomers begin with all of theirs.
    let later = now.plus(Duration::from_secs(3600 * 10));
    let headers = user("new");
    let passed = (0..20).filter(|_| passes(&limiter, &from("/", &headers, None), later)).count();
    assert_eq!(passed, 10);
}

#[test]
fn workers_share_the_buckets_of_keys() {
    let limiter = keyed(1000, 50);
    let names: Vec<Vec<(String, String)>> = (0..20).map(|number| user(&format!("u{number}"))).collect();
    let passed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let now = Time::from_millis(1000);
                    let all = names.iter().cycle().take(20 * 100);
                    all.filter(|headers| passes(&limiter, &from("/", headers, None), now)).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 20 * 50);
}

proptest! {
    /// Whatever the pattern of arrivals, no more pass than the bucket held and what came in since.
    #[test]
    fn never_more_than_the_bucket_gives(
        number in 1..1000_u32, per_ms in 1..10_000_u64, burst in 1..50_u32,
        gaps in prop::collection::vec(0..200_000_u64, 1..300),
    ) {
        let limiter = limiter(vec![limit(number, Duration::from_millis(per_ms), burst)]);
        let interval = per_ms * 1_000_000 / u64::from(number);
        let (mut now, mut passed) = (10_000_000_u64, 0_u64);
        let begun = now;
        for gap in gaps {
            now += gap;
            passed += u64::from(passes(&limiter, &plain(), Time::from_micros(now)));
            let most = u64::from(burst) + (now - begun) * 1000 / interval;
            prop_assert!(passed <= most, "{passed} > {most}");
        }
        prop_assert!(passed >= 1, "a full bucket lets one pass");
    }

    /// After a long rest a bucket is full, whatever happened before.
    #[test]
    fn a_rest_fills_the_bucket(burst in 1..50_u32, asked in 0..200_u32) {
        let limiter = limiter(vec![limit(10, SECOND, burst)]);
        for _ in 0..asked {
            limiter.take(&plain(), Time::from_millis(1000));
        }
        let rested = Time::from_millis(1000 + u64::from(burst) * 100);
        let passed = (0..burst + 5).filter(|_| passes(&limiter, &plain(), rested)).count();
        prop_assert_eq!(passed, burst as usize);
    }
}
