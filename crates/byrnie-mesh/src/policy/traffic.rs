//! `TrafficPolicy`: what it comes to with the defaults.

use std::time::Duration;

use byrnie_api::duration;
use byrnie_api::kinds as api;
use byrnie_plan::{
    Balancer, ConnectionLimits, HashSource, HttpRule, LatencyOutlier, LocalityPreference, ObjectName,
    Outlier, Retry, RetryBudget, RetryOn, SessionCarrier, SessionPersistence, SuccessRateOutlier, Timeouts,
    TrafficSettings,
};

use super::{Reach, Slot};
use crate::graph::{Place, Target};
use crate::model::{Policy, Says};
use crate::view::View;

/// Where policies for a Service's endpoints and requests stand.
pub(super) fn service_places(service: &ObjectName) -> [Place; 3] {
    let targets =
        [Target::Service(service.clone()), Target::Namespace(service.namespace.clone()), Target::Mesh];
    targets.map(|target| Place { target, section: None })
}

/// The settings that hold for a Service: each from the nearest policy that has it, else the default.
pub(crate) fn settings(service: &ObjectName, view: &View<'_>) -> TrafficSettings {
    nearest(&service_places(service), view).map(|spec| effective(&spec)).unwrap_or_default()
}

/// Who may send single requests for a Service elsewhere, by the nearest policy that says so, with the namespace that
/// its targets are in where they name none.
pub(crate) fn override_of(service: &ObjectName, view: &View<'_>) -> Option<(String, api::RequestOverride)> {
    service_places(service).iter().find_map(|place| {
        let policy = view.holder(Slot::Traffic, place)?;
        let Says::Traffic(spec) = &policy.says else { return None };
        Some((policy.meta.name.namespace.clone(), spec.override_.clone()?))
    })
}

/// Fills in what a rule does not say itself and what no nearer policy said.
pub(crate) fn apply(spec: &api::TrafficPolicySpec, rule: &mut HttpRule) {
    fill(spec, &mut rule.timeouts, &mut rule.retry);
}

/// The same for the settings that policies have of a rule.
pub(super) fn fill(spec: &api::TrafficPolicySpec, timeouts: &mut Timeouts, own: &mut Option<Retry>) {
    let request = spec.timeouts.as_ref().and_then(|timeouts| timeouts.request);
    timeouts.request = timeouts.request.or(request.map(duration::Duration::get));
    if own.is_none() {
        *own = spec.retry.as_ref().map(retry);
    }
}

/// What the policies at some places come to, the nearest place first.
pub(super) fn nearest(places: &[Place], view: &View<'_>) -> Option<api::TrafficPolicySpec> {
    nearest_told(places, view, |_, _, _| {})
}

/// The same; tells after each policy what it and all nearer ones come to.
pub(super) fn nearest_told(
    places: &[Place],
    view: &View<'_>,
    mut tell: impl FnMut(&Place, &Policy, &api::TrafficPolicySpec),
) -> Option<api::TrafficPolicySpec> {
    let mut all: Option<api::TrafficPolicySpec> = None;
    for place in places {
        let Some(policy) = view.holder(Slot::Traffic, place) else { continue };
        let Says::Traffic(spec) = &policy.says else { continue };
        let so_far = match all {
            Some(near) => over(near, spec),
            None => spec.clone(),
        };
        tell(place, policy, &so_far);
        all = Some(so_far);
    }
    all
}

/// Each setting of the nearer policy, else of the farther one. Every field is one setting, but the entries of
/// `timeouts` and `limits`, which are settings of their own.
fn over(near: api::TrafficPolicySpec, far: &api::TrafficPolicySpec) -> api::TrafficPolicySpec {
    // No `..`: who adds a field decides about it here.
    let api::TrafficPolicySpec {
        target_refs,
        balancer,
        timeouts,
        retry,
        limits,
        outlier_ejection,
        slow_start,
        override_,
        locality,
        session_persistence,
        retry_after_max,
        inbound,
    } = near;
    api::TrafficPolicySpec {
        target_refs,
        balancer: balancer.or_else(|| far.balancer.clone()),
        timeouts: both(timeouts, far.timeouts.as_ref(), |near, far| api::TrafficTimeouts {
            connect: near.connect.or(far.connect),
            request: near.request.or(far.request),
            idle: near.idle.or(far.idle),
        }),
        retry: retry.or_else(|| far.retry.clone()),
        limits: both(limits, far.limits.as_ref(), |near, far| api::ConnectionLimits {
            max_connections: near.max_connections.or(far.max_connections),
            max_pending: near.max_pending.or(far.max_pending),
            max_in_flight: near.max_in_flight.or(far.max_in_flight),
        }),
        outlier_ejection: outlier_ejection.or_else(|| far.outlier_ejection.clone()),
        slow_start: slow_start.or(far.slow_start),
        override_: override_.or_else(|| far.override_.clone()),
        locality: locality.or_else(|| far.locality.clone()),
        session_persistence: session_persistence.or_else(|| far.session_persistence.clone()),
        retry_after_max: retry_after_max.or(far.retry_after_max),
        // Of no endpoint and no route: `inbound` has it.
        inbound,
    }
}

fn both<T: Clone>(near: Option<T>, far: Option<&T>, join: impl Fn(T, &T) -> T) -> Option<T> {
    match (near, far) {
        (Some(near), Some(far)) => Some(join(near, far)),
        (near, far) => near.or_else(|| far.cloned()),
    }
}

/// The settings that a policy has, each with where it can mean something.
pub(super) fn fields(spec: &api::TrafficPolicySpec) -> Vec<(&'static str, Reach)> {
    let api::TrafficPolicySpec {
        target_refs: _,
        balancer,
        timeouts,
        retry,
        limits,
        outlier_ejection,
        slow_start,
        override_,
        locality,
        session_persistence,
        retry_after_max,
        inbound,
    } = spec;
    let timeouts = timeouts.clone().unwrap_or_default();
    let all = [
        (balancer.is_some(), "spec.balancer", Reach::Endpoints),
        (timeouts.connect.is_some(), "spec.timeouts.connect", Reach::Endpoints),
        (timeouts.request.is_some(), "spec.timeouts.request", Reach::Requests),
        (timeouts.idle.is_some(), "spec.timeouts.idle", Reach::Endpoints),
        (retry.is_some(), "spec.retry", Reach::Requests),
        (limits.is_some(), "spec.limits", Reach::Endpoints),
        (outlier_ejection.is_some(), "spec.outlierEjection", Reach::Endpoints),
        (slow_start.is_some(), "spec.slowStart", Reach::Endpoints),
        (override_.is_some(), "spec.override", Reach::Endpoints),
        (locality.is_some(), "spec.locality", Reach::Endpoints),
        (session_persistence.is_some(), "spec.sessionPersistence", Reach::Endpoints),
        (retry_after_max.is_some(), "spec.retryAfterMax", Reach::Endpoints),
    ];
    let inbound = inbound.iter().flat_map(inbound_fields);
    all.into_iter().chain(inbound).filter(|(set, ..)| *set).map(|(_, path, reach)| (path, reach)).collect()
}

fn inbound_fields(inbound: &api::InboundSettings) -> [(bool, &'static str, Reach); 13] {
    let proxy_protocol = inbound.proxy_protocol.unwrap_or_default();
    let applications = Reach::Applications;
    [
        (inbound.forwarded_headers.is_some(), "spec.inbound.forwardedHeaders", Reach::Gateways),
        (inbound.trusted_hops.is_some(), "spec.inbound.trustedHops", Reach::Gateways),
        (inbound.peer_identity_header.is_some(), "spec.inbound.peerIdentityHeader", applications),
        (inbound.allow_connect.is_some(), "spec.inbound.allowConnect", Reach::Entrances),
        (proxy_protocol.accept.is_some(), "spec.inbound.proxyProtocol.accept", Reach::Gateways),
        (proxy_protocol.send.is_some(), "spec.inbound.proxyProtocol.send", applications),
        (inbound.max_header_bytes.is_some(), "spec.inbound.maxHeaderBytes", Reach::Entrances),
        (inbound.max_headers.is_some(), "spec.inbound.maxHeaders", Reach::Entrances),
        (inbound.max_concurrent_streams.is_some(), "spec.inbound.maxConcurrentStreams", Reach::Entrances),
        (inbound.max_connections.is_some(), "spec.inbound.maxConnections", Reach::Processes),
        (inbound.header_timeout.is_some(), "spec.inbound.headerTimeout", Reach::Entrances),
        (inbound.client_idle_timeout.is_some(), "spec.inbound.clientIdleTimeout", Reach::Entrances),
        (inbound.detect_timeout.is_some(), "spec.inbound.detectTimeout", Reach::Entrances),
    ]
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
        locality: spec.locality.as_ref().map(locality),
        session: spec.session_persistence.as_ref().map(session),
        retry_after_max: spec.retry_after_max.map_or(default.retry_after_max, duration::Duration::get),
    }
}

fn locality(locality: &api::LocalityPreference) -> LocalityPreference {
    LocalityPreference {
        failover: locality.failover.clone(),
        overprovisioning_percent: locality.overprovisioning_percent.unwrap_or(140),
    }
}

fn session(session: &api::SessionPersistence) -> SessionPersistence {
    let lifetime = session.cookie_config.as_ref().and_then(|config| config.lifetime_type);
    SessionPersistence {
        name: session.session_name.clone().unwrap_or_else(|| "mesh-session".to_owned()),
        carrier: match (session.type_.unwrap_or_default(), lifetime.unwrap_or_default()) {
            (api::SessionPersistenceType::Header, _) => SessionCarrier::Header,
            (_, api::CookieLifetimeType::Permanent) => SessionCarrier::PermanentCookie,
            (_, api::CookieLifetimeType::Session) => SessionCarrier::Cookie,
        },
        absolute_timeout: limit(session.absolute_timeout),
        idle_timeout: limit(session.idle_timeout),
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
        on: retry_on(on),
        other_locality: retry.other_locality,
        per_try_timeout: limit(retry.per_try_timeout),
        backoff,
        backoff_max: retry.backoff_max.map_or(default.backoff_max, duration::Duration::get).max(backoff),
        budget: RetryBudget {
            percent: budget.percent.unwrap_or(default.budget.percent),
            min_per_second: budget.min_per_second.unwrap_or(default.budget.min_per_second),
        },
    }
}

/// What is named one by one, and what the conditions stand for.
fn retry_on(on: api::RetryCondition) -> RetryOn {
    let mut out = RetryOn {
        statuses: on.statuses,
        grpc_codes: on.grpc_codes,
        connection_error: on.connection_error,
        unsafe_methods: on.unsafe_methods,
        ..RetryOn::default()
    };
    for condition in on.conditions {
        match condition {
            api::RetryKind::ServerError => {
                out.server_errors = true;
                out.connection_error = true;
                out.timeout = true;
            }
            api::RetryKind::GatewayError => out.statuses.extend([502, 503, 504]),
            api::RetryKind::Retriable4xx => out.statuses.push(409),
            api::RetryKind::Reset => out.connection_error = true,
            api::RetryKind::PerTryTimeout => out.timeout = true,
            api::RetryKind::ConnectFailure | api::RetryKind::RefusedStream => {}
        }
    }
    out.statuses.sort_unstable();
    out.statuses.dedup();
    out
}

fn limits(limits: &api::ConnectionLimits) -> ConnectionLimits {
    let default = ConnectionLimits::default();
    ConnectionLimits {
        max_connections: limits.max_connections.unwrap_or(default.max_connections),
        max_pending: limits.max_pending.unwrap_or(default.max_pending),
        max_in_flight: limits.max_in_flight.unwrap_or(default.max_in_flight),
    }
}

fn outlier(outlier: &api::OutlierEjection) -> Outlier {
    let default = Outlier::default();
    let base = outlier.base_ejection.map_or(default.base_ejection, duration::Duration::get);
    Outlier {
        consecutive_failures: outlier.consecutive_failures.unwrap_or(default.consecutive_failures),
        base_ejection: base,
        max_ejection: outlier.max_ejection.map_or(default.max_ejection, duration::Duration::get).max(base),
        panic_percent: outlier.panic_threshold.unwrap_or(default.panic_percent),
        interval: limit(outlier.interval).unwrap_or(default.interval),
        success_rate: outlier.success_rate.as_ref().map(success_rate),
        latency: outlier.latency.as_ref().map(latency),
    }
}

fn success_rate(rate: &api::SuccessRateEjection) -> SuccessRateOutlier {
    let default = SuccessRateOutlier::default();
    SuccessRateOutlier {
        minimum_endpoints: rate.minimum_endpoints.unwrap_or(default.minimum_endpoints),
        minimum_requests: rate.minimum_requests.unwrap_or(default.minimum_requests),
        deviation_thousandths: rate.stdev_factor.unwrap_or(default.deviation_thousandths),
        threshold_percent: rate.threshold.unwrap_or(default.threshold_percent),
    }
}

fn latency(latency: &api::LatencyEjection) -> LatencyOutlier {
    let default = LatencyOutlier::default();
    LatencyOutlier {
        minimum_endpoints: latency.minimum_endpoints.unwrap_or(default.minimum_endpoints),
        minimum_requests: latency.minimum_requests.unwrap_or(default.minimum_requests),
        factor_percent: latency.factor_percent.unwrap_or(default.factor_percent),
        minimum: latency.minimum.map_or(default.minimum, duration::Duration::get),
    }
}
