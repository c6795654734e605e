//! The listening sockets: bound once, the same over restarts, changed one by one.
//!
//! A socket is, in this order: the one that the last life left with the supervisor, a new one at the address that the
//! last life wrote down, a new one at a port that the kernel chooses. A Gateway's ports are given by its routes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use byrnie_net::capture::rules;
use byrnie_net::socket::{DEFAULT_BACKLOG, listen, listener_from};
use byrnie_net::{Inherited, Notifier};
use byrnie_plan::{GatewayRoutes, ServicePortRef, Upstreams};
use tokio_util::sync::CancellationToken;

use super::addresses::{Addresses, UpstreamAddress};
use crate::accept::{Entrance, Workers};
use crate::transparent::Captured;

/// What a socket is for. Displayed as the name under which the supervisor keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Metrics and readiness.
    Admin,
    /// Peers.
    Mesh,
    /// The workload's HTTP proxy.
    HttpProxy,
    /// A service port that the workload calls.
    Upstream(ServicePortRef),
    /// A Gateway's port.
    Gateway(SocketAddr),
    /// Captured: what the workload begins.
    Outbound(SocketAddr),
    /// Captured: what comes to the workload past the mesh.
    Inbound(SocketAddr),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("listen:admin"),
            Self::Mesh => f.write_str("listen:mesh"),
            Self::HttpProxy => f.write_str("listen:http-proxy"),
            Self::Upstream(name) => write!(f, "listen:upstream/{}/{}", name.service, name.port),
            Self::Gateway(address) => write!(f, "listen:gateway/{address}"),
            Self::Outbound(address) => write!(f, "listen:outbound/{address}"),
            Self::Inbound(address) => write!(f, "listen:inbound/{address}"),
        }
    }
}

impl What {
    /// `None`: not for the workers.
    fn entrance(&self) -> Option<Entrance> {
        match self {
            Self::Admin => None,
            Self::Mesh => Some(Entrance::Mesh),
            Self::HttpProxy => Some(Entrance::HttpProxy),
            Self::Upstream(name) => Some(Entrance::Upstream(name.clone())),
            Self::Gateway(address) => Some(Entrance::Gateway(address.port())),
            Self::Outbound(_) => Some(Entrance::Outbound),
            Self::Inbound(_) => Some(Entrance::Inbound),
        }
    }
}

/// All sockets that are bound.
pub struct Listeners {
    inherited: Inherited,
    notifier: Rc<Notifier>,
    /// Whether this process may have to hand its sockets over by itself.
    keeps: bool,
    /// Where the workload's sockets are, if its traffic is captured.
    captured: Option<Arc<Captured>>,
    remembered: BTreeMap<What, SocketAddr>,
    bound: BTreeMap<What, Bound>,
    /// What could not be bound, and why.
    failed: BTreeMap<What, Failure>,
}

/// Why something could not be bound.
pub struct Failure {
    /// `BYR0217`, or `BYR0218` where the address itself is not to be had.
    pub code: &'static str,
    /// For people.
    pub why: String,
}

struct Bound {
    address: SocketAddr,
    /// Ends accepting.
    stop: CancellationToken,
    /// For another process of this proxy; `None`: the supervisor keeps it, or it was given up.
    kept: Option<OwnedFd>,
}

impl Listeners {
    /// Nothing is bound yet; `last` is where the last life listened.
    pub fn new(
        inherited: Inherited,
        notifier: Rc<Notifier>,
        last: &Addresses,
        keeps: bool,
        captured: Option<Arc<Captured>>,
    ) -> Self {
        let remembered = remembered(last);
        let (bound, failed) = (BTreeMap::new(), BTreeMap::new());
        Self { inherited, notifier, keeps, captured, remembered, bound, failed }
    }

    /// The socket of the admin server, which does not go to the workers.
    pub fn admin(&mut self) -> io::Result<TcpListener> {
        let listener = self.open(&What::Admin)?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let kept = self.keep(&listener)?;
        tracing::info!(%address, "the admin server listens");
        self.bound.insert(What::Admin, Bound { address, stop, kept });
        Ok(listener)
    }

    /// Binds what is wanted and missing, gives up what nobody wants. True: something changed.
    pub fn bring(&mut self, workers: &Workers, wanted: &BTreeSet<What>) -> bool {
        let gone: Vec<What> = self
            .bound
            .keys()
            .filter(|what| **what != What::Admin && !wanted.contains(what))
            .cloned()
            .collect();
        let mut changed = !gone.is_empty();
        for what in gone {
            self.give_up(&what);
        }
        self.failed.retain(|what, _| wanted.contains(what));
        for what in wanted {
            if self.bound.contains_key(what) {
                continue;
            }
            let opened = self.open(what);
            match opened.and_then(|listener| Ok((listener.local_addr()?, self.keep(&listener)?, listener))) {
                Ok((address, kept, listener)) => {
                    let stop = match what.entrance() {
                        Some(entrance) => workers.listen(listener, entrance),
                        None => continue,
                    };
                    tracing::info!(%address, "listening: {what}");
                    self.failed.remove(what);
                    self.bound.insert(what.clone(), Bound { address, stop, kept });
                    changed = true;
                }
                Err(error) => {
                    let name = match what {
                        What::Gateway(address) => format!("port {} ({address})", address.port()),
                        what => what.to_string(),
                    };
                    let code = match error.kind() {
                        io::ErrorKind::AddrNotAvailable => "BYR0218",
                        _ => "BYR0217",
                    };
                    let why = format!("{name} cannot be bound: {error}");
                    self.failed.insert(what.clone(), Failure { code, why });
                }
            }
        }
        changed
    }

    fn keep(&self, listener: &TcpListener) -> io::Result<Option<OwnedFd>> {
        if self.keeps { listener.as_fd().try_clone_to_owned().map(Some) } else { Ok(None) }
    }

    /// All sockets, for another process of this proxy.
    pub fn duplicates(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let kept =
            self.bound.iter().filter_map(|(what, bound)| Some((what.to_string(), bound.kept.as_ref()?)));
        super::handover::duplicates(kept)
    }

    /// Everything that is bound.
    pub fn bound(&self) -> impl Iterator<Item = (&What, SocketAddr)> {
        self.bound.iter().map(|(what, bound)| (what, bound.address))
    }

    /// Takes nobody any more, but for the admin server. Where a supervisor or another process keeps the sockets, who
    /// connects then waits for that one; else nothing here may keep them open, or who connects would hang.
    pub fn close(&mut self) {
        for (_, bound) in self.bound.iter_mut().filter(|(what, _)| **what != What::Admin) {
            bound.stop.cancel();
            bound.kept = None;
        }
    }

    /// Closes what the last life left behind and nobody wants any more, here and at the supervisor.
    pub fn drop_leftovers(&mut self) {
        let names: Vec<String> = self.inherited.names().map(str::to_owned).collect();
        for name in names.iter().filter(|name| name.starts_with("listen:")) {
            self.inherited.remove(name);
            self.tell(self.notifier.remove(name));
        }
    }

    /// Where this is bound.
    pub fn address(&self, what: &What) -> Option<SocketAddr> {
        self.bound.get(what).map(|bound| bound.address)
    }

    /// What could not be bound.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.failed.values()
    }

    /// Whether nothing for clients is bound although something should be.
    pub fn is_without_any(&self) -> bool {
        !self.failed.is_empty() && !self.bound.keys().any(|what| *what != What::Admin)
    }

    /// Everything that is bound, as the supervisor reads it; upstreams in the order of the plan.
    pub fn addresses(&self, upstreams: Option<&Upstreams>) -> Addresses {
        let upstream = |upstream: &byrnie_plan::Upstream| {
            let service = ServicePortRef { service: upstream.service.clone(), port: upstream.port };
            Some(UpstreamAddress { address: self.address(&What::Upstream(service.clone()))?, service })
        };
        Addresses {
            admin: self.address(&What::Admin),
            mesh: self.address(&What::Mesh),
            http_proxy: self.address(&What::HttpProxy),
            upstreams: upstreams.iter().flat_map(|u| &u.upstreams).filter_map(upstream).collect(),
        }
    }

    fn give_up(&mut self, what: &What) {
        let Some(bound) = self.bound.remove(what) else { return };
        bound.stop.cancel();
        // The address comes back to the same service, if nobody has taken it meanwhile.
        if !matches!(what, What::Gateway(_)) {
            self.remembered.insert(what.clone(), bound.address);
        }
        self.tell(self.notifier.remove(&what.to_string()));
    }

    fn open(&mut self, what: &What) -> io::Result<TcpListener> {
        let name = what.to_string();
        if let Some(kept) = self.inherited.remove(&name).and_then(|fd| listener_from(fd).ok())
            && self.fits(what, &kept)
        {
            return Ok(kept);
        }
        let listener = self.bind(what)?;
        self.tell(self.notifier.replace(&name, &listener));
        Ok(listener)
    }

    /// A socket whose address is given must be at that very address.
    fn fits(&self, what: &What, kept: &TcpListener) -> bool {
        let wanted = self.given(what);
        wanted.is_none_or(|wanted| kept.local_addr().is_ok_and(|address| address == wanted))
    }

    /// The address, where it is not for us to choose.
    fn given(&self, what: &What) -> Option<SocketAddr> {
        match what {
            What::Gateway(address) | What::Outbound(address) | What::Inbound(address) => Some(*address),
            What::Mesh => self.captured.as_ref().map(|captured| captured.mesh_address()),
            What::Admin | What::HttpProxy | What::Upstream(_) => None,
        }
    }

    fn bind(&self, what: &What) -> io::Result<TcpListener> {
        let (given, remembered) = (self.given(what), self.remembered.get(what).copied());
        match &self.captured {
            Some(captured) if *what != What::Admin => captured.inside.run(move || bind(given, remembered)),
            _ => bind(given, remembered),
        }
    }

    fn tell(&self, told: io::Result<()>) {
        if let Err(error) = told {
            tracing::warn!(%error, "the supervisor does not hear about a socket");
        }
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// At the very address that is given; else where the last life was, or at a port that the kernel chooses.
fn bind(given: Option<SocketAddr>, remembered: Option<SocketAddr>) -> io::Result<TcpListener> {
    if let Some(address) = given {
        return listen(address, DEFAULT_BACKLOG);
    }
    match remembered.map(|address| listen(address, DEFAULT_BACKLOG)) {
        Some(Ok(listener)) => Ok(listener),
        _ => listen(SocketAddr::new(LOOPBACK, 0), DEFAULT_BACKLOG),
    }
}

/// What a sidecar listens on.
pub fn of_sidecar(upstreams: Option<&Upstreams>) -> BTreeSet<What> {
    let mut wanted = BTreeSet::from([What::Mesh]);
    let Some(upstreams) = upstreams else { return wanted };
    wanted.extend(upstreams.http_proxy.then_some(What::HttpProxy));
    wanted.extend(upstreams.upstreams.iter().map(|upstream| {
        What::Upstream(ServicePortRef { service: upstream.service.clone(), port: upstream.port })
    }));
    wanted
}

/// What a sidecar listens on that captures, beside that.
pub fn of_capture(captured: &Captured) -> impl Iterator<Item = What> {
    let v4 = [
        What::Outbound(SocketAddr::new(LOOPBACK, rules::OUTBOUND)),
        What::Inbound(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), rules::INBOUND)),
    ];
    let v6 = [
        What::Outbound(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), rules::OUTBOUND)),
        What::Inbound(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), rules::INBOUND)),
    ];
    v4.into_iter().chain(v6.into_iter().filter(|_| captured.options.v6.is_some()))
}

/// What a Gateway listens on.
pub fn of_gateway(routes: Option<&GatewayRoutes>) -> BTreeSet<What> {
    let mut wanted = BTreeSet::new();
    for listener in routes.iter().flat_map(|routes| &routes.listeners) {
        let addresses = if listener.addresses.is_empty() { &[LOOPBACK][..] } else { &listener.addresses };
        wanted.extend(addresses.iter().map(|ip| What::Gateway(SocketAddr::new(*ip, listener.port))));
    }
    wanted
}

fn remembered(last: &Addresses) -> BTreeMap<What, SocketAddr> {
    let fixed = [(What::Admin, last.admin), (What::Mesh, last.mesh), (What::HttpProxy, last.http_proxy)];
    let fixed = fixed.into_iter().filter_map(|(what, address)| Some((what, address?)));
    let upstreams =
        last.upstreams.iter().map(|upstream| (What::Upstream(upstream.service.clone()), upstream.address));
    // A file that somebody has edited must not make a sidecar listen to the world.
    fixed.chain(upstreams).filter(|(_, address)| address.ip().is_loopback()).collect()
}
