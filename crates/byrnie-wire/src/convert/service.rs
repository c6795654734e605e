//! `Service` and its traffic settings.

use byrnie_plan::{
    AppProtocol, Balancer, ConnectionLimits, HashSource, LatencyOutlier, LocalityPreference, Outlier, Retry,
    RetryBudget, RetryOn, Service, ServicePort, SessionCarrier, SessionPersistence, SuccessRateOutlier,
    TrafficSettings,
};

use super::controls::{controls_from_proto, controls_to_proto};
use super::field::{
    MAX_LIST, ascending, at, duration, filled, invalid, list, maybe, maybe_duration, maybe_nanos, name,
    nanos, number, port, required, same_names, short, within,
};
use super::overrides;
use crate::error::{DecodeError, Problem};
use crate::generated as pb;
use pb::hash_source::Source;

same_names!(
    protocol_to_proto,
    protocol_from_proto,
    AppProtocol,
    pb::AppProtocol,
    [Detect, Http1, Http2, Grpc, Tcp, Tls]
);

same_names!(
    carrier_to_proto,
    carrier_from_proto,
    SessionCarrier,
    pb::SessionCarrier,
    [Cookie, PermanentCookie, Header]
);

pub(super) fn to_proto(service: &Service) -> pb::Service {
    pb::Service {
        name: service.name.to_string(),
        ports: service.ports.iter().map(port_to_proto).collect(),
        settings: Some(settings_to_proto(&service.settings)),
        controls: controls_to_proto(service.controls.as_deref()),
        overrides: overrides::to_proto(&service.overrides),
    }
}

pub(super) fn from_proto(service: pb::Service) -> Result<Service, DecodeError> {
    let ports = list("ports", service.ports, MAX_LIST, port_from_proto)?;
    ascending("ports", &ports, |port| port.port)?;
    Ok(Service {
        name: at("name", name(&service.name))?,
        ports,
        settings: required("settings", service.settings, settings_from_proto)?.into(),
        controls: controls_from_proto(service.controls)?,
        overrides: at("overrides", overrides::from_proto(service.overrides))?,
    })
}

fn port_to_proto(port: &ServicePort) -> pb::ServicePort {
    pb::ServicePort {
        name: port.name.clone(),
        port: port.port.into(),
        protocol: protocol_to_proto(port.protocol),
    }
}

fn port_from_proto(wire: pb::ServicePort) -> Result<ServicePort, DecodeError> {
    Ok(ServicePort {
        name: at("name", short(wire.name))?,
        port: at("port", port(wire.port))?,
        protocol: at("protocol", protocol_from_proto(wire.protocol))?,
    })
}

fn settings_to_proto(settings: &TrafficSettings) -> pb::TrafficSettings {
    let (balancer, hash_source) = balancer_to_proto(&settings.balancer);
    pb::TrafficSettings {
        balancer: balancer as i32,
        hash_source,
        connect_timeout_ns: Some(nanos(settings.connect_timeout)),
        request_timeout_ns: maybe_nanos(settings.request_timeout),
        idle_timeout_ns: maybe_nanos(settings.idle_timeout),
        retry: Some(retry_to_proto(&settings.retry)),
        limits: Some(pb::ConnectionLimits {
            max_connections: Some(settings.limits.max_connections),
            max_pending: Some(settings.limits.max_pending),
            max_in_flight: Some(settings.limits.max_in_flight),
        }),
        outlier: settings.outlier.as_ref().map(|outlier| pb::Outlier {
            consecutive_failures: Some(outlier.consecutive_failures),
            base_ejection_ns: Some(nanos(outlier.base_ejection)),
            max_ejection_ns: Some(nanos(outlier.max_ejection)),
            panic_percent: Some(outlier.panic_percent),
            interval_ns: Some(nanos(outlier.interval)),
            success_rate: outlier.success_rate.map(|rate| pb::SuccessRateOutlier {
                minimum_endpoints: Some(rate.minimum_endpoints),
                minimum_requests: Some(rate.minimum_requests),
                deviation_thousandths: Some(rate.deviation_thousandths),
                threshold_percent: Some(rate.threshold_percent),
            }),
            latency: outlier.latency.map(|latency| pb::LatencyOutlier {
                minimum_endpoints: Some(latency.minimum_endpoints),
                minimum_requests: Some(latency.minimum_requests),
                factor_percent: Some(latency.factor_percent),
                minimum_ns: Some(nanos(latency.minimum)),
            }),
        }),
        slow_start_ns: maybe_nanos(settings.slow_start),
        locality: settings.locality.as_ref().map(|locality| pb::LocalityPreference {
            failover: locality.failover.clone(),
            overprovisioning_percent: Some(locality.overprovisioning_percent),
        }),
        session: settings.session.as_ref().map(|session| pb::SessionPersistence {
            name: session.name.clone(),
            carrier: carrier_to_proto(session.carrier),
            absolute_timeout_ns: maybe_nanos(session.absolute_timeout),
            idle_timeout_ns: maybe_nanos(session.idle_timeout),
        }),
        retry_after_max_ns: Some(nanos(settings.retry_after_max)),
    }
}

fn settings_from_proto(wire: pb::TrafficSettings) -> Result<TrafficSettings, DecodeError> {
    Ok(TrafficSettings {
        balancer: balancer_from_proto(wire.balancer, wire.hash_source)?,
        connect_timeout: duration("connect_timeout", wire.connect_timeout_ns)?,
        request_timeout: maybe_duration(wire.request_timeout_ns),
        idle_timeout: maybe_duration(wire.idle_timeout_ns),
        retry: required("retry", wire.retry, retry_from_proto)?,
        limits: required("limits", wire.limits, limits_from_proto)?,
        outlier: maybe("outlier", wire.outlier, outlier_from_proto)?,
        slow_start: maybe_duration(wire.slow_start_ns),
        locality: maybe("locality", wire.locality, locality_from_proto)?,
        session: maybe("session", wire.session, session_from_proto)?,
        retry_after_max: duration("retry_after_max", wire.retry_after_max_ns)?,
    })
}

fn locality_from_proto(wire: pb::LocalityPreference) -> Result<LocalityPreference, DecodeError> {
    Ok(LocalityPreference {
        failover: list("failover", wire.failover, MAX_LIST, short)?,
        overprovisioning_percent: number("overprovisioning_percent", wire.overprovisioning_percent)?,
    })
}

fn session_from_proto(wire: pb::SessionPersistence) -> Result<SessionPersistence, DecodeError> {
    Ok(SessionPersistence {
        name: at("name", filled(wire.name))?,
        carrier: at("carrier", carrier_from_proto(wire.carrier))?,
        absolute_timeout: maybe_duration(wire.absolute_timeout_ns),
        idle_timeout: maybe_duration(wire.idle_timeout_ns),
    })
}

fn success_rate_from_proto(wire: pb::SuccessRateOutlier) -> Result<SuccessRateOutlier, DecodeError> {
    Ok(SuccessRateOutlier {
        minimum_endpoints: number("minimum_endpoints", wire.minimum_endpoints)?,
        minimum_requests: number("minimum_requests", wire.minimum_requests)?,
        deviation_thousandths: number("deviation_thousandths", wire.deviation_thousandths)?,
        threshold_percent: number("threshold_percent", wire.threshold_percent)?,
    })
}

fn latency_from_proto(wire: pb::LatencyOutlier) -> Result<LatencyOutlier, DecodeError> {
    Ok(LatencyOutlier {
        minimum_endpoints: number("minimum_endpoints", wire.minimum_endpoints)?,
        minimum_requests: number("minimum_requests", wire.minimum_requests)?,
        factor_percent: number("factor_percent", wire.factor_percent)?,
        minimum: duration("minimum", wire.minimum_ns)?,
    })
}

fn limits_from_proto(wire: pb::ConnectionLimits) -> Result<ConnectionLimits, DecodeError> {
    Ok(ConnectionLimits {
        max_connections: number("max_connections", wire.max_connections)?,
        max_pending: number("max_pending", wire.max_pending)?,
        max_in_flight: number("max_in_flight", wire.max_in_flight)?,
    })
}

fn outlier_from_proto(wire: pb::Outlier) -> Result<Outlier, DecodeError> {
    Ok(Outlier {
        consecutive_failures: number("consecutive_failures", wire.consecutive_failures)?,
        base_ejection: duration("base_ejection", wire.base_ejection_ns)?,
        max_ejection: duration("max_ejection", wire.max_ejection_ns)?,
        panic_percent: number("panic_percent", wire.panic_percent)?,
        interval: duration("interval", wire.interval_ns)?,
        success_rate: maybe("success_rate", wire.success_rate, success_rate_from_proto)?,
        latency: maybe("latency", wire.latency, latency_from_proto)?,
    })
}

fn balancer_to_proto(balancer: &Balancer) -> (pb::BalancerKind, Option<pb::HashSource>) {
    use pb::BalancerKind as Kind;
    match balancer {
        Balancer::PeakEwma => (Kind::PeakEwma, None),
        Balancer::LeastRequest => (Kind::LeastRequest, None),
        Balancer::RoundRobin => (Kind::RoundRobin, None),
        Balancer::Random => (Kind::Random, None),
        Balancer::RingHash(source) => (Kind::RingHash, Some(hash_to_proto(source))),
        Balancer::Maglev(source) => (Kind::Maglev, Some(hash_to_proto(source))),
    }
}

fn balancer_from_proto(kind: i32, source: Option<pb::HashSource>) -> Result<Balancer, DecodeError> {
    use pb::BalancerKind as Kind;
    let balancer = match pb::BalancerKind::try_from(kind) {
        Ok(Kind::RingHash) => {
            return Ok(Balancer::RingHash(required("hash_source", source, hash_from_proto)?));
        }
        Ok(Kind::Maglev) => {
            return Ok(Balancer::Maglev(required("hash_source", source, hash_from_proto)?));
        }
        Ok(Kind::PeakEwma) => Balancer::PeakEwma,
        Ok(Kind::LeastRequest) => Balancer::LeastRequest,
        Ok(Kind::RoundRobin) => Balancer::RoundRobin,
        Ok(Kind::Random) => Balancer::Random,
        Ok(Kind::Unspecified) | Err(_) => {
            return Err(DecodeError::new(Problem::UnknownValue(kind)).within("balancer"));
        }
    };
    match source {
        None => Ok(balancer),
        Some(_) => Err(invalid("used with this balancer").within("hash_source")),
    }
}

fn hash_to_proto(source: &HashSource) -> pb::HashSource {
    let source = match source {
        HashSource::Header(name) => Source::Header(name.clone()),
        HashSource::Cookie(name) => Source::Cookie(name.clone()),
        HashSource::Query(name) => Source::Query(name.clone()),
        HashSource::SourceAddress => Source::SourceAddress(pb::Flag {}),
    };
    pb::HashSource { source: Some(source) }
}

fn hash_from_proto(wire: pb::HashSource) -> Result<HashSource, DecodeError> {
    required("source", wire.source, |source| match source {
        Source::Header(name) => filled(name).map(HashSource::Header),
        Source::Cookie(name) => filled(name).map(HashSource::Cookie),
        Source::Query(name) => filled(name).map(HashSource::Query),
        Source::SourceAddress(_) => Ok(HashSource::SourceAddress),
    })
}

pub(super) fn retry_to_proto(retry: &Retry) -> pb::Retry {
    pb::Retry {
        attempts: Some(retry.attempts),
        statuses: retry.on.statuses.iter().map(|status| u32::from(*status)).collect(),
        grpc_codes: retry.on.grpc_codes.iter().map(|code| u32::from(*code)).collect(),
        connection_error: retry.on.connection_error,
        unsafe_methods: retry.on.unsafe_methods,
        per_try_timeout_ns: maybe_nanos(retry.per_try_timeout),
        backoff_ns: Some(nanos(retry.backoff)),
        backoff_max_ns: Some(nanos(retry.backoff_max)),
        budget_percent: Some(retry.budget.percent),
        budget_min_per_second: Some(retry.budget.min_per_second),
        server_errors: retry.on.server_errors,
        timeout: retry.on.timeout,
        other_locality: retry.other_locality,
    }
}

pub(super) fn retry_from_proto(wire: pb::Retry) -> Result<Retry, DecodeError> {
    Ok(Retry {
        attempts: number("attempts", wire.attempts)?,
        on: RetryOn {
            statuses: list("statuses", wire.statuses, MAX_LIST, |status| within(status, 100, 999))?,
            grpc_codes: list("grpc_codes", wire.grpc_codes, MAX_LIST, |code| within(code, 0, u16::MAX))?,
            connection_error: wire.connection_error,
            unsafe_methods: wire.unsafe_methods,
            server_errors: wire.server_errors,
            timeout: wire.timeout,
        },
        per_try_timeout: maybe_duration(wire.per_try_timeout_ns),
        backoff: duration("backoff", wire.backoff_ns)?,
        backoff_max: duration("backoff_max", wire.backoff_max_ns)?,
        budget: RetryBudget {
            percent: number("budget_percent", wire.budget_percent)?,
            min_per_second: number("budget_min_per_second", wire.budget_min_per_second)?,
        },
        other_locality: wire.other_locality,
    })
}
