//! The simulated proxies: they hold what they are given, acknowledge everything and tell when they saw it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use byrnie_control::TRUST_BUNDLE_FILE;
use byrnie_control::api::CredentialRequest;
use byrnie_control::client::Client;
use byrnie_control::{ADDRESS_FILE, Addresses};
use byrnie_identity::{
    ExpectedPeer, KeyPair, Svid, bootstrap_client_config, bundle_from_pem, client_config, unused_server_name,
};
use byrnie_plan::{Key, ObjectName, TrustBundle, WorkloadIdentity};
use byrnie_wire::client::{Backoff, ByteStream, ClientOptions, Connector, Event, Events, Handle, client};
use byrnie_wire::{NodeInfo, NodeStatus, Role, Version};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Failure;
use crate::objects::{ENDPOINTS, NAMESPACE, ROUTES, caller_name};

/// Proxies that ask for a certificate at a time.
const AT_ONCE: usize = 64;
/// What the proxies saw and nobody has looked at; more than they see between two looks.
const QUEUE: usize = 1 << 16;

/// A proxy has got a key's new state.
pub struct Seen {
    /// Which.
    pub key: Key,
    /// When.
    pub at: Instant,
}

/// All of them; they end when this is dropped.
pub struct Fleet {
    /// What they saw.
    pub seen: mpsc::Receiver<Seen>,
    _proxies: JoinSet<()>,
}

/// How to reach the control plane, and who it is.
struct Plane {
    xds: String,
    bundle: TrustBundle,
    identity: ExpectedPeer,
}

impl Fleet {
    /// Connects them, each with a certificate of its own.
    pub async fn start(api: &Client, count: usize) -> Result<Self, Failure> {
        let plane = Arc::new(Plane::read(api)?);
        let (tell, seen) = mpsc::channel(QUEUE);
        let mut proxies = JoinSet::new();
        let mut starting = JoinSet::new();
        let mut next = 0..count;
        loop {
            while starting.len() < AT_ONCE
                && let Some(number) = next.next()
            {
                starting.spawn(connect(api.clone(), Arc::clone(&plane), number));
            }
            let Some(started) = starting.join_next().await else { break };
            let (handle, events) = started??;
            proxies.spawn(obey(handle, events, tell.clone()));
        }
        Ok(Self { seen, _proxies: proxies })
    }

    /// What was seen until now is of no interest.
    pub fn forget(&mut self) {
        while self.seen.try_recv().is_ok() {}
    }
}

impl Plane {
    fn read(api: &Client) -> Result<Self, Failure> {
        let addresses = std::fs::read(api.data_dir().join(ADDRESS_FILE))?;
        let addresses: Addresses = serde_json::from_slice(&addresses)?;
        let bundle = bundle_from_pem(&std::fs::read(api.data_dir().join(TRUST_BUNDLE_FILE))?)?;
        let identity = WorkloadIdentity {
            trust_domain: bundle.trust_domain.clone(),
            namespace: "byrnie-system".to_owned(),
            service_account: "control-plane".to_owned(),
        };
        Ok(Self { xds: addresses.xds, bundle, identity: ExpectedPeer::from(&identity) })
    }

    fn connector(&self, config: Arc<ClientConfig>) -> Connector {
        let address = self.xds.clone();
        Arc::new(move || {
            let (address, config) = (address.clone(), Arc::clone(&config));
            Box::pin(async move {
                let tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                let tls = tokio_rustls::TlsConnector::from(config).connect(unused_server_name(), tcp).await?;
                Ok(Box::new(tls) as Box<dyn ByteStream>)
            })
        })
    }
}

/// As a proxy starts: a credential, a key, a certificate, a stream.
async fn connect(api: Client, plane: Arc<Plane>, number: usize) -> Result<(Handle, Events), Failure> {
    let name = caller_name(number);
    let request =
        CredentialRequest { namespace: NAMESPACE.to_owned(), name: name.clone(), role: "sidecar".to_owned() };
    let token = api.credential(&request).await?.token;
    let key = KeyPair::generate()?;
    let bootstrap = bootstrap_client_config(&plane.bundle, plane.identity.clone(), &[b"h2"])?;
    let bootstrap = plane.connector(bootstrap);
    let signed = byrnie_wire::identity::sign(&bootstrap, token.as_bytes(), &key.csr_der()?).await?;
    let svid = Svid::new(key, signed.chain_der, SystemTime::now())?;
    let config = client_config(&svid, &plane.bundle, plane.identity.clone(), &[b"h2"])?;
    let node = NodeInfo {
        workload: ObjectName::new(NAMESPACE, name.as_str()),
        role: Role::Sidecar,
        version: "simulated".to_owned(),
        run: String::new(),
        pid: std::process::id(),
        generation: 1,
        retiring: false,
    };
    let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    let options = ClientOptions { node, connector: plane.connector(config), backoff };
    let (handle, events, driver) = client(options);
    tokio::spawn(driver.run());
    handle.status(status(signed.not_after));
    let own = [format!("InboundPolicy/{NAMESPACE}/{name}"), format!("Upstreams/{NAMESPACE}/{name}")];
    let common = ["TrustBundle", "MeshSettings", "Service/scale/web", ENDPOINTS, ROUTES];
    let keys = own.iter().map(String::as_str).chain(common).map(str::parse);
    let keys = keys.collect::<Result<Vec<Key>, ()>>().map_err(|()| "a key of ours")?;
    handle.subscribe(keys.into_iter().map(|key| (key, None)));
    Ok((handle, events))
}

fn status(not_after: i64) -> NodeStatus {
    NodeStatus {
        unhealthy: String::new(),
        pid: std::process::id(),
        admin: None,
        mesh: None,
        http_proxy: None,
        address: None,
        rules_restored: 0,
        version: "simulated".to_owned(),
        not_after: Some(not_after),
        upstreams: Vec::new(),
        draining: false,
        run: String::new(),
    }
}

/// Acknowledges everything, until the fleet ends.
async fn obey(handle: Handle, mut events: Events, tell: mpsc::Sender<Seen>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Update { key, version, .. } => {
                // Told first: whoever waits for the acknowledgements finds all of it.
                let seen = Seen { key: key.clone(), at: Instant::now() };
                if version != Version::ABSENT && tell.send(seen).await.is_err() {
                    return;
                }
                handle.ack(&key, version);
            }
            Event::Disconnected { reason } => eprintln!("a simulated proxy lost its connection: {reason}"),
            _ => {}
        }
    }
}
