//! Endpoints as the balancer sees them, and the connections to them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use byrnie_decide::Time;
use byrnie_plan::Hop;
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
        json!({
            "endpoint": endpoint.plan.address.to_string(), "workload": endpoint.plan.workload.to_string(),
            "status": if ejected.is_some() { "EJECTED" } else { "HEALTHY" },
            "outlierCheck": if ejected.is_some() { "FAILED" } else { "OK" },
            "ejectedForMs": ejected.map_or(0, |until| millis(until, now)),
            "cluster": name(cluster), "hop": hop, "identity": identity, "weight": endpoint.plan.weight,
            "locality": endpoint.plan.locality,
            "latencyUs": endpoint.load.latency().map_or(0, |latency| latency.as_micros().min(u128::from(u64::MAX)) as u64),
            "penalty": endpoint.load.penalty(now),
        })
    })
}

/// Connections and requests of all workers, by endpoint. Endpoints behind one proxy share its connections.
pub(super) fn pools(process: &Process) -> Vec<Value> {
    of_all(process, |cluster, endpoint| {
        json!({
            "cluster": name(cluster), "endpoint": endpoint.plan.address.to_string(),
            "workload": endpoint.plan.workload.to_string(),
            "connections": endpoint.connections.load(Relaxed) + endpoint.peer.connections.load(Relaxed), "inFlight": endpoint.load.in_flight(),
            "pending": cluster.pending.load(Relaxed),
            "maxConnections": cluster.settings.limits.max_connections,
            "maxInFlight": cluster.settings.limits.max_in_flight,
        })
    })
}

fn of_all(process: &Process, one: impl Fn(&Cluster, &Endpoint) -> Value) -> Vec<Value> {
    let mut clusters: Vec<Arc<Cluster>> = crate::config::clusters(&process.config.load());
    clusters.sort_by(|a, b| a.service.cmp(&b.service));
    let each = |cluster: &Arc<Cluster>| {
        let set = cluster.endpoints.load();
        set.endpoints.iter().map(|endpoint| one(cluster, endpoint)).collect::<Vec<_>>()
    };
    clusters.iter().flat_map(each).collect()
}

fn name(cluster: &Cluster) -> String {
    format!("{}:{}", cluster.service.service, cluster.service.port)
}

fn millis(until: Time, now: Time) -> u64 {
    u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX)
}
