//! A proxy from its options to its end.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use byrnie_net::{Inherited, Notifier};
use byrnie_plan::{Key, ObjectName, Resource};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::process::Role;

/// What a proxy is told at its start.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// The Workload, or the Gateway.
    pub workload: ObjectName,
    /// What the proxy is for.
    pub role: Role,
    /// Where its resources come from.
    pub source: Source,
    /// Where the admin server listens; only loopback. `None`: where it was before, else a port of the kernel's choice.
    pub admin: Option<SocketAddr>,
    /// Where lines about requests go.
    pub access_log: LogOutput,
    /// Data-plane threads; at least one is started.
    pub workers: usize,
    /// The supervisor's run; empty without a supervisor.
    pub run: String,
    /// Software version, for people.
    pub version: String,
    /// Whether the workload's traffic is captured: all names are known then, and services are called by their virtual
    /// addresses.
    pub transparent: bool,
    /// Cancelled to drain and end, as SIGTERM does.
    pub stop: CancellationToken,
    /// Grows with each process of this proxy.
    pub generation: u64,
    /// Starts another process of this proxy, for a hot restart. `None`: the supervisor does.
    pub successor: Option<Successor>,
    /// What SIGUSR2 and SIGUSR1 ask for.
    pub orders: Orders,
    /// Reads and sets what goes to the process's own log.
    pub log_filter: Option<LogFilter>,
    /// Where the token of this life's admin server is written, mode 0600. `None`: into the state directory, if there is
    /// one.
    pub admin_token: Option<PathBuf>,
}

/// Starts another process of this proxy, which inherits these descriptors by name, and says its process id. Called
/// within a runtime.
#[derive(Clone)]
pub struct Successor(pub Arc<StartAnother>);

/// See [`Successor`].
pub type StartAnother = dyn Fn(Vec<(String, OwnedFd)>) -> io::Result<u32> + Send + Sync;

/// Hot restart: SIGUSR2 asks for another process in the place of this one, the supervisor's SIGUSR1 says that it is
/// there.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Start another one.
    pub restart: Arc<Notify>,
    /// It is ready: finish what is open.
    pub retire: CancellationToken,
}

/// The filter of the process's own log: how it is now, and how to set it.
#[derive(Clone)]
pub struct LogFilter {
    /// In force.
    pub get: Arc<dyn Fn() -> String + Send + Sync>,
    /// Sets it; an error says what cannot be read.
    pub set: Arc<SetFilter>,
}

/// See [`LogFilter::set`].
pub type SetFilter = dyn Fn(&str) -> Result<(), String> + Send + Sync;

impl fmt::Debug for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Successor")
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogFilter")
    }
}

/// Where a proxy's resources come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From a control plane, with an identity; what was in force is kept for the next life.
    ControlPlane(ControlPlane),
    /// From whoever runs this process, each time the whole state. There is no identity, nothing goes over a hop, and
    /// nothing is kept.
    Local(watch::Receiver<LocalState>),
}

/// A control plane, and what is kept of it.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// `host:port`.
    pub address: Arc<str>,
    /// PEM file with the roots of the mesh, for the first connection.
    pub trust_bundle: PathBuf,
    /// For the snapshot and the addresses; made if it is not there.
    pub state_dir: PathBuf,
}

impl Source {
    /// Where a proxy without control plane hears of its resources.
    pub(crate) fn local(&self) -> Option<watch::Receiver<LocalState>> {
        match self {
            Self::ControlPlane(_) => None,
            Self::Local(state) => Some(state.clone()),
        }
    }

    /// Where the state of this life is kept for the next one.
    pub(crate) fn state_dir(&self) -> Option<&Path> {
        match self {
            Self::ControlPlane(control_plane) => Some(&control_plane.state_dir),
            Self::Local(_) => None,
        }
    }
}

/// Everything that a proxy without control plane is to obey.
#[derive(Clone, Debug, Default)]
pub struct LocalState {
    /// By key.
    pub resources: Arc<BTreeMap<Key, Resource>>,
    /// Why a newer state cannot be used, with its code; empty: this is the newest.
    pub refused: String,
}

/// Where the access log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogOutput {
    /// Beside the process's own log.
    #[default]
    Stderr,
    /// For pipes.
    Stdout,
}

/// What ties a proxy to whoever started it.
#[derive(Debug)]
pub struct Supervision {
    /// Sockets, credential and identity.
    pub inherited: Inherited,
    /// Tells how the proxy is, and gives sockets and identity into keeping.
    pub notifier: Notifier,
}

/// Why a proxy ends otherwise than by a drain. Whoever started it may start it again.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state directory cannot be made.
    #[error("BYR0370: {path}: {source}")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A thread or runtime cannot be started.
    #[error("BYR0467: starting threads: {0}")]
    Threads(io::Error),
    /// The admin server has no socket.
    #[error("BYR0467: the admin server: {0}")]
    Admin(io::Error),
    /// The workload's traffic cannot be captured.
    #[error("BYR0496: capturing the workload's traffic: {0}")]
    Capture(io::Error),
    /// The resolver has no thread, or was handed what is no socket.
    #[error("BYR0281: the resolver: {0}")]
    Dns(io::Error),
    /// Signals cannot be heard.
    #[error("BYR0467: signals: {0}")]
    Signals(io::Error),
    /// There is no certificate and no way for this process to get one.
    #[error("BYR0324: no certificate: {0}")]
    Identity(String),
}

/// Runs a proxy until SIGTERM or SIGINT, then drains it. Call it outside of any runtime: the calling thread becomes
/// the control thread.
pub fn run(options: ProxyOptions, supervision: Supervision) -> Result<(), RunError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Threads)?;
    // Who starts the next process itself hears from that one when it is ready.
    let is_told = options.successor.is_none() && supervision.notifier.is_supervised();
    let workers = runtime.block_on(async {
        tokio::spawn(obey(signals()?, options.stop.clone(), options.orders.clone(), is_told));
        Control::start(options, supervision).await?.run().await
    });
    // A lookup or a write that hangs must not hold up the exit.
    runtime.shutdown_background();
    workers?.join();
    Ok(())
}

fn signals() -> Result<[Signal; 4], RunError> {
    let listen = |kind| signal(kind).map_err(RunError::Signals);
    Ok([
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
        listen(SignalKind::user_defined2())?,
        listen(SignalKind::user_defined1())?,
    ])
}

/// `is_told`: whether a supervisor says by a signal that another process has taken over.
async fn obey(mut signals: [Signal; 4], stop: CancellationToken, orders: Orders, is_told: bool) {
    let [terminate, interrupt, restart, retire] = &mut signals;
    loop {
        tokio::select! {
            _ = terminate.recv() => return stop.cancel(),
            _ = interrupt.recv() => return stop.cancel(),
            _ = restart.recv() => orders.restart.notify_one(),
            _ = retire.recv() => match is_told {
                true => orders.retire.cancel(),
                false => tracing::warn!("SIGUSR1 is ignored: no other process has taken over"),
            },
        }
    }
}
