//! Compiled settings in the words of the policies that they come from.

use std::time::Duration;

use byrnie_control::words;
use byrnie_mesh::Controlled;
use byrnie_plan::{
    Balancer, Controls, InboundControls, Outlier, Retry, RetryOn, SessionCarrier, SessionPersistence,
    TrafficSettings,
};

use super::effective::Values;

/// Field and value.
type Row = (&'static str, String);

/// Every setting of a Service, defaults included.
pub fn settings(settings: &TrafficSettings) -> Vec<Row> {
    // No `..`: who adds a setting shows it here.
    let TrafficSettings {
        balancer,
        connect_timeout,
        request_timeout,
        idle_timeout,
        retry: retries,
        limits,
        outlier: ejection,
        slow_start,
        locality,
        session: persistence,
        retry_after_max,
    } = settings;
    let mut rows = self::balancer(balancer);
    rows.extend([
        ("timeouts.connect", text(*connect_timeout)),
        ("timeouts.request", limit(*request_timeout)),
        ("timeouts.idle", limit(*idle_timeout)),
        ("limits.maxConnections", limits.max_connections.to_string()),
        ("limits.maxPending", limits.max_pending.to_string()),
        ("limits.maxInFlight", limits.max_in_flight.to_string()),
        ("slowStart", limit(*slow_start)),
        ("retryAfterMax", text(*retry_after_max)),
    ]);
    rows.extend(retry(retries));
    match ejection {
        Some(ejection) => rows.extend(outlier(ejection)),
        None => rows.push(("outlierEjection", "never".to_owned())),
    }
    match locality {
        Some(locality) => rows.extend([
            ("locality.failover", listed(&locality.failover)),
            ("locality.overprovisioningPercent", locality.overprovisioning_percent.to_string()),
        ]),
        None => rows.push(("locality", "none".to_owned())),
    }
    match persistence {
        Some(persistence) => rows.extend(session(persistence)),
        None => rows.push(("sessionPersistence", "none".to_owned())),
    }
    rows
}

/// Retries.
pub fn retry(retry: &Retry) -> Vec<Row> {
    let Retry { attempts, on, per_try_timeout, backoff, backoff_max, budget, other_locality } = retry;
    vec![
        ("retry.attempts", attempts.to_string()),
        ("retry.on", conditions(on)),
        ("retry.perTryTimeout", limit(*per_try_timeout)),
        ("retry.backoff", text(*backoff)),
        ("retry.backoffMax", text(*backoff_max)),
        ("retry.budget.percent", budget.percent.to_string()),
        ("retry.budget.minPerSecond", budget.min_per_second.to_string()),
        ("retry.otherLocality", other_locality.to_string()),
    ]
}

fn conditions(on: &RetryOn) -> String {
    let RetryOn { statuses, grpc_codes, connection_error, unsafe_methods, server_errors, timeout } = on;
    let mut parts: Vec<String> = statuses.iter().map(u16::to_string).collect();
    parts.extend(grpc_codes.iter().map(|code| format!("gRPC {code}")));
    for (is_set, what) in [
        (*server_errors, "500 and above"),
        (*timeout, "the time of one try"),
        (*connection_error, "connection errors"),
        (*unsafe_methods, "also unsafe methods"),
    ] {
        if is_set {
            parts.push(what.to_owned());
        }
    }
    if parts.is_empty() { "what was not processed".to_owned() } else { parts.join(", ") }
}

fn balancer(balancer: &Balancer) -> Vec<Row> {
    let (name, key) = match balancer {
        Balancer::PeakEwma => ("peakEwma", None),
        Balancer::LeastRequest => ("leastRequest", None),
        Balancer::RoundRobin => ("roundRobin", None),
        Balancer::Random => ("random", None),
        Balancer::RingHash(by) => ("ringHash", Some(by)),
        Balancer::Maglev(by) => ("maglev", Some(by)),
    };
    let mut rows = vec![("balancer.type", name.to_owned())];
    rows.extend(key.map(|by| ("balancer.hashKey", words::hash_source(by))));
    rows
}

fn outlier(outlier: &Outlier) -> Vec<Row> {
    let Outlier {
        consecutive_failures,
        base_ejection,
        max_ejection,
        panic_percent,
        interval,
        success_rate,
        latency,
    } = outlier;
    let mut rows = vec![
        ("outlierEjection.consecutiveFailures", consecutive_failures.to_string()),
        ("outlierEjection.baseEjection", text(*base_ejection)),
        ("outlierEjection.maxEjection", text(*max_ejection)),
        ("outlierEjection.panicThreshold", panic_percent.to_string()),
        ("outlierEjection.interval", text(*interval)),
    ];
    if let Some(rate) = success_rate {
        rows.extend([
            ("outlierEjection.successRate.minimumEndpoints", rate.minimum_endpoints.to_string()),
            ("outlierEjection.successRate.minimumRequests", rate.minimum_requests.to_string()),
            ("outlierEjection.successRate.stdevFactor", rate.deviation_thousandths.to_string()),
            ("outlierEjection.successRate.threshold", rate.threshold_percent.to_string()),
        ]);
    }
    if let Some(latency) = latency {
        rows.extend([
            ("outlierEjection.latency.minimumEndpoints", latency.minimum_endpoints.to_string()),
            ("outlierEjection.latency.minimumRequests", latency.minimum_requests.to_string()),
            ("outlierEjection.latency.factorPercent", latency.factor_percent.to_string()),
            ("outlierEjection.latency.minimum", text(latency.minimum)),
        ]);
    }
    rows
}

fn session(session: &SessionPersistence) -> Vec<Row> {
    let (kind, lifetime) = match session.carrier {
        SessionCarrier::Cookie => ("Cookie", Some("Session")),
        SessionCarrier::PermanentCookie => ("Cookie", Some("Permanent")),
        SessionCarrier::Header => ("Header", None),
    };
    let mut rows = vec![
        ("sessionPersistence.sessionName", session.name.clone()),
        ("sessionPersistence.type", kind.to_owned()),
        ("sessionPersistence.absoluteTimeout", limit(session.absolute_timeout)),
        ("sessionPersistence.idleTimeout", limit(session.idle_timeout)),
    ];
    rows.extend(lifetime.map(|kind| ("sessionPersistence.cookieConfig.lifetimeType", kind.to_owned())));
    rows
}

/// Limits and faults with their policies. `side`: `inbound`, `outbound`, or where a rule is followed.
pub fn controlled(values: &mut Values, side: &str, held: &Controlled) {
    controls(values, side, &held.controls, &held.limits, &held.faults);
}

/// Limits and faults of a workload's inbound side.
pub fn inbound(values: &mut Values, inbound: &InboundControls) {
    let side = match &inbound.service {
        Some(service) => format!("inbound.{service}"),
        None => "inbound".to_owned(),
    };
    let limits = inbound.controls.limits.as_ref();
    let limits = limits.map(|limits| format!("RateLimitPolicy {} ({})", limits.policy, limits.scope));
    let faults = inbound.controls.faults.as_ref().map(|faults| format!("FaultPolicy {}", faults.policy));
    controls(values, &side, &inbound.controls, &limits.unwrap_or_default(), &faults.unwrap_or_default());
}

fn controls(values: &mut Values, side: &str, controls: &Controls, limits_of: &str, faults_of: &str) {
    if let Some(limits) = &controls.limits {
        let shadow = if limits.shadow { " (shadow)" } else { "" };
        for limit in &limits.limits {
            let value = format!("{}{shadow}", words::rate_limit(limit));
            values.insert(format!("rateLimits.{side}.{}", limit.name), (value, limits_of.to_owned()));
        }
    }
    if let Some(faults) = &controls.faults {
        let until = i64::try_from(faults.expires_unix_ms).ok();
        let until = until.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let until = until.map(|at| format!(", until {at}")).unwrap_or_default();
        for (index, fault) in faults.faults.iter().enumerate() {
            let value = format!("{}{until}", words::fault(fault));
            values.insert(format!("faults.{side}[{index}]"), (value, faults_of.to_owned()));
        }
    }
}

/// A time limit.
pub fn limit(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "none".to_owned(), text)
}

fn text(duration: Duration) -> String {
    byrnie_api::duration::Duration::from(duration).to_string()
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
