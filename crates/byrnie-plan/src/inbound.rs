//! What a workload accepts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    AppProtocol, AuthorizationPolicy, DefaultAction, InboundControls, InboundOverrides, ObjectName,
    WorkloadIdentity,
};

/// What one workload (or gateway) accepts, and from whom.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPolicy {
    /// The workload, or the Gateway.
    pub workload: ObjectName,
    /// The identity that the proxy must hold to serve this workload.
    pub identity: WorkloadIdentity,
    /// The ports that the workload declares. Nothing else is ever dialed. Empty for a gateway.
    pub ports: Vec<InboundPort>,
    /// All policies that select this workload, ordered by name. Shared: there may be thousands.
    pub authorization: Arc<[AuthorizationPolicy]>,
    /// What happens when no ALLOW policy selects the workload.
    pub default_action: DefaultAction,
    /// Rate limits and faults that this side enforces. At most one entry has no Service.
    pub controls: Vec<InboundControls>,
    /// Region, zone, subzone of the proxy joined by `/`, empty when unknown: which endpoints are near.
    pub locality: String,
    /// What its proxy asks the application to see whether it is healthy.
    pub health_checks: Vec<HealthCheck>,
    /// What policies say about all that comes into this proxy.
    pub overrides: InboundOverrides,
}

/// One question to an application, asked again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Where the application listens.
    pub address: SocketAddr,
    /// What is asked.
    pub protocol: HealthProtocol,
    /// From one question to the next. Default 10 s (Kubernetes).
    pub interval: Duration,
    /// Longest wait for an answer. Default 1 s (Kubernetes).
    pub timeout: Duration,
    /// Good answers in a row that make it healthy again. Default 1 (Kubernetes).
    pub healthy_threshold: u32,
    /// Bad answers in a row that make it unhealthy. Default 3 (Kubernetes).
    pub unhealthy_threshold: u32,
    /// By how much of itself the interval varies by chance, in percent. Default 10.
    pub jitter_percent: u32,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthProtocol {
    /// A GET; good is 200 to 399.
    Http {
        /// Path and query.
        path: String,
        /// The Host header; empty: the address.
        host: String,
    },
    /// `grpc.health.v1.Health/Check`; good is SERVING.
    Grpc {
        /// The service asked for; empty: the server as a whole.
        service: String,
    },
    /// Good is a connection.
    Tcp,
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
    /// What policies say about this port, those for the whole proxy among them.
    pub overrides: InboundOverrides,
}

/// A service and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePortRef {
    /// The Service.
    pub service: ObjectName,
    /// Its port, as callers name it.
    pub port: u16,
}
