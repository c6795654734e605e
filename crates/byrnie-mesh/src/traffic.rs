//! `TrafficPolicy`: which of several holds, and what it comes to with the defaults.

use std::time::Duration;

use byrnie_api::duration;
use byrnie_api::kinds as api;
use byrnie_plan::{
    Balancer, ConnectionLimits, HashSource, ObjectName, Outlier, Retry, RetryBudget, RetryOn, TrafficSettings,
};

use crate::findings::{self, finding};
use crate::graph::Target;
use crate::model::Traffic;
use crate::outputs::{Derived, Product};
use crate::status::{Verdict, conditions};
use crate::view::View;

/// The policies attached to one target, the one that holds first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranking {
    pub(crate) policies: Vec<ObjectName>,
}

/// Ranks the policies of one target: the oldest holds, then the first by name.
pub(crate) fn rank(target: &Target, view: &View<'_>) -> Option<Product> {
    let mut policies = view.traffic_on(target);
    if policies.is_empty() {
        return None;
    }
    policies.sort_by(|a, b| a.meta.age.cmp(&b.meta.age));
    let policies = policies.into_iter().map(|policy| policy.meta.name.clone()).collect();
    Some(Product { derived: Some(Derived::Traffic(Ranking { policies })), ..Product::default() })
}

/// The settings that hold for a Service: the policy attached to it, else its namespace's, else the defaults.
pub(crate) fn settings(service: &ObjectName, view: &View<'_>) -> TrafficSettings {
    let holder = [Target::Service(service.clone()), Target::Namespace(service.namespace.clone())]
        .iter()
        .find_map(|target| view.traffic_ranking(target)?.policies.first());
    holder.and_then(|name| view.traffic(name)).map(|policy| effective(&policy.spec)).unwrap_or_default()
}

fn effective(spec: &api::TrafficPolicySpec) -> TrafficSettings {
    let default = TrafficSettings::default();
    let timeouts = spec.timeouts.clone().unwrap_or_default();
    TrafficSettings {
        balancer: spec.balancer.as_ref().map_or(default.balancer, balancer),
        connect_timeout: limit(timeouts.connect).unwrap_or(default.connect_timeout),
        request_timeout: limit(timeouts.request),
        idle_timeout: limit(timeouts.idle),
        retry: spec.retry.as_ref().map_or(default.retry, retry),
        limits: spec.limits.as_ref().map_or(default.limits, limits),
        outlier: spec.outlier_ejection.as_ref().map(outlier),
        slow_start: limit(spec.slow_start),
    }
}

/// `0s` means no limit.
fn limit(duration: Option<duration::Duration>) -> Option<Duration> {
    duration.filter(|d| !d.is_zero()).map(duration::Duration::get)
}

fn balancer(balancer: &api::Balancer) -> Balancer {
    let source = || balancer.hash_key.as_ref().map_or(HashSource::SourceAddress, hash_source);
    match balancer.type_ {
        api::BalancerType::PeakEwma => Balancer::PeakEwma,
        api::BalancerType::LeastRequest => Balancer::LeastRequest,
        api::BalancerType::RoundRobin => Balancer::RoundRobin,
        api::BalancerType::Random => Balancer::Random,
        api::BalancerType::RingHash => Balancer::RingHash(source()),
        api::BalancerType::Maglev => Balancer::Maglev(source()),
    }
}

fn hash_source(key: &api::HashKey) -> HashSource {
    let name = key.name.clone().unwrap_or_default();
    match key.type_ {
        api::HashKeyType::Header => HashSource::Header(name.to_ascii_lowercase()),
        api::HashKeyType::Cookie => HashSource::Cookie(name),
        api::HashKeyType::Query => HashSource::Query(name),
        api::HashKeyType::SourceAddress => HashSource::SourceAddress,
    }
}

fn retry(retry: &api::RetrySettings) -> Retry {
    let default = Retry::default();
    let on = retry.on.clone().unwrap_or_default();
    let budget = retry.budget.clone().unwrap_or_default();
    let backoff = retry.backoff.map_or(default.backoff, duration::Duration::get);
    Retry {
        attempts: retry.attempts.unwrap_or(default.attempts),
        on: RetryOn {
            statuses: on.statuses,
            grpc_codes: on.grpc_codes,
            connection_error: on.connection_error,
            unsafe_methods: on.unsafe_methods,
        },
        per_try_timeout: limit(retry.per_try_timeout),
        backoff,
        backoff_max: retry.backoff_max.map_or(default.backoff_max, duration::Duration::get).max(backoff),
        budget: RetryBudget {
            percent: budget.percent.unwrap_or(default.budget.percent),
            min_per_second: budget.min_per_second.unwrap_or(default.budget.min_per_second),
        },
    }
}

fn limits(limits: &api::ConnectionLimits) -> ConnectionLimits {
    let default = ConnectionLimits::default();
    ConnectionLimits {
        max_connections: limits.max_connections.unwrap_or(default.max_connections),
        max_pending: limits.max_pending.unwrap_or(default.max_pending),
        max_in_flight: limits.max_in_flight.unwrap_or(default.max_in_flight),
    }
}

/// Defaults as Envoy has them: 5 failures, 30 s, 5 min.
fn outlier(outlier: &api::OutlierEjection) -> Outlier {
    let base = outlier.base_ejection.map_or(Duration::from_secs(30), duration::Duration::get);
    Outlier {
        consecutive_failures: outlier.consecutive_failures.unwrap_or(5),
        base_ejection: base,
        max_ejection: outlier
            .max_ejection
            .map_or(Duration::from_secs(300), duration::Duration::get)
            .max(base),
    }
}

/// Status of one policy: in force if it holds for at least one target.
pub(crate) fn status(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let policy = view.traffic(name)?;
    let mut findings = Vec::new();
    let mut missing = policy.bad_targets.clone();
    let mut overruled = Vec::new();
    for target in &policy.targets {
        if let Target::Service(service) = target
            && view.service(service).is_none()
        {
            missing.push(format!("Service {service}"));
        } else if let Some(holder) = holder_before(policy, target, view) {
            overruled.push(holder);
        }
    }
    let lost = overruled.len() + missing.len() == policy.targets.len() + policy.bad_targets.len();
    if let Some(holder) = overruled.first() {
        let message =
            format!("TrafficPolicy {holder} is older and holds instead for {} target(s)", overruled.len());
        findings.push(finding(findings::POLICY_OVERRULED, &policy.meta, "spec.targetRefs", message));
    }
    let resolved = if missing.is_empty() {
        Verdict::yes("ResolvedRefs")
    } else {
        let message = format!("not found: {}", missing.join(", "));
        findings.push(finding(
            findings::POLICY_WITHOUT_TARGET,
            &policy.meta,
            "spec.targetRefs",
            message.clone(),
        ));
        Verdict::no("TargetNotFound", message)
    };
    let accepted = match (lost, overruled.first()) {
        (false, _) => Verdict::yes("Accepted"),
        (true, Some(holder)) => {
            Verdict::no("Conflicted", format!("TrafficPolicy {holder} is older and holds instead"))
        }
        (true, None) => Verdict::no("TargetNotFound", "none of its targets exists"),
    };
    let status = conditions(&policy.meta, &[("Accepted", accepted), ("ResolvedRefs", resolved)]);
    Some(Product { status: Some(status), findings, ..Product::default() })
}

/// The policy that holds for a target instead of this one.
fn holder_before<'a>(policy: &Traffic, target: &Target, view: &View<'a>) -> Option<&'a ObjectName> {
    view.traffic_ranking(target)?.policies.first().filter(|first| **first != policy.meta.name)
}
