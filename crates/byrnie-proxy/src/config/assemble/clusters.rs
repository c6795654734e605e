//! Clusters, endpoints and budgets, kept from one configuration to the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use byrnie_decide::{RetryBudget, Time};
use byrnie_plan::{
    BackendTarget, Endpoints, InvalidBackend, Key, ObjectName, ProxyHeader, Resource, Service, ServicePort,
    ServicePortRef,
};
use foldhash::HashMap;

use super::Held;
use crate::config::peer::Peers;
use crate::config::{Carries, Cluster, Endpoint, KnownLimits};

/// What exists now.
#[derive(Default)]
pub(super) struct Clusters {
    clusters: HashMap<ClusterKey, Arc<Cluster>>,
    /// All endpoints of a service port, in the order of the plan; subsets share them.
    endpoints: HashMap<ServicePortRef, Vec<Arc<Endpoint>>>,
    peers: Peers,
}

/// One service port, or those of its endpoints that have some labels.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ClusterKey {
    service: ServicePortRef,
    subset: Vec<(String, String)>,
    carries: Carries,
}

/// Clusters for the configuration that is being built.
pub(super) struct Round<'a> {
    before: &'a Clusters,
    held: &'a BTreeMap<Key, Held>,
    pub(super) known: &'a KnownLimits,
    /// Where this proxy is.
    own_locality: Arc<str>,
    /// What connections to applications begin with where nothing else is said.
    begin_with: ProxyHeader,
    clusters: HashMap<ClusterKey, Arc<Cluster>>,
    budgets: HashMap<ServicePortRef, Arc<RetryBudget>>,
    /// Those of before, once one is looked for.
    budgets_before: Option<HashMap<&'a ServicePortRef, &'a Arc<RetryBudget>>>,
}

/// The clusters of a finished round.
pub(super) struct Finished(HashMap<ClusterKey, Arc<Cluster>>);

impl Clusters {
    /// Those of all service ports.
    fn budgets(&self) -> HashMap<&ServicePortRef, &Arc<RetryBudget>> {
        let requests = self.clusters.iter().filter(|(key, _)| key.carries == Carries::Requests);
        requests.map(|(key, cluster)| (&key.service, &cluster.budget)).collect()
    }

    /// New endpoints of a service; `None`: none at all. In force at once, in place; those that are gone are added to
    /// `vanished`.
    pub(super) fn update(
        &mut self,
        service: &ObjectName,
        endpoints: Option<&Endpoints>,
        now: Time,
        vanished: &mut Vec<Arc<Endpoint>>,
    ) {
        let before: Vec<ServicePortRef> =
            self.endpoints.keys().filter(|port| port.service == *service).cloned().collect();
        let mut old: HashMap<ServicePortRef, Vec<Arc<Endpoint>>> = HashMap::default();
        for port in before {
            if let Some(list) = self.endpoints.remove(&port) {
                old.insert(port, list);
            }
        }
        for port in endpoints.iter().flat_map(|endpoints| &endpoints.ports) {
            let name = ServicePortRef { service: service.clone(), port: port.port };
            let known = old.remove(&name).unwrap_or_default();
            let (kept, gone) = merge(known, &port.endpoints, &mut self.peers, now);
            vanished.extend(gone);
            self.endpoints.insert(name, kept);
        }
        vanished.extend(old.into_values().flatten());
        if !vanished.is_empty() {
            self.peers.sweep();
        }
        for (key, cluster) in self.clusters.iter().filter(|(key, _)| key.service.service == *service) {
            match key.carries {
                Carries::Requests => self.refresh(key, cluster),
                Carries::Copies => vanished.extend(self.refresh_copies(key, cluster, now)),
            }
        }
    }

    /// Swaps the endpoints of a cluster for copies, which has its own. Gives those that are gone.
    fn refresh_copies(&self, key: &ClusterKey, cluster: &Cluster, now: Time) -> Vec<Arc<Endpoint>> {
        let plan: Vec<Arc<byrnie_plan::Endpoint>> =
            self.members(key).iter().map(|e| e.plan.clone()).collect();
        let current = cluster.endpoints.load().endpoints.clone();
        let (kept, gone) = merge(current, &plan, &mut Peers::default(), now);
        cluster.set_endpoints(kept);
        gone
    }

    /// Swaps the endpoints of a cluster, if they are others.
    fn refresh(&self, key: &ClusterKey, cluster: &Cluster) {
        let wanted = self.members(key);
        let current = cluster.endpoints.load();
        let same = current.endpoints.len() == wanted.len()
            && current.endpoints.iter().zip(&wanted).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            cluster.set_endpoints(wanted);
        }
    }

    fn members(&self, key: &ClusterKey) -> Vec<Arc<Endpoint>> {
        let all = self.endpoints.get(&key.service).map(Vec::as_slice).unwrap_or_default();
        let has_labels =
            |endpoint: &&Arc<Endpoint>| key.subset.iter().all(|label| endpoint.plan.labels.contains(label));
        all.iter().filter(has_labels).cloned().collect()
    }

    /// The clusters of the new configuration replace those of the old one.
    /// Endpoints of copies that are sent no more are added to `vanished`.
    pub(super) fn adopt(&mut self, finished: Finished, vanished: &mut Vec<Arc<Endpoint>>) {
        let before = std::mem::replace(&mut self.clusters, finished.0);
        for (key, cluster) in before.into_iter().filter(|(key, _)| key.carries == Carries::Copies) {
            if !self.clusters.get(&key).is_some_and(|now| Arc::ptr_eq(now, &cluster)) {
                vanished.extend(cluster.endpoints.load().endpoints.iter().cloned());
            }
        }
    }
}

/// Endpoints as the plan has them, those that are known taken over; and those that are gone.
fn merge(
    known: Vec<Arc<Endpoint>>,
    plan: &[Arc<byrnie_plan::Endpoint>],
    peers: &mut Peers,
    now: Time,
) -> (Vec<Arc<Endpoint>>, Vec<Arc<Endpoint>>) {
    let mut by_address: HashMap<SocketAddr, Vec<Arc<Endpoint>>> = HashMap::default();
    for endpoint in known {
        by_address.entry(endpoint.plan.address).or_default().push(endpoint);
    }
    let kept = plan
        .iter()
        .map(|plan| {
            let candidates = by_address.get_mut(&plan.address);
            let found = candidates.and_then(|list| {
                let at = list.iter().position(|endpoint| endpoint.is_same(plan))?;
                Some(list.swap_remove(at))
            });
            found.unwrap_or_else(|| {
                let changed = by_address.get(&plan.address).into_iter().flatten();
                let since =
                    changed.filter(|old| old.plan.workload == plan.workload).map(|old| old.since).min();
                let endpoint = Endpoint::behind(peers.get(plan.address, &plan.hop), Arc::clone(plan), now);
                Arc::new(endpoint.known_since(since.unwrap_or(now)))
            })
        })
        .collect();
    (kept, by_address.into_values().flatten().collect())
}

/// What callers know of a service port.
type Called<'a> = (&'a ServicePort, &'a Service);

impl<'a> Round<'a> {
    pub(super) fn new(
        before: &'a Clusters,
        held: &'a BTreeMap<Key, Held>,
        known: &'a KnownLimits,
        own_locality: &str,
        begin_with: ProxyHeader,
    ) -> Self {
        Self {
            before,
            held,
            known,
            own_locality: own_locality.into(),
            begin_with,
            clusters: HashMap::default(),
            budgets: HashMap::default(),
            budgets_before: None,
        }
    }

    /// Where a backend's requests go.
    pub(super) fn resolve(
        &mut self,
        target: &BackendTarget,
        carries: Carries,
    ) -> Result<Arc<Cluster>, InvalidBackend> {
        match target {
            BackendTarget::Service { service, port, subset } => {
                let service = ServicePortRef { service: service.clone(), port: *port };
                self.keyed(ClusterKey { service, subset: subset.clone(), carries })
            }
            BackendTarget::Invalid(why) => Err(*why),
        }
    }

    /// The cluster of a service port: the one there was, unless protocol or settings changed.
    pub(super) fn cluster(
        &mut self,
        service: &ServicePortRef,
        subset: &[(String, String)],
    ) -> Result<Arc<Cluster>, InvalidBackend> {
        let (service, subset) = (service.clone(), subset.to_vec());
        self.keyed(ClusterKey { service, subset, carries: Carries::Requests })
    }

    fn keyed(&mut self, key: ClusterKey) -> Result<Arc<Cluster>, InvalidBackend> {
        let service = &key.service;
        if let Some(cluster) = self.clusters.get(&key) {
            return Ok(Arc::clone(cluster));
        }
        let (port, plan) = self.service(service).ok_or(InvalidBackend::NotFound)?;
        let (settings, controls) = (&plan.settings, plan.controls.as_deref());
        let begins_with = plan.overrides.send_proxy_protocol.unwrap_or(self.begin_with);
        let before = self.before.clusters.get(&key);
        let same = before.filter(|before| {
            before.protocol == port.protocol
                && before.begins_with == begins_with
                && (Arc::ptr_eq(&before.settings, settings) || *before.settings == **settings)
                && before.controls.as_ref().map(|controls| &controls.plan) == controls
                && (settings.locality.is_none() || before.own_locality == self.own_locality)
        });
        let cluster = match same {
            Some(before) => Arc::clone(before),
            None => {
                let (budget, settings) = (self.budget(&key), Arc::clone(settings));
                let mut members = self.before.members(&key);
                if key.carries == Carries::Copies {
                    let plan: Vec<Arc<byrnie_plan::Endpoint>> =
                        members.iter().map(|e| e.plan.clone()).collect();
                    members = merge(Vec::new(), &plan, &mut Peers::default(), Time::ZERO).0;
                }
                let cluster = Cluster::new(service.clone(), port.protocol, settings, budget, members);
                // Whether it compiles was looked at before it was accepted.
                let controls = self.known.compile(controls).unwrap_or_default();
                let cluster = cluster.called_from(&self.own_locality);
                Arc::new(Cluster { controls, begins_with, ..cluster })
            }
        };
        self.clusters.insert(key, Arc::clone(&cluster));
        Ok(cluster)
    }

    fn service(&self, name: &ServicePortRef) -> Option<Called<'a>> {
        match &self.held.get(&Key::Service(name.service.clone()))?.resource {
            Resource::Service(service) => {
                let port = service.ports.iter().find(|port| port.port == name.port)?;
                Some((port, service))
            }
            _ => None,
        }
    }

    /// One for all clusters of a service port, and the same as long as one of them exists. Copies are never sent twice.
    fn budget(&mut self, key: &ClusterKey) -> Arc<RetryBudget> {
        if key.carries == Carries::Copies {
            return Arc::default();
        }
        let before = self.budgets_before.get_or_insert_with(|| self.before.budgets());
        let make = || before.get(&key.service).map(|budget| Arc::clone(budget)).unwrap_or_default();
        Arc::clone(self.budgets.entry(key.service.clone()).or_insert_with(make))
    }

    /// What this round has used; clusters that nobody uses any more are not among them.
    pub(super) fn finish(self) -> Finished {
        Finished(self.clusters)
    }
}
