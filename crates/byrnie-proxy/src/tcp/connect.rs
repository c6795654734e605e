//! From a route to an endpoint that answers: choice by weight, balancing, and another endpoint when one cannot be
//! reached. Nothing of the client's bytes is sent before, so another try is always safe; the budget bounds it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use byrnie_decide::{
    Attempt, Deadline, Failure, NoRetry, Outcome, RetryDecision, most_specific, should_retry,
};
use byrnie_plan::{Dialect, Hop, HostPattern, InvalidBackend, ListenerProtocol, RouteName};
use byrnie_telemetry::Direction;
use http::Request;
use smallvec::SmallVec;
use tokio::net::TcpStream;

use super::duplex::Duplex;
use super::observe::Story;
use crate::balance::{self, InFlight, Wish};
use crate::config::{Cluster, Controls, Endpoint, TcpRoute};
use crate::controls::{self, Caller};
use crate::error::{Kind, ProxyError};
use crate::front::Target;
use crate::hop::tunnel::{self, Tunnel};
use crate::hop::{dial, header};
use crate::process;
use crate::tls::Alpn;
use crate::worker::Worker;

/// Where a connection goes.
pub(super) struct Way {
    pub(super) cluster: Arc<Cluster>,
    pub(super) route: Option<RouteName>,
    /// The rule's rate limits and faults.
    pub(super) controls: Option<Arc<Controls>>,
}

/// The way to an endpoint's application, open.
pub(super) enum Upstream {
    Socket(TcpStream),
    Tunnel(Tunnel),
}

impl Upstream {
    /// Waits until the server has said something, or ended. Nothing is lost.
    pub(super) async fn speaks(&mut self) {
        match self {
            Self::Socket(socket) => drop(socket.peek(&mut [0]).await),
            Self::Tunnel(tunnel) => tunnel.speaks().await,
        }
    }

    pub(super) fn reset(&mut self) {
        match self {
            Self::Socket(socket) => socket.reset(),
            Self::Tunnel(tunnel) => tunnel.reset(),
        }
    }
}

/// An endpoint that was reached, and the places that the connection takes there.
pub(super) struct Connected {
    pub(super) upstream: Upstream,
    pub(super) flight: InFlight,
    /// What the balancer is told at the end.
    pub(super) outcome: Outcome,
    _place: Place,
}

/// Chooses by route, weight and, for a Gateway's TLS, the name that the client asked for.
pub(super) fn choose(target: &Target, sni: Option<&str>) -> Result<Way, ProxyError> {
    let routes = match target {
        Target::Service(service) if service.tcp.is_empty() => {
            return Ok(Way { cluster: Arc::clone(&service.cluster), route: None, controls: None });
        }
        Target::Service(service) => &service.tcp,
        Target::Gateway(listener) => &listener.tcp,
    };
    let route = most_specific(routes, sni.unwrap_or_default()).ok_or_else(|| no_route(target, sni))?;
    let backend = route.choice.take().and_then(|index| route.backends.get(index));
    match backend {
        Some(Ok(cluster)) => Ok(Way {
            cluster: Arc::clone(cluster),
            route: route.name.clone(),
            controls: route.controls.clone(),
        }),
        Some(Err(reason)) => Err(invalid(route, *reason)),
        None => Err(ProxyError::unprocessed(Kind::InvalidBackend, "the route has no backend with a weight")),
    }
}

fn no_route(target: &Target, sni: Option<&str>) -> ProxyError {
    let place = match target {
        Target::Service(service) => format!("{}:{}", service.name.service, service.name.port),
        Target::Gateway(listener) => format!("listener {}", listener.name),
    };
    let what = match sni {
        Some(name) => format!("no route of {place} is for {name:?}"),
        None => format!("{place} has no route for this connection"),
    };
    ProxyError::unprocessed(Kind::NoRoute, what)
}

/// Whether it takes the name in the client's TLS to choose.
pub(super) fn asks_name(target: &Target) -> bool {
    match target {
        Target::Gateway(listener) => listener.protocol == ListenerProtocol::TlsPassthrough,
        Target::Service(service) => service.tcp.iter().any(|(pattern, _)| *pattern != HostPattern::Any),
    }
}

fn invalid(route: &TcpRoute, reason: InvalidBackend) -> ProxyError {
    let name = route.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let what = match reason {
        InvalidBackend::NotFound => "does not exist",
        InvalidBackend::InvalidKind => "is of a kind that cannot be a backend",
        InvalidBackend::NotPermitted => "is in another namespace, and no ReferenceGrant permits it",
        InvalidBackend::TlsUnsupported => "asks for TLS by a BackendTLSPolicy, which is not supported yet",
        InvalidBackend::UnsupportedFilter => "has a filter that cannot be acted on",
    };
    ProxyError::unprocessed(Kind::InvalidBackend, format!("a backend of {name} {what}"))
}

/// Connects to an endpoint; to another one when that cannot be reached.
pub(super) async fn connect(
    worker: &Rc<Worker>,
    way: &Way,
    remote: SocketAddr,
    story: &mut Story,
) -> Result<Box<Connected>, ProxyError> {
    let cluster = &way.cluster;
    permit(worker, way, remote, story).await?;
    let _entering = worker.line.pass(&worker.process).await?;
    let hash = balance::hash(cluster, remote, None);
    let mut except: SmallVec<[u64; 4]> = SmallVec::new();
    cluster.budget.deposit(worker.time(Instant::now()));
    for retries in 0.. {
        story.tries = retries + 1;
        let other_locality = cluster.settings.retry.other_locality;
        let wish = Wish { hash, session: None, except: &except, other_locality };
        let flight = balance::take(worker, cluster, worker.time(Instant::now()), &wish)?;
        let endpoint = Arc::clone(&flight.endpoint);
        story.goes_to(Some(&endpoint.plan));
        let error = match attempt(worker, way, &endpoint, flight, remote).await {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        if !is_worth_another(error.kind) || !another(worker, cluster, retries).await {
            return Err(error);
        }
        tracing::debug!("{error}; another endpoint of {} is tried", cluster.service.service);
        except.push(endpoint.id);
    }
    Err(ProxyError::unprocessed(Kind::Internal, "no endpoint was tried"))
}

/// Rate limits and faults, before any endpoint is asked.
async fn permit(worker: &Worker, way: &Way, remote: SocketAddr, story: &mut Story) -> Result<(), ProxyError> {
    if way.controls.is_none() && way.cluster.controls.is_none() {
        return Ok(());
    }
    let (limits, faults) = controls::nearest(way.controls.as_deref(), way.cluster.controls.as_deref());
    let caller = Caller { peer: None, remote, direction: Direction::Outbound };
    Box::pin(controls::connection(worker, limits, faults, caller)).await.map_err(|(error, policy)| {
        story.policy = policy;
        error
    })
}

/// Whether another endpoint may do better. A refusal by policy is the same everywhere.
fn is_worth_another(kind: Kind) -> bool {
    matches!(kind, Kind::ConnectFailed | Kind::TlsFailed | Kind::Timeout | Kind::Overload | Kind::NotReady)
}

/// Asks the budget for another try, and waits for its turn.
async fn another(worker: &Worker, cluster: &Cluster, retries: u32) -> bool {
    let attempt = Attempt { method: "CONNECT", retries, replayable: true, deadline: Deadline::NEVER };
    let now = worker.time(Instant::now());
    let retry = &cluster.settings.retry;
    match should_retry(Failure::NotProcessed, &attempt, retry, &cluster.budget, now, worker.random()) {
        RetryDecision::Retry { backoff } => {
            if !backoff.is_zero() {
                tokio::time::sleep(backoff).await;
            }
            true
        }
        RetryDecision::No(reason) => {
            if reason == NoRetry::Budget {
                worker.process.counters.limit_retry_budget.inc();
            }
            false
        }
    }
}

async fn attempt(
    worker: &Rc<Worker>,
    way: &Way,
    endpoint: &Arc<Endpoint>,
    mut flight: InFlight,
    remote: SocketAddr,
) -> Result<Box<Connected>, ProxyError> {
    let cluster = &way.cluster;
    let place = Place::take(worker, cluster, endpoint)?;
    let begun = Instant::now();
    let opened = match &endpoint.plan.hop {
        Hop::Plaintext => plain(worker, cluster, endpoint, None, Some(remote)).await.map(Upstream::Socket),
        Hop::Mesh { dialect, .. } => {
            let (alpn, request) = tunnel_request(way, endpoint, *dialect, remote)?;
            tunnel::open(worker, cluster, endpoint, alpn, &request).await.map(Upstream::Tunnel)
        }
    };
    let now = Instant::now();
    match opened {
        Ok(upstream) => {
            let outcome = Outcome::Success(now.saturating_duration_since(begun));
            flight.connected(worker, worker.time(now), outcome);
            Ok(Box::new(Connected { upstream, flight, outcome, _place: place }))
        }
        Err(error) => {
            if error.kind.blames_endpoint() {
                let took = now.saturating_duration_since(begun);
                flight.finish(worker, worker.time(now), Outcome::Failure(took));
            }
            Err(error)
        }
    }
}

/// A plain connection to an application on behalf of a client, within the service's limit. `shown`: whose address it is
/// to see.
pub(super) async fn plain(
    worker: &Worker,
    cluster: &Cluster,
    endpoint: &Endpoint,
    shown: Option<SocketAddr>,
    client: Option<SocketAddr>,
) -> Result<TcpStream, ProxyError> {
    let dialing = dial::application(worker, cluster.begins_with, endpoint, shown, client);
    dial::within(cluster.settings.connect_timeout, endpoint, dialing).await
}

/// The CONNECT that leads to the endpoint's application.
fn tunnel_request(
    way: &Way,
    endpoint: &Endpoint,
    dialect: Dialect,
    remote: SocketAddr,
) -> Result<(Alpn, Request<()>), ProxyError> {
    let (cluster, port) = (&way.cluster, endpoint.plan.app_port);
    let request = match dialect {
        Dialect::Byrnie => {
            let hop = header::for_bytes(&cluster.hop_prefix, way.route.as_ref(), port, remote);
            hop.and_then(|hop| tunnel::request(&cluster.host(), [(header::HOP, hop)]))
        }
        Dialect::Hbone => tunnel::request(&SocketAddr::new(endpoint.plan.address.ip(), port).to_string(), []),
    };
    let alpn = match dialect {
        Dialect::Byrnie => Alpn::Bytes,
        Dialect::Hbone => Alpn::Hbone,
    };
    let request = request.ok_or_else(|| {
        ProxyError::unprocessed(Kind::Internal, format!("{} makes no CONNECT", cluster.host()))
    })?;
    Ok((alpn, request))
}

/// A connection's place among those to its endpoint: `maxConnections` is about the connections that the application
/// sees, however many share a tunnel.
pub(super) struct Place {
    endpoint: Arc<Endpoint>,
    /// Where it is a socket of its own.
    _counted: Option<process::Gauged>,
}

impl Place {
    pub(super) fn take(
        worker: &Worker,
        cluster: &Cluster,
        endpoint: &Arc<Endpoint>,
    ) -> Result<Self, ProxyError> {
        let limit = cluster.settings.limits.max_connections;
        if endpoint.connections.fetch_add(1, Relaxed) < limit {
            let is_own = matches!(endpoint.plan.hop, Hop::Plaintext);
            let counted = is_own.then(|| worker.process.count_upstream());
            return Ok(Self { endpoint: Arc::clone(endpoint), _counted: counted });
        }
        endpoint.connections.fetch_sub(1, Relaxed);
        worker.process.counters.limit_upstream_connections.inc();
        let workload = &endpoint.plan.workload;
        let what = format!("{workload} has {limit} connections, as many as allowed (maxConnections)");
        Err(ProxyError::unprocessed(Kind::Overload, what))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint.connections.fetch_sub(1, Relaxed);
        self.endpoint.freed.notify_one();
    }
}
