//! HTTP/2 connections to one peer, for all endpoints behind it: many requests share one system call and one TLS
//! record. Several connections when one has too many streams.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use byrnie_decide::Failure;
use byrnie_plan::ProxyHeader;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use h2::Reason;
use h2::client::SendRequest;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::allowed::{Allowed, UNSAID, drive};
use super::{Lease as AnyLease, SendFailure, reserve, retirement, wait_for_turn};
use crate::config::{Cluster, Endpoint, Peer};
use crate::error::{Kind, ProxyError};
use crate::hop::dial;
use crate::http::Message;
use crate::http::body::{Body, H2Body, Sends, send_body};
use crate::http::expect::Gate;
use crate::http::headers::strip_mesh_headers;
use crate::http::strict2::odd_fields;
use crate::http::upgrade::{BYRNIE_UPGRADE, CONNECT};
use crate::process::Gauged;
use crate::tls::Alpn;
use crate::woken::when_woken;
use crate::worker::Worker;

/// Streams on one connection before another one is opened (Envoy's own default is more than a connection bears well;
/// nginx's `http2_max_concurrent_streams` is 128).
const STREAMS: u32 = 100;
/// The same while another one cannot be opened, and there is no other endpoint to ask.
const SHARED: u32 = 128;
/// As in the server: what one stream may send before it is read.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Room for all streams: those that nobody reads must not stop the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * SHARED;
const SEND_BUFFER: usize = 256 * 1024;

/// A connection that others wait for serves so long at least: opening another one for each request would be dear.
const TENURE: Duration = Duration::from_millis(50);

/// How long the settings of a peer may be waited for, where a request depends on them: what it offers, and whether it
/// allows a second stream beside the first.
const SETTINGS: Duration = Duration::from_millis(200);

/// The place that a connection takes.
struct Place {
    counted: Counted,
    retires: Instant,
    pool: Weak<Pool>,
}

/// The connections of one worker to one peer.
pub struct Pool {
    /// The one that came first: its address and identity are those of all.
    endpoint: Arc<Endpoint>,
    /// Whose address the application sees; `None`: the proxy's.
    shown: Option<SocketAddr>,
    connections: RefCell<Vec<Rc<Connection>>>,
    /// The one that is being opened: everybody who needs it waits for it.
    dialing: RefCell<Option<Dialing>>,
    /// This worker begins to open one, or what one allows is another number now.
    moved: Notify,
    /// A stream of this worker's connections has ended.
    freed: Notify,
    /// Streams that the peer allowed when it was heard last: what a new connection begins with.
    allowed: Cell<usize>,
    /// Requests of this worker that wait for a place of another worker's connection.
    waiting: Cell<u32>,
    /// Those that wait for a stream on one of its own.
    crowded: Cell<u32>,
}

type Dialing = Shared<LocalBoxFuture<'static, Result<Rc<Connection>, Rc<ProxyError>>>>;

struct Connection {
    sender: RefCell<SendRequest<Bytes>>,
    streams: Cell<u32>,
    allowed: Allowed,
    /// Whether it ever answered: a first request's death says more than a later one's.
    served: Cell<bool>,
    /// Closed, or told to go away: takes nothing new.
    leaving: Cell<bool>,
    /// Of the certificate that it was opened with; 0: plaintext.
    tls_generation: u64,
    /// Since the last look of whoever sweeps.
    used: Cell<bool>,
    /// The first look at which it was unused.
    idle_since: Cell<Option<Instant>>,
    /// From here on it takes nothing new.
    retires: Instant,
}

/// A stream's place, given back when dropped.
pub struct Lease {
    pool: Rc<Pool>,
    connection: Rc<Connection>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.streams.set(self.connection.streams.get() - 1);
        if self.pool.crowded.get() > 0 {
            self.pool.freed.notify_one();
        }
    }
}

impl Pool {
    /// A pool without connections.
    pub fn new(endpoint: &Arc<Endpoint>, shown: Option<SocketAddr>) -> Rc<Self> {
        Rc::new(Self {
            endpoint: Arc::clone(endpoint),
            shown,
            connections: RefCell::default(),
            dialing: RefCell::default(),
            moved: Notify::new(),
            freed: Notify::new(),
            allowed: Cell::new(UNSAID),
            waiting: Cell::new(0),
            crowded: Cell::new(0),
        })
    }

    /// Requests of other workers that wait for a connection to the peer.
    fn waiting_elsewhere(&self) -> u32 {
        self.endpoint.peer.waiting.load(Relaxed).saturating_sub(self.waiting.get())
    }

    /// Waits until there is room on one of this worker's connections, or where it has none, until another worker gives
    /// up one of its own. Who has one does not ask for that: full for a moment it would cost the others theirs, whose
    /// places come back only with the last stream on them.
    async fn wait(&self, worker: &Worker, cluster: &Cluster) -> Result<(), ProxyError> {
        let peer = &self.endpoint.peer;
        let (none, nobody) = (AtomicU32::new(0), Notify::new());
        let has_one = self.connections.borrow().iter().any(|connection| !connection.leaving.get());
        let (waiting, queue) = match has_one {
            true => (&self.crowded, (&none, &nobody)),
            false => (&self.waiting, (&peer.waiting, &peer.wanted)),
        };
        waiting.set(waiting.get() + 1);
        let _waits = Waits(waiting);
        let turn = async {
            tokio::select! {
                () = self.moved.notified() => {}
                () = self.freed.notified() => {}
                () = peer.freed.notified() => {}
            }
        };
        wait_for_turn(worker, cluster, queue, turn).await
    }

    /// The connection with the fewest streams of those that will do.
    fn least_loaded(
        self: &Rc<Self>,
        tls_generation: u64,
        will_do: impl Fn(&Connection) -> bool,
    ) -> Option<Lease> {
        let mut connections = self.connections.borrow_mut();
        // A new certificate or bundle: what was opened with the old one finishes what it has.
        connections.retain(|c| !c.leaving.get() && c.tls_generation == tls_generation);
        let least = connections.iter().filter(|c| will_do(c)).min_by_key(|c| c.streams.get())?;
        Some(self.lease(least))
    }

    /// One more stream on this connection.
    fn lease(self: &Rc<Self>, connection: &Rc<Connection>) -> Lease {
        connection.streams.set(connection.streams.get() + 1);
        connection.used.set(true);
        Lease { pool: Rc::clone(self), connection: Rc::clone(connection) }
    }

    /// One whose peer has not said yet what it allows, and how long that is waited for.
    fn settling(&self) -> Option<(Rc<Connection>, tokio::time::Instant)> {
        let connections = self.connections.borrow();
        connections.iter().find_map(|c| Some((Rc::clone(c), c.allowed.awaited(SETTINGS)?)))
    }

    /// Whether the peer allows nothing on a connection for now: then it is waited for, as for any other limit
    /// (RFC 9113 section 6.5.2), on what is open. On more connections it would allow nothing either.
    fn is_barred(&self) -> bool {
        self.connections.borrow().iter().any(|connection| connection.allowed.is_nothing())
    }

    /// Lets go of connections that are closed, too old or idle for long: they close when they have no streams. `false`:
    /// the pool itself can go.
    pub fn sweep(&self, idle_timeout: Duration, now: Instant) -> bool {
        let gone = self.endpoint.peer.gone.is_cancelled();
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| {
            !connection.leaving.get()
                && !gone
                && now < connection.retires
                && connection.idle(now) < idle_timeout
        });
        !(connections.is_empty() && self.dialing.borrow().is_none())
    }
}

impl Connection {
    /// Whether it takes one more stream, of `limit` that are good for it.
    fn has_room(&self, limit: u32) -> bool {
        let streams = self.streams.get();
        streams < limit && self.allowed.has_room(streams, SETTINGS)
    }

    /// How long nothing was on it, as far as looks tell.
    fn idle(&self, now: Instant) -> Duration {
        let is_idle = self.streams.get() == 0 && !self.used.replace(false);
        let since = is_idle.then(|| self.idle_since.get().unwrap_or(now));
        self.idle_since.set(since);
        since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

/// One request of this worker that waits.
struct Waits<'a>(&'a Cell<u32>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// One connection to a peer, counted until it is closed.
struct Counted {
    peer: Arc<Peer>,
    _open: Gauged,
    /// It ends because others wait for its place.
    yields: bool,
}

impl Counted {
    /// Counts a connection whose place is reserved.
    fn new(worker: &Rc<Worker>, peer: &Arc<Peer>) -> Self {
        Self { peer: Arc::clone(peer), _open: worker.process.count_upstream(), yields: false }
    }

    /// Returns when the connection is to end, because another worker's request waits for a place: the limit is the
    /// process's. As many yield as wait.
    async fn until_wanted(&mut self, pool: &Weak<Pool>) {
        let tenure = tokio::time::Instant::now() + TENURE;
        let peer = Arc::clone(&self.peer);
        loop {
            let mut wanted = std::pin::pin!(peer.wanted.notified());
            // From here on no call is missed; what was called before is seen in the count.
            wanted.as_mut().enable();
            let is_wanted = || pool.upgrade().is_some_and(|pool| pool.waiting_elsewhere() > 0);
            if is_wanted() {
                tokio::time::sleep_until(tenure).await;
                let waiting = peer.waiting.load(Relaxed);
                let claim = |yielding: u32| (yielding < waiting).then_some(yielding + 1);
                if is_wanted() && peer.yielding.fetch_update(Relaxed, Relaxed, claim).is_ok() {
                    self.yields = true;
                    return;
                }
            }
            wanted.await;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.peer.connections.fetch_sub(1, Relaxed);
        if self.yields {
            self.peer.yielding.fetch_sub(1, Relaxed);
        }
        self.peer.freed.notify_one();
    }
}

/// A stream on a connection that has room, or on a new one.
pub async fn acquire(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    pool: &Rc<Pool>,
    alpn: Option<Alpn>,
) -> Result<Lease, ProxyError> {
    loop {
        let generation = match alpn {
            Some(_) => worker.process.tls.load().as_ref().map_or(0, |tls| tls.generation),
            None => 0,
        };
        if let Some(lease) = pool.least_loaded(generation, |c| c.has_room(STREAMS)) {
            let mut sender = lease.connection.sender.borrow().clone();
            // Closed, or told to go away, since the last request.
            match std::future::poll_fn(|cx| sender.poll_ready(cx)).await {
                Ok(()) => return Ok(lease),
                Err(_) => lease.connection.leaving.set(true),
            }
            continue;
        }
        if let Some((connection, until)) = pool.settling() {
            let _ = tokio::time::timeout_at(until, pool.moved.notified()).await;
            let mut sender = connection.sender.borrow().clone();
            if connection.leaving.get() && std::future::poll_fn(|cx| sender.poll_ready(cx)).await.is_err() {
                // It is closed, and says why.
                return Ok(pool.lease(&connection));
            }
            continue;
        }
        if pool.is_barred()
            && let Some(lease) = pool.least_loaded(generation, |_| true)
        {
            return Ok(lease);
        }
        let waiting = pool.dialing.borrow().clone();
        let dialing = match waiting {
            Some(dialing) => dialing,
            None if reserve(cluster, &pool.endpoint.peer.connections) => {
                begin(worker, cluster, pool, alpn, generation)
            }
            // As many connections as allowed: share them beyond what is good, as far as the peer allows.
            None => match pool.least_loaded(generation, |c| c.has_room(u32::MAX)) {
                Some(lease) => return Ok(lease),
                // They are full, or other workers have them all: a connection cannot be shared between threads.
                None => {
                    pool.wait(worker, cluster).await?;
                    continue;
                }
            },
        };
        match dialing.await {
            // So many waited for it that it is full already.
            Ok(connection) if !connection.has_room(STREAMS) && !connection.leaving.get() => {}
            Ok(connection) => return Ok(pool.lease(&connection)),
            Err(error) => {
                // A peer that is too busy for a handshake still answers on what is open.
                if cluster.has_one_endpoint()
                    && let Some(lease) = pool.least_loaded(generation, |c| c.streams.get() < SHARED)
                {
                    return Ok(lease);
                }
                return Err(ProxyError {
                    kind: error.kind,
                    unprocessed: true,
                    context: error.context.clone(),
                });
            }
        }
    }
}

fn begin(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    pool: &Rc<Pool>,
    alpn: Option<Alpn>,
    generation: u64,
) -> Dialing {
    let limit = cluster.settings.connect_timeout;
    let (worker, pool_weak, endpoint) = (Rc::clone(worker), Rc::downgrade(pool), Arc::clone(&pool.endpoint));
    let counted = Counted::new(&worker, &endpoint.peer);
    let retires = retirement(&worker);
    let plain = How::Plain(cluster.begins_with, pool.shown);
    let alone = cluster.has_one_endpoint();
    let dialing = async move {
        let place = Place { counted, retires, pool: pool_weak.clone() };
        let how = alpn.map_or(plain, |alpn| How::Tls(alpn, alone));
        let opened = dial::within(limit, &endpoint, open(&worker, &endpoint, how, place, generation)).await;
        if let Some(pool) = pool_weak.upgrade() {
            pool.dialing.borrow_mut().take();
            if let Ok(connection) = &opened {
                pool.connections.borrow_mut().push(Rc::clone(connection));
            }
        }
        opened.map_err(Rc::new)
    };
    let dialing = dialing.boxed_local().shared();
    *pool.dialing.borrow_mut() = Some(dialing.clone());
    pool.moved.notify_waiters();
    // It goes on when who asked for it goes away: others may wait for it, too.
    tokio::task::spawn_local(dialing.clone().map(drop));
    dialing
}

/// What a connection begins with.
enum How {
    /// Whether there is no other endpoint to go to.
    Tls(Alpn, bool),
    /// The header, and whose address the application is to see.
    Plain(ProxyHeader, Option<SocketAddr>),
}

async fn open(
    worker: &Rc<Worker>,
    endpoint: &Arc<Endpoint>,
    how: How,
    place: Place,
    generation: u64,
) -> Result<Rc<Connection>, ProxyError> {
    match how {
        How::Tls(alpn, alone) => {
            let stream = dial::tls(worker, endpoint, alpn, alone).await?;
            handshake(worker, endpoint, stream, place, generation).await
        }
        How::Plain(begins_with, shown) => {
            let stream = dial::application(worker, begins_with, endpoint, shown, None).await?;
            handshake(worker, endpoint, stream, place, generation).await
        }
    }
}

async fn handshake<S>(
    worker: &Rc<Worker>,
    endpoint: &Arc<Endpoint>,
    stream: S,
    place: Place,
    tls_generation: u64,
) -> Result<Rc<Connection>, ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let windows = worker.process.budget.windows(STREAM_WINDOW, CONNECTION_WINDOW);
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(UNSAID)
        .enable_push(false);
    let (sender, driver) = builder.handshake::<_, Bytes>(stream).await.map_err(|error| {
        ProxyError::unprocessed(Kind::ConnectFailed, format!("{}: {error}", endpoint.plan.workload))
    })?;
    let connection = Rc::new(Connection {
        sender: RefCell::new(sender),
        streams: Cell::new(0),
        allowed: Allowed::new(place.pool.upgrade().map_or(UNSAID, |pool| pool.allowed.get())),
        served: Cell::new(false),
        leaving: Cell::new(false),
        tls_generation,
        used: Cell::new(true),
        idle_since: Cell::new(None),
        retires: place.retires,
    });
    let watched = Rc::downgrade(&connection);
    let endpoint = Arc::clone(endpoint);
    tokio::task::spawn_local(async move {
        let (Place { mut counted, pool, .. }, _promised) = (place, windows);
        let mut driver = std::pin::pin!(drive(driver, |allowed| heed(&watched, &pool, allowed)));
        let until_unwanted = std::pin::pin!(async {
            tokio::select! {
                () = counted.until_wanted(&pool) => {}
                () = endpoint.peer.gone.cancelled() => {}
            }
        });
        let ended = tokio::select! {
            ended = &mut driver => Some(ended),
            () = when_woken(until_unwanted) => None,
        };
        leave(&watched, &pool);
        let ended = match ended {
            Some(ended) => ended,
            // What is on it goes on to its end.
            None => driver.await,
        };
        if let Err(error) = ended {
            tracing::debug!("HTTP/2 connection to {}: {error}", endpoint.plan.address);
        }
    });
    Ok(connection)
}

/// The connection's peer allows so many streams from now on.
fn heed(connection: &Weak<Connection>, pool: &Weak<Pool>, allowed: usize) {
    if let Some(connection) = connection.upgrade() {
        connection.allowed.hear(allowed);
    }
    if let Some(pool) = pool.upgrade() {
        pool.allowed.set(allowed);
        pool.moved.notify_waiters();
    }
}

/// The connection takes nothing new.
fn leave(connection: &Weak<Connection>, pool: &Weak<Pool>) {
    let Some(connection) = connection.upgrade() else { return };
    connection.leaving.set(true);
    if let Some(pool) = pool.upgrade() {
        pool.connections.borrow_mut().retain(|known| !Rc::ptr_eq(known, &connection));
        pool.moved.notify_waiters();
    }
}

impl Lease {
    /// Whether the application takes extended CONNECT. It says so in its settings, which come before its first answer;
    /// on a new connection they are waited for.
    pub async fn offers_switches(&self) -> bool {
        let begun = Instant::now();
        loop {
            if self.connection.sender.borrow().is_extended_connect_protocol_enabled() {
                return true;
            }
            if self.connection.served.get() || begun.elapsed() > SETTINGS {
                return false;
            }
            tokio::time::sleep(SETTINGS / 100).await;
        }
    }

    /// Sends a request and waits for the head of its response.
    pub async fn send(
        self,
        worker: &Worker,
        message: &mut Message,
    ) -> Result<(Response<Body>, AnyLease), SendFailure> {
        let (head, body) = message.take().ok_or_else(SendFailure::gone)?.into_parts();
        let gate = head.extensions.get::<Gate>().cloned();
        let (is_connect, is_head) = (head.method == Method::CONNECT, head.method == Method::HEAD);
        let upgrade = is_connect || head.headers.contains_key(BYRNIE_UPGRADE);
        let end = body.is_finished() && !upgrade;
        let mut sender = self.connection.sender.borrow().clone();
        let (response, stream) = match sender.send_request(Request::from_parts(head, ()), end) {
            Ok(sent) => sent,
            Err(error) => {
                message.restore(Request::new(body));
                return Err(self.failed(&error, true));
            }
        };
        let pumping =
            (!end).then(|| tokio::task::spawn_local(Box::pin(send_body(body, stream, Sends::Request))));
        let pumping = pumping.map(|task| AbortOnDrop(Some(task)));
        let response = match gate.is_some() || worker.hints.wanted() {
            true => hear_interim(worker, response, gate.as_ref()).await,
            false => response.await,
        };
        match response {
            Ok(response) => {
                self.connection.served.set(true);
                // The rest of the body goes on by itself: streams in both directions.
                if let Some(pumping) = pumping {
                    pumping.let_go();
                }
                let length = response.headers().get(CONTENT_LENGTH);
                let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
                let is_empty = is_head || matches!(response.status().as_u16(), 204 | 304);
                let mut response = response.map(|body| match is_empty || body.is_end_stream() {
                    // What an application sends where there is no body (RFC 9110 section 6.4.1) is nobody's: the
                    // stream is reset.
                    true => Body::Empty,
                    false => Body::H2(H2Body::of_response(body, length, end)),
                });
                if !self.pool.endpoint.is_secured() {
                    if let Some(why) = odd_fields(response.headers()) {
                        return Err(self.malformed(why));
                    }
                    // What proxies tell each other is not believed of an application.
                    strip_mesh_headers(response.headers_mut());
                    if is_connect && response.status().is_success() {
                        response.headers_mut().insert(BYRNIE_UPGRADE, HeaderValue::from_static(CONNECT));
                    }
                }
                Ok((response, AnyLease::H2(self)))
            }
            Err(error) => Err(self.failed(&error, false)),
        }
    }

    fn malformed(&self, what: &str) -> SendFailure {
        let context = format!("{}: {what}", self.pool.endpoint.plan.workload);
        let error = ProxyError::new(Kind::UpstreamProtocol, context);
        SendFailure { error, failure: Failure::ConnectionDied }
    }

    fn failed(&self, error: &h2::Error, at_once: bool) -> SendFailure {
        let refused = error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        // Streams beyond the last one that a GOAWAY names fail with it; those below go on.
        let sent_away = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        let failure = match (at_once || refused || sent_away, error.is_io() || error.is_go_away()) {
            (true, _) => Failure::NotProcessed,
            (false, true) if self.connection.served.get() => Failure::ReusedConnectionDied,
            (false, _) => Failure::ConnectionDied,
        };
        if at_once || sent_away || error.is_io() || error.is_go_away() {
            self.connection.leaving.set(true);
        }
        let kind = match error.reason() {
            Some(Reason::PROTOCOL_ERROR) if error.is_reset() => Kind::UpstreamProtocol,
            _ if is_refused_by_tls(error) => Kind::TlsFailed,
            _ => Kind::UpstreamReset,
        };
        let failure = if kind == Kind::TlsFailed { Failure::NotProcessed } else { failure };
        let context = format!("{}: {error}", self.pool.endpoint.plan.workload);
        let unprocessed = failure == Failure::NotProcessed;
        SendFailure { error: ProxyError { kind, unprocessed, context: context.into() }, failure }
    }
}

/// Waits for a response, opens the gate of the request's body when 100 comes first, and hands on 103.
async fn hear_interim(
    worker: &Worker,
    mut response: h2::client::ResponseFuture,
    gate: Option<&Gate>,
) -> Result<Response<h2::RecvStream>, h2::Error> {
    std::future::poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            match gate {
                Some(gate) if interim.status() == StatusCode::CONTINUE => gate.open(),
                _ => worker.hints.hear(interim),
            }
        }
        Pin::new(&mut response).poll(cx)
    })
    .await
}

/// In TLS 1.3 a server judges the client's certificate after the client thinks that the handshake is done: its refusal
/// comes as an alert. h2 keeps the words of an error only.
fn is_refused_by_tls(error: &h2::Error) -> bool {
    error.is_io() && error.to_string().contains("received fatal alert")
}

/// Stops sending a body whose request is given up.
struct AbortOnDrop(Option<tokio::task::JoinHandle<Result<(), crate::http::body::BodyError>>>);

impl AbortOnDrop {
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
