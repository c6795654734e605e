//! One client connection: where it came in, who is at its other end, and what it may reach.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use byrnie_net::socket::{OtherEnd, Watched};
use byrnie_plan::{MeshSettings, ServicePortRef, WorkloadIdentity};
use http::HeaderValue;
use http::uri::Authority;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::admit::Admission;
use crate::config::{Destination, Listener};
use crate::detect::Undeclared;
use crate::error::ProxyError;
use crate::forwarded;
use crate::http::noting::Notes;
use crate::process::Process;
use crate::room::Full;
use crate::route;
use crate::transparent::outbound;
use crate::worker::Worker;

/// Where a connection came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entrance {
    /// The mesh port: a peer's proxy.
    Mesh,
    /// The local address of a service that the workload calls.
    Upstream(ServicePortRef),
    /// The port that understands HTTP proxying.
    HttpProxy,
    /// A Gateway's listener.
    Gateway(u16),
    /// Captured: what the workload begins.
    Outbound,
    /// Captured: what comes to the workload past the mesh.
    Inbound,
    /// Captured, for the application of one endpoint.
    Endpoint(SocketAddr),
}

/// Who a peer's certificate says it is.
#[derive(Debug)]
pub struct Peer {
    /// The identity.
    pub identity: WorkloadIdentity,
    /// The same as text, for comparing and logs.
    pub id: String,
}

impl Peer {
    /// Prepares what is asked often.
    pub fn new(identity: WorkloadIdentity) -> Self {
        Self { id: identity.to_string(), identity }
    }
}

/// The facts of one client connection, and what was found out for it once instead of for each request.
pub struct Front {
    /// Where it came in.
    pub entrance: Entrance,
    /// Proven by mTLS; `None` outside of the mesh port.
    pub peer: Option<Arc<Peer>>,
    /// The other end.
    pub remote: SocketAddr,
    /// Requests that began: the watchdog of idle connections looks whether it moves.
    pub requests: Cell<u64>,
    /// Requests whose responses have not ended.
    pub in_flight: Cell<u32>,
    /// The watchdog saw that nothing happens.
    pub quiet: Cell<bool>,
    /// There was no room for what it asks now: the answer says so, and is the last.
    pub crowded: Cell<bool>,
    /// The process is leaving: the next answer on this connection of HTTP/1 says that it is the last.
    pub leaving: Cell<bool>,
    /// What its HTTP/1 stream notes. Its `heard` is set by every read and cleared when a request begins or ends: on a
    /// quiet connection, whether the head of another request is on its way.
    pub notes: Arc<Notes>,
    /// To ask whether the client is still there.
    socket: Cell<Option<Watched>>,
    /// The other end's address as a header, once it was needed.
    pub address: OnceCell<HeaderValue>,
    /// What this connection became: upgrades and tunnels, which outlive the codec.
    pub tunnels: TaskTracker,
    /// Where the last request was for, at which generation of the configuration.
    target: RefCell<Option<(u64, Target)>>,
    /// What the last Host header parses to.
    authority: Last<Authority>,
    /// The host that it names, normalised.
    host: Last<Rc<str>>,
    /// At the mesh port: what the last hop header was found to mean.
    pub admission: RefCell<Option<Rc<Admission>>>,
}

/// What a connection's requests are routed by.
#[derive(Clone)]
pub enum Target {
    /// A service.
    Service(Arc<Destination>),
    /// A Gateway's listener.
    Gateway(Arc<Listener>),
}

impl Target {
    /// What holds for its callers.
    pub fn settings(&self) -> &Arc<MeshSettings> {
        match self {
            Self::Service(service) => &service.settings,
            Self::Gateway(listener) => &listener.settings,
        }
    }

    /// Its port, for who waits for a client to make clear what it speaks.
    pub fn undeclared<'a>(&'a self, process: &'a Process) -> Undeclared<'a> {
        let (service, port) = match self {
            Self::Service(service) => (Some(service.name.as_ref()), service.name.port),
            Self::Gateway(listener) => (None, listener.port),
        };
        Undeclared { process, service, port, limit: self.settings().detect_timeout }
    }
}

impl Front {
    /// A connection that has just come in.
    pub fn new(entrance: Entrance, peer: Option<Arc<Peer>>, remote: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            entrance,
            peer,
            remote,
            requests: Cell::new(0),
            in_flight: Cell::new(0),
            quiet: Cell::new(false),
            crowded: Cell::new(false),
            leaving: Cell::new(false),
            notes: Arc::default(),
            socket: Cell::default(),
            address: OnceCell::new(),
            tunnels: TaskTracker::new(),
            target: RefCell::default(),
            authority: Last::default(),
            host: Last::default(),
            admission: RefCell::default(),
        })
    }

    /// A connection without mTLS that has just come in.
    pub fn plain(entrance: Entrance, stream: &TcpStream, remote: SocketAddr) -> Rc<Self> {
        let front = Self::new(entrance, None, remote);
        front.socket.set(Some(Watched::new(stream)));
        front
    }

    /// What the client did, as far as its socket knows. To be asked only while the connection is open.
    pub fn client(&self) -> OtherEnd {
        self.socket.get().map_or(OtherEnd::Here, Watched::other_end)
    }

    /// Whether the client has said something that no codec has read. To be asked only while the connection is open.
    pub fn has_unread(&self) -> bool {
        self.notes.holds.load(Relaxed) || self.socket.get().is_some_and(Watched::has_unread)
    }

    /// What this connection's requests are routed by now. `None`: the configuration has nothing for it (any more).
    /// Not for the HTTP proxy's port, where each request says.
    pub fn target(&self, worker: &Worker) -> Option<Target> {
        let config = worker.config();
        if let Some((generation, target)) = &*self.target.borrow()
            && *generation == config.generation
        {
            return Some(target.clone());
        }
        let target = match &self.entrance {
            Entrance::Upstream(name) => Target::Service(Arc::clone(config.destinations.get(name)?)),
            Entrance::Gateway(port) => Target::Gateway(Arc::clone(config.listeners.get(port)?)),
            Entrance::Endpoint(to) => Target::Service(outbound::destination_at(&config, *to)?),
            Entrance::HttpProxy | Entrance::Mesh | Entrance::Outbound | Entrance::Inbound => return None,
        };
        *self.target.borrow_mut() = Some((config.generation, target.clone()));
        Some(target)
    }

    /// What holds for this connection, where it came in.
    pub fn settings(&self, worker: &Worker) -> Arc<MeshSettings> {
        match self.target(worker) {
            Some(target) => Arc::clone(target.settings()),
            None => Arc::clone(&worker.config().settings),
        }
    }

    /// Whether one more request of this connection is taken (a refusal is counted).
    pub fn admit(&self, worker: &Worker) -> Result<(), ProxyError> {
        if self.crowded.get() {
            return Err(Full.into());
        }
        worker.process.admit_request(&worker.config().settings)
    }

    /// A request's head has come.
    pub fn begin(&self) {
        self.requests.set(self.requests.get() + 1);
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A response is complete, or was given up.
    pub fn end(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.notes.heard.store(false, Relaxed);
    }

    /// The other end's address for the peer's proxy; `None` for loopback, which says nothing there.
    pub fn client_text(&self) -> Option<&str> {
        let ip = self.remote.ip();
        if ip.is_loopback() {
            return None;
        }
        self.address.get_or_init(|| forwarded::address(ip)).to_str().ok()
    }

    /// The port of a Gateway's listener.
    pub fn listener_port(&self) -> Option<u16> {
        match self.entrance {
            Entrance::Gateway(port) => Some(port),
            _ => None,
        }
    }

    /// The host that a Host header names, normalised (empty without one); found out once as long as it stays the same.
    pub fn host(&self, value: Option<&HeaderValue>) -> Result<Rc<str>, ProxyError> {
        match value {
            Some(value) => self.host.get(value, || Ok(route::host(value)?.into())),
            None => Ok(Rc::from("")),
        }
    }

    /// A Host header as authority; parsed once as long as it stays the same.
    pub fn authority(&self, host: &HeaderValue) -> Option<Authority> {
        self.authority.get(host, || Authority::try_from(host.as_bytes())).ok()
    }
}

/// What the last value of a header comes to: on a connection it is usually the same one again.
struct Last<T>(RefCell<Option<Known<T>>>);

struct Known<T> {
    /// A copy: the header's value is a part of its codec's buffer, and would keep all of that as long as the connection
    /// lives.
    value: Box<[u8]>,
    parsed: T,
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone> Last<T> {
    fn get<E>(&self, value: &HeaderValue, parse: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if let Some(known) = &*self.0.borrow()
            && *known.value == *value.as_bytes()
        {
            return Ok(known.parsed.clone());
        }
        let parsed = parse()?;
        *self.0.borrow_mut() = Some(Known { value: value.as_bytes().into(), parsed: parsed.clone() });
        Ok(parsed)
    }
}
