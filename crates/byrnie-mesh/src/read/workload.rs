//! `Workload`: address, ports, where its proxy is.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use byrnie_api::duration::Duration;
use byrnie_api::kinds as api;
use byrnie_api::meta::ConditionStatus;
use byrnie_plan::{AppProtocol, HealthCheck, HealthProtocol, ObjectName};

use super::service::app_protocol;
use crate::findings::{self, finding};
use crate::model::{Meta, WantedUpstream, Workload, WorkloadPort};

pub(super) fn workload(meta: Meta, workload: &api::Workload, run_id: &str) -> Workload {
    let spec = &workload.spec;
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, port) in spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        if port.protocol.unwrap_or_default() != api::IpProtocol::TCP {
            let message = format!("port {} is not TCP, and only TCP is proxied", port.port);
            found.push(finding(findings::PORT_NOT_PROXIED, &meta, path, message));
            continue;
        }
        if !seen.insert(port.port) {
            let message = format!("port {} is there already; this entry is ignored", port.port);
            found.push(finding(findings::SERVICE_PORT_TWICE, &meta, path, message));
            continue;
        }
        let protocol = port.app_protocol.as_ref().map(|name| {
            app_protocol(name).unwrap_or_else(|| {
                let message = format!("appProtocol {name:?} is not known; the port is treated as TCP");
                found.push(finding(
                    findings::APP_PROTOCOL_UNKNOWN,
                    &meta,
                    format!("{path}.appProtocol"),
                    message,
                ));
                AppProtocol::Tcp
            })
        });
        ports.push(WorkloadPort { name: port.name.clone().unwrap_or_default(), port: port.port, protocol });
    }
    ports.sort_by_key(|port| port.port);
    let status = workload.status.as_ref();
    let proxy = status.and_then(|status| status.proxy.as_ref());
    let proxy = proxy.filter(|proxy| proxy.run.as_deref() == Some(run_id));
    Workload {
        service_account: spec.service_account.clone(),
        address: spec.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ports,
        upstreams: spec.upstreams.as_ref().map(|list| list.iter().map(|u| upstream(&meta, u)).collect()),
        http_proxy: spec.http_proxy,
        meshed: spec.proxy == api::ProxyMode::Sidecar,
        locality: spec.locality.clone(),
        health_checks: health_checks(spec),
        weight: spec.weight,
        mesh_address: proxy.and_then(|proxy| proxy.mesh_address.as_ref()?.parse().ok()),
        unready: status.is_some_and(|status| {
            status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == ConditionStatus::False)
        }),
        findings: found,
        meta,
    }
}

/// The questions that tell whether a Workload is healthy.
pub fn health_checks(spec: &api::WorkloadSpec) -> Vec<HealthCheck> {
    spec.health_checks.iter().filter_map(|check| health_check(spec, check)).collect()
}

/// Defaults as Kubernetes has them. `None`: there is no port to ask.
fn health_check(spec: &api::WorkloadSpec, check: &api::HealthCheck) -> Option<HealthCheck> {
    let or = |given: Option<Duration>, default| given.map_or(default, Duration::get);
    let address = spec.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let protocol = match check.protocol {
        api::HealthCheckProtocol::Http => HealthProtocol::Http {
            path: check.path.clone().unwrap_or_else(|| "/".to_owned()),
            host: check.host.clone().unwrap_or_default(),
        },
        api::HealthCheckProtocol::Grpc => {
            HealthProtocol::Grpc { service: check.service.clone().unwrap_or_default() }
        }
        api::HealthCheckProtocol::Tcp => HealthProtocol::Tcp,
    };
    Some(HealthCheck {
        address: SocketAddr::new(address, check.port.or_else(|| Some(spec.ports.first()?.port))?),
        protocol,
        interval: or(check.interval, std::time::Duration::from_secs(10)),
        timeout: or(check.timeout, std::time::Duration::from_secs(1)),
        healthy_threshold: check.healthy_threshold.unwrap_or(1),
        unhealthy_threshold: check.unhealthy_threshold.unwrap_or(3),
        jitter_percent: check.jitter_percent.unwrap_or(10),
    })
}

fn upstream(meta: &Meta, upstream: &api::WorkloadUpstream) -> WantedUpstream {
    let (namespace, name) = upstream.target(&meta.name.namespace);
    WantedUpstream { service: ObjectName::new(namespace, name), port: upstream.port }
}
