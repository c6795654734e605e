//! What the tests stand on.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use byrnie_decide::{Authorizer, RetryBudget, Time};
use byrnie_identity::{CertificateAuthority, KeyPair, Svid};
use byrnie_plan::{
    AppProtocol, AuthorizationPolicy, DefaultAction, Dialect, Hop, InboundPolicy, MeshSettings, ObjectName,
    ServicePortRef, TrafficSettings, WorkloadIdentity,
};
use byrnie_telemetry::{AccessLogWriter, Registry, RegistrySettings, TcpDelta, names};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

use crate::config::{Cluster, Config, Destination, Endpoint, Inbound, InboundPort};
use crate::connection;
use crate::front::Entrance;
use crate::process::{Process, Role};
use crate::tls::TlsState;
use crate::worker::Worker;

/// The port that applications declare here.
pub(crate) const PORT: u16 = 8080;

/// Runs a test as a worker runs, with a limit on its time.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("it hangs") });
}

/// Waits for something that another task does.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn web() -> ServicePortRef {
    ServicePortRef { service: ObjectName::new("shop", "web"), port: 80 }
}

pub(crate) fn identity(account: &str) -> WorkloadIdentity {
    format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap()
}

/// A trust domain.
pub(crate) struct Mesh {
    authority: CertificateAuthority,
    _dir: tempfile::TempDir,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority =
            CertificateAuthority::load_or_create(dir.path(), "cluster.local", SystemTime::now()).unwrap();
        Self { authority, _dir: dir }
    }

    /// A proxy with a certificate.
    pub(crate) fn proxy(&self, account: &str) -> Rc<Worker> {
        self.proxy_logging(account, std::io::sink())
    }

    /// The same; its access log goes there.
    pub(crate) fn proxy_logging(
        &self,
        account: &str,
        log: impl std::io::Write + Send + 'static,
    ) -> Rc<Worker> {
        let metrics = Registry::new(RegistrySettings::default());
        let dropped = metrics.counter(&names::ACCESS_LOG_DROPPED, &[]);
        let log = AccessLogWriter::start(log, dropped).unwrap();
        let workload = ObjectName::new("shop", format!("{account}-1"));
        let process = Arc::new(Process::new(workload, Role::Sidecar, metrics, log));
        self.certify(&process, account);
        Worker::new(0, process)
    }

    /// A new certificate.
    pub(crate) fn certify(&self, process: &Process, account: &str) {
        let key = KeyPair::generate().unwrap();
        let now = SystemTime::now();
        let csr = key.csr_der().unwrap();
        let signed = self.authority.sign(&csr, &identity(account), Duration::from_secs(3600), now).unwrap();
        let svid = Svid::new(key, signed.chain_der, now).unwrap();
        let bundle = Arc::new(self.authority.bundle().clone());
        process.tls.store(Some(Arc::new(TlsState::new(Arc::new(svid), bundle).unwrap())));
    }
}

/// Accepts and serves, as a worker does.
pub(crate) async fn listen(worker: &Rc<Worker>, entrance: Entrance) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let mut tuned = crate::tuned::Tuned::default();
        while let Ok((stream, remote)) = listener.accept().await {
            tuned.see_to(&listener, &stream, worker.config().settings.peer_timeout).unwrap();
            let (worker, entrance) = (Rc::clone(&worker), entrance.clone());
            tokio::task::spawn_local(async move {
                tokio::select! {
                    () = connection::serve(&worker, stream, remote, entrance) => {}
                    () = worker.process.closing.cancelled() => {}
                }
            });
        }
    });
    address
}

/// An application: `serve` is called for each connection.
pub(crate) async fn application<F>(serve: impl Fn(TcpStream) -> F + 'static) -> SocketAddr
where
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream));
        }
    });
    address
}

pub(crate) async fn echo(mut stream: TcpStream) {
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

/// What a server's proxy accepts.
pub(crate) struct Accepts {
    pub(crate) application: SocketAddr,
    pub(crate) protocol: AppProtocol,
    pub(crate) services: Vec<ServicePortRef>,
    pub(crate) policies: Vec<AuthorizationPolicy>,
    pub(crate) settings: TrafficSettings,
}

impl Accepts {
    pub(crate) fn new(application: SocketAddr) -> Self {
        let settings = TrafficSettings::default();
        Self {
            application,
            protocol: AppProtocol::Tcp,
            services: vec![web()],
            policies: Vec::new(),
            settings,
        }
    }

    pub(crate) fn put_in_force(self, worker: &Worker) {
        let workload = worker.process.workload.clone();
        let plan = byrnie_plan::Endpoint {
            workload: workload.clone(),
            address: self.application,
            app_port: PORT,
            hop: Hop::Plaintext,
            weight: 1,
            locality: String::new(),
            uid: String::new(),
            labels: Vec::new(),
        };
        let application = Arc::new(Endpoint::new(plan, Time::ZERO));
        let cluster = cluster(self.protocol, self.settings, vec![Arc::clone(&application)]);
        let port = Arc::new(InboundPort {
            port: PORT,
            address: self.application,
            protocol: self.protocol,
            services: self.services,
            application,
            cluster,
            settings: Default::default(),
        });
        let policy = Arc::new(InboundPolicy {
            locality: String::new(),
            health_checks: Vec::new(),
            overrides: Default::default(),
            workload,
            identity: worker.process.identity().unwrap(),
            ports: Vec::new(),
            authorization: Default::default(),
            default_action: DefaultAction::AllowAuthenticated,
            controls: Vec::new(),
        });
        let authorizer = Authorizer::compile(&self.policies, DefaultAction::AllowAuthenticated);
        let inbound = Inbound {
            policy,
            authorizer,
            ports: [(PORT, port)].into_iter().collect(),
            controls: Vec::new(),
            settings: Arc::default(),
        };
        let generation = worker.config().generation + 1;
        let config = Config { generation, inbound: Some(Arc::new(inbound)), ..Config::default() };
        worker.process.config.store(Arc::new(config));
    }
}

fn cluster(protocol: AppProtocol, settings: TrafficSettings, endpoints: Vec<Arc<Endpoint>>) -> Arc<Cluster> {
    Arc::new(Cluster::new(web(), protocol, Arc::new(settings), Arc::new(RetryBudget::new()), endpoints))
}

/// An endpoint behind the proxy of `account`.
pub(crate) fn meshed(proxy: SocketAddr, account: &str, dialect: Dialect) -> Arc<Endpoint> {
    endpoint(proxy, Hop::Mesh { identity: identity(account), dialect })
}

pub(crate) fn endpoint(address: SocketAddr, hop: Hop) -> Arc<Endpoint> {
    let plan = byrnie_plan::Endpoint {
        workload: ObjectName::new("shop", format!("web-{}", address.port())),
        address,
        app_port: PORT,
        hop,
        weight: 1,
        locality: String::new(),
        uid: String::new(),
        labels: Vec::new(),
    };
    Arc::new(Endpoint::new(plan, Time::ZERO))
}

/// Puts a destination into force.
pub(crate) fn call(
    worker: &Worker,
    protocol: AppProtocol,
    settings: TrafficSettings,
    endpoints: Vec<Arc<Endpoint>>,
) -> Arc<Destination> {
    let cluster = cluster(protocol, settings, endpoints);
    let destination = Arc::new(Destination {
        name: Arc::new(web()),
        protocol,
        http: None,
        tcp: Vec::new(),
        cluster,
        overrides: Vec::new(),
        settings: Arc::default(),
    });
    let config = Config {
        generation: worker.config().generation + 1,
        settings: Arc::new(MeshSettings::default()),
        destinations: [(web(), Arc::clone(&destination))].into_iter().collect(),
        ..Config::default()
    };
    worker.process.config.store(Arc::new(config));
    destination
}

/// A client's proxy and a server's proxy between a client and an application.
pub(crate) struct Pair {
    pub(crate) mesh: Mesh,
    pub(crate) client: Rc<Worker>,
    pub(crate) server: Rc<Worker>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Where the client connects.
    pub(crate) address: SocketAddr,
}

impl Pair {
    pub(crate) async fn new(application: SocketAddr) -> Self {
        Self::with(Accepts::new(application), AppProtocol::Tcp, TrafficSettings::default(), Dialect::Byrnie)
            .await
    }

    pub(crate) async fn with(
        accepts: Accepts,
        protocol: AppProtocol,
        settings: TrafficSettings,
        dialect: Dialect,
    ) -> Self {
        let mesh = Mesh::new();
        let (client, server) = (mesh.proxy("front"), mesh.proxy("web"));
        accepts.put_in_force(&server);
        let proxy = listen(&server, Entrance::Mesh).await;
        let endpoint = meshed(proxy, "web", dialect);
        call(&client, protocol, settings, vec![Arc::clone(&endpoint)]);
        let address = listen(&client, Entrance::Upstream(web())).await;
        Self { mesh, client, server, endpoint, address }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

/// What was counted of connections since the last look.
pub(crate) fn counted(worker: &Worker) -> Vec<TcpDelta> {
    worker.process.metrics.take_delta(Instant::now()).connections
}

/// Makes dropping the stream a reset.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}
