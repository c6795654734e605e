//! Endpoints as the balancer sees them, and the connections to them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use byrnie_decide::Time;
use byrnie_plan::Hop;
use byrnie_wire::report::PoolState;
use serde_json::{Value, json};

use crate::config::{Cluster, Endpoint};
use crate::process::Process;

/// Each endpoint of each service that this proxy calls, and the workload's own ports.
pub(super) fn endpoints(process: &Process) -> Vec<Value> {
    let now = process.time(Instant::now());
    of_all(process, |cluster, endpoint| {
        let (hop, identity) = match &endpoint.plan.hop {
            Hop::Plaintext => ("plaintext", String::new()),
            Hop::Mesh { identity, .. } => ("mTLS", identity.to_string()),
        };
        let ejected = endpoint.outlier.out_until();
        Some(json!({
            "endpoint": endpoint.plan.address.to_string(), "workload": endpoint.plan.workload.to_string(),
            "status": if ejected.is_some() { "EJECTED" } else { "HEALTHY" },
            "outlierCheck": if ejected.is_some() { "FAILED" } else { "OK" },
            "ejectedForMs": ejected.map_or(0, |until| millis(until, now)),
            "cluster": name(cluster), "hop": hop, "identity": identity, "weight": endpoint.plan.weight,
            "locality": endpoint.plan.locality,
            "latencyUs": latency_us(endpoint),
            "penalty": endpoint.load.penalty(now),
        }))
    })
}

/// Connections and requests of all workers, by endpoint. Endpoints behind one proxy share its connections.
pub(super) fn pools(process: &Process) -> Vec<Value> {
    of_all(process, |cluster, endpoint| {
        Some(json!({
            "cluster": name(cluster), "endpoint": endpoint.plan.address.to_string(),
            "workload": endpoint.plan.workload.to_string(),
            "connections": connections(endpoint), "inFlight": endpoint.load.in_flight(),
            "pending": cluster.pending.load(Relaxed),
            "maxConnections": cluster.settings.limits.max_connections,
            "maxInFlight": cluster.settings.limits.max_in_flight,
        }))
    })
}

/// The same, as it is reported: of endpoints about which there is something to say.
pub fn pool_states(process: &Process) -> Vec<PoolState> {
    of_all(process, |cluster, endpoint| {
        let (connections, in_flight) = (connections(endpoint), endpoint.load.in_flight());
        let (pending, ejected) = (cluster.pending.load(Relaxed), endpoint.outlier.out_until().is_some());
        // Each second, of thousands: the names are for those that have something to say.
        (connections > 0 || in_flight > 0 || pending > 0 || ejected).then(|| PoolState {
            service: cluster.service.service.clone(),
            port: cluster.service.port,
            workload: endpoint.plan.workload.clone(),
            connections,
            in_flight,
            pending,
            ejected,
            latency_us: latency_us(endpoint),
        })
    })
}

/// Its own, and those to its peer.
fn connections(endpoint: &Endpoint) -> u32 {
    endpoint.connections.load(Relaxed) + endpoint.peer.connections.load(Relaxed)
}

fn latency_us(endpoint: &Endpoint) -> u64 {
    endpoint.load.latency().map_or(0, |latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX))
}

fn of_all<T>(process: &Process, one: impl Fn(&Cluster, &Endpoint) -> Option<T>) -> Vec<T> {
    let mut clusters: Vec<Arc<Cluster>> = crate::config::clusters(&process.config.load());
    clusters.sort_by(|a, b| a.service.cmp(&b.service));
    let each = |cluster: &Arc<Cluster>| {
        let set = cluster.endpoints.load();
        set.endpoints.iter().filter_map(|endpoint| one(cluster, endpoint)).collect::<Vec<_>>()
    };
    clusters.iter().flat_map(each).collect()
}

fn name(cluster: &Cluster) -> String {
    format!("{}:{}", cluster.service.service, cluster.service.port)
}

fn millis(until: Time, now: Time) -> u64 {
    u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX)
}
