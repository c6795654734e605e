//! What the parts of the running control plane share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_api::{Finding, Kind, ObjectKey};
use byrnie_mesh::{Compiler, Options};
use byrnie_plan::{Key, ObjectName, Resource, WorkloadIdentity};
use byrnie_store::{Store, Version};
use byrnie_telemetry::{Window, WindowSettings};
use byrnie_wire::report::Report;
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::api::{
    CredentialRequest, CredentialResponse, ErrorBody, FindingItem, VersionInfo, WaitRequest, WaitResponse,
};
use crate::authority::Authority;
use crate::health::HealthChecks;
use crate::metrics::{Gauges, Metrics};
use crate::nodes::Nodes;
use crate::progress::Progress;
use crate::questions::Questions;
use crate::run::ControlPlaneOptions;
use crate::status::{Owner, Statuses};
use crate::table::Table;
use crate::tap::Taps;
use crate::wait::{self, Terms};
use crate::{error, report, status, storage};

/// The compiler is never this far behind; a call that waits for it longer is told so.
const CATCH_UP: Duration = Duration::from_secs(10);

/// The running control plane. Every lock in it is held for a lookup or a change in memory, never across an await.
pub struct Control {
    pub data_dir: PathBuf,
    pub run_id: String,
    pub xds: SocketAddr,
    pub version: String,
    pub store: Arc<dyn Store>,
    pub authority: Authority,
    pub compiler: Mutex<Compiler>,
    pub table: Table,
    pub identities: Mutex<Identities>,
    pub progress: Progress<Version>,
    pub statuses: Statuses,
    pub nodes: Nodes,
    pub health: HealthChecks,
    pub taps: Taps,
    /// What operators ask proxies.
    pub questions: Questions,
    pub window: Mutex<Window>,
    pub metrics: Metrics,
    pub stop: CancellationToken,
}

impl Control {
    /// Nothing is compiled, nobody has connected.
    pub fn new(
        options: ControlPlaneOptions,
        xds: SocketAddr,
        store: Arc<dyn Store>,
        authority: Authority,
    ) -> Self {
        Self {
            xds,
            run_id: options.run_id.clone(),
            version: options.version,
            store,
            compiler: Mutex::new(Compiler::new(Options {
                run_id: options.run_id,
                transparent: options.transparent,
            })),
            table: Default::default(),
            identities: Default::default(),
            progress: Default::default(),
            statuses: Default::default(),
            nodes: Default::default(),
            health: Default::default(),
            taps: Default::default(),
            questions: Default::default(),
            window: Mutex::new(Window::new(WindowSettings::default(), Instant::now())),
            metrics: Default::default(),
            stop: CancellationToken::new(),
            authority,
            data_dir: options.data_dir,
        }
    }

    /// Waits until all that was written before this call is compiled and published.
    pub async fn caught_up(&self) -> Result<(), ErrorBody> {
        let version = storage::current(&*self.store).await.map_err(error::store_failed)?;
        self.compiled(version).await
    }

    /// Waits until a version of the store is compiled and published.
    pub async fn compiled(&self, version: Version) -> Result<(), ErrorBody> {
        tokio::select! {
            waited = tokio::time::timeout(CATCH_UP, self.progress.until(version)) => {
                waited.map_err(|_| error::behind())
            }
            () = self.stop.cancelled() => Err(error::stopping()),
        }
    }

    /// The identity of a meshed workload or gateway, as compiled.
    pub fn identity_of(&self, workload: &ObjectName) -> Option<WorkloadIdentity> {
        self.identities.lock().by_workload.get(workload).cloned()
    }

    /// Whether any workload or gateway has this identity.
    pub fn has_identity(&self, identity: &WorkloadIdentity) -> bool {
        self.identities.lock().count.contains_key(identity)
    }

    /// Whether it is a Gateway that holds this name.
    pub fn is_gateway(&self, name: &ObjectName) -> bool {
        self.table.get(&Key::GatewayRoutes(name.clone())).is_some()
    }

    /// `POST /v1/wait`.
    pub async fn wait(&self, request: &WaitRequest) -> Result<WaitResponse, ErrorBody> {
        let terms = Terms::read(request)?;
        self.caught_up().await?;
        tokio::select! {
            response = wait::wait(&terms, &self.nodes, &self.table) => Ok(response),
            () = self.stop.cancelled() => Err(error::stopping()),
        }
    }

    /// `POST /v1/credentials`.
    pub async fn credential(&self, request: &CredentialRequest) -> Result<CredentialResponse, ErrorBody> {
        let (kind, gateway) = match request.role.as_str() {
            "sidecar" => (Kind::Workload, false),
            "gateway" => (Kind::Gateway, true),
            other => {
                return Err(error::bad_request(format!("role `{other}` is neither `sidecar` nor `gateway`")));
            }
        };
        self.caught_up().await?;
        let name = ObjectName::new(&request.namespace, &request.name);
        let identity = self.identity_of(&name).filter(|_| self.is_gateway(&name) == gateway);
        let identity =
            identity.ok_or_else(|| error::unknown_workload(kind.name(), &name.namespace, &name.name))?;
        let (credential, expires) = self
            .authority
            .issue(identity.clone(), name)
            .map_err(|why| error::no_credential(why.code(), why))?;
        Ok(CredentialResponse {
            token: credential.token().to_owned(),
            identity: identity.to_string(),
            expires: jiff::Timestamp::try_from(expires).map(|t| t.to_string()).unwrap_or_default(),
        })
    }

    /// `GET /v1/findings`.
    pub fn findings(&self) -> Vec<FindingItem> {
        self.compiler.lock().findings().map(finding_item).collect()
    }

    /// What the compiler has to say about some objects.
    pub fn findings_about(&self, keys: &[ObjectKey]) -> Vec<FindingItem> {
        let compiler = self.compiler.lock();
        let about = compiler.findings().filter(|f| f.object.as_ref().is_some_and(|key| keys.contains(key)));
        about.map(finding_item).collect()
    }

    /// `GET /v1/version`.
    pub fn version(&self) -> VersionInfo {
        VersionInfo {
            version: self.version.clone(),
            pid: std::process::id(),
            run_id: self.run_id.clone(),
            trust_domain: self.authority.trust_domain(),
            xds: self.xds.to_string(),
            data_dir: self.data_dir.display().to_string(),
        }
    }

    /// `GET /v1/metrics`.
    pub fn metrics_text(&self) -> String {
        let (resources, subscriptions) = self.table.size();
        let gauges = Gauges {
            proxies: self.nodes.connected(),
            resources,
            subscriptions,
            taps: self.taps.len(),
            credentials: self.authority.credentials(),
        };
        self.metrics.text(&gauges)
    }

    /// A proxy told something new about itself. Only Workloads' proxies are anybody's endpoints.
    pub fn proxy_status_changed(&self, workload: &ObjectName) {
        let Some(status) = self.nodes.get(workload).and_then(|node| node.status()) else {
            return;
        };
        if !self.is_gateway(workload) {
            let key = ObjectKey::new(Kind::Workload, workload.namespace.as_str(), workload.name.as_str());
            self.statuses.put(key, Owner::Proxy, status::of_proxy(&status));
        }
    }

    /// A Gateway's proxy refused its routes, or took them: that is part of the Gateway's status.
    pub fn gateway_answered(&self, gateway: &ObjectName) {
        let key = ObjectKey::new(Kind::Gateway, gateway.namespace.as_str(), gateway.name.as_str());
        let status =
            self.compiler.lock().statuses().find(|update| update.key == key).map(|u| u.status.clone());
        if let Some(status) = status {
            self.put_compiled_status(key, status);
        }
    }

    /// Hands a compiled status on to the store, with what the proxy says to it.
    pub fn put_compiled_status(&self, key: ObjectKey, mut status: Value) {
        if key.kind == Kind::Gateway {
            let gateway = ObjectName::new(&key.namespace, &key.name);
            let node = self.nodes.get(&gateway);
            let refusal = node.and_then(|node| node.rejection(&Key::GatewayRoutes(gateway)));
            status::not_programmed(&mut status, refusal.as_ref());
        }
        self.statuses.put(key, Owner::Compiler, status);
    }

    /// A proxy's numbers.
    pub fn take_report(&self, workload: &ObjectName, report: Report) {
        self.metrics.reports.inc();
        match report::delta(workload, report) {
            Some(delta) => self.window.lock().merge(workload, delta, Instant::now()),
            None => {
                tracing::warn!(proxy = %workload, "its histograms have another layout: its version differs")
            }
        }
    }
}

/// Who has which identity, as compiled.
#[derive(Debug, Default)]
pub struct Identities {
    by_workload: HashMap<ObjectName, WorkloadIdentity>,
    /// How many workloads share it.
    count: HashMap<WorkloadIdentity, usize>,
}

impl Identities {
    /// Takes in what is published under an `InboundPolicy` key. Answers whether the workload's identity is another
    /// one now, or gone.
    pub fn set(&mut self, workload: &ObjectName, policy: Option<&Resource>) -> bool {
        let new = match policy {
            Some(Resource::InboundPolicy(policy)) => Some(policy.identity.clone()),
            _ => None,
        };
        let old = match &new {
            Some(identity) => self.by_workload.insert(workload.clone(), identity.clone()),
            None => self.by_workload.remove(workload),
        };
        if old == new {
            return false;
        }
        if let Some(identity) = new {
            *self.count.entry(identity).or_default() += 1;
        }
        let Some(old) = old else { return false };
        if let Some(count) = self.count.get_mut(&old) {
            *count -= 1;
            if *count == 0 {
                self.count.remove(&old);
            }
        }
        true
    }
}

/// A finding as the API tells it.
pub fn finding_item(finding: &Finding) -> FindingItem {
    let object = finding.object.as_ref();
    FindingItem {
        code: finding.code.to_string(),
        severity: finding.severity.to_string(),
        kind: object.map(|key| key.kind.name().to_owned()).unwrap_or_default(),
        namespace: object.map(|key| key.namespace.clone()).unwrap_or_default(),
        name: object.map(|key| key.name.clone()).unwrap_or_default(),
        path: finding.field.clone(),
        message: finding.message.clone(),
        remedy: finding.remedy.clone(),
        index: None,
    }
}
