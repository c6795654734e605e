//! Retries that nothing bounds in time, that have no time, or that multiply along a chain of calls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use byrnie_api::{Kind, ObjectKey};
use byrnie_plan::{HttpRule, ObjectName, Resource, Retry, RetryOn, RouteKind, RouteName};

use super::{about, about_rule, services};
use crate::findings;
use crate::graph::Ref;
use crate::inputs::Model;
use crate::{Compiler, Finding};

/// Tries of one request along a chain from which on it is told.
const TRIES: u64 = 10;
/// Services of one chain that are followed.
const DEPTH: usize = 16;
/// Calls that are followed from one Service on, so that services which all call each other cost no eternity.
const STEPS: usize = 2_000;

pub(super) fn analyze(compiler: &Compiler) -> Vec<Finding> {
    let mut found = Vec::new();
    for (_, table) in compiler.tables() {
        for rule in &table.rules {
            found.extend(of_rule(compiler, rule));
        }
    }
    for resource in compiler.resources() {
        if let Resource::Service(service) = resource {
            let settings = &service.settings;
            if repeats(&settings.retry) && !is_bounded(settings.request_timeout, &settings.retry) {
                let message = unbounded(&settings.retry);
                let key = ObjectKey::new(
                    Kind::Service,
                    service.name.namespace.as_str(),
                    service.name.name.as_str(),
                );
                found.push(about(findings::RETRIES_UNBOUNDED, key, "", message));
            }
        }
    }
    found.extend(chains(compiler));
    found
}

/// Whether requests that may have been processed are tried again. That others are is always safe.
fn repeats(retry: &Retry) -> bool {
    retry.attempts > 0
        && retry.on != RetryOn { unsafe_methods: retry.on.unsafe_methods, ..RetryOn::default() }
}

fn is_bounded(request: Option<Duration>, retry: &Retry) -> bool {
    request.is_some_and(|limit| !limit.is_zero())
        || retry.per_try_timeout.is_some_and(|limit| !limit.is_zero())
}

fn unbounded(retry: &Retry) -> String {
    let tries = retry.attempts + 1;
    format!("a request may be tried {tries} times, and nothing bounds how long it or a try may take")
}

fn of_rule(compiler: &Compiler, rule: &HttpRule) -> Option<Finding> {
    let retry = rule.retry.as_ref().filter(|retry| repeats(retry))?;
    let of_service = || services(rule).find_map(|(name, _)| compiler.service_settings(name)?.request_timeout);
    let request = rule.timeouts.request.or_else(of_service).filter(|limit| !limit.is_zero());
    let per_try = rule.timeouts.backend_request.or(retry.per_try_timeout).filter(|limit| !limit.is_zero());
    let name: &RouteName = &rule.name;
    match (request, per_try) {
        (None, None) => {
            let message = unbounded(retry);
            let part = if name.kind == RouteKind::Profile { ".isRetryable" } else { ".retry" };
            Some(about_rule(compiler, findings::RETRIES_UNBOUNDED, name, part, message))
        }
        (Some(request), Some(per_try)) if per_try >= request => {
            let message =
                format!("one try may take {per_try:?} and the request {request:?}: no second try has time");
            Some(about_rule(compiler, findings::RETRIES_WITHOUT_TIME, name, ".timeouts", message))
        }
        _ => None,
    }
}

/// Who calls whom, as far as Workloads say it (`spec.upstreams`), with the tries that each call may come to.
fn chains(compiler: &Compiler) -> Vec<Finding> {
    let tries = tries(compiler);
    let mut calls: BTreeMap<&ObjectName, BTreeSet<&ObjectName>> = BTreeMap::new();
    for resource in compiler.resources() {
        let Resource::InboundPolicy(policy) = resource else { continue };
        let Some(Model::Workload(workload)) = compiler.model(&Ref::Workload(policy.workload.clone())) else {
            continue;
        };
        let called = workload.upstreams.iter().flatten().map(|upstream| &upstream.service);
        let called: BTreeSet<&ObjectName> = called.collect();
        for port in &policy.ports {
            for caller in &port.services {
                calls.entry(&caller.service).or_default().extend(&called);
            }
        }
    }
    let mut found = Vec::new();
    for start in calls.keys() {
        let mut longest = Chain { product: 1, path: Vec::new() };
        let first = Chain { product: tries.get(*start).copied().unwrap_or(1), path: vec![*start] };
        let mut steps = STEPS;
        follow(&calls, &tries, first, &mut longest, &mut steps);
        // Only chains whose every call is tried more than once multiply; and the head of a chain tells of it.
        if longest.product >= TRIES
            && longest.path.len() > 1
            && tries.get(*start).is_some_and(|tries| *tries > 1)
        {
            let steps: Vec<String> = longest
                .path
                .iter()
                .map(|name| format!("{name} ({})", tries.get(*name).copied().unwrap_or(1)))
                .collect();
            let message = format!(
                "one request may become {} tries at the end of {}",
                longest.product,
                steps.join(" -> ")
            );
            let key = ObjectKey::new(Kind::Service, start.namespace.as_str(), start.name.as_str());
            found.push(about(findings::RETRIES_MULTIPLY, key, "", message));
        }
    }
    found
}

#[derive(Clone)]
struct Chain<'a> {
    product: u64,
    path: Vec<&'a ObjectName>,
}

fn follow<'a>(
    calls: &BTreeMap<&'a ObjectName, BTreeSet<&'a ObjectName>>,
    tries: &BTreeMap<ObjectName, u64>,
    chain: Chain<'a>,
    longest: &mut Chain<'a>,
    steps: &mut usize,
) {
    let Some(left) = steps.checked_sub(1) else { return };
    *steps = left;
    if chain.product > longest.product {
        *longest = chain.clone();
    }
    let Some(last) = chain.path.last().filter(|_| chain.path.len() < DEPTH) else { return };
    for next in calls.get(last).into_iter().flatten() {
        let times = tries.get(*next).copied().unwrap_or(1);
        // What is not repeated ends the multiplication that is told of here; circles are followed once.
        if times > 1 && !chain.path.contains(next) {
            let mut path = chain.path.clone();
            path.push(*next);
            let longer = Chain { product: chain.product.saturating_mul(times), path };
            follow(calls, tries, longer, longest, steps);
        }
    }
}

/// Tries of one request to each Service at most: its own settings, or those of a route attached to it.
fn tries(compiler: &Compiler) -> BTreeMap<ObjectName, u64> {
    let mut tries = BTreeMap::new();
    let of = |retry: &Retry| if repeats(retry) { u64::from(retry.attempts) + 1 } else { 1 };
    for resource in compiler.resources() {
        match resource {
            Resource::Service(service) => {
                let entry = tries.entry(service.name.clone()).or_insert(1);
                *entry = of(&service.settings.retry).max(*entry);
            }
            Resource::Routes(routes) => {
                let rules =
                    routes.ports.iter().filter_map(|port| port.http.as_ref()).flat_map(|table| &table.rules);
                let most = rules.filter_map(|rule| rule.retry.as_ref()).map(of).max().unwrap_or(1);
                let entry = tries.entry(routes.service.clone()).or_insert(1);
                *entry = most.max(*entry);
            }
            _ => {}
        }
    }
    tries
}
