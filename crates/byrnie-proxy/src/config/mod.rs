//! What a proxy obeys, compiled for the hot path: one [`Config`], swapped as a whole by generation.
//!
//! The control thread builds it from wire resources (`assemble`), reusing whatever did not change, so that load,
//! budgets, ejections and pooled connections survive every change of configuration. Endpoints change far more often
//! than anything else and take a path of their own: [`Cluster::endpoints`] is swapped in place.

mod assemble;
mod cluster;
mod controls;
mod endpoint_set;
mod names;
mod peer;
mod routes;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;

use byrnie_decide::Authorizer;
use byrnie_plan::{AppProtocol, InboundPolicy, ListenerProtocol, MeshSettings, ObjectName, ServicePortRef};
use foldhash::HashMap;

pub use assemble::{Assembler, Refusal};
pub use cluster::{Cluster, Endpoint};
pub use controls::{Controls, Faults, KnownLimits, Limits, quoted};
pub use endpoint_set::{EndpointSet, HealthView};
pub use names::{NameEntry, NameTable};
pub use peer::Peer;
#[cfg(test)]
pub use routes::Turns;
pub use routes::{
    Backend, Carries, HttpRoutes, MirrorTo, RouteError, Rule, RuleFilters, TcpRoute, TcpRoutes,
};
pub use session::SessionId;

/// Everything that decides about traffic, at one moment.
#[derive(Default)]
pub struct Config {
    /// Grows by one with each swap. Connections compare it to know whether what they cached is stale.
    pub generation: u64,
    /// Mesh-wide settings, with what policies say about this proxy as a whole.
    pub settings: Arc<MeshSettings>,
    /// The services that this proxy calls, by name and port.
    pub destinations: HashMap<ServicePortRef, Arc<Destination>>,
    /// A Gateway's listeners, by port.
    pub listeners: HashMap<u16, Arc<Listener>>,
    /// What the workload accepts. `None`: nothing has arrived, nothing is accepted (fail closed).
    pub inbound: Option<Arc<Inbound>>,
    /// All Services, by name and virtual address, where traffic is captured.
    pub names: Arc<NameTable>,
}

/// Every cluster of a configuration once: of destinations, of their routes' backends, of listeners, and the workload's
/// own ports.
pub fn clusters(config: &Config) -> Vec<Arc<Cluster>> {
    let mut all: Vec<Arc<Cluster>> = Vec::new();
    let backends = |http: &HttpRoutes| {
        let backends = http.rules.iter().flat_map(|rule| &rule.backends);
        backends.filter_map(|backend| backend.cluster.clone().ok()).collect::<Vec<_>>()
    };
    for destination in config.destinations.values() {
        all.push(Arc::clone(&destination.cluster));
        all.extend(destination.http.iter().flat_map(|http| backends(http)));
        all.extend(destination.tcp.iter().flat_map(|(_, tcp)| tcp.clusters()));
    }
    for listener in config.listeners.values() {
        all.extend(backends(&listener.http));
        all.extend(listener.tcp.iter().flat_map(|(_, tcp)| tcp.clusters()));
    }
    all.extend(
        config
            .inbound
            .iter()
            .flat_map(|inbound| inbound.ports.values().map(|port| Arc::clone(&port.cluster))),
    );
    all.sort_by_key(|cluster| Arc::as_ptr(cluster) as usize);
    all.dedup_by_key(|cluster| Arc::as_ptr(cluster) as usize);
    all
}

/// One service port as its callers see it.
pub struct Destination {
    /// The Service and its port.
    pub name: Arc<ServicePortRef>,
    /// What is spoken: declared, or made HTTP by routes.
    pub protocol: AppProtocol,
    /// Routes for requests: the consumer's where they exist, else the producer's.
    pub http: Option<Arc<HttpRoutes>>,
    /// Routes for connections, by SNI pattern. Empty: straight to the service's endpoints.
    pub tcp: TcpRoutes,
    /// The service's own endpoints: for what no route takes.
    pub cluster: Arc<Cluster>,
    /// Where the workload may send single requests instead. Empty where no policy says so.
    pub overrides: Vec<Arc<Cluster>>,
    /// What holds where calls of it come in.
    pub settings: Arc<MeshSettings>,
}

/// One port of a Gateway.
pub struct Listener {
    /// The listeners' names.
    pub name: String,
    /// The port.
    pub port: u16,
    /// What is spoken.
    pub protocol: ListenerProtocol,
    /// For HTTP.
    pub http: Arc<HttpRoutes>,
    /// For TCP and TLS passthrough: by SNI pattern.
    pub tcp: TcpRoutes,
    /// What holds for its clients.
    pub settings: Arc<MeshSettings>,
}

/// What the workload accepts.
pub struct Inbound {
    /// As compiled by the control plane.
    pub policy: Arc<InboundPolicy>,
    /// The policies, ready to be asked.
    pub authorizer: Authorizer,
    /// By the number that a hop names.
    pub ports: HashMap<u16, Arc<InboundPort>>,
    /// Rate limits and faults: for one Service, or for what no other entry is for.
    pub controls: Vec<(Option<ObjectName>, Arc<Controls>)>,
    /// What holds for this proxy, as it was when this was made.
    pub settings: Arc<MeshSettings>,
}

impl Inbound {
    /// The rate limits and faults for what callers want of a Service.
    pub fn controls(&self, service: Option<&ObjectName>) -> Option<&Arc<Controls>> {
        let find = |wanted: Option<&ObjectName>| self.controls.iter().find(|(s, _)| s.as_ref() == wanted);
        let own = service.and_then(|service| find(Some(service)));
        own.or_else(|| find(None)).map(|(_, controls)| controls)
    }
}

/// One declared port of the workload.
pub struct InboundPort {
    /// The number that a hop names.
    pub port: u16,
    /// Where the application listens.
    pub address: SocketAddr,
    /// What it speaks there.
    pub protocol: AppProtocol,
    /// The service ports that lead here.
    pub services: Vec<ServicePortRef>,
    /// The application as an endpoint: plaintext, of this one address.
    pub application: Arc<Endpoint>,
    /// The same as a cluster of one: limits and budget towards the application.
    pub cluster: Arc<Cluster>,
    /// What holds for what goes there.
    pub settings: Arc<MeshSettings>,
}
