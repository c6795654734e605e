//! `Controls`: rate limits and faults.

use byrnie_plan::{
    Controls, Fault, FaultAbort, FaultDelay, Faults, InboundControls, RateKey, RateLimit, RateLimits,
    RateUnit, TrafficMatch,
};

use super::authorization::{texts, texts_to_proto};
use super::field::{
    MAX_LIST, at, duration, filled, invalid, list, maybe, name, nanos, number, required, same_names, short,
    within,
};
use super::route::{match_from_proto, match_to_proto};
use crate::error::DecodeError;
use crate::generated as pb;

same_names!(unit_to_proto, unit_from_proto, RateUnit, pb::RateUnit, [Requests, Connections]);

type Read<T> = Result<T, DecodeError>;

pub(super) fn controls_to_proto(controls: Option<&Controls>) -> Option<pb::Controls> {
    controls.map(to_proto)
}

pub(super) fn controls_from_proto(wire: Option<pb::Controls>) -> Read<Option<Box<Controls>>> {
    maybe("controls", wire, from_proto).map(|controls| controls.map(Box::new))
}

pub(super) fn inbound_controls_to_proto(inbound: &InboundControls) -> pb::InboundControls {
    pb::InboundControls {
        service: inbound.service.as_ref().map(ToString::to_string),
        controls: Some(to_proto(&inbound.controls)),
    }
}

pub(super) fn inbound_controls_from_proto(wire: pb::InboundControls) -> Read<InboundControls> {
    Ok(InboundControls {
        service: maybe("service", wire.service, |service| name(&service))?,
        controls: required("controls", wire.controls, from_proto)?,
    })
}

fn to_proto(controls: &Controls) -> pb::Controls {
    pb::Controls {
        limits: controls.limits.as_ref().map(limits_to_proto),
        faults: controls.faults.as_ref().map(faults_to_proto),
    }
}

fn from_proto(wire: pb::Controls) -> Read<Controls> {
    if wire.limits.is_none() && wire.faults.is_none() {
        return Err(invalid("limits or faults"));
    }
    Ok(Controls {
        limits: maybe("limits", wire.limits, limits_from_proto)?,
        faults: maybe("faults", wire.faults, faults_from_proto)?,
    })
}

fn limits_to_proto(limits: &RateLimits) -> pb::RateLimits {
    pb::RateLimits {
        policy: limits.policy.clone(),
        scope: limits.scope.clone(),
        shadow: limits.shadow,
        headers: limits.headers,
        limits: limits.limits.iter().map(limit_to_proto).collect(),
    }
}

fn limits_from_proto(wire: pb::RateLimits) -> Read<RateLimits> {
    Ok(RateLimits {
        policy: at("policy", filled(wire.policy))?,
        scope: at("scope", filled(wire.scope))?,
        shadow: wire.shadow,
        headers: wire.headers,
        limits: list("limits", wire.limits, MAX_LIST, limit_from_proto)?,
    })
}

fn limit_to_proto(limit: &RateLimit) -> pb::RateLimit {
    pb::RateLimit {
        name: limit.name.clone(),
        unit: unit_to_proto(limit.unit),
        matches: limit.matches.iter().map(traffic_to_proto).collect(),
        key: limit.key.iter().map(key_to_proto).collect(),
        number: Some(limit.number),
        per_ns: Some(nanos(limit.per)),
        burst: Some(limit.burst),
        max_keys: Some(limit.max_keys),
    }
}

fn limit_from_proto(wire: pb::RateLimit) -> Read<RateLimit> {
    Ok(RateLimit {
        name: at("name", short(wire.name))?,
        unit: at("unit", unit_from_proto(wire.unit))?,
        matches: list("matches", wire.matches, MAX_LIST, traffic_from_proto)?,
        key: list("key", wire.key, MAX_LIST, key_from_proto)?,
        number: number("number", wire.number)?,
        per: duration("per", wire.per_ns)?,
        burst: number("burst", wire.burst)?,
        max_keys: number("max_keys", wire.max_keys)?,
    })
}

fn key_to_proto(key: &RateKey) -> pb::RateKey {
    use pb::rate_key::Key;
    let key = match key {
        RateKey::Identity => Key::Identity(pb::Flag {}),
        RateKey::Header(name) => Key::Header(name.clone()),
        RateKey::SourceAddress => Key::SourceAddress(pb::Flag {}),
    };
    pb::RateKey { key: Some(key) }
}

fn key_from_proto(wire: pb::RateKey) -> Read<RateKey> {
    use pb::rate_key::Key;
    required("key", wire.key, |key| match key {
        Key::Identity(_) => Ok(RateKey::Identity),
        Key::Header(name) => filled(name).map(RateKey::Header),
        Key::SourceAddress(_) => Ok(RateKey::SourceAddress),
    })
}

fn traffic_to_proto(traffic: &TrafficMatch) -> pb::TrafficMatch {
    pb::TrafficMatch {
        request: traffic.request.as_ref().map(match_to_proto),
        identities: texts_to_proto(&traffic.identities),
    }
}

fn traffic_from_proto(wire: pb::TrafficMatch) -> Read<TrafficMatch> {
    Ok(TrafficMatch {
        request: maybe("request", wire.request, match_from_proto)?,
        identities: texts("identities", wire.identities)?,
    })
}

fn faults_to_proto(faults: &Faults) -> pb::Faults {
    pb::Faults {
        policy: faults.policy.clone(),
        expires_unix_ms: Some(faults.expires_unix_ms),
        faults: faults.faults.iter().map(fault_to_proto).collect(),
    }
}

fn faults_from_proto(wire: pb::Faults) -> Read<Faults> {
    Ok(Faults {
        policy: at("policy", filled(wire.policy))?,
        expires_unix_ms: number("expires_unix_ms", wire.expires_unix_ms)?,
        faults: list("faults", wire.faults, MAX_LIST, fault_from_proto)?,
    })
}

fn fault_to_proto(fault: &Fault) -> pb::Fault {
    pb::Fault {
        matches: fault.matches.iter().map(traffic_to_proto).collect(),
        share: Some(fault.share),
        delay: fault.delay.map(delay_to_proto),
        abort: fault.abort.map(abort_to_proto),
    }
}

fn fault_from_proto(wire: pb::Fault) -> Read<Fault> {
    Ok(Fault {
        matches: list("matches", wire.matches, MAX_LIST, traffic_from_proto)?,
        share: number("share", wire.share)?,
        delay: maybe("delay", wire.delay, delay_from_proto)?,
        abort: maybe("abort", wire.abort, abort_from_proto)?,
    })
}

fn delay_to_proto(delay: FaultDelay) -> pb::FaultDelay {
    use pb::fault_delay::Delay;
    let some = |duration| Some(nanos(duration));
    let delay = match delay {
        FaultDelay::Fixed(delay) => Delay::FixedNs(nanos(delay)),
        FaultDelay::Uniform { min, max } => {
            Delay::Uniform(pb::UniformDelay { min_ns: some(min), max_ns: some(max) })
        }
        FaultDelay::Normal { mean, deviation, max } => Delay::Normal(pb::NormalDelay {
            mean_ns: some(mean),
            deviation_ns: some(deviation),
            max_ns: some(max),
        }),
        FaultDelay::Exponential { mean, max } => {
            Delay::Exponential(pb::ExponentialDelay { mean_ns: some(mean), max_ns: some(max) })
        }
    };
    pb::FaultDelay { delay: Some(delay) }
}

fn delay_from_proto(wire: pb::FaultDelay) -> Read<FaultDelay> {
    use pb::fault_delay::Delay;
    required("delay", wire.delay, |delay| {
        Ok(match delay {
            Delay::FixedNs(delay) => FaultDelay::Fixed(duration("fixed", Some(delay))?),
            Delay::Uniform(delay) => FaultDelay::Uniform {
                min: duration("min", delay.min_ns)?,
                max: duration("max", delay.max_ns)?,
            },
            Delay::Normal(delay) => FaultDelay::Normal {
                mean: duration("mean", delay.mean_ns)?,
                deviation: duration("deviation", delay.deviation_ns)?,
                max: duration("max", delay.max_ns)?,
            },
            Delay::Exponential(delay) => FaultDelay::Exponential {
                mean: duration("mean", delay.mean_ns)?,
                max: duration("max", delay.max_ns)?,
            },
        })
    })
}

fn abort_to_proto(abort: FaultAbort) -> pb::FaultAbort {
    use pb::fault_abort::Abort;
    let abort = match abort {
        FaultAbort::Http(status) => Abort::HttpStatus(status.into()),
        FaultAbort::Grpc(status) => Abort::GrpcStatus(status.into()),
        FaultAbort::Reset => Abort::Reset(pb::Flag {}),
    };
    pb::FaultAbort { abort: Some(abort) }
}

fn abort_from_proto(wire: pb::FaultAbort) -> Read<FaultAbort> {
    use pb::fault_abort::Abort;
    required("abort", wire.abort, |abort| match abort {
        Abort::HttpStatus(status) => within(status, 200, 599).map(FaultAbort::Http),
        Abort::GrpcStatus(status) => within(status, 0, u16::MAX).map(FaultAbort::Grpc),
        Abort::Reset(_) => Ok(FaultAbort::Reset),
    })
}
