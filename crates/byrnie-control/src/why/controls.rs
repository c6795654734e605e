//! Which rate limits count the request, and which faults may hit it.

use std::net::{IpAddr, Ipv4Addr};

use byrnie_decide::{Arrival, FaultInjector, RateLimiter};
use byrnie_plan::{Controls, Faults, Key, ObjectName, RateLimits, Resource};

use super::filters::Onward;
use super::route::Hop;
use super::{Request, Source, step, words};
use crate::api::WhyStep;
use crate::table::Table;

type Headers = [(String, String)];

/// What the caller's proxy, or the Gateway, does: the rule's controls, else the Service's. A rule's limits see the
/// request as it came, everything else as the filters left it.
pub fn at_caller(table: &Table, source: &Source, request: &Request, hops: &[Hop], steps: &mut Vec<WhyStep>) {
    let identity = (!source.is_gateway).then(|| source.identity.to_string());
    let came = Onward::new(request);
    let mut told: Vec<WhyStep> = Vec::new();
    for hop in hops {
        let service = super::service(table, &hop.service).and_then(|service| service.controls);
        let (rule, service) = (hop.controls.as_deref(), service.as_deref());
        let at = format!("at {}, the caller", source.name);
        let seen = arrival(hop.onward.as_ref(), identity.as_deref());
        let limits = match rule.and_then(|controls| controls.limits.as_ref()) {
            Some(limits) => {
                limit_steps(limits, &arrival(hop.onward.as_ref().map(|_| &came), identity.as_deref()), &at)
            }
            None => service
                .and_then(|controls| controls.limits.as_ref())
                .map(|limits| limit_steps(limits, &seen, &at))
                .unwrap_or_default(),
        };
        let faults = rule.and_then(|c| c.faults.as_ref()).or(service.and_then(|c| c.faults.as_ref()));
        let faults = faults.map(|faults| fault_steps(faults, &seen, &at)).unwrap_or_default();
        for said in limits.into_iter().chain(faults) {
            if !told.contains(&said) {
                told.push(said);
            }
        }
    }
    steps.extend(told);
}

/// What the called workloads' proxies do, once their policies have let the request through.
pub fn at_servers(table: &Table, source: &Source, hops: &[Hop], steps: &mut Vec<WhyStep>) {
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
                let (seen, at) = (arrival(hop.onward.as_ref(), Some(&identity)), format!("at {workload}"));
                steps.extend(limits.iter().flat_map(|limits| limit_steps(limits, &seen, &at)));
                steps.extend(faults.iter().flat_map(|faults| fault_steps(faults, &seen, &at)));
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

/// `None`: a connection of bytes.
fn arrival<'a>(onward: Option<&'a Onward>, identity: Option<&'a str>) -> Arrival<'a, Headers> {
    Arrival { request: onward.map(Onward::view), identity, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
}

fn limit_steps(plan: &RateLimits, seen: &Arrival<'_, Headers>, at: &str) -> Vec<WhyStep> {
    let Ok(limiter) = RateLimiter::compile(plan, 0) else { return Vec::new() };
    let shadow = if plan.shadow { " (shadow: only counted)" } else { "" };
    let meant = limiter.meant(seen).filter_map(|index| plan.limits.get(index));
    let told = meant.map(|limit| {
        let detail = format!("{}: {}{shadow}, {at}", limit.name, words::rate_limit(limit));
        step("limit", true, plan.policy.clone(), detail)
    });
    told.collect()
}

fn fault_steps(plan: &Faults, seen: &Arrival<'_, Headers>, at: &str) -> Vec<WhyStep> {
    let Ok(injector) = FaultInjector::compile(plan) else { return Vec::new() };
    let now = jiff::Timestamp::now().as_millisecond();
    let over = if injector.is_over(u64::try_from(now).unwrap_or(0)) { " (over)" } else { "" };
    let meant = injector.meant(seen).filter_map(|index| plan.faults.get(index));
    let told = meant
        .map(|fault| step("fault", true, plan.policy.clone(), format!("{}{over} {at}", words::fault(fault))));
    told.collect()
}
