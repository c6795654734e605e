//! Rules of a Mesh and of a Workload.

use super::Issues;
use crate::codes;
use crate::duration::Duration;
use crate::kinds::{HealthCheckProtocol, MeshSpec, WorkloadSpec};

pub(super) fn mesh(spec: &MeshSpec, issues: &mut Issues) {
    within("spec.certificates.lifetime", spec.certificates.lifetime, 10_000, 720 * 3_600_000, issues);
    if let Err((field, why)) = spec.capture.networks() {
        issues.error(codes::BAD_ADDRESS, format!("spec.capture.{field}"), why);
    }
    if let Err((field, why)) = spec.virtual_addresses.range() {
        issues.error(codes::BAD_ADDRESS, format!("spec.virtualAddresses.{field}"), why);
    }
    let proxy = &spec.proxy;
    for (field, duration) in [
        ("detectTimeout", proxy.detect_timeout),
        ("drainTimeout", proxy.drain_timeout),
        ("headerTimeout", proxy.header_timeout),
        ("clientIdleTimeout", proxy.client_idle_timeout),
        ("upstreamIdleTimeout", proxy.upstream_idle_timeout),
        ("upstreamMaxAge", proxy.upstream_max_age),
        ("restartTimeout", proxy.restart_timeout),
    ] {
        within(&format!("spec.proxy.{field}"), duration, 1, 24 * 3_600_000, issues);
    }
    within("spec.proxy.peerTimeout", proxy.peer_timeout, 3_000, 3_600_000, issues);
    within("spec.proxy.dns.ttl", proxy.dns.ttl, 1_000, 3_600_000, issues);
    within("spec.proxy.dns.timeout", proxy.dns.timeout, 100, 60_000, issues);
}

pub(super) fn within(
    path: &str,
    duration: Duration,
    least_millis: u64,
    most_millis: u64,
    issues: &mut Issues,
) {
    let (least, most) = (Duration::from_millis(least_millis), Duration::from_millis(most_millis));
    if duration < least || duration > most {
        issues.error(codes::BAD_DURATION, path, format!("{duration} is not within {least} to {most}"));
    }
}

pub(super) fn workload(spec: &WorkloadSpec, issues: &mut Issues) {
    if spec.address.is_some_and(|address| address.is_unspecified() || address.is_multicast()) {
        issues.error(codes::BAD_ADDRESS, "spec.address", "an address that nobody can dial");
    }
    let ports = || spec.ports.iter().enumerate();
    let names = ports().map(|(index, port)| (port.name.as_ref(), format!("spec.ports[{index}].name")));
    issues.unique(codes::PORT_CONFLICT, names, "name");
    let numbers = ports().map(|(index, port)| {
        (Some((port.port, port.protocol.unwrap_or_default() as u8)), format!("spec.ports[{index}].port"))
    });
    issues.unique(codes::PORT_CONFLICT, numbers, "number and protocol");
    let variables =
        spec.env.iter().enumerate().map(|(index, one)| (Some(&one.name), format!("spec.env[{index}].name")));
    issues.unique(codes::DUPLICATE_ENTRY, variables, "variable");
    if spec.command.first().is_some_and(String::is_empty) {
        issues.error(codes::BAD_FORMAT, "spec.command[0]", "the program's name is empty");
    }
    for (index, part) in spec.command.iter().enumerate().filter(|(_, part)| part.contains('\0')) {
        issues.error(
            codes::BAD_FORMAT,
            format!("spec.command[{index}]"),
            format!("{part:.64?} holds a zero byte"),
        );
    }
    health_checks(spec, issues);
    upstreams(spec, issues);
}

fn health_checks(spec: &WorkloadSpec, issues: &mut Issues) {
    for (index, check) in spec.health_checks.iter().enumerate() {
        let path = format!("spec.healthChecks[{index}]");
        let is = |protocol| check.protocol == protocol;
        let mut refuse = |field: &str, message: &str| {
            issues.error(codes::HEALTH_CHECK, format!("{path}{field}"), message);
        };
        if check.port.is_none() && spec.ports.is_empty() {
            refuse(".port", "the workload has no port, so one must be named here");
        }
        if (check.path.is_some() || check.host.is_some()) && !is(HealthCheckProtocol::Http) {
            refuse("", "path and host are for http only");
        }
        if check.service.is_some() && !is(HealthCheckProtocol::Grpc) {
            refuse(".service", "is for grpc only");
        }
        if check.host.as_ref().is_some_and(|host| !host.bytes().all(|byte| byte.is_ascii_graphic())) {
            refuse(".host", "is no host");
        }
        if let Some(interval) = check.interval {
            within(&format!("{path}.interval"), interval, 100, 3_600_000, issues);
        }
        if let Some(timeout) = check.timeout {
            within(&format!("{path}.timeout"), timeout, 10, 600_000, issues);
        }
    }
}

fn upstreams(spec: &WorkloadSpec, issues: &mut Issues) {
    let upstreams = || spec.upstreams.iter().flatten().enumerate();
    for (index, upstream) in upstreams() {
        let prefix = upstream.service.split_once('/').map(|(namespace, _)| namespace);
        if let (Some(prefix), Some(namespace)) = (prefix, upstream.namespace.as_deref())
            && prefix != namespace
        {
            let message = format!("{namespace} here, but {prefix} in service");
            issues.error(codes::BAD_NAMESPACE, format!("spec.upstreams[{index}].namespace"), message);
        }
    }
    // The empty namespace stands for the workload's own.
    let keys = upstreams()
        .map(|(index, one)| (Some((one.target(""), one.port)), format!("spec.upstreams[{index}]")));
    issues.unique(codes::DUPLICATE_ENTRY, keys, "service and port");
}
