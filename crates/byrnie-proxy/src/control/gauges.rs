//! The control thread's own metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use byrnie_plan::{Key, ObjectName};
use byrnie_telemetry::{Gauge, Registry, names};

use super::xds::Xds;
use crate::balance::state;
use crate::config::Assembler;
use crate::overload::Pressure;
use crate::process::Process;

/// Gauges that only the control thread sets.
pub struct Gauges {
    metrics: Registry,
    not_after: Arc<Gauge>,
    stuck: Arc<Gauge>,
    resources: BTreeMap<(&'static str, &'static str), Arc<Gauge>>,
    memory: Arc<Gauge>,
    descriptors: Arc<Gauge>,
    requests: Arc<Gauge>,
    buffered: Arc<Gauge>,
    concurrency: Arc<Gauge>,
    /// By service and workload.
    ejected: BTreeMap<(ObjectName, ObjectName), Arc<Gauge>>,
    /// The number of ejections that `ejected` is of.
    ejections: u64,
}

impl Gauges {
    /// All zero.
    pub fn new(metrics: &Registry) -> Self {
        Self {
            not_after: metrics.gauge(&names::CERTIFICATE_NOT_AFTER, &[]),
            memory: metrics.gauge(&names::PRESSURE, &["memory"]),
            descriptors: metrics.gauge(&names::PRESSURE, &["descriptors"]),
            requests: metrics.gauge(&names::REQUESTS_IN_FLIGHT, &[]),
            buffered: metrics.gauge(&names::BUFFERED, &[]),
            concurrency: metrics.gauge(&names::CONCURRENCY_LIMIT, &[]),
            stuck: metrics.gauge(&names::WORKERS_STUCK, &[]),
            metrics: metrics.clone(),
            resources: BTreeMap::new(),
            ejected: BTreeMap::new(),
            ejections: 0,
        }
    }

    /// Workers that do not get to their tasks.
    pub fn workers_stuck(&self, count: usize) {
        self.stuck.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The end of the certificate's life, seconds since 1970.
    pub fn not_after(&self, seconds: i64) {
        self.not_after.set(seconds);
    }

    /// What runs out, and how much is going on.
    pub fn pressure(&self, pressure: Pressure, process: &Process) {
        let overload = &process.overload;
        self.buffered.set(i64::try_from(process.budget.held()).unwrap_or(i64::MAX));
        self.memory.set(pressure.memory.into());
        self.descriptors.set(pressure.descriptors.into());
        self.requests.set(overload.requests().into());
        self.concurrency.set(overload.concurrency_limit().into());
    }

    /// Endpoints that are left out, where that has changed.
    pub(super) fn ejected(&mut self, process: &Process) {
        let ejections = process.ejections.load(Relaxed);
        if ejections == self.ejections {
            return;
        }
        self.ejections = ejections;
        for gauge in self.ejected.values() {
            gauge.set(0);
        }
        let now = process.time(Instant::now());
        for endpoint in state::endpoints(&process.config.load(), now) {
            if endpoint.ejected_for.is_none() {
                continue;
            }
            let (service, workload) = (&endpoint.service.service, &endpoint.workload);
            let names = [service.namespace.as_str(), service.name.as_str(), workload.name.as_str()];
            let make = || self.metrics.gauge(&names::ENDPOINT_EJECTED, &names);
            self.ejected.entry((service.clone(), workload.clone())).or_insert_with(make).set(1);
        }
    }

    /// Resources by kind: what is held, as the last word of the control plane or from before it went away, and what
    /// was refused. `file_refused`: the newest state of a proxy without control plane could not be used.
    pub(super) fn resources(&mut self, assembler: &Assembler, xds: &Xds, file_refused: bool) {
        let mut counts: BTreeMap<(&'static str, &'static str), i64> = BTreeMap::new();
        let age = if xds.connected { "synced" } else { "stale" };
        let held: BTreeSet<&Key> = assembler.held().map(|(key, _)| key).collect();
        for key in held.iter().filter(|key| !xds.rejected.contains(**key)) {
            *counts.entry((kind(key), age)).or_default() += 1;
        }
        if file_refused {
            counts.insert(("File", "rejected"), 1);
        }
        for key in &xds.rejected {
            *counts.entry((kind(key), "rejected")).or_default() += 1;
        }
        for (labels, gauge) in &self.resources {
            gauge.set(counts.get(labels).copied().unwrap_or(0));
        }
        for (labels, count) in counts {
            let make = || self.metrics.gauge(&names::CONFIG_RESOURCES, &[labels.0, labels.1]);
            self.resources.entry(labels).or_insert_with(make).set(count);
        }
    }
}

fn kind(key: &Key) -> &'static str {
    match key {
        Key::Service(_) => "Service",
        Key::Endpoints(_) => "Endpoints",
        Key::Routes { .. } => "Routes",
        Key::GatewayRoutes(_) => "GatewayRoutes",
        Key::InboundPolicy(_) => "InboundPolicy",
        Key::Upstreams(_) => "Upstreams",
        Key::Names(_) => "Names",
        Key::TrustBundle => "TrustBundle",
        Key::MeshSettings => "MeshSettings",
    }
}
