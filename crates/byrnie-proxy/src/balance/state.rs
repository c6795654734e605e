//! What the balancer knows of endpoints, for operators.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use byrnie_decide::Time;
use byrnie_plan::{ObjectName, ServicePortRef};

use crate::config::{Config, Endpoint, clusters};

/// One endpoint as this proxy sees it now.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointState {
    /// The service port that it stands behind.
    pub service: ServicePortRef,
    /// The workload.
    pub workload: ObjectName,
    /// Where it is reached.
    pub address: std::net::SocketAddr,
    /// Region, zone and subzone, empty when unknown.
    pub locality: String,
    /// 0: as near as can be; `None`: localities make no difference.
    pub level: Option<usize>,
    /// Relative share.
    pub weight: u32,
    /// Requests and connections in flight.
    pub in_flight: u32,
    /// HTTP/1.1 connections.
    pub connections: u32,
    /// Moving average of the time to the first byte. `None`: no answer yet.
    pub latency: Option<Duration>,
    /// How much longer it is left out at least; zero: until a probe succeeds. `None`: it is in service.
    pub ejected_for: Option<Duration>,
    /// How often in a row it was ejected.
    pub ejections: u32,
    /// Whether it asked to be left alone (`Retry-After`).
    pub wants_rest: bool,
}

fn is_own(config: &Config, endpoint: &Endpoint) -> bool {
    let ports = config.inbound.iter().flat_map(|inbound| inbound.ports.values());
    ports.into_iter().any(|port| port.application.id == endpoint.id)
}

/// Every endpoint of every service that this proxy calls, in order of service and workload.
pub fn endpoints(config: &Config, now: Time) -> Vec<EndpointState> {
    let mut all = Vec::new();
    let mut called = clusters(config);
    // The workload's own ports are nobody's endpoints here.
    called.retain(|cluster| cluster.endpoints.load().endpoints.iter().all(|e| !is_own(config, e)));
    called.sort_by(|a, b| a.service.cmp(&b.service));
    for cluster in called {
        let set = cluster.endpoints.load();
        for (index, endpoint) in (0u32..).zip(&set.endpoints) {
            let level = set.levels.iter().position(|level| level.members.contains(&index));
            all.push(EndpointState {
                service: (*cluster.service).clone(),
                workload: endpoint.plan.workload.clone(),
                address: endpoint.plan.address,
                locality: endpoint.plan.locality.clone(),
                level,
                weight: endpoint.plan.weight,
                in_flight: endpoint.load.in_flight(),
                connections: endpoint.connections.load(Relaxed),
                latency: endpoint.load.latency(),
                ejected_for: endpoint.outlier.out_until().map(|until| until.since(now)),
                ejections: endpoint.outlier.ejections(),
                wants_rest: endpoint.load.wants_rest(now),
            });
        }
    }
    all.dedup_by(|a, b| a.service == b.service && a.workload == b.workload && a.address == b.address);
    all
}
