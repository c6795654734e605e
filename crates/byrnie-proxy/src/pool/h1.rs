//! HTTP/1.1 connections to one endpoint: a stack of idle ones, the most recently used on top.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use byrnie_decide::Failure;
use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_util::task::AbortOnDropHandle;

use super::sending::Sending;
use super::{Counted, Lease as AnyLease, SendFailure, reserve, wait_for_turn};
use crate::config::{Cluster, Endpoint};
use crate::error::{Kind, ProxyError};
use crate::hop::dial;
use crate::http::CODEC_HEADERS;
use crate::http::Message;
use crate::http::body::Body;
use crate::http::expect::Gate;
use crate::http::headers::strip_mesh_headers;
use crate::http::noting::{Notes, Noting};
use crate::http::strict::Side;
use crate::http::trailing::is_chunked;
use crate::http::upgrade;
use crate::worker::Worker;

/// One in so many connections that are given back goes to another worker, when requests wait here and there.
const TURN: u64 = 16;

/// So many idle connections stay whether they are needed or not.
const SPARE: usize = 8;

/// The connections of one worker to one endpoint.
pub struct Pool {
    endpoint: Arc<Endpoint>,
    /// Whose address the application sees; `None`: the proxy's.
    shown: Option<SocketAddr>,
    worker: Weak<Worker>,
    idle: RefCell<Vec<Idle>>,
    /// The fewest that were idle at a time since the last look: nobody needed them.
    unneeded: Cell<usize>,
    /// One of this worker's connections became idle.
    freed: Notify,
    /// Requests of this worker that wait.
    waiting: Cell<u32>,
    /// Ends [`yield_idle`] with the pool.
    yielding: RefCell<Option<AbortOnDropHandle<()>>>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

struct Connection {
    sender: SendRequest<Sending>,
    /// Whether the answer has begun, and whether it is one.
    notes: Arc<Notes>,
    /// Ends it, with a body that nobody wants.
    driver: AbortHandle,
    /// From here on it takes nothing new.
    retires: Instant,
}

/// A connection while one request uses it.
pub struct Lease {
    pool: Rc<Pool>,
    /// Boxed: a lease goes through many hands.
    connection: Box<Connection>,
    /// It has served before, so the origin may have closed it.
    reused: bool,
}

impl Pool {
    /// A pool without connections.
    pub fn new(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>, shown: Option<SocketAddr>) -> Rc<Self> {
        let pool = Rc::new(Self {
            endpoint: Arc::clone(endpoint),
            shown,
            worker: Rc::downgrade(worker),
            idle: RefCell::default(),
            unneeded: Cell::new(0),
            freed: Notify::new(),
            waiting: Cell::new(0),
            yielding: RefCell::default(),
        });
        let yielding = tokio::task::spawn_local(yield_idle(Rc::downgrade(&pool), Arc::clone(endpoint)));
        pool.yielding.replace(Some(AbortOnDropHandle::new(yielding)));
        pool
    }

    /// Requests of other workers that wait for a connection to the endpoint.
    fn waiting_elsewhere(&self) -> u32 {
        self.endpoint.waiting.load(Relaxed).saturating_sub(self.waiting.get())
    }

    /// The most recently used connection that is still open.
    fn pop(self: &Rc<Self>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        self.unneeded.set(self.unneeded.get().min(idle.len().saturating_sub(1)));
        while let Some(Idle { connection, .. }) = idle.pop() {
            if !connection.sender.is_closed() {
                return Some(Lease { pool: Rc::clone(self), connection, reused: true });
            }
        }
        None
    }

    /// Closes what has been idle for long, or is too old, and half of what a burst has left that nobody needed since
    /// the last look: each keeps the codec's buffers, 16 KiB, and 64 more after a large answer. (HAProxy purges its
    /// idle connections in this way, at the same pace.) `false`: the pool itself can go.
    pub fn sweep(&self, idle_timeout: Duration, now: Instant) -> bool {
        let gone = self.endpoint.gone.is_cancelled();
        let mut idle = self.idle.borrow_mut();
        idle.retain(|Idle { connection, since }| {
            !gone
                && !connection.sender.is_closed()
                && now < connection.retires
                && now.duration_since(*since) < idle_timeout
        });
        let unneeded = self.unneeded.get().min(idle.len()).saturating_sub(SPARE);
        // The oldest are at the bottom of the stack.
        idle.drain(..unneeded.div_ceil(2));
        self.unneeded.set(idle.len());
        !(idle.is_empty() && self.waiting.get() == 0)
    }
}

/// Closes an idle connection when another worker's request waits for one: the limit is the process's. Closes all when
/// the endpoint is gone, or its identity: from then on none is kept.
async fn yield_idle(pool: Weak<Pool>, endpoint: Arc<Endpoint>) {
    loop {
        let mut wanted = std::pin::pin!(endpoint.wanted.notified());
        // From here on no call is missed; what was called before is seen in the count.
        wanted.as_mut().enable();
        match pool.upgrade() {
            Some(pool) if pool.waiting_elsewhere() > 0 && pool.waiting.get() == 0 => {
                let mut idle = pool.idle.borrow_mut();
                if !idle.is_empty() {
                    idle.remove(0);
                }
            }
            Some(_) => {}
            None => return,
        }
        tokio::select! {
            () = wanted => {}
            () = endpoint.gone.cancelled() => {
                if let Some(pool) = pool.upgrade() {
                    pool.idle.borrow_mut().clear();
                }
                return;
            }
        }
    }
}

/// An idle connection, a new one, or a turn in the queue.
pub async fn acquire(worker: &Rc<Worker>, cluster: &Cluster, pool: &Rc<Pool>) -> Result<Lease, ProxyError> {
    loop {
        while let Some(mut lease) = pool.pop() {
            // It was given back within the poll that read its last byte: the codec may need a turn.
            if lease.connection.sender.ready().await.is_ok() {
                return Ok(lease);
            }
        }
        if reserve(cluster, &pool.endpoint.connections) {
            return connect(worker, cluster, pool).await;
        }
        let _queued = Queued::new(pool);
        let turn = async {
            tokio::select! {
                () = pool.freed.notified() => {}
                () = pool.endpoint.freed.notified() => {}
            }
        };
        let queue = (&pool.endpoint.waiting, &pool.endpoint.wanted);
        wait_for_turn(worker, cluster, queue, turn).await?;
    }
}

/// A request of this worker that waits, until it has its turn or is given up.
struct Queued<'a>(&'a Pool);

impl<'a> Queued<'a> {
    fn new(pool: &'a Pool) -> Self {
        pool.waiting.set(pool.waiting.get() + 1);
        Self(pool)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// The place of the connection is reserved already.
async fn connect(worker: &Rc<Worker>, cluster: &Cluster, pool: &Rc<Pool>) -> Result<Lease, ProxyError> {
    let counted = Counted::new(worker, &pool.endpoint);
    // For many clients' requests: for nobody in particular.
    let dialing = dial::application(worker, cluster.begins_with, &pool.endpoint, pool.shown, None);
    let stream = dial::within(cluster.settings.connect_timeout, &pool.endpoint, dialing).await?;
    let settings = Arc::clone(&worker.config().settings);
    let (notes, head_limit) = (Arc::new(Notes::default()), settings.max_header_bytes as usize);
    let io = TokioIo::new(Noting::new(stream, Side::Responses, head_limit, Arc::clone(&notes)));
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_header_size(head_limit);
    if settings.max_headers != CODEC_HEADERS {
        builder.max_headers(settings.max_headers as usize);
    }
    let handshake = builder.handshake(io).await;
    let (sender, connection) = handshake.map_err(|error| {
        ProxyError::unprocessed(Kind::ConnectFailed, format!("{}: {error}", pool.endpoint.plan.workload))
    })?;
    let gone = pool.endpoint.plan.address;
    let driver = tokio::task::spawn_local(async move {
        let _counted = counted;
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!("HTTP/1 connection to {gone}: {error}");
        }
    });
    let connection =
        Connection { sender, notes, driver: driver.abort_handle(), retires: super::retirement(worker) };
    Ok(Lease { pool: Rc::clone(pool), connection: Box::new(connection), reused: false })
}

/// Names what the codec leaves out: the framing of a GET's or HEAD's body whose length is not known, without which it
/// leaves out the body as well; and that a method which has a body comes without one, which HTTP/2 need not say and
/// some applications insist on (RFC 9110 section 8.6).
fn name_framing(request: &mut Request<Body>) {
    let is_empty = request.body().is_end_stream();
    let is_odd = match *request.method() {
        Method::GET | Method::HEAD => !is_empty,
        Method::POST | Method::PUT | Method::PATCH => is_empty,
        _ => false,
    };
    if !is_odd || request.headers().contains_key(CONTENT_LENGTH) {
        return;
    }
    if is_empty {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    } else if request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

impl Lease {
    /// Sends a request and waits for the head of its response.
    pub async fn send(mut self, message: &mut Message) -> Result<(Response<Body>, AnyLease), SendFailure> {
        self.connection.notes.heard.store(false, Relaxed);
        self.connection.notes.ask(&message.head.method);
        let is_connect = message.head.method == Method::CONNECT;
        let gate = message.head.extensions.get::<Gate>().cloned();
        let asked = match is_connect {
            true => Some(HeaderValue::from_static(upgrade::CONNECT)),
            false => message.head.headers.get(UPGRADE).cloned(),
        };
        let tunnel = asked.map(|asked| (take_tunnel(message), asked));
        let Some(mut request) = message.take() else { return Err(SendFailure::gone()) };
        name_framing(&mut request);
        if let Some(gate) = gate {
            hyper::ext::on_informational(&mut request, move |interim| {
                if interim.status() == StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        let notes = &self.connection.notes;
        let is_chunked = is_chunked(request.headers(), request.body());
        let request = request.map(|body| Sending::new(body, is_chunked, notes));
        match self.connection.sender.try_send_request(request).await {
            Ok(mut response) => {
                // What proxies tell each other is not believed of an application.
                strip_mesh_headers(response.headers_mut());
                let is_switch = match is_connect {
                    true => response.status().is_success(),
                    false => response.status() == StatusCode::SWITCHING_PROTOCOLS,
                };
                let response = match tunnel {
                    Some((tunnel, asked)) if is_switch => {
                        if !is_connect && !upgrade::is_to(response.headers(), &asked) {
                            return Err(self.switched_unasked());
                        }
                        upgrade::accept_from_application(response, tunnel, asked)
                    }
                    _ if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                        return Err(self.switched_unasked());
                    }
                    _ => response.map(Body::H1),
                };
                Ok((response, AnyLease::H1(self)))
            }
            Err(mut error) => {
                let unsent = error.take_message().map(|request| request.map(Sending::take));
                let failed = self.failed(&error.into_error(), unsent.is_some());
                // What the client will say after the switch has not been read, whatever became of the request.
                if let Some(mut request) = tunnel.map(|(body, _)| Request::new(body)).or(unsent) {
                    request.headers_mut().remove(TRANSFER_ENCODING);
                    message.restore(request);
                }
                Err(failed)
            }
        }
    }

    fn failed(&self, error: &hyper::Error, unsent: bool) -> SendFailure {
        let failure = match (unsent, self.reused, self.connection.notes.heard.load(Relaxed)) {
            (true, ..) => Failure::NotProcessed,
            (false, true, false) => Failure::ReusedConnectionDied,
            (false, ..) => Failure::ConnectionDied,
        };
        let refused = self.connection.notes.refused();
        let is_protocol = error.is_parse() || refused.is_some();
        let kind = if is_protocol { Kind::UpstreamProtocol } else { Kind::UpstreamReset };
        let why = refused.map_or_else(|| explain(error), |refusal| refusal.to_string());
        let context = format!("{}: {why}", self.pool.endpoint.plan.workload);
        let error = match failure {
            Failure::NotProcessed => ProxyError::unprocessed(kind, context),
            _ => ProxyError::new(kind, context),
        };
        SendFailure { error, failure }
    }

    fn switched_unasked(&self) -> SendFailure {
        let context =
            format!("{}: a switch of protocols that nobody asked for", self.pool.endpoint.plan.workload);
        let error = ProxyError::new(Kind::UpstreamProtocol, context);
        SendFailure { error, failure: Failure::ConnectionDied }
    }

    /// The response is complete. When others wait for a place that this worker's requests do not need, the connection
    /// is closed instead, which frees one.
    pub fn give_back(self, now: Instant) {
        let Self { pool, connection, .. } = self;
        if connection.notes.sends.load(Relaxed) {
            // Answered without the body, or before its end: what would follow on this connection is the body's.
            return connection.driver.abort();
        }
        if connection.sender.is_closed()
            || now >= connection.retires
            || pool.endpoint.gone.is_cancelled()
            || pool.worker.strong_count() == 0
        {
            return;
        }
        let here = pool.waiting.get();
        // Now and then also when requests wait here: those of the other workers would never get a turn.
        let turn = || pool.worker.upgrade().is_none_or(|worker| worker.random() % TURN == 0);
        if pool.waiting_elsewhere() > 0 && (here == 0 || turn()) {
            return;
        }
        // However many: `maxConnections` bounds them, and fewer would be opened anew for each wave of requests.
        pool.idle.borrow_mut().push(Idle { connection, since: now });
        if here > 0 {
            pool.freed.notify_one();
        }
    }
}

/// A request that asks for an upgrade has no body; what its body would be is said after the switch.
fn take_tunnel(message: &mut Message) -> Body {
    std::mem::replace(&mut message.body, Body::Empty)
}

/// The error with what caused it.
fn explain(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
