use std::net::{IpAddr, Ipv4Addr};

use byrnie_plan::{HostPattern, HttpMatch, PathMatch, TrafficMatch};

use super::*;
use crate::RequestView;

type Headers = [(String, String)];

const NOW: u64 = 1_000_000;

fn fault(share: u32, delay: Option<FaultDelay>, abort: Option<FaultAbort>) -> byrnie_plan::Fault {
    byrnie_plan::Fault { matches: Vec::new(), share, delay, abort }
}

fn injector(faults: Vec<byrnie_plan::Fault>) -> FaultInjector {
    FaultInjector::compile(&Faults { policy: "a/p".to_owned(), expires_unix_ms: NOW + 1000, faults }).unwrap()
}

fn request(path: &str) -> Arrival<'_, Headers> {
    let request = RequestView { method: "GET", host: "h", path, query: None, headers: &[][..] };
    Arrival { request: Some(request), identity: None, address: IpAddr::V4(Ipv4Addr::LOCALHOST) }
}

fn bytes() -> Arrival<'static, Headers> {
    Arrival { request: None, ..request("/") }
}

/// xorshift64*, as the proxy has it.
fn random() -> impl FnMut() -> u64 {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[test]
fn shares_are_exact_to_a_hundredth_of_a_percent() {
    for share in [0, 1, 50, 2500, 9999, 10_000] {
        let injector = injector(vec![fault(share, None, Some(FaultAbort::Http(503)))]);
        // Each of the 10,000 values once.
        let hits = (0..10_000).filter(|value| injector.draw(&request("/"), NOW, || *value).is_some()).count();
        assert_eq!(hits, share as usize);
    }
}

#[test]
fn it_ends_by_itself() {
    let injector = injector(vec![fault(10_000, None, Some(FaultAbort::Http(503)))]);
    assert!(injector.draw(&request("/"), NOW + 999, || 0).is_some());
    assert!(injector.draw(&request("/"), NOW + 1000, || 0).is_none());
    assert!(injector.is_over(NOW + 1000));
}

#[test]
fn delays_add_up_and_the_first_abort_is_the_one() {
    let ms = |millis| Some(FaultDelay::Fixed(Duration::from_millis(millis)));
    let injector = injector(vec![
        fault(10_000, ms(10), None),
        fault(10_000, ms(5), Some(FaultAbort::Http(500))),
        fault(10_000, None, Some(FaultAbort::Grpc(14))),
        fault(0, ms(1000), None),
    ]);
    let injection = injector.draw(&request("/"), NOW, random()).unwrap();
    assert_eq!(injection, Injection { delay: Duration::from_millis(15), abort: Some(FaultAbort::Http(500)) });
}

#[test]
fn bytes_are_reset_and_requests_are_answered() {
    let reset = injector(vec![fault(10_000, None, Some(FaultAbort::Reset))]);
    assert_eq!(reset.draw(&bytes(), NOW, || 0).unwrap().abort, Some(FaultAbort::Reset));
    assert!(reset.draw(&request("/"), NOW, || 0).is_none());
    let answer = injector(vec![fault(10_000, None, Some(FaultAbort::Http(503)))]);
    assert!(answer.draw(&bytes(), NOW, || 0).is_none());
    let meant =
        |injector: &FaultInjector| (injector.meant(&request("/")).count(), injector.meant(&bytes()).count());
    assert_eq!((meant(&reset), meant(&answer)), ((0, 1), (1, 0)), "what is told is what is done");
}

#[test]
fn only_what_matches() {
    let mut one = fault(10_000, None, Some(FaultAbort::Http(503)));
    one.matches = vec![TrafficMatch {
        request: Some(HttpMatch {
            host_scope: 0,
            host: HostPattern::Any,
            path: PathMatch::Exact("/a".to_owned()),
            method: None,
            headers: Vec::new(),
            queries: Vec::new(),
            rule: 0,
        }),
        identities: Vec::new(),
    }];
    let injector = injector(vec![one]);
    assert!(injector.draw(&request("/a"), NOW, || 0).is_some());
    assert!(injector.draw(&request("/b"), NOW, || 0).is_none());
    assert_eq!(injector.meant(&request("/a")).count(), 1);
}

#[test]
fn delays_are_distributed_as_they_say_and_bounded() {
    let ms = Duration::from_millis;
    for (delay, low, mean, high) in [
        (FaultDelay::Fixed(ms(100)), 100.0, 100.0, 100.0),
        (FaultDelay::Uniform { min: ms(50), max: ms(150) }, 50.0, 100.0, 150.0),
        (FaultDelay::Normal { mean: ms(100), deviation: ms(20), max: ms(200) }, 0.0, 100.0, 200.0),
        (FaultDelay::Exponential { mean: ms(100), max: ms(2000) }, 0.0, 100.0, 2000.0),
    ] {
        let injector = injector(vec![fault(10_000, Some(delay), None)]);
        let mut random = random();
        let drawn: Vec<f64> = (0..20_000)
            .map(|_| {
                injector.draw(&request("/"), NOW, &mut random).map_or(0.0, |i| i.delay.as_secs_f64() * 1e3)
            })
            .collect();
        let average = drawn.iter().sum::<f64>() / drawn.len() as f64;
        assert!((average - mean).abs() < 3.0, "{delay:?}: {average}");
        assert!(drawn.iter().all(|ms| (low - 0.001..=high + 0.001).contains(ms)), "{delay:?}");
        if let FaultDelay::Normal { deviation, .. } = delay {
            let variance = drawn.iter().map(|ms| (ms - average).powi(2)).sum::<f64>() / drawn.len() as f64;
            assert!((variance.sqrt() - deviation.as_secs_f64() * 1e3).abs() < 1.0, "{variance}");
        }
    }
}
