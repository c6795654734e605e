//! Whole proxies on a thread of the test, with what a supervisor hands over, and without a control plane.

mod identity;
mod life;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use byrnie_identity::{CertificateAuthority, KeyPair, Svid, bundle_to_pem};
use byrnie_net::{FdStore, Notification, Notifier, NotifyServer};
use byrnie_plan::{ObjectName, Resource, TrustBundle, WorkloadIdentity};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Control;
use crate::process::Role;
use crate::run::{ControlPlane, LogOutput, ProxyOptions, RunError, Source, Supervision};

/// Nothing in these tests takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

fn identity_of(account: &str) -> WorkloadIdentity {
    format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap()
}

/// A mesh's authority, and the directory of one proxy.
struct Home {
    dir: TempDir,
    authority: CertificateAuthority,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca");
        let authority =
            CertificateAuthority::load_or_create(&ca, "cluster.local", SystemTime::now()).unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        std::fs::write(dir.path().join("trust-bundle.pem"), bundle_to_pem(authority.bundle())).unwrap();
        Self { dir, authority }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn bundle(&self) -> TrustBundle {
        self.authority.bundle().clone()
    }

    /// A certificate that was signed at this moment.
    fn svid(&self, account: &str, lifetime: Duration, at: SystemTime) -> Svid {
        let key = KeyPair::generate().unwrap();
        let signed =
            self.authority.sign(&key.csr_der().unwrap(), &identity_of(account), lifetime, at).unwrap();
        Svid::new(key, signed.chain_der, at).unwrap()
    }

    /// What the last life held.
    fn snapshot(&self, resources: &[Resource]) {
        let all: Vec<_> = resources.iter().map(|r| (r.key(), byrnie_wire::encode(r))).collect();
        let path = self.state().join("snapshot.bin");
        byrnie_wire::snapshot::save(&path, all.iter().map(|(key, encoded)| (key, encoded))).unwrap();
    }
}

/// A descriptor as the supervisor keeps the identity.
fn kept(svid: &Svid) -> OwnedFd {
    byrnie_net::memfd::sealed("identity", &svid.encode()).unwrap()
}

/// A port that was free a moment ago; nobody listens there.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A running proxy, and its supervisor.
struct Running {
    thread: JoinHandle<Result<(), RunError>>,
    stop: CancellationToken,
    server: NotifyServer,
    /// What the proxy gave into keeping.
    store: FdStore,
    ready: bool,
    stopping: bool,
    statuses: Vec<String>,
}

impl Running {
    fn start(home: &Home, workload: &str, role: Role, store: FdStore) -> Self {
        let socket = home.dir.path().join("notify.sock");
        let _ = std::fs::remove_file(&socket);
        let server = NotifyServer::bind(&socket).unwrap();
        let stop = CancellationToken::new();
        let options = ProxyOptions {
            workload: name(workload),
            role,
            source: Source::ControlPlane(ControlPlane {
                address: nobody().to_string().into(),
                trust_bundle: home.dir.path().join("trust-bundle.pem"),
                state_dir: home.state(),
            }),
            admin: None,
            access_log: LogOutput::Stderr,
            workers: 2,
            run: "run-1".into(),
            version: "test".into(),
            transparent: false,
            stop: stop.clone(),
        };
        let inherited = store.duplicates().unwrap().into_iter().collect();
        let supervision = Supervision { inherited, notifier: Notifier::connect(&socket).unwrap() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let workers = runtime.block_on(async { Control::start(options, supervision).await?.run().await });
            workers?.join();
            Ok(())
        });
        Self { thread, stop, server, store, ready: false, stopping: false, statuses: Vec::new() }
    }

    /// Hears the proxy until it has said what is wanted.
    async fn until(&mut self, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            let heard = timeout(PATIENCE, self.server.receive()).await;
            let Ok(heard) = heard else { panic!("ready {}, heard {:?}", self.ready, self.statuses) };
            self.hear(heard.unwrap());
        }
    }

    fn hear(&mut self, heard: Notification) {
        self.ready |= heard.ready;
        self.stopping |= heard.stopping;
        self.statuses.extend(heard.status);
        if let Some(change) = heard.descriptor {
            assert!(change.apply(&mut self.store));
        }
    }

    /// Drains it. What it gave into keeping stays.
    async fn end(mut self) -> FdStore {
        self.stop.cancel();
        self.until(|running| running.stopping).await;
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap().unwrap();
        self.store
    }
}

/// Status and body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Whether the mesh port proves to be this workload.
async fn proves(home: &Home, address: SocketAddr, account: &str) -> std::io::Result<()> {
    let own = home.svid("caller", Duration::from_secs(3600), SystemTime::now());
    let tls = crate::tls::TlsState::new(Arc::new(own), Arc::new(home.bundle())).unwrap();
    let config = tls.client(crate::tls::Alpn::Requests, &identity_of(account)).unwrap();
    let stream = tokio::net::TcpStream::connect(address).await?;
    let connector = tokio_rustls::TlsConnector::from(config);
    connector.connect(byrnie_identity::unused_server_name(), stream).await.map(drop)
}
