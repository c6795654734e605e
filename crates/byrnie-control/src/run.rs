//! From options to a running control plane, and down again.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_identity::IdentityError;
use byrnie_store::{EmbeddedOptions, EmbeddedStore, Store, StoreError};
use byrnie_wire::generated::identity_server::IdentityServer;
use byrnie_wire::server::{service, transport};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio_util::task::TaskTracker;

use crate::authority::{self, Authority};
use crate::compile_loop::{self, Follower};
use crate::push::DiscoveryService;
use crate::sign::SignService;
use crate::state::Control;
use crate::{api, file, server, tls};

/// The file in the data directory that says where the control plane listens.
pub const ADDRESS_FILE: &str = "control-plane.json";
/// The store in the data directory.
const STORE_FILE: &str = "store.redb";
/// How long requests that are under way may take at the end.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// What a control plane needs to know.
#[derive(Debug)]
pub struct ControlPlaneOptions {
    /// Where everything rests. Made (mode 0700) when it is not there.
    pub data_dir: PathBuf,
    /// The supervisor's run: addresses that proxies reported in another one are void.
    pub run_id: String,
    /// Where proxies connect. `None`: the port of the run before on loopback, if it is free, else any.
    pub xds_listener: Option<TcpListener>,
    /// The program's version, for people.
    pub version: String,
    /// Whether proxies capture traffic: Services get virtual addresses, and proxies hear of all names.
    pub transparent: bool,
}

/// What [`ADDRESS_FILE`] holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// The control plane's process.
    pub pid: u32,
    /// Where proxies connect, `127.0.0.1:port`.
    pub xds: String,
    /// The API's socket.
    pub api: PathBuf,
}

/// Why a control plane does not start, or ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or a listener.
    #[error("BYR0459: {what}: {source}; check owner, permissions and free space of the data directory")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store. A file that fails while the control plane runs ends it: nothing could be confirmed any more, and
    /// whoever starts it again opens the file anew.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate authority.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A running control plane.
pub struct ControlPlane {
    control: Arc<Control>,
    store: Arc<EmbeddedStore>,
    tasks: TaskTracker,
}

/// Runs a control plane until SIGTERM or SIGINT, or until its store fails. Tells the supervisor (`NOTIFY_SOCKET`)
/// when it is ready.
pub async fn run(options: ControlPlaneOptions) -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).map_err(io_error("listening for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io_error("listening for SIGINT"))?;
    let notifier = byrnie_net::Notifier::from_env().map_err(io_error("opening NOTIFY_SOCKET"))?;
    let plane = ControlPlane::start(options).await?;
    notifier.ready().map_err(io_error("telling the supervisor"))?;
    let ended = tokio::select! {
        _ = term.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failed = plane.store.failed() => Err(StartError::Store(failed)),
    };
    // The supervisor may be gone; then nobody wants to know.
    let _ = notifier.stopping();
    plane.stop().await;
    ended
}

impl ControlPlane {
    /// Opens the store and the authority, compiles what is there, and only then listens.
    pub async fn start(mut options: ControlPlaneOptions) -> Result<Self, StartError> {
        let data_dir = &options.data_dir.clone();
        make_dir(data_dir).map_err(io_error(format!("making {}", data_dir.display())))?;
        let path = data_dir.join(STORE_FILE);
        let opened =
            tokio::task::spawn_blocking(move || EmbeddedStore::open(&path, EmbeddedOptions::default()));
        let store = Arc::new(opened.await.map_err(|_| StoreError::Closed)??);
        let authority = open_authority(data_dir, &*store).await?;
        let listener = match options.xds_listener.take() {
            Some(listener) => listener,
            None => bind(data_dir).map_err(io_error("listening for proxies on 127.0.0.1"))?,
        };
        let xds = listener.local_addr().map_err(io_error("listening for proxies"))?;
        let shared = Arc::clone(&store) as Arc<dyn Store>;
        let transparent = options.transparent;
        let control = Arc::new(Control::new(options, xds, shared, authority));
        let follower = compile_first(&control, transparent).await?;
        let api = server::listen(&control.data_dir).map_err(io_error("listening on api.sock"))?;
        let tasks = spawn(&control, follower, listener, api)?;
        write_addresses(&control).map_err(io_error(format!("writing {ADDRESS_FILE}")))?;
        Ok(Self { control, store, tasks })
    }

    /// Where proxies connect.
    pub fn xds(&self) -> std::net::SocketAddr {
        self.control.xds
    }

    /// Ends streams and requests, then lets go of the store.
    pub async fn stop(self) {
        self.control.stop.cancel();
        if !ended(&self.tasks).await {
            tracing::warn!("some requests did not end within {STOP_DEADLINE:?}");
        }
        drop(self.control);
        // Every answer that was given is on the disk already; this only frees the file for whoever comes next.
        // Tasks of the HTTP libraries let go of it a moment after they count as ended.
        let mut shared = self.store;
        let deadline = Instant::now() + STOP_DEADLINE;
        while Instant::now() < deadline {
            match Arc::try_unwrap(shared) {
                Ok(store) => return store.close().await,
                Err(still) => shared = still,
            }
            tokio::task::yield_now().await;
        }
        tracing::warn!("the store is still in use after {STOP_DEADLINE:?}");
    }
}

/// Waits until all tasks have ended, as long as there is time. False: some have not.
async fn ended(tasks: &TaskTracker) -> bool {
    tasks.close();
    tokio::time::timeout(STOP_DEADLINE, tasks.wait()).await.is_ok()
}

/// What has no object: the compiler's own defaults, and the roots. Then everything in the store.
async fn compile_first(control: &Control, transparent: bool) -> Result<Follower, StoreError> {
    let output = {
        let mut compiler = control.compiler.lock();
        let mut output = compiler.set_trust_bundle(control.authority.bundle());
        let all =
            compiler.resources().cloned().map(|r| byrnie_mesh::Update { key: r.key(), resource: Some(r) });
        output.updates = all.collect();
        output
    };
    compile_loop::publish(control, output);
    Follower::start(control, transparent).await
}

fn spawn(
    control: &Arc<Control>,
    follower: Follower,
    listener: TcpListener,
    api: UnixListener,
) -> Result<TaskTracker, StartError> {
    let tasks = TaskTracker::new();
    let stop = control.stop.clone();
    let at = Arc::clone(control);
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move { follower.run(&at).await }));
    let at = Arc::clone(control);
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move { at.authority.keep_fresh().await }));
    let at = Arc::clone(control);
    tasks.spawn(
        stop.clone().run_until_cancelled_owned(async move { at.statuses.run(&*at.store, &at.metrics).await }),
    );
    let at = Arc::clone(control);
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move { at.health.tell(&at.statuses).await }));
    let at = Arc::clone(control);
    tasks.spawn(async move {
        let stop = at.stop.clone();
        if let Err(cause) = server::serve(api, at, stop).await {
            tracing::error!(%cause, "the API has ended");
        }
    });
    let at = Arc::clone(control);
    let connections = tls::incoming(listener, Arc::new(move || at.authority.tls()), stop.clone(), &tasks)
        .map_err(io_error("listening for proxies"))?;
    let router = transport()
        .add_service(service(DiscoveryService { control: Arc::clone(control), tasks: tasks.clone() }))
        .add_service(
            IdentityServer::new(SignService { control: Arc::clone(control) })
                .max_decoding_message_size(64 << 10),
        );
    tasks.spawn(async move {
        if let Err(cause) = router.serve_with_incoming_shutdown(connections, stop.cancelled_owned()).await {
            tracing::error!(%cause, "the proxies' listener has ended");
        }
    });
    Ok(tasks)
}

/// The authority of the Mesh's trust domain. One of another domain is from a start that was cut short before anybody
/// had a certificate of it, or from a Mesh that was changed by hand: then it is refused.
async fn open_authority(data_dir: &Path, store: &dyn Store) -> Result<Authority, StartError> {
    let mesh = compile_loop::stored_mesh(store).await?;
    let lifetime = mesh.spec.certificates.lifetime.into();
    match Authority::open(data_dir, &mesh.spec.trust_domain, lifetime) {
        Err(IdentityError::TrustDomainChanged { .. }) if compile_loop::is_unused(store).await? => {
            authority::discard(data_dir)?;
            Ok(Authority::open(data_dir, &mesh.spec.trust_domain, lifetime)?)
        }
        opened => Ok(opened?),
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The port of the run before, so that proxies find a restarted control plane where it was.
fn bind(data_dir: &Path) -> io::Result<TcpListener> {
    let before = std::fs::read(data_dir.join(ADDRESS_FILE)).ok();
    let before: Option<Addresses> = before.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let before = before.and_then(|addresses| TcpListener::bind(addresses.xds).ok());
    before.map_or_else(|| TcpListener::bind("127.0.0.1:0"), Ok)
}

fn write_addresses(control: &Control) -> io::Result<()> {
    let addresses = Addresses {
        pid: std::process::id(),
        xds: control.xds.to_string(),
        api: control.data_dir.join(api::SOCKET_NAME),
    };
    file::write(&control.data_dir.join(ADDRESS_FILE), &serde_json::to_vec_pretty(&addresses)?)
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    let what = what.into();
    move |source| StartError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_in_time_is_left() {
        let (tasks, start) = (TaskTracker::new(), tokio::time::Instant::now());
        tasks.spawn(tokio::time::sleep(Duration::from_secs(1)));
        assert!(ended(&tasks).await);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        tasks.spawn(std::future::pending::<()>());
        assert!(!ended(&tasks).await);
        assert_eq!(start.elapsed(), Duration::from_secs(1) + STOP_DEADLINE);
    }
}
