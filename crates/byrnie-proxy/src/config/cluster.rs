//! Endpoints and what the process knows about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use byrnie_decide::{EndpointLoad, OutlierState, Picker, RetryBudget, Time};
use byrnie_plan::{AppProtocol, Hop, ServicePortRef, TrafficSettings};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Controls;
use super::peer::Peer;
use crate::hop::header::hop_prefix;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Where requests and connections for one service port (or a subset of its endpoints) go. Limits and state hold for
/// the process, not for one worker.
pub struct Cluster {
    /// The Service and its port.
    pub service: ServicePortRef,
    /// What the endpoints speak.
    pub protocol: AppProtocol,
    /// How to treat them.
    pub settings: Arc<TrafficSettings>,
    /// Swapped in place when endpoints come or go.
    pub endpoints: ArcSwap<EndpointSet>,
    /// Shared by all clusters of one service.
    pub budget: Arc<RetryBudget>,
    /// Requests that wait for a connection now.
    pub pending: AtomicU32,
    /// The constant beginning of its requests' hop headers.
    pub hop_prefix: String,
    /// Rate limits and faults, where the rule has none.
    pub controls: Option<Arc<Controls>>,
}

/// The endpoints at one moment, compiled for picking.
pub struct EndpointSet {
    /// Same order as the picker's.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Picks an index.
    pub picker: Picker,
}

/// One endpoint. Kept across changes as long as address, port, workload and hop stay the same.
pub struct Endpoint {
    /// Unique in this process: the key of pools whose connections carry one request at a time.
    pub id: u64,
    /// Whom the other connections lead to.
    pub peer: Arc<Peer>,
    /// As compiled by the control plane.
    pub plan: byrnie_plan::Endpoint,
    /// Latency and requests in flight.
    pub load: EndpointLoad,
    /// Failures in a row, ejection.
    pub outlier: OutlierState,
    /// HTTP/1.1 connections of all workers.
    pub connections: AtomicU32,
    /// Requests of all workers that wait for a connection.
    pub waiting: AtomicU32,
    /// A connection was closed: somebody who waits may open one.
    pub freed: Notify,
    /// Somebody waits: who keeps idle connections closes one.
    pub wanted: Notify,
    /// Cancelled when it is no longer an endpoint: pools close what is idle, streams in flight end by themselves.
    pub gone: CancellationToken,
    /// Whether any request ever was answered: for the first request's patience.
    pub answered: AtomicBool,
}

impl EndpointSet {
    /// Compiles.
    pub fn new(settings: &TrafficSettings, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let named: Vec<(u32, String)> = endpoints
            .iter()
            .map(|e| (e.plan.weight, format!("{}|{}", e.plan.address, e.plan.app_port)))
            .collect();
        Self { picker: Picker::new(&settings.balancer, &named), endpoints }
    }
}

impl Cluster {
    /// A cluster with these endpoints.
    pub fn new(
        service: ServicePortRef,
        protocol: AppProtocol,
        settings: Arc<TrafficSettings>,
        budget: Arc<RetryBudget>,
        endpoints: Vec<Arc<Endpoint>>,
    ) -> Self {
        let endpoints = ArcSwap::from_pointee(EndpointSet::new(&settings, endpoints));
        let hop_prefix = hop_prefix(&service);
        Self {
            service,
            protocol,
            settings,
            endpoints,
            budget,
            pending: AtomicU32::new(0),
            hop_prefix,
            controls: None,
        }
    }

    /// What a request is addressed to that names no host.
    pub fn host(&self) -> String {
        format!("{}.{}:{}", self.service.service.name, self.service.service.namespace, self.service.port)
    }
}

impl Endpoint {
    /// An endpoint that appeared now, with a peer of its own.
    pub fn new(plan: byrnie_plan::Endpoint, now: Time) -> Self {
        Self::behind(Arc::default(), plan, now)
    }

    /// An endpoint that appeared now, behind a peer that it may share.
    pub fn behind(peer: Arc<Peer>, plan: byrnie_plan::Endpoint, now: Time) -> Self {
        peer.join();
        Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            peer,
            plan,
            load: EndpointLoad::new(now),
            outlier: OutlierState::default(),
            connections: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            freed: Notify::new(),
            wanted: Notify::new(),
            gone: CancellationToken::new(),
            answered: AtomicBool::new(false),
        }
    }

    /// It is no longer an endpoint.
    pub fn leave(&self) {
        self.gone.cancel();
        self.peer.leave();
    }

    /// Whether `plan` describes this same endpoint: then its state and its connections stay.
    pub fn is_same(&self, plan: &byrnie_plan::Endpoint) -> bool {
        self.plan == *plan
    }

    /// Whether the way there is mTLS.
    pub fn is_secured(&self) -> bool {
        matches!(self.plan.hop, Hop::Mesh { .. })
    }
}
