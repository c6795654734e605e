//! A proxy from its options to its end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use byrnie_net::{Inherited, Notifier};
use byrnie_plan::ObjectName;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    /// `host:port` of the control plane.
    pub control_plane: Arc<str>,
    /// PEM file with the roots of the mesh, for the first connection.
    pub trust_bundle: PathBuf,
    /// For the snapshot and the addresses; made if it is not there.
    pub state_dir: PathBuf,
    /// Data-plane threads; at least one is started.
    pub workers: usize,
    /// The supervisor's run; empty without a supervisor.
    pub run: String,
    /// Software version, for people.
    pub version: String,
    /// Cancelled to drain and end, as SIGTERM does.
    pub stop: CancellationToken,
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
    let workers = runtime.block_on(async {
        let signals = signals()?;
        tokio::spawn(stop_on(signals, options.stop.clone()));
        Control::start(options, supervision).await?.run().await
    });
    // A lookup or a write that hangs must not hold up the exit.
    runtime.shutdown_background();
    workers?.join();
    Ok(())
}

fn signals() -> Result<[Signal; 2], RunError> {
    let listen = |kind| signal(kind).map_err(RunError::Signals);
    Ok([listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?])
}

async fn stop_on(mut signals: [Signal; 2], stop: CancellationToken) {
    let [terminate, interrupt] = &mut signals;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
}
