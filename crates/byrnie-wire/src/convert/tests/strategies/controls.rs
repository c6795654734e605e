//! Rate limits and faults.

use super::*;

pub(super) fn controls() -> impl Strategy<Value = Controls> {
    prop_oneof![
        limits().prop_map(|limits| Controls { limits: Some(limits), faults: None }),
        (of(limits()), faults()).prop_map(|(limits, faults)| Controls { limits, faults: Some(faults) }),
    ]
}

fn traffic() -> impl Strategy<Value = Vec<TrafficMatch>> {
    let one =
        (of(one_match(1, 1)), texts()).prop_map(|(request, identities)| TrafficMatch { request, identities });
    vec(one, 0..3)
}

fn limits() -> impl Strategy<Value = RateLimits> {
    let unit = prop::sample::select(vec![RateUnit::Requests, RateUnit::Connections]);
    let key = prop_oneof![
        Just(RateKey::Identity),
        some_text().prop_map(RateKey::Header),
        Just(RateKey::SourceAddress)
    ];
    let limit = (any_text(), unit, traffic(), vec(key, 0..3), any::<(u32, u32, u32)>(), duration());
    let limit = limit.prop_map(|(name, unit, matches, key, (number, burst, max_keys), per)| RateLimit {
        name,
        unit,
        matches,
        key,
        number,
        per,
        burst,
        max_keys,
    });
    (some_text(), some_text(), any::<(bool, bool)>(), vec(limit, 0..3)).prop_map(
        |(policy, scope, (shadow, headers), limits)| RateLimits { policy, scope, shadow, headers, limits },
    )
}

fn faults() -> impl Strategy<Value = Faults> {
    let delay = prop_oneof![
        duration().prop_map(FaultDelay::Fixed),
        (duration(), duration()).prop_map(|(min, max)| FaultDelay::Uniform { min, max }),
        (duration(), duration(), duration()).prop_map(|(mean, deviation, max)| FaultDelay::Normal {
            mean,
            deviation,
            max
        }),
        (duration(), duration()).prop_map(|(mean, max)| FaultDelay::Exponential { mean, max }),
    ];
    let abort = prop_oneof![
        (200..600_u16).prop_map(FaultAbort::Http),
        any::<u16>().prop_map(FaultAbort::Grpc),
        Just(FaultAbort::Reset),
    ];
    let fault = (traffic(), any::<u32>(), of(delay), of(abort));
    let fault = fault.prop_map(|(matches, share, delay, abort)| Fault { matches, share, delay, abort });
    (some_text(), any::<u64>(), vec(fault, 0..3)).prop_map(|(policy, expires_unix_ms, faults)| Faults {
        policy,
        expires_unix_ms,
        faults,
    })
}
