//! A control plane in a temporary directory, and proxies that do as they are told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use byrnie_control::api::{
    ApplyRequest, ApplyResponse, CredentialRequest, ErrorBody, WaitRequest, WaitResponse,
};
use byrnie_control::client::Client;
use byrnie_control::{ControlPlane, ControlPlaneOptions};
use byrnie_identity::{
    ExpectedPeer, KeyPair, Svid, bootstrap_client_config, bundle_from_pem, client_config, unused_server_name,
};
use byrnie_plan::{Key, ObjectName, Resource, TrustBundle, WorkloadIdentity};
use byrnie_wire::client::{Backoff, ByteStream, ClientOptions, Connector, Event, Events, Handle, client};
use byrnie_wire::identity::{SignError, Signed};
use byrnie_wire::{NodeInfo, NodeStatus, Role, Version};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Nothing in these tests takes this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The file of the issue.
pub const SHOP: &str = r#"[
  {"apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "Workload",
   "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "version": "v1"}},
   "spec": {"serviceAccount": "web", "address": "127.0.0.1", "ports": [{"name": "http", "port": 18081}]}},
  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
   "spec": {"selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}]}},
  {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "front", "namespace": "shop"},
   "spec": {"gatewayClassName": "byrnie", "listeners": [{"name": "http", "port": 18080, "protocol": "HTTP"}]}},
  {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
   "metadata": {"name": "front", "namespace": "shop"},
   "spec": {"parentRefs": [{"name": "front"}], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}
]"#;

pub fn objects(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

pub fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

/// A running mesh without data plane.
pub struct Mesh {
    pub dir: TempDir,
    pub client: Client,
    plane: Option<ControlPlane>,
    /// For the next start.
    pub transparent: bool,
}

impl Mesh {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path());
        let mut mesh = Self { dir, client, plane: None, transparent: false };
        mesh.restart("run-1").await;
        mesh
    }

    /// Stops the control plane, if it runs, and starts it again.
    pub async fn restart(&mut self, run_id: &str) {
        self.stop().await;
        let options = ControlPlaneOptions {
            data_dir: self.dir.path().to_owned(),
            run_id: run_id.to_owned(),
            xds_listener: None,
            version: "test".to_owned(),
            transparent: self.transparent,
        };
        self.plane = Some(ControlPlane::start(options).await.unwrap());
    }

    pub async fn stop(&mut self) {
        if let Some(plane) = self.plane.take() {
            plane.stop().await;
        }
    }

    pub fn xds(&self) -> SocketAddr {
        self.plane.as_ref().unwrap().xds()
    }

    pub async fn apply(&self, json: &str) -> ApplyResponse {
        self.try_apply(ApplyRequest { objects: objects(json), ..ApplyRequest::default() }).await.unwrap()
    }

    pub async fn try_apply(&self, request: ApplyRequest) -> Result<ApplyResponse, ErrorBody> {
        self.client.apply(&request).await
    }

    pub async fn wait(&self) -> WaitResponse {
        let request = WaitRequest { timeout_ms: Some(10_000), proxies: Vec::new() };
        self.client.wait(&request).await.unwrap()
    }

    pub async fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let query = byrnie_control::api::ListQuery {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..Default::default()
        };
        self.client.list(kind, &query).await.unwrap().items.pop()
    }

    /// Watches an object until it is as wanted.
    pub async fn until(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let query = byrnie_control::api::ListQuery {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..Default::default()
        };
        let mut lines = self.client.watch(kind, &query).await.unwrap();
        tokio::time::timeout(PATIENCE, async {
            loop {
                let line = lines.next().await.unwrap().unwrap();
                if wanted(&line.object) {
                    return line.object;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{kind} {namespace}/{name} never became as wanted"))
    }

    pub fn bundle(&self) -> TrustBundle {
        bundle_from_pem(&std::fs::read(self.dir.path().join("trust-bundle.pem")).unwrap()).unwrap()
    }

    fn control_plane(&self) -> ExpectedPeer {
        let identity = WorkloadIdentity {
            trust_domain: self.bundle().trust_domain,
            namespace: "byrnie-system".to_owned(),
            service_account: "control-plane".to_owned(),
        };
        ExpectedPeer::from(&identity)
    }

    pub async fn credential(&self, workload: &str, role: Role) -> Result<String, ErrorBody> {
        let named = name(workload);
        let (namespace, name) = (named.namespace.clone(), named.name.clone());
        let role = if role == Role::Gateway { "gateway" } else { "sidecar" }.to_owned();
        Ok(self.client.credential(&CredentialRequest { namespace, name, role }).await?.token)
    }

    /// A connection without certificate, as at the first start.
    pub fn bootstrap(&self) -> Connector {
        connector(
            self.xds(),
            bootstrap_client_config(&self.bundle(), self.control_plane(), &[b"h2"]).unwrap(),
        )
    }

    /// A connection with a certificate.
    pub fn connector(&self, svid: &Svid) -> Connector {
        connector(self.xds(), client_config(svid, &self.bundle(), self.control_plane(), &[b"h2"]).unwrap())
    }

    /// Redeems a credential.
    pub async fn redeem(&self, token: &str) -> Result<Svid, SignError> {
        let key = KeyPair::generate().unwrap();
        let csr = key.csr_der().unwrap();
        let signed = byrnie_wire::identity::sign(&self.bootstrap(), token.as_bytes(), &csr).await?;
        Ok(svid(key, signed))
    }

    /// Renews a certificate.
    pub async fn renew(&self, old: &Svid) -> Result<Svid, SignError> {
        let key = KeyPair::generate().unwrap();
        let csr = key.csr_der().unwrap();
        Ok(svid(key, byrnie_wire::identity::sign(&self.connector(old), b"", &csr).await?))
    }

    /// A proxy with a certificate of its own, connected once its stream stands.
    pub async fn proxy(&self, workload: &str, role: Role) -> Proxy {
        let token = self.credential(workload, role).await.unwrap();
        let svid = self.redeem(&token).await.unwrap();
        self.proxy_as(workload, role, &svid)
    }

    /// A proxy that says who it is, whatever its certificate says.
    pub fn proxy_as(&self, workload: &str, role: Role, svid: &Svid) -> Proxy {
        self.process(workload, role, svid, 1, false)
    }

    /// One of several processes of a proxy.
    pub fn process(&self, workload: &str, role: Role, svid: &Svid, generation: u64, retiring: bool) -> Proxy {
        let run = "run-1".to_owned();
        let pid = 4710 + u32::try_from(generation).unwrap();
        let version = "0.0.1".to_owned();
        let node = NodeInfo { workload: name(workload), role, version, run, pid, generation, retiring };
        let backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(50));
        let (handle, events, driver) =
            client(ClientOptions { node, connector: self.connector(svid), backoff });
        Proxy { handle, events, driver: tokio::spawn(driver.run()), held: HashMap::new(), refuse: None }
    }
}

fn svid(key: KeyPair, signed: Signed) -> Svid {
    Svid::new(key, signed.chain_der, SystemTime::now()).unwrap()
}

pub fn connector(address: SocketAddr, config: Arc<rustls::ClientConfig>) -> Connector {
    Arc::new(move || {
        let config = Arc::clone(&config);
        Box::pin(async move {
            let tcp = TcpStream::connect(address).await?;
            let tls = tokio_rustls::TlsConnector::from(config).connect(unused_server_name(), tcp).await?;
            Ok(Box::new(tls) as Box<dyn ByteStream>)
        })
    })
}

/// A fake proxy. It acknowledges everything, but the key in `refuse`.
pub struct Proxy {
    pub handle: Handle,
    pub events: Events,
    driver: JoinHandle<()>,
    pub held: HashMap<Key, Option<Resource>>,
    pub refuse: Option<Key>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Proxy {
    pub fn subscribe(&self, keys: &[&str]) {
        self.handle.subscribe(keys.iter().map(|key| (key.parse().unwrap(), None)));
    }

    pub fn say(&self, mesh: &str) {
        self.handle.status(NodeStatus {
            unhealthy: String::new(),
            pid: 4711,
            admin: Some("127.0.0.1:15000".parse().unwrap()),
            mesh: Some(mesh.parse().unwrap()),
            http_proxy: None,
            address: None,
            rules_restored: 0,
            version: "0.0.1".to_owned(),
            not_after: Some(4_000_000_000),
            upstreams: Vec::new(),
            draining: false,
            run: "run-1".to_owned(),
        });
    }

    /// Takes the next event, as a proxy would.
    pub async fn step(&mut self) -> Event {
        let event =
            tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("no event").expect("no driver");
        if let Event::Update { key, version, resource } = &event {
            if self.refuse.as_ref() == Some(key) && *version != Version::ABSENT {
                self.handle.nack(key, *version, "BYR0299", "not today");
            } else {
                self.handle.ack(key, *version);
                self.held.insert(key.clone(), resource.clone().unwrap());
            }
        }
        event
    }

    /// Takes events until a key holds what is wanted.
    pub async fn until(&mut self, key: &str, wanted: impl Fn(Option<&Resource>) -> bool) -> Option<Resource> {
        let key: Key = key.parse().unwrap();
        loop {
            if let Some(held) = self.held.get(&key)
                && wanted(held.as_ref())
            {
                return held.clone();
            }
            self.step().await;
        }
    }

    /// The reason of the next disconnection.
    pub async fn disconnected(&mut self) -> String {
        loop {
            if let Event::Disconnected { reason } = self.step().await {
                return reason;
            }
        }
    }

    /// Goes on as a proxy does, in the background.
    pub fn run(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                self.step().await;
            }
        })
    }
}

pub fn endpoints(resource: Option<&Resource>) -> Vec<SocketAddr> {
    match resource {
        Some(Resource::Endpoints(endpoints)) => {
            endpoints.ports.iter().flat_map(|port| &port.endpoints).map(|endpoint| endpoint.address).collect()
        }
        _ => Vec::new(),
    }
}
