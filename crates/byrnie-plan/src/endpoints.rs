//! Where a service's requests can go.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{ObjectName, WorkloadIdentity};

/// All endpoints of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoints {
    /// The Service.
    pub service: ObjectName,
    /// One entry for each port of the Service, ascending; a port without endpoints has an empty list.
    pub ports: Vec<PortEndpoints>,
}

/// The endpoints of one service port.
#[derive(Clone, Debug, PartialEq)]
pub struct PortEndpoints {
    /// The Service's port.
    pub port: u16,
    /// In order of workload name, then address; no duplicates. Shared with what is compiled from it.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// One workload behind a service port.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Which workload this is (for metrics, edges, logs).
    pub workload: ObjectName,
    /// What to dial: the proxy's mesh port, or the application itself when `hop` is plaintext.
    pub address: SocketAddr,
    /// The workload's own port that the request is for.
    pub app_port: u16,
    /// How to get there.
    pub hop: Hop,
    /// Relative share, default 1; 0 gets nothing.
    pub weight: u32,
    /// Region, zone, subzone joined by `/`, empty when unknown.
    pub locality: String,
    /// The workload's labels that subsets choose by, sorted.
    pub labels: Vec<(String, String)>,
    /// The workload's `metadata.uid`: what names it in sessions. Empty: it has none, and keeps no session.
    pub uid: String,
}

/// How to get to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// Straight to the application, nothing encrypted: a workload outside the mesh.
    Plaintext,
    /// mTLS to the endpoint's proxy; the peer must prove exactly this identity.
    Mesh {
        /// The only acceptable identity.
        identity: WorkloadIdentity,
        /// What is spoken inside TLS.
        dialect: Dialect,
    },
}

/// What is spoken inside the TLS of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// ALPN `byrnie/1` for requests, `byrnie-tcp/1` for bytes.
    Byrnie,
    /// ALPN `h2`: HBONE, CONNECT with `:authority` = destination.
    Hbone,
}
