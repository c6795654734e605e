//! Health checks of a workload.

use byrnie_plan::{HealthCheck, HealthProtocol};

use super::field::{address, address_to_proto, at, duration, nanos, number, required, short};
use crate::error::DecodeError;
use crate::generated as pb;
use pb::health_check::Protocol;

pub(super) fn to_proto(check: &HealthCheck) -> pb::HealthCheck {
    let protocol = match &check.protocol {
        HealthProtocol::Http { path, host } => {
            Protocol::Http(pb::HttpHealthCheck { path: path.clone(), host: host.clone() })
        }
        HealthProtocol::Grpc { service } => Protocol::Grpc(pb::GrpcHealthCheck { service: service.clone() }),
        HealthProtocol::Tcp => Protocol::Tcp(pb::Flag {}),
    };
    pb::HealthCheck {
        address: Some(address_to_proto(check.address)),
        protocol: Some(protocol),
        interval_ns: Some(nanos(check.interval)),
        timeout_ns: Some(nanos(check.timeout)),
        healthy_threshold: Some(check.healthy_threshold),
        unhealthy_threshold: Some(check.unhealthy_threshold),
        jitter_percent: Some(check.jitter_percent),
    }
}

pub(super) fn from_proto(wire: pb::HealthCheck) -> Result<HealthCheck, DecodeError> {
    Ok(HealthCheck {
        address: required("address", wire.address, address)?,
        protocol: required("protocol", wire.protocol, protocol)?,
        interval: duration("interval", wire.interval_ns)?,
        timeout: duration("timeout", wire.timeout_ns)?,
        healthy_threshold: number("healthy_threshold", wire.healthy_threshold)?,
        unhealthy_threshold: number("unhealthy_threshold", wire.unhealthy_threshold)?,
        jitter_percent: number("jitter_percent", wire.jitter_percent)?,
    })
}

fn protocol(wire: Protocol) -> Result<HealthProtocol, DecodeError> {
    Ok(match wire {
        Protocol::Http(http) => {
            HealthProtocol::Http { path: at("path", short(http.path))?, host: at("host", short(http.host))? }
        }
        Protocol::Grpc(grpc) => HealthProtocol::Grpc { service: at("service", short(grpc.service))? },
        Protocol::Tcp(_) => HealthProtocol::Tcp,
    })
}
