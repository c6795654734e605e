//! Endpoints and what the process knows about them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use byrnie_decide::{EndpointLoad, OutlierClock, OutlierState, RetryBudget, Time};
use byrnie_plan::{AppProtocol, Hop, ProxyHeader, ServicePortRef, TrafficSettings};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::peer::Peer;
use super::session::SessionKey;
use super::{Controls, EndpointSet};
use crate::hop::header::hop_prefix;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Where requests and connections for one service port (or a subset of its endpoints) go. Limits and state hold for
/// the process, not for one worker.
pub struct Cluster {
    /// The Service and its port.
    pub service: Arc<ServicePortRef>,
    /// What the endpoints speak.
    pub protocol: AppProtocol,
    /// How to treat them.
    pub settings: Arc<TrafficSettings>,
    /// Swapped in place when endpoints come or go.
    pub endpoints: ArcSwap<EndpointSet>,
    /// Where this proxy is: region, zone, subzone.
    pub own_locality: Arc<str>,
    /// When its endpoints are compared with each other next.
    pub outlier_clock: OutlierClock,
    /// Shared by all clusters of one service.
    pub budget: Arc<RetryBudget>,
    /// Requests that wait for a connection now.
    pub pending: AtomicU32,
    /// The constant beginning of its requests' hop headers.
    pub hop_prefix: String,
    /// Rate limits and faults, where the rule has none.
    pub controls: Option<Arc<Controls>>,
    /// What a connection to an application begins with.
    pub begins_with: ProxyHeader,
    /// Single endpoints that were called by their own addresses, by [`Endpoint::id`].
    pub(super) alone: Mutex<Vec<(u64, Arc<Cluster>)>>,
}

/// One endpoint. Kept across changes as long as address, port, workload and hop stay the same.
pub struct Endpoint {
    /// Unique in this process: the key of pools whose connections carry one request at a time.
    pub id: u64,
    /// Whom the other connections lead to.
    pub peer: Arc<Peer>,
    /// As compiled by the control plane.
    pub plan: Arc<byrnie_plan::Endpoint>,
    /// When it appeared, also if it was changed since.
    pub since: Time,
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
    /// Boxed: a kilobyte that most endpoints never need.
    session: OnceLock<Option<Box<SessionKey>>>,
}

impl Cluster {
    /// A cluster with these endpoints, called from nowhere in particular.
    pub fn new(
        service: impl Into<Arc<ServicePortRef>>,
        protocol: AppProtocol,
        settings: Arc<TrafficSettings>,
        budget: Arc<RetryBudget>,
        endpoints: Vec<Arc<Endpoint>>,
    ) -> Self {
        let service = service.into();
        let set = EndpointSet::new(&settings, "", endpoints);
        Self {
            hop_prefix: hop_prefix(&service),
            endpoints: ArcSwap::from_pointee(set),
            service,
            protocol,
            settings,
            own_locality: Arc::from(""),
            outlier_clock: OutlierClock::default(),
            budget,
            pending: AtomicU32::new(0),
            controls: None,
            begins_with: ProxyHeader::Off,
            alone: Mutex::default(),
        }
    }

    /// The same, called from a proxy that is there.
    pub fn called_from(self, own_locality: &Arc<str>) -> Self {
        let cluster = Self { own_locality: Arc::clone(own_locality), ..self };
        if cluster.settings.locality.is_some() {
            let endpoints = cluster.endpoints.load().endpoints.clone();
            cluster.set_endpoints(endpoints);
        }
        cluster
    }

    /// Whether there is nowhere else to go when its only endpoint fails.
    pub fn has_one_endpoint(&self) -> bool {
        self.endpoints.load().endpoints.len() == 1
    }

    /// Swaps the endpoints.
    pub fn set_endpoints(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.endpoints.store(Arc::new(EndpointSet::new(&self.settings, &self.own_locality, endpoints)));
    }

    /// One of the endpoints by itself, with the settings of all. The same one as long as the endpoint stays, so that
    /// limits hold across connections.
    pub fn alone(&self, endpoint: &Arc<Endpoint>) -> Arc<Self> {
        let mut alone = self.alone.lock();
        if let Some((_, known)) = alone.iter().find(|(id, _)| *id == endpoint.id) {
            return Arc::clone(known);
        }
        let current = self.endpoints.load();
        alone.retain(|(id, _)| current.endpoints.iter().any(|endpoint| endpoint.id == *id));
        let (settings, budget) = (Arc::clone(&self.settings), Arc::clone(&self.budget));
        let only = vec![Arc::clone(endpoint)];
        let cluster = Self::new(self.service.clone(), self.protocol, settings, budget, only);
        let (controls, begins_with) = (self.controls.clone(), self.begins_with);
        let cluster = Arc::new(Self { controls, begins_with, ..cluster });
        alone.push((endpoint.id, Arc::clone(&cluster)));
        cluster
    }

    /// What a request is addressed to that names no host.
    pub fn host(&self) -> String {
        format!("{}.{}:{}", self.service.service.name, self.service.service.namespace, self.service.port)
    }
}

impl Endpoint {
    /// An endpoint that appeared now, with a peer of its own.
    pub fn new(plan: impl Into<Arc<byrnie_plan::Endpoint>>, now: Time) -> Self {
        Self::behind(Arc::default(), plan, now)
    }

    /// An endpoint that appeared now, behind a peer that it may share.
    pub fn behind(peer: Arc<Peer>, plan: impl Into<Arc<byrnie_plan::Endpoint>>, now: Time) -> Self {
        peer.join();
        Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            peer,
            plan: plan.into(),
            since: now,
            load: EndpointLoad::new(now),
            outlier: OutlierState::default(),
            connections: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            freed: Notify::new(),
            wanted: Notify::new(),
            gone: CancellationToken::new(),
            answered: AtomicBool::new(false),
            session: OnceLock::new(),
        }
    }

    /// The same endpoint as before, with another weight for example: it is not new.
    pub fn known_since(self, since: Time) -> Self {
        Self { since, ..self }
    }

    /// Its name in sessions; `None`: it has none.
    pub fn session(&self) -> Option<&SessionKey> {
        self.session.get_or_init(|| SessionKey::new(&self.plan.uid).map(Box::new)).as_deref()
    }

    /// It is no longer an endpoint.
    pub fn leave(&self) {
        self.gone.cancel();
        self.peer.leave();
    }

    /// Whether `plan` describes this same endpoint: then its state and its connections stay.
    pub fn is_same(&self, plan: &byrnie_plan::Endpoint) -> bool {
        *self.plan == *plan
    }

    /// Whether the way there is mTLS.
    pub fn is_secured(&self) -> bool {
        matches!(self.plan.hop, Hop::Mesh { .. })
    }
}
