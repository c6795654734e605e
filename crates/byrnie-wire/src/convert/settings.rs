//! `MeshSettings`, `TrustBundle`, `Upstreams`.

use byrnie_plan::{
    AccessLog, AccessLogFormat, DnsSettings, ForwardedHeaders, MeshSettings, ObjectName, Override,
    ProxyHeader, ServicePortRef, TrustBundle, Upstream, Upstreams,
};

use super::field::{MAX_LIST, at, duration, filled, list, name, nanos, number, port, required, same_names};
use crate::error::{DecodeError, Problem};
use crate::generated as pb;

/// Roots in one bundle: a rotation needs two, a federation a handful.
const MAX_ROOTS: usize = 64;
/// Largest root certificate, in bytes.
const MAX_ROOT_BYTES: usize = 64 * 1024;

same_names!(log_to_proto, log_from_proto, AccessLog, pb::AccessLog, [Off, Failed, All]);
same_names!(
    forwarded_to_proto,
    forwarded_from_proto,
    ForwardedHeaders,
    pb::ForwardedHeaders,
    [Append, Replace, Off]
);
same_names!(header_to_proto, header_from_proto, ProxyHeader, pb::ProxyHeader, [Off, V1, V2]);
same_names!(format_to_proto, format_from_proto, AccessLogFormat, pb::AccessLogFormat, [Json, Text]);

pub(super) fn mesh_to_proto(settings: &MeshSettings) -> pb::MeshSettings {
    pb::MeshSettings {
        access_log: log_to_proto(settings.access_log),
        access_log_format: format_to_proto(settings.access_log_format),
        show_policy_in_response: settings.show_policy_in_response,
        detect_timeout_ns: Some(nanos(settings.detect_timeout)),
        drain_timeout_ns: Some(nanos(settings.drain_timeout)),
        max_header_bytes: Some(settings.max_header_bytes),
        max_headers: Some(settings.max_headers),
        max_concurrent_streams: Some(settings.max_concurrent_streams),
        max_connections: Some(settings.max_connections),
        header_timeout_ns: Some(nanos(settings.header_timeout)),
        client_idle_timeout_ns: Some(nanos(settings.client_idle_timeout)),
        upstream_idle_timeout_ns: Some(nanos(settings.upstream_idle_timeout)),
        upstream_max_age_ns: Some(nanos(settings.upstream_max_age)),
        refuse_unknown_destinations: settings.refuse_unknown_destinations,
        accept_plaintext: settings.accept_plaintext,
        dns: Some(dns_to_proto(&settings.dns)),
        peer_timeout_ns: Some(nanos(settings.peer_timeout)),
        restart_timeout_ns: Some(nanos(settings.restart_timeout)),
        max_requests: Some(settings.max_requests),
        drain_percent: Some(settings.drain_percent.into()),
        shed_percent: Some(settings.shed_percent.into()),
        buffer_percent: Some(settings.buffer_percent.into()),
        adaptive_concurrency: Some(settings.adaptive_concurrency),
        forwarded_headers: forwarded_to_proto(settings.forwarded_headers),
        trusted_hops: Some(settings.trusted_hops),
        peer_identity_header: settings.peer_identity_header,
        allow_connect: settings.allow_connect,
        accept_proxy_protocol: settings.accept_proxy_protocol,
        send_proxy_protocol: header_to_proto(settings.send_proxy_protocol),
    }
}

pub(super) fn mesh_from_proto(wire: pb::MeshSettings) -> Result<MeshSettings, DecodeError> {
    Ok(MeshSettings {
        access_log: at("access_log", log_from_proto(wire.access_log))?,
        access_log_format: at("access_log_format", format_from_proto(wire.access_log_format))?,
        show_policy_in_response: wire.show_policy_in_response,
        detect_timeout: duration("detect_timeout", wire.detect_timeout_ns)?,
        drain_timeout: duration("drain_timeout", wire.drain_timeout_ns)?,
        max_header_bytes: number("max_header_bytes", wire.max_header_bytes)?,
        max_headers: number("max_headers", wire.max_headers)?,
        max_concurrent_streams: number("max_concurrent_streams", wire.max_concurrent_streams)?,
        max_connections: number("max_connections", wire.max_connections)?,
        header_timeout: duration("header_timeout", wire.header_timeout_ns)?,
        client_idle_timeout: duration("client_idle_timeout", wire.client_idle_timeout_ns)?,
        upstream_idle_timeout: duration("upstream_idle_timeout", wire.upstream_idle_timeout_ns)?,
        upstream_max_age: duration("upstream_max_age", wire.upstream_max_age_ns)?,
        restart_timeout: duration("restart_timeout", wire.restart_timeout_ns)?,
        max_requests: number("max_requests", wire.max_requests)?,
        drain_percent: at("drain_percent", percent(wire.drain_percent))?,
        shed_percent: at("shed_percent", percent(wire.shed_percent))?,
        buffer_percent: at("buffer_percent", percent(wire.buffer_percent))?,
        adaptive_concurrency: wire.adaptive_concurrency.unwrap_or_default(),
        refuse_unknown_destinations: wire.refuse_unknown_destinations,
        accept_plaintext: wire.accept_plaintext,
        peer_timeout: duration("peer_timeout", wire.peer_timeout_ns)?,
        dns: required("dns", wire.dns, dns_from_proto)?,
        forwarded_headers: at("forwarded_headers", forwarded_from_proto(wire.forwarded_headers))?,
        trusted_hops: number("trusted_hops", wire.trusted_hops)?,
        peer_identity_header: wire.peer_identity_header,
        allow_connect: wire.allow_connect,
        accept_proxy_protocol: wire.accept_proxy_protocol,
        send_proxy_protocol: at("send_proxy_protocol", header_from_proto(wire.send_proxy_protocol))?,
    })
}

fn dns_to_proto(dns: &DnsSettings) -> pb::DnsSettings {
    pb::DnsSettings {
        ttl_ns: Some(nanos(dns.ttl)),
        timeout_ns: Some(nanos(dns.timeout)),
        max_queries: Some(dns.max_queries),
    }
}

fn dns_from_proto(wire: pb::DnsSettings) -> Result<DnsSettings, DecodeError> {
    Ok(DnsSettings {
        ttl: duration("ttl", wire.ttl_ns)?,
        timeout: duration("timeout", wire.timeout_ns)?,
        max_queries: number("max_queries", wire.max_queries)?,
    })
}

fn percent(wire: Option<u32>) -> Result<u8, DecodeError> {
    let value = wire.ok_or_else(|| DecodeError::new(Problem::Missing))?;
    let out_of_range = || DecodeError::new(Problem::OutOfRange { value: value.into(), min: 0, max: 100 });
    u8::try_from(value).ok().filter(|value| *value <= 100).ok_or_else(out_of_range)
}

pub(super) fn bundle_to_proto(bundle: &TrustBundle) -> pb::TrustBundle {
    pb::TrustBundle { trust_domain: bundle.trust_domain.clone(), roots_der: bundle.roots_der.clone() }
}

pub(crate) fn bundle_from_proto(wire: pb::TrustBundle) -> Result<TrustBundle, DecodeError> {
    let roots_der = list("roots_der", wire.roots_der, MAX_ROOTS, |root| match root.len() {
        0 => Err(DecodeError::new(Problem::Missing)),
        len if len > MAX_ROOT_BYTES => Err(DecodeError::new(Problem::TooLong { len, max: MAX_ROOT_BYTES })),
        _ => Ok(root),
    })?;
    Ok(TrustBundle { trust_domain: at("trust_domain", filled(wire.trust_domain))?, roots_der })
}

pub(super) fn upstreams_to_proto(upstreams: &Upstreams) -> pb::Upstreams {
    let upstream =
        |service: &ObjectName, port: u16| pb::Upstream { service: service.to_string(), port: port.into() };
    pb::Upstreams {
        workload: upstreams.workload.to_string(),
        upstreams: upstreams.upstreams.iter().map(|one| upstream(&one.service, one.port)).collect(),
        http_proxy: upstreams.http_proxy,
        overrides: upstreams
            .overrides
            .iter()
            .map(|one| pb::Override {
                service: one.service.to_string(),
                targets: one.targets.iter().map(|to| upstream(&to.service, to.port)).collect(),
            })
            .collect(),
    }
}

pub(super) fn upstreams_from_proto(wire: pb::Upstreams) -> Result<Upstreams, DecodeError> {
    let upstream = |wire: pb::Upstream| {
        Ok(Upstream { service: at("service", name(&wire.service))?, port: at("port", port(wire.port))? })
    };
    let target = |wire: pb::Upstream| {
        Ok(ServicePortRef {
            service: at("service", name(&wire.service))?,
            port: at("port", port(wire.port))?,
        })
    };
    Ok(Upstreams {
        workload: at("workload", name(&wire.workload))?,
        upstreams: list("upstreams", wire.upstreams, MAX_LIST, upstream)?,
        http_proxy: wire.http_proxy,
        overrides: list("overrides", wire.overrides, MAX_LIST, |one| {
            Ok(Override {
                service: at("service", name(&one.service))?,
                targets: list("targets", one.targets, MAX_LIST, target)?,
            })
        })?,
    })
}
