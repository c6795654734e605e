//! What a workload accepts.

use std::net::SocketAddr;

use crate::{AppProtocol, AuthorizationPolicy, DefaultAction, InboundControls, ObjectName, WorkloadIdentity};

/// What one workload (or gateway) accepts, and from whom.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPolicy {
    /// The workload, or the Gateway.
    pub workload: ObjectName,
    /// The identity that the proxy must hold to serve this workload.
    pub identity: WorkloadIdentity,
    /// The ports that the workload declares. Nothing else is ever dialed. Empty for a gateway.
    pub ports: Vec<InboundPort>,
    /// All policies that select this workload, ordered by name.
    pub authorization: Vec<AuthorizationPolicy>,
    /// What happens when no ALLOW policy selects the workload.
    pub default_action: DefaultAction,
    /// Rate limits and faults that this side enforces. At most one entry has no Service.
    pub controls: Vec<InboundControls>,
}

/// One declared port of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundPort {
    /// The number that a `byrnie-hop` header names.
    pub port: u16,
    /// The port's name, empty when it has none.
    pub name: String,
    /// Where the application listens.
    pub address: SocketAddr,
    /// What the application speaks there.
    pub protocol: AppProtocol,
    /// The service ports that lead here. A request for any other service is refused (403).
    pub services: Vec<ServicePortRef>,
}

/// A service and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePortRef {
    /// The Service.
    pub service: ObjectName,
    /// Its port, as callers name it.
    pub port: u16,
}
