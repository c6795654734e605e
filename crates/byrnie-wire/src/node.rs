//! Who a proxy is and how it is.

use std::net::{IpAddr, SocketAddr};

use byrnie_plan::ObjectName;

use crate::convert::field::{self, at, invalid, list, name};
use crate::error::{DecodeError, Problem};
use crate::generated as pb;

/// Who is speaking, said once per stream. Proven by the peer's certificate, which the control plane compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The Workload or the Gateway.
    pub workload: ObjectName,
    /// What this proxy is for.
    pub role: Role,
    /// Software version, for people.
    pub version: String,
    /// The supervisor's run, empty when there is no supervisor.
    pub run: String,
    /// Process id.
    pub pid: u32,
    /// Grows with each process of this proxy: of two that are connected at once the older one steps aside.
    pub generation: u64,
    /// Another process has taken its place: it only reports what its last connections do.
    pub retiring: bool,
}

/// What a proxy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// One workload's proxy.
    Sidecar,
    /// A Gateway.
    Gateway,
}

/// How a proxy is; sent when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Process id.
    pub pid: u32,
    /// The admin listener.
    pub admin: Option<SocketAddr>,
    /// Where peers reach the workload.
    pub mesh: Option<SocketAddr>,
    /// The HTTP proxy for the workload.
    pub http_proxy: Option<SocketAddr>,
    /// The workload's own address, where its traffic is captured.
    pub address: Option<IpAddr>,
    /// How often the rules that capture its traffic had to be restored in this life of the proxy.
    pub rules_restored: u64,
    /// Software version.
    pub version: String,
    /// When the certificate ends, seconds since 1970. `None` without one.
    pub not_after: Option<i64>,
    /// Where the workload reaches what it calls.
    pub upstreams: Vec<UpstreamAddress>,
    /// Takes nothing new any more.
    pub draining: bool,
    /// The supervisor's run.
    pub run: String,
    /// Why the application is unhealthy; empty: it is not, as far as is known.
    pub unhealthy: String,
}

/// Where a workload reaches a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    /// The Service.
    pub service: ObjectName,
    /// Its port.
    pub port: u16,
    /// The local address.
    pub address: SocketAddr,
}

/// Most upstreams in a status; further ones are left out. A workload has at most 64 by default.
const MAX_UPSTREAMS: usize = 1_000;
/// Longest version or run text, in bytes.
const MAX_TEXT: usize = 256;

impl NodeInfo {
    pub(crate) fn to_proto(&self) -> pb::Node {
        pb::Node {
            workload: self.workload.to_string(),
            role: match self.role {
                Role::Sidecar => pb::Role::Sidecar,
                Role::Gateway => pb::Role::Gateway,
            } as i32,
            version: self.version.clone(),
            run: self.run.clone(),
            pid: self.pid,
            generation: self.generation,
            retiring: self.retiring,
        }
    }

    pub(crate) fn from_proto(node: pb::Node) -> Result<Self, DecodeError> {
        let role = match pb::Role::try_from(node.role) {
            Ok(pb::Role::Sidecar) => Role::Sidecar,
            Ok(pb::Role::Gateway) => Role::Gateway,
            _ => return Err(DecodeError::new(Problem::UnknownValue(node.role)).within("role")),
        };
        Ok(Self {
            workload: at("workload", name(&node.workload))?,
            role,
            version: at("version", field::text(node.version, MAX_TEXT))?,
            run: at("run", field::text(node.run, MAX_TEXT))?,
            pid: node.pid,
            generation: node.generation,
            retiring: node.retiring,
        })
    }
}

impl NodeStatus {
    pub(crate) fn to_proto(&self) -> pb::NodeStatus {
        pb::NodeStatus {
            pid: self.pid,
            admin: address_text(self.admin),
            mesh: address_text(self.mesh),
            http_proxy: address_text(self.http_proxy),
            version: self.version.clone(),
            not_after: self.not_after.unwrap_or(0),
            upstreams: self.upstreams.iter().take(MAX_UPSTREAMS).map(upstream_to_proto).collect(),
            draining: self.draining,
            run: self.run.clone(),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            rules_restored: self.rules_restored,
            unhealthy: self.unhealthy.clone(),
        }
    }

    pub(crate) fn from_proto(status: pb::NodeStatus) -> Result<Self, DecodeError> {
        Ok(Self {
            pid: status.pid,
            admin: at("admin", address(&status.admin))?,
            mesh: at("mesh", address(&status.mesh))?,
            http_proxy: at("http_proxy", address(&status.http_proxy))?,
            version: at("version", field::text(status.version, MAX_TEXT))?,
            not_after: Some(status.not_after).filter(|seconds| *seconds != 0),
            upstreams: list("upstreams", status.upstreams, MAX_UPSTREAMS, upstream_from_proto)?,
            draining: status.draining,
            run: at("run", field::text(status.run, MAX_TEXT))?,
            address: at("address", ip(&status.address))?,
            rules_restored: status.rules_restored,
            unhealthy: at("unhealthy", field::text(status.unhealthy, MAX_TEXT))?,
        })
    }
}

fn upstream_to_proto(upstream: &UpstreamAddress) -> pb::UpstreamAddress {
    pb::UpstreamAddress {
        service: upstream.service.to_string(),
        port: upstream.port.into(),
        address: upstream.address.to_string(),
    }
}

fn upstream_from_proto(upstream: pb::UpstreamAddress) -> Result<UpstreamAddress, DecodeError> {
    Ok(UpstreamAddress {
        service: at("service", name(&upstream.service))?,
        port: at("port", field::port(upstream.port))?,
        address: at("address", address(&upstream.address))?
            .ok_or_else(|| DecodeError::new(Problem::Missing).within("address"))?,
    })
}

fn address_text(address: Option<SocketAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

fn ip(text: &str) -> Result<Option<IpAddr>, DecodeError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| invalid("an IP address as 10.0.0.1"))
}

fn address(text: &str) -> Result<Option<SocketAddr>, DecodeError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| invalid("an address as 127.0.0.1:80"))
}
