//! Bytes from the hop: CONNECT streams of peers' proxies, each to one declared port of this workload.
//!
//! `byrnie-tcp/1` names port and service in the hop header. HBONE names an address; its bytes are no requests here, so
//! that policies about methods and paths refuse them (fail closed), whatever they would turn out to be.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_decide::Outcome;
use byrnie_plan::Dialect;
use byrnie_telemetry::Direction;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::connect::{Place, plain};
use super::duplex::Duplex;
use super::observe::{Meter, Story};
use super::relay::{self, Broken};
use crate::admit::{self, Refusal};
use crate::balance::{self, InFlight};
use crate::config::{Inbound, InboundPort};
use crate::controls;
use crate::error::{Kind, ProxyError};
use crate::front::Peer;
use crate::hop::header;
use crate::hop::tunnel::{self, Paced, Tunnel};
use crate::worker::Worker;

/// Serves a connection of `byrnie-tcp/1` to its end.
pub async fn serve<S>(worker: &Rc<Worker>, peer: Arc<Peer>, remote: SocketAddr, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    streams(worker, &Caller::new(peer, remote, Dialect::Byrnie), stream).await;
}

/// Serves a connection of HBONE to its end.
pub async fn serve_hbone<S>(worker: &Rc<Worker>, peer: Arc<Peer>, remote: SocketAddr, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    streams(worker, &Caller::new(peer, remote, Dialect::Hbone), stream).await;
}

/// How long a connection may outlive the policy that allowed it.
const RECHECK: Duration = Duration::from_secs(1);

/// Whose connection it is.
struct Caller {
    peer: Arc<Peer>,
    remote: SocketAddr,
    dialect: Dialect,
    /// Told when the configuration has changed: what was allowed may not be any more.
    changed: Notify,
}

impl Caller {
    fn new(peer: Arc<Peer>, remote: SocketAddr, dialect: Dialect) -> Rc<Self> {
        Rc::new(Self { peer, remote, dialect, changed: Notify::new() })
    }
}

/// Takes streams until the peer is done; when draining, until those that are open are.
async fn streams<S>(worker: &Rc<Worker>, caller: &Rc<Caller>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limit = worker.config().settings.header_timeout;
    let windows = worker.process.budget.windows(tunnel::STREAM_WINDOW, tunnel::CONNECTION_WINDOW);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(tunnel::FRAME)
        .max_send_buffer_size(tunnel::SEND_BUFFER)
        .data_frame_budget(tunnel::FRAME_BUDGET)
        .max_concurrent_streams(u32::try_from(tunnel::STREAMS).unwrap_or(u32::MAX))
        .max_header_list_size(tunnel::HEADERS);
    let mut connection =
        match tokio::time::timeout(limit, builder.handshake::<_, Bytes>(Paced::new(stream))).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return tracing::debug!("tunnels from {}: {error}", caller.remote),
            Err(_) => return tracing::debug!("tunnels from {}: no HTTP/2 within {limit:?}", caller.remote),
        };
    let is_late = worker.process.draining.is_cancelled();
    let mut draining = std::pin::pin!(worker.process.to_go_away());
    let mut is_draining = false;
    let mut changes = std::pin::pin!(tell_changes(worker, caller));
    loop {
        tokio::select! {
            biased;
            () = draining.as_mut(), if !is_draining => {
                is_draining = true;
                connection.graceful_shutdown();
            }
            () = changes.as_mut() => {}
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    if is_late && !is_draining {
                        is_draining = true;
                        connection.graceful_shutdown();
                    }
                    // A task of its own: a panic there harms this stream only.
                    tokio::task::spawn_local(one(Rc::clone(worker), Rc::clone(caller), request, respond));
                }
                Some(Err(error)) => return tracing::debug!("tunnels from {}: {error}", caller.remote),
                None => return,
            }
        }
    }
}

/// Tells a connection's streams when the configuration has changed. One clock for all of them: each alone would wake up
/// an idle connection every second.
async fn tell_changes(worker: &Worker, caller: &Caller) {
    let mut known = worker.config().generation;
    loop {
        tokio::time::sleep(RECHECK).await;
        let generation = worker.config().generation;
        if generation != known {
            known = generation;
            caller.changed.notify_waiters();
        }
    }
}

/// Serves one stream.
async fn one(
    worker: Rc<Worker>,
    caller: Rc<Caller>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let mut story = Box::new(Story::new(&worker, caller.remote, Direction::Inbound));
    story.labels.destination = Some(worker.process.workload.clone());
    story.labels.peer_identity = Some(caller.peer.identity.clone());
    story.labels.secured = true;
    let opened = tokio::select! {
        opened = Box::pin(open(&worker, &caller, &request, &mut story)) => opened,
        // Whoever asked does not wait any more.
        _ = std::future::poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    match opened {
        Ok(opened) => match respond.send_response(Response::new(()), false) {
            // A task of its own: this one holds what was needed to get here, and the connection may last for days.
            Ok(send) => {
                let tunnel = Tunnel::accepted(send, request.into_body());
                tokio::task::spawn_local(run(worker, caller, tunnel, opened, story));
            }
            Err(error) => tracing::debug!("a tunnel from {} ended early: {error}", caller.remote),
        },
        Err(Refusal { error, policy }) => {
            story.refused(&error, &policy);
            if respond.send_response(tunnel::refuse(&error), true).is_err() {
                respond.send_reset(Reason::CANCEL);
            }
        }
    }
}

/// The application, connected.
pub(super) struct Opened {
    pub(super) application: TcpStream,
    pub(super) flight: InFlight,
    pub(super) outcome: Outcome,
    /// What was asked for, to ask again.
    port: u16,
    _place: Place,
}

/// Finds the port, asks the policies, connects to the application.
async fn open(
    worker: &Rc<Worker>,
    caller: &Caller,
    request: &Request<RecvStream>,
    story: &mut Story,
) -> Result<Box<Opened>, Refusal> {
    let plain_refusal = |error| Refusal { error, policy: String::new() };
    let found = match caller.dialect {
        Dialect::Byrnie => by_hop(worker, request, story).await,
        Dialect::Hbone => by_address(worker, request),
    };
    let (inbound, port) = found.map_err(plain_refusal)?;
    if story.labels.service.is_none() {
        story.labels.service = port.services.first().map(|found| found.service.clone());
    }
    admit::authorize(worker, &inbound.authorizer, Some(&caller.peer), None, port.port)?;
    let service = story.labels.service.as_ref();
    controls::inbound_connection(worker, &inbound, service, Some(&caller.peer), caller.remote).await?;
    to_application(worker, &port, story.client).await.map_err(plain_refusal)
}

/// Connects to the application on behalf of a client, as far as that is known.
pub(super) async fn to_application(
    worker: &Rc<Worker>,
    port: &InboundPort,
    client: Option<SocketAddr>,
) -> Result<Box<Opened>, ProxyError> {
    let (cluster, endpoint) = (&port.cluster, &port.application);
    let place = Place::take(worker, cluster, endpoint)?;
    let flight = balance::take_own(worker, cluster, endpoint).ok_or_else(|| {
        ProxyError::unprocessed(Kind::Overload, "the application has maxInFlight connections")
    })?;
    let begun = Instant::now();
    let captured = worker.process.captured.as_ref();
    let shown = captured.and_then(|captured| captured.shown(client?, endpoint.plan.address));
    let application = plain(worker, cluster, endpoint, shown, client).await?;
    let outcome = Outcome::Success(begun.elapsed());
    Ok(Box::new(Opened { application, flight, outcome, port: port.port, _place: place }))
}

/// The port that a hop header names.
async fn by_hop(
    worker: &Worker,
    request: &Request<RecvStream>,
    story: &mut Story,
) -> Result<(Arc<Inbound>, Arc<InboundPort>), ProxyError> {
    let bad = |what: &'static str| ProxyError::unprocessed(Kind::BadHop, what);
    if request.method() != Method::CONNECT {
        return Err(bad("requests come by byrnie/1, only CONNECT by byrnie-tcp/1"));
    }
    let value = request.headers().get(header::HOP).ok_or_else(|| bad("no byrnie-hop header"))?;
    let hop = header::parse(value).ok_or_else(|| bad("the byrnie-hop header cannot be read"))?;
    story.labels.route = hop.route_name();
    story.client = hop.client;
    let found = admit::catch_up(|| admit::find_port(worker, &hop)).await?;
    // Only now: before, it is a name that a peer made up.
    story.labels.service = Some(hop.service.service);
    Ok(found)
}

/// The declared port of an authority `ip:port`. Whose address it is says nothing: a peer reached this workload.
fn by_address(
    worker: &Worker,
    request: &Request<RecvStream>,
) -> Result<(Arc<Inbound>, Arc<InboundPort>), ProxyError> {
    let authority = request.uri().authority().filter(|_| request.method() == Method::CONNECT);
    let address = authority.and_then(|authority| authority.as_str().parse::<SocketAddr>().ok());
    let address = address.ok_or_else(|| {
        ProxyError::unprocessed(Kind::BadHop, "HBONE is CONNECT to the address and port of this workload")
    })?;
    admit::declared_port(worker, address.port())
}

/// Moves bytes until both sides are done, one fails, or a policy refuses what it allowed before: then both are reset.
async fn run(
    worker: Rc<Worker>,
    caller: Rc<Caller>,
    mut tunnel: Tunnel,
    mut opened: Box<Opened>,
    story: Box<Story>,
) {
    let idle = opened.flight.cluster.settings.idle_timeout;
    let meter = Meter::open(&worker, &story.labels, idle);
    let ended = tokio::select! {
        ended = relay::from_tunnel(&mut tunnel, &mut opened.application, &meter) => ended,
        refusal = refused_now(&worker, &caller, opened.port) => Err(Broken::Refused(Box::new(refusal))),
    };
    if ended.is_err() {
        tunnel.reset();
        opened.application.reset();
    }
    story.ended(&ended, &meter);
    opened.flight.finish(&worker, worker.time(Instant::now()), opened.outcome);
}

/// Returns when a change of configuration takes away what allowed the connection.
async fn refused_now(worker: &Worker, caller: &Caller, port: u16) -> Refusal {
    loop {
        caller.changed.notified().await;
        let config = worker.config();
        let inbound = config.inbound.as_ref().filter(|inbound| inbound.ports.contains_key(&port));
        let allowed = match inbound {
            Some(inbound) => admit::authorize(worker, &inbound.authorizer, Some(&caller.peer), None, port),
            None => {
                let what = format!("{} declares no port {port} any more", worker.process.workload);
                let error = ProxyError::unprocessed(Kind::WrongDestination, what);
                Err(Refusal { error, policy: String::new() })
            }
        };
        if let Err(refusal) = allowed {
            return refusal;
        }
    }
}
