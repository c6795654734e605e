//! `byrnie-tcp/1` and HBONE, the client's side: bytes in CONNECT streams, on HTTP/2 connections of their own, so that
//! nothing that bytes do can end a connection that carries requests.
//!
//! Per worker and peer: one connection is opened at a time, each carries at most [`STREAMS`]; a new one when the
//! certificate or bundle has changed; none is kept when the peer is gone. Streams that are open end by themselves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use tokio::sync::Notify;

use super::dial;
use crate::config::{Cluster, Endpoint};
use crate::error::{Kind, ProxyError};
use crate::tls::Alpn;
use crate::worker::Worker;

mod connect;
mod drive;
mod paced;

use connect::Refused;
pub use connect::{refuse, request};
pub use paced::Paced;

/// Streams on one connection, before another is opened.
pub const STREAMS: usize = 100;

/// What one stream may send before its receiver has passed it on: enough for 100 MB/s at 10 ms.
pub const STREAM_WINDOW: u32 = 1024 * 1024;

/// The same for a connection: all its streams'. With less, a few slow receivers would stop everybody else's bytes.
pub const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;

/// Largest DATA frame that we take: fewer system calls and less framing for bulk than with the 16 KiB of the default.
pub const FRAME: u32 = 64 * 1024;

/// What one stream may hold that is not sent yet.
pub const SEND_BUFFER: usize = 256 * 1024;

/// Overhead of small DATA frames that h2 may hold for us, in bytes (255 for a frame of one byte). Relays take frames
/// out at once, also those that have to wait; so it only has to bear what comes in one turn (see [`Paced`]), which is
/// less than half of this.
pub const FRAME_BUDGET: usize = 8 * 1024 * 1024;

/// Largest header section that a server of tunnels reads, in bytes.
pub const HEADERS: u32 = 16 * 1024;

/// A CONNECT stream that was accepted.
pub struct Tunnel {
    /// Towards the peer.
    pub send: SendStream<Bytes>,
    /// From the peer.
    pub receive: RecvStream,
    /// What came from the peer already, before `receive`.
    pub early: Bytes,
    /// The place on its connection, which it keeps open; `None` at the server.
    _place: Option<Place>,
}

impl Tunnel {
    /// The server's side of a stream.
    pub fn accepted(send: SendStream<Bytes>, receive: RecvStream) -> Self {
        Self { send, receive, early: Bytes::new(), _place: None }
    }

    /// Waits until the peer has said something, or ended.
    pub async fn speaks(&mut self) {
        if self.early.is_empty()
            && let Some(Ok(first)) = self.receive.data().await
        {
            self.early = first;
        }
    }

    /// Ends it as a connection ends that was reset (RFC 9113 section 8.5).
    pub fn reset(&mut self) {
        self.send.send_reset(Reason::CONNECT_ERROR);
    }
}

/// A stream's place on its connection, which it keeps open.
struct Place(Rc<Connection>);

impl Place {
    fn take(connection: &Rc<Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        connection.used.set(true);
        Self(Rc::clone(connection))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

/// One HTTP/2 connection. Closes by itself when neither the group nor a stream holds it any more.
struct Connection {
    requests: SendRequest<Bytes>,
    /// Of the certificate that it was opened with.
    tls_generation: u64,
    streams: Cell<usize>,
    /// Since the last look.
    used: Cell<bool>,
    doubt: Rc<Doubt>,
}

/// Whether the peer still moves. A proxy that hangs keeps its connections: only asking tells.
#[derive(Default)]
struct Doubt {
    /// Somebody waited in vain. Nothing new goes over the connection until the peer has answered a ping.
    is_there: Cell<bool>,
    raised: Notify,
}

/// Raises doubt when it is dropped: an answer was waited for and did not come.
struct Waiting<'a>(&'a Doubt);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.is_there.set(true);
        self.0.raised.notify_one();
    }
}

/// The connections to one peer.
#[derive(Default)]
struct Group {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Held by whoever opens a connection.
    dialing: tokio::sync::Mutex<()>,
    /// How many attempts have ended, and how the last one failed: those that waited for it share the failure.
    attempts: Cell<u64>,
    failure: RefCell<Option<(Kind, String)>>,
}

thread_local! {
    /// A worker's groups, by peer. Peers have numbers that are unique in the process, workers a thread each.
    static GROUPS: RefCell<HashMap<u64, Rc<Group>>> = RefCell::default();
}

/// Opens a stream to the endpoint's proxy and waits until that has connected to its application. Nothing was sent to
/// the application when it fails.
pub async fn open(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    alpn: Alpn,
    request: &Request<()>,
) -> Result<Tunnel, ProxyError> {
    let alone = cluster.has_one_endpoint();
    // Boxed: a handshake's state is large, and a connection that lives for days must not keep room for it.
    let opening = Box::pin(async {
        loop {
            let (place, is_new) = place(worker, endpoint, alpn, alone).await?;
            let waiting = Waiting(&place.0.doubt);
            let answer = connect::send(&place.0.requests, request.clone()).await;
            std::mem::forget(waiting);
            match answer {
                Ok((send, receive)) => {
                    return Ok(Tunnel { send, receive, early: Bytes::new(), _place: Some(place) });
                }
                Err(Refused::ByPeer(error)) => return Err(error),
                // The connection went away under us: it may have waited for hours. A new one tells whether the peer
                // did.
                Err(Refused::ByConnection(error)) => {
                    forget(endpoint.peer.id, &place.0);
                    if is_new {
                        return Err(failed(endpoint, &error));
                    }
                }
            }
        }
    });
    dial::within(cluster.settings.connect_timeout, endpoint, opening).await
}

fn failed(endpoint: &Endpoint, error: &dyn std::fmt::Display) -> ProxyError {
    let plan = &endpoint.plan;
    ProxyError::unprocessed(Kind::ConnectFailed, format!("{} at {}: {error}", plan.workload, plan.address))
}

/// A place on a connection with room, and whether the connection was opened for it.
async fn place(
    worker: &Rc<Worker>,
    endpoint: &Arc<Endpoint>,
    alpn: Alpn,
    alone: bool,
) -> Result<(Place, bool), ProxyError> {
    let group = GROUPS.with_borrow_mut(|groups| Rc::clone(groups.entry(endpoint.peer.id).or_default()));
    if let Some(place) = group.place(worker) {
        return Ok((place, false));
    }
    let attempts = group.attempts.get();
    let _turn = group.dialing.lock().await;
    if let Some(place) = group.place(worker) {
        return Ok((place, false));
    }
    if group.attempts.get() != attempts
        && let Some((kind, context)) = &*group.failure.borrow()
    {
        return Err(ProxyError::unprocessed(*kind, context.clone()));
    }
    let opened = dial_connection(worker, endpoint, &group, alpn, alone).await;
    group.attempts.set(group.attempts.get() + 1);
    let failure = opened.as_ref().err().map(|error| (error.kind, error.context.to_string()));
    *group.failure.borrow_mut() = failure;
    opened.map(|connection| (Place::take(&connection), true))
}

impl Group {
    /// A place on the connection with the most streams that has room: the others empty and close.
    fn place(&self, worker: &Worker) -> Option<Place> {
        let generation = worker.process.tls.load().as_ref().map(|tls| tls.generation);
        let mut connections = self.connections.borrow_mut();
        // A new certificate or bundle: what was opened with the old one finishes what it has.
        connections.retain(|connection| Some(connection.tls_generation) == generation);
        let with_room = connections.iter().filter(|connection| connection.has_room());
        with_room.max_by_key(|connection| connection.streams.get()).map(Place::take)
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        !self.doubt.is_there.get()
            && self.streams.get() < STREAMS.min(self.requests.current_max_send_streams())
    }
}

/// Nothing new goes over this connection.
fn forget(peer: u64, connection: &Rc<Connection>) {
    GROUPS.with_borrow_mut(|groups| {
        if let Some(group) = groups.get(&peer) {
            group.connections.borrow_mut().retain(|known| !Rc::ptr_eq(known, connection));
        }
        // Nobody waits here, nothing is open: peers come and go, their groups must not pile up.
        groups.retain(|_, group| Rc::strong_count(group) > 1 || !group.connections.borrow().is_empty());
    });
}

async fn dial_connection(
    worker: &Rc<Worker>,
    endpoint: &Arc<Endpoint>,
    group: &Rc<Group>,
    alpn: Alpn,
    alone: bool,
) -> Result<Rc<Connection>, ProxyError> {
    // Read before the handshake: a certificate that changes meanwhile makes the connection an old one.
    let tls_generation = worker.process.tls.load().as_ref().map_or(0, |tls| tls.generation);
    let counted = worker.process.count_upstream();
    let stream = dial::tls(worker, endpoint, alpn, alone).await?;
    let windows = worker.process.budget.windows(STREAM_WINDOW, CONNECTION_WINDOW);
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(FRAME)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(FRAME_BUDGET)
        .initial_max_send_streams(STREAMS)
        .enable_push(false);
    let (requests, driver) =
        builder.handshake(Paced::new(stream)).await.map_err(|error| failed(endpoint, &error))?;
    let doubt = Rc::default();
    let driven = drive::Driven {
        worker: Rc::clone(worker),
        endpoint: Arc::clone(endpoint),
        doubt: Rc::clone(&doubt),
        windows,
        counted,
    };
    let connection =
        Rc::new(Connection { requests, tls_generation, streams: Cell::new(0), used: Cell::new(true), doubt });
    if !endpoint.peer.gone.is_cancelled() {
        group.connections.borrow_mut().push(Rc::clone(&connection));
    }
    tokio::task::spawn_local(driven.run(driver, Rc::downgrade(&connection)));
    Ok(connection)
}
