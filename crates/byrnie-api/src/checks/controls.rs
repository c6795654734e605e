//! Rules of rate limits and faults.

use super::Issues;
use super::mesh::within;
use super::policy::{Target, identities, targets};
use super::route::path_value;
use crate::codes;
use crate::duration::Duration;
use crate::kind::{GATEWAY_GROUP, MESH_GROUP};
use crate::kinds::{
    Fault, FaultAbort, FaultDelay, FaultPolicySpec, RateLimit, RateLimitKeyType, RateLimitPolicySpec,
    TrafficMatch, TrafficPathMatchType, TrafficValueMatchType,
};

const TARGETS: [Target; 10] = [
    ("Service", "", false),
    ("Workload", MESH_GROUP, false),
    ("HTTPRoute", GATEWAY_GROUP, true),
    ("GRPCRoute", GATEWAY_GROUP, true),
    ("TCPRoute", GATEWAY_GROUP, true),
    ("TLSRoute", GATEWAY_GROUP, true),
    ("Gateway", GATEWAY_GROUP, true),
    ("ListenerSet", GATEWAY_GROUP, true),
    ("Namespace", "", false),
    ("Mesh", MESH_GROUP, false),
];

/// Longest delay: 1 h.
const DELAY_MAX: u64 = 3_600_000;

pub(super) fn rate_limit_policy(spec: &RateLimitPolicySpec, issues: &mut Issues) {
    targets(&spec.target_refs, &TARGETS, issues);
    for (index, limit) in spec.limits.iter().enumerate() {
        rate_limit(&format!("spec.limits[{index}]"), limit, issues);
    }
    let names = spec.limits.iter().enumerate();
    let names = names.map(|(index, limit)| (limit.name.as_ref(), format!("spec.limits[{index}].name")));
    issues.unique(codes::DUPLICATE_ENTRY, names, "name");
}

fn rate_limit(path: &str, limit: &RateLimit, issues: &mut Issues) {
    if limit.requests.is_some() == limit.connections.is_some() {
        issues.error(codes::LIMIT_UNIT, path, "give exactly one of requests and connections");
    }
    if let Some(per) = limit.per {
        within(&format!("{path}.per"), per, 100, 24 * 3_600_000, issues);
    }
    for (index, key) in limit.key.iter().enumerate() {
        let path = format!("{path}.key[{index}]");
        if (key.type_ == RateLimitKeyType::Header) != key.name.is_some() {
            issues.error(
                codes::HASH_KEY,
                format!("{path}.name"),
                "a header needs a name, anything else has none",
            );
        }
        if limit.connections.is_some() && key.type_ == RateLimitKeyType::Header {
            issues.error(codes::LIMIT_UNIT, path, "a connection has no headers");
        }
    }
    for (index, way) in limit.matches.iter().enumerate() {
        let path = format!("{path}.matches[{index}]");
        if limit.connections.is_some() && names_request(way) {
            issues.error(codes::LIMIT_UNIT, path.clone(), "of a connection only identities are known");
        }
        traffic_match(&path, way, issues);
    }
}

fn names_request(way: &TrafficMatch) -> bool {
    way.path.is_some() || way.method.is_some() || !way.headers.is_empty() || !way.query_params.is_empty()
}

fn traffic_match(path: &str, way: &TrafficMatch, issues: &mut Issues) {
    if let Some(wanted) = &way.path {
        let is_regex = wanted.type_ == TrafficPathMatchType::RegularExpression;
        path_value(&format!("{path}.path"), is_regex, &wanted.value, issues);
    }
    for (field, values) in [("headers", &way.headers), ("queryParams", &way.query_params)] {
        for (index, value) in values.iter().enumerate() {
            if value.type_ == TrafficValueMatchType::RegularExpression {
                issues.regex(format!("{path}.{field}[{index}].value"), &value.value);
            }
        }
    }
    identities(&format!("{path}.identities"), &way.identities, issues);
}

pub(super) fn fault_policy(spec: &FaultPolicySpec, issues: &mut Issues) {
    targets(&spec.target_refs, &TARGETS, issues);
    if let Some(expires) = &spec.expires {
        match (expires.parse::<Duration>(), expires.parse::<jiff::Timestamp>()) {
            (Ok(after), _) => within("spec.expires", after, 1000, 7 * 24 * 3_600_000, issues),
            (Err(_), Ok(_)) => {}
            (Err(_), Err(_)) => {
                let message = format!(
                    "{expires:?} is neither a duration such as 30m nor a time such as 2026-01-31T18:00:00Z"
                );
                issues.error(codes::BAD_EXPIRY, "spec.expires", message);
            }
        }
    }
    for (index, fault) in spec.faults.iter().enumerate() {
        one_fault(&format!("spec.faults[{index}]"), fault, issues);
    }
}

fn one_fault(path: &str, fault: &Fault, issues: &mut Issues) {
    let hundredths = fault.percent * 100.0;
    if !(0.0..=100.0).contains(&fault.percent) || (hundredths - hundredths.round()).abs() > 1e-6 {
        let message = format!("{} is not within 0 to 100 in steps of 0.01", fault.percent);
        issues.error(codes::BAD_SHARE, format!("{path}.percent"), message);
    }
    if fault.delay.is_none() && fault.abort.is_none() {
        issues.error(codes::FAULT_EMPTY, path, "give delay, abort or both");
    }
    if let Some(delay) = &fault.delay {
        fault_delay(&format!("{path}.delay"), delay, issues);
    }
    if let Some(FaultAbort { http_status, grpc_status, reset }) = &fault.abort {
        let given = [http_status.is_some(), grpc_status.is_some(), *reset];
        if given.iter().filter(|given| **given).count() != 1 {
            let message = "give exactly one of httpStatus, grpcStatus and reset";
            issues.error(codes::FAULT_EMPTY, format!("{path}.abort"), message);
        }
        if *reset && fault.matches.iter().any(names_request) {
            let message = "of a connection that can be reset only identities are known";
            issues.error(codes::LIMIT_UNIT, format!("{path}.matches"), message);
        }
    }
    for (index, way) in fault.matches.iter().enumerate() {
        traffic_match(&format!("{path}.matches[{index}]"), way, issues);
    }
}

fn fault_delay(path: &str, delay: &FaultDelay, issues: &mut Issues) {
    let FaultDelay { fixed, uniform, normal, exponential } = delay;
    let given = [fixed.is_some(), uniform.is_some(), normal.is_some(), exponential.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        let message = "give exactly one of fixed, uniform, normal and exponential";
        issues.error(codes::FAULT_EMPTY, path, message);
    }
    if let Some(fixed) = fixed {
        within(&format!("{path}.fixed"), *fixed, 1, DELAY_MAX, issues);
    }
    if let Some(uniform) = uniform {
        within(&format!("{path}.uniform.max"), uniform.max, 1, DELAY_MAX, issues);
        ordered(&format!("{path}.uniform.min"), uniform.min, uniform.max, issues);
    }
    if let Some(normal) = normal {
        let max = normal.max.unwrap_or(Duration::from_millis(DELAY_MAX));
        within(&format!("{path}.normal.mean"), normal.mean, 1, DELAY_MAX, issues);
        within(&format!("{path}.normal.max"), max, 1, DELAY_MAX, issues);
        ordered(&format!("{path}.normal.mean"), normal.mean, max, issues);
    }
    if let Some(exponential) = exponential {
        let max = exponential.max.unwrap_or(Duration::from_millis(DELAY_MAX));
        within(&format!("{path}.exponential.mean"), exponential.mean, 1, DELAY_MAX, issues);
        within(&format!("{path}.exponential.max"), max, 1, DELAY_MAX, issues);
        ordered(&format!("{path}.exponential.mean"), exponential.mean, max, issues);
    }
}

fn ordered(path: &str, first: Duration, last: Duration, issues: &mut Issues) {
    if first > last {
        issues.error(codes::BACKOFF_ORDER, path, format!("{first} is more than the largest, {last}"));
    }
}
