//! Which rate limits count the request, and which faults may hit it.

use std::net::{IpAddr, Ipv4Addr};

use byrnie_decide::{Arrival, FaultInjector, RateLimiter, RequestView};
use byrnie_plan::{
    Controls, FaultAbort, FaultDelay, Faults, Key, ObjectName, RateKey, RateLimit, RateLimits, RateUnit,
    Resource,
};

use super::route::Hop;
use super::{Request, Source, step};
use crate::api::WhyStep;
use crate::table::Table;

type Headers = [(String, String)];

/// What the caller's proxy, or the Gateway, does: the rule's controls, else the Service's.
pub fn at_caller(table: &Table, source: &Source, request: &Request, hops: &[Hop], steps: &mut Vec<WhyStep>) {
    let identity = (!source.is_gateway).then(|| source.identity.to_string());
    let mut told = Vec::new();
    for hop in hops {
        let service = super::service(table, &hop.service).and_then(|service| service.controls);
        let rule = hop.controls.as_deref();
        let limits =
            rule.and_then(|c| c.limits.as_ref()).or(service.as_ref().and_then(|c| c.limits.as_ref()));
        let faults =
            rule.and_then(|c| c.faults.as_ref()).or(service.as_ref().and_then(|c| c.faults.as_ref()));
        let at = format!("at {}, the caller", source.name);
        told.extend(tell(limits, faults, &arrival(request, hop, identity.as_deref()), &at));
    }
    told.dedup_by(|a, b| a.rule == b.rule && a.detail == b.detail);
    steps.extend(told);
}

/// What the called workloads' proxies do, once their policies have let the request through.
pub fn at_servers(table: &Table, source: &Source, request: &Request, hops: &[Hop], steps: &mut Vec<WhyStep>) {
    let identity = source.identity.to_string();
    for hop in hops {
        for workload in workloads(table, hop) {
            let found = table.get(&Key::InboundPolicy(workload.clone()));
            let Some(Resource::InboundPolicy(policy)) = found.as_ref().map(|found| &found.resource) else {
                continue;
            };
            let own = policy.controls.iter().find(|inbound| inbound.service.as_ref() == Some(&hop.service));
            let controls = own.or_else(|| policy.controls.iter().find(|inbound| inbound.service.is_none()));
            if let Some(Controls { limits, faults }) = controls.map(|inbound| &inbound.controls) {
                let arrival = arrival(request, hop, Some(&identity));
                steps.extend(tell(limits.as_ref(), faults.as_ref(), &arrival, &format!("at {workload}")));
            }
        }
    }
}

fn workloads(table: &Table, hop: &Hop) -> Vec<ObjectName> {
    let found = table.get(&Key::Endpoints(hop.service.clone()));
    let Some(Resource::Endpoints(endpoints)) = found.as_ref().map(|found| &found.resource) else {
        return Vec::new();
    };
    let port = endpoints.ports.iter().find(|port| port.port == hop.port);
    let mut names: Vec<ObjectName> =
        port.iter().flat_map(|port| &port.endpoints).map(|endpoint| endpoint.workload.clone()).collect();
    names.dedup();
    names
}

fn arrival<'a>(request: &'a Request, hop: &'a Hop, identity: Option<&'a str>) -> Arrival<'a, Headers> {
    let view = |(method, path): &'a (String, String)| RequestView {
        method,
        host: "",
        path,
        query: request.query.as_deref(),
        headers: request.headers.as_slice(),
    };
    Arrival { request: hop.http.as_ref().map(view), identity, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
}

fn tell(
    limits: Option<&RateLimits>,
    faults: Option<&Faults>,
    arrival: &Arrival<'_, Headers>,
    at: &str,
) -> Vec<WhyStep> {
    let mut told = Vec::new();
    if let Some(plan) = limits
        && let Ok(limiter) = RateLimiter::compile(plan, 0)
    {
        for limit in limiter.meant(arrival).filter_map(|index| plan.limits.get(index)) {
            let shadow = if plan.shadow { " (shadow: only counted)" } else { "" };
            told.push(step(
                "limit",
                true,
                plan.policy.clone(),
                format!("{}{shadow} {at}", limit_words(limit)),
            ));
        }
    }
    if let Some(plan) = faults
        && let Ok(injector) = FaultInjector::compile(plan)
    {
        let now = jiff::Timestamp::now().as_millisecond();
        let over = if injector.is_over(u64::try_from(now).unwrap_or(0)) { " (over)" } else { "" };
        for fault in injector.meant(arrival).filter_map(|index| plan.faults.get(index)) {
            told.push(step("fault", true, plan.policy.clone(), format!("{}{over} {at}", fault_words(fault))));
        }
    }
    told
}

fn limit_words(limit: &RateLimit) -> String {
    let what = match limit.unit {
        RateUnit::Requests => "requests",
        RateUnit::Connections => "connections",
    };
    let key = limit.key.iter().map(|key| match key {
        RateKey::Identity => "identity".to_owned(),
        RateKey::Header(name) => format!("header {name}"),
        RateKey::SourceAddress => "source address".to_owned(),
    });
    let key: Vec<String> = key.collect();
    let by = if key.is_empty() { String::new() } else { format!(" for each {}", key.join(" and ")) };
    format!("{}: {} {what} per {:?}, burst {}{by},", limit.name, limit.number, limit.per, limit.burst)
}

fn fault_words(fault: &byrnie_plan::Fault) -> String {
    let delay = fault.delay.map(|delay| match delay {
        FaultDelay::Fixed(delay) => format!("waits {delay:?}"),
        FaultDelay::Uniform { min, max } => format!("waits {min:?} to {max:?}"),
        FaultDelay::Normal { mean, deviation, .. } => format!("waits {mean:?} ± {deviation:?}"),
        FaultDelay::Exponential { mean, .. } => format!("waits {mean:?} on average"),
    });
    let abort = fault.abort.map(|abort| match abort {
        FaultAbort::Http(status) => format!("answers {status}"),
        FaultAbort::Grpc(status) => format!("answers grpc-status {status}"),
        FaultAbort::Reset => "resets the connection".to_owned(),
    });
    let parts: Vec<String> = delay.into_iter().chain(abort).collect();
    format!("{} % of them: {}", f64::from(fault.share) / 100.0, parts.join(", then "))
}
