//! From wire resources to a [`Config`]: what did not change is reused, so that load, budgets, ejections and pooled
//! connections survive every change.
//!
//! Plain and synchronous: no I/O, no clock. A resource that refers to others (routes, upstreams) comes in force only
//! when these are known, so that no request meets a route to a service that is still on its way. A resource that
//! cannot be compiled is refused and the last good one stays.

mod build;
mod called;
mod clusters;
mod compiled;
mod entrance;
mod inbound;
mod leaving;
mod needs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use byrnie_decide::Time;
use byrnie_plan::{
    GatewayRoutes, InboundPolicy, InvalidBackend, Key, MeshSettings, NAME_SHARDS, ObjectName, Resource,
    TrafficSettings, TrustBundle, Upstreams,
};

use super::{Carries, Config, Endpoint, HttpRoutes, KnownLimits, NameTable, RouteError, TcpRoute};
use crate::process::Role;
use build::Build;
use called::Called;
use clusters::{Clusters, Round};
use compiled::Cache;
use leaving::Leaving;

/// Why a resource cannot come in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable.
    pub code: &'static str,
    /// For people.
    pub reason: String,
}

/// Routes that cannot be compiled.
const UNUSABLE: &str = "BYR0456";

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        Self { code: UNUSABLE, reason: error.to_string() }
    }
}

/// Builds configurations from resources.
pub struct Assembler {
    own: ObjectName,
    /// Its namespace, as keys share it.
    namespace: Arc<str>,
    role: Role,
    /// In force.
    held: BTreeMap<Key, Held>,
    /// Good, and not in force yet.
    offered: BTreeMap<Key, Option<Resource>>,
    /// Whose state is known and in force, also that there is nothing.
    known: BTreeSet<Key>,
    /// Came in force since the last [`Self::settle`].
    done: Vec<Key>,
    /// No longer the workload's, and accepted for a moment longer.
    leaving: Leaving,
    /// What is subscribed to because it was called.
    called: Called,
    vanished: Vec<Arc<Endpoint>>,
    /// Some of the names are others.
    names_dirty: bool,
    /// More than endpoints changed.
    dirty: bool,
    /// What is needed may have changed.
    needs_dirty: bool,
    revision: u64,
    clusters: Clusters,
    cache: Cache,
    limits: KnownLimits,
    /// The last ones that came: most services have the same.
    traffic: Arc<TrafficSettings>,
    config: Arc<Config>,
}

/// A resource in force.
struct Held {
    resource: Resource,
    /// Unique: tells whether what was compiled from it is still current.
    revision: u64,
}

/// What [`Assembler::settle`] brought about.
#[derive(Default)]
pub struct Settled {
    /// To be swapped in. `None`: at most endpoints changed, which are in force already.
    pub config: Option<Arc<Config>>,
    /// To be cancelled after the swap.
    pub vanished: Vec<Arc<Endpoint>>,
    /// To be acknowledged after the swap.
    pub in_force: Vec<Key>,
}

impl Assembler {
    /// Knows nothing yet.
    pub fn new(own: ObjectName, role: Role) -> Self {
        Self {
            namespace: own.namespace.as_str().into(),
            own,
            role,
            held: BTreeMap::new(),
            offered: BTreeMap::new(),
            known: BTreeSet::new(),
            done: Vec::new(),
            leaving: Leaving::default(),
            called: Called::default(),
            names_dirty: false,
            vanished: Vec::new(),
            dirty: true,
            needs_dirty: true,
            revision: 0,
            clusters: Clusters::default(),
            cache: Cache::default(),
            limits: KnownLimits::default(),
            traffic: Arc::default(),
            config: Arc::default(),
        }
    }

    /// The proxy captures traffic: it must know all names, and services are called that no resource refers to.
    pub fn capturing(mut self, captures: bool) -> Self {
        self.called.captures = captures;
        self
    }

    /// A service was called by its virtual address. True: it was not called before, and is needed from now on.
    pub fn call(&mut self, service: ObjectName) -> bool {
        let is_new = self.called.add(service);
        self.needs_dirty |= is_new;
        is_new
    }

    /// A service that nobody calls any more is not needed for it.
    pub fn forget_call(&mut self, service: &ObjectName) {
        let was_there = self.called.remove(service);
        self.needs_dirty |= was_there;
        self.dirty |= was_there;
    }

    /// What was called.
    fn called(&self) -> impl Iterator<Item = &ObjectName> {
        self.called.services()
    }

    /// Lets go of those that were called longest ago, when they are too many. `used`: when a service was called last.
    /// True: some are gone.
    pub fn forget_oldest_calls(&mut self, used: impl Fn(&ObjectName) -> u64) -> bool {
        let too_many = self.called.oldest(used);
        too_many.iter().for_each(|service| self.forget_call(service));
        !too_many.is_empty()
    }

    /// Whether everything is in force that there is about a service that was called.
    pub fn knows_called(&self, service: &ObjectName) -> bool {
        let mut keys = Vec::with_capacity(4);
        needs::push_called(&mut keys, service, &self.namespace);
        keys.iter().all(|key| self.known.contains(key))
    }

    /// What must be subscribed to: what the proxy itself needs, and what the resources in force and those that wait
    /// refer to.
    pub fn needed_keys(&self) -> BTreeSet<Key> {
        let waiting = self.offered.values().flatten();
        let resources = self.held.values().map(|held| &held.resource).chain(waiting);
        // All at once: a set that grows key by key is half empty.
        let needed = needs::of_proxy(&self.own, self.role).into_iter();
        let needed =
            needed.chain(resources.flat_map(|resource| needs::of_resource(resource, &self.namespace)));
        needed.chain(self.called.keys(&self.namespace)).collect()
    }

    /// [`Self::needed_keys`], if they may have changed since the last call.
    pub fn changed_needs(&mut self) -> Option<BTreeSet<Key>> {
        std::mem::take(&mut self.needs_dirty).then(|| self.needed_keys())
    }

    /// The latest state of a key; `None`: there is nothing. It comes in force with a later [`Self::settle`].
    pub fn offer(&mut self, key: Key, resource: Option<Resource>) -> Result<(), Refusal> {
        if let Some(resource) = &resource
            && let Err(refusal) = check(resource)
        {
            self.refused(&key);
            return Err(refusal);
        }
        self.needs_dirty |= needs::rank(&key) > 0;
        let resource = resource.map(|resource| self.shared(resource));
        self.offered.insert(key, resource);
        Ok(())
    }

    /// The same, with what it has in common with the last one of its kind.
    fn shared(&mut self, mut resource: Resource) -> Resource {
        if let Resource::Service(service) = &mut resource {
            if service.settings == self.traffic {
                service.settings = Arc::clone(&self.traffic);
            }
            self.traffic = Arc::clone(&service.settings);
        }
        resource
    }

    /// The state that is held is the current one; what was offered since is not.
    pub fn unchanged(&mut self, key: &Key) {
        self.needs_dirty |= self.offered.remove(key).is_some();
        self.is_known(key);
    }

    /// The current state cannot be used: the last good one stays, and nobody waits for a better one.
    pub fn refused(&mut self, key: &Key) {
        self.unchanged(key);
    }

    /// Everything that is needed and was not offered is known to be absent: a snapshot holds all that was in force.
    pub fn assume_complete(&mut self) {
        // What is offered may need more, which then is absent, too.
        let needed = self.needed_keys();
        self.known.extend(needed.into_iter().filter(|key| !self.offered.contains_key(key)));
        self.names_dirty |= self.called.captures;
    }

    /// Much has come. Keys that came in order leave a tree half empty.
    pub fn tighten(&mut self) {
        self.held = std::mem::take(&mut self.held).into_iter().collect();
        self.known = std::mem::take(&mut self.known).into_iter().collect();
    }

    /// Nobody subscribes to these any more.
    pub fn forget<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            self.offered.remove(key);
            self.known.remove(key);
            self.remove(key, Time::ZERO);
        }
    }

    /// Brings in force what can be. `now` is the start of life of endpoints that are new.
    pub fn settle(&mut self, now: Time) -> Settled {
        // Endpoints and services first, then what refers to them, then what refers to routes.
        for rank in 0..needs::RANKS {
            let ready: Vec<Key> = self
                .offered
                .iter()
                .filter(|(key, offer)| self.is_ready(rank, key, offer))
                .map(|(k, _)| k.clone())
                .collect();
            for key in ready {
                if let Some(offer) = self.offered.remove(&key) {
                    self.put(key, offer, now);
                }
            }
        }
        self.dirty |= self.leaving.expire(now);
        let config = self.dirty.then(|| self.assemble());
        self.dirty = false;
        Settled {
            config,
            vanished: std::mem::take(&mut self.vanished),
            in_force: std::mem::take(&mut self.done),
        }
    }

    /// Whether something ends by itself: [`Self::settle`] is to be called now and then.
    pub fn is_waiting(&self) -> bool {
        !self.leaving.is_empty()
    }

    fn is_ready(&self, rank: usize, key: &Key, offer: &Option<Resource>) -> bool {
        let Some(resource) = offer else { return needs::rank(key) == rank };
        needs::rank(key) == rank
            && needs::of_resource(resource, &self.namespace).iter().all(|key| self.known.contains(key))
    }

    fn is_known(&mut self, key: &Key) {
        if self.known.insert(key.clone()) && self.called.involves(key) {
            self.dirty = true;
            self.names_dirty |= matches!(key, Key::Names(_));
        }
    }

    fn put(&mut self, key: Key, resource: Option<Resource>, now: Time) {
        self.is_known(&key);
        self.names_dirty |= matches!(key, Key::Names(_));
        self.done.push(key.clone());
        self.needs_dirty |= needs::rank(&key) > 0;
        match resource {
            None => self.remove(&key, now),
            // A bundle that trusts nobody would end all traffic: certificates fail static.
            Some(Resource::TrustBundle(bundle)) if bundle.roots_der.is_empty() => {}
            Some(resource) => {
                self.revision += 1;
                if let Resource::Endpoints(endpoints) = &resource {
                    self.clusters.update(&endpoints.service, Some(endpoints), now, &mut self.vanished);
                } else {
                    self.dirty = true;
                }
                if let (Resource::InboundPolicy(new), Some(old)) = (&resource, self.inbound_policy().cloned())
                {
                    self.leaving.replaced(&old, new, now);
                }
                self.held.insert(key, Held { resource, revision: self.revision });
            }
        }
    }

    fn remove(&mut self, key: &Key, now: Time) {
        match key {
            Key::TrustBundle => return,
            Key::Endpoints(service) => self.clusters.update(service, None, now, &mut self.vanished),
            _ => self.dirty |= self.held.contains_key(key),
        }
        self.held.remove(key);
    }

    fn assemble(&mut self) -> Arc<Config> {
        let names = match std::mem::take(&mut self.names_dirty) {
            true => self.names(),
            false => Arc::clone(&self.config.names),
        };
        let own_locality = self.inbound_policy().map(|policy| policy.locality.clone()).unwrap_or_default();
        let (mesh, settings) = self.settled();
        let of_mesh = mesh.send_proxy_protocol;
        let mut round = Round::new(&self.clusters, &self.held, &self.limits, &own_locality, of_mesh);
        let mut cache = Cache::default();
        let mut build = Build { assembler: self, round: &mut round, cache: &mut cache, settings: &settings };
        let destinations = build.destinations();
        let listeners = build.listeners();
        let inbound = self
            .inbound_policy()
            .map(|policy| self.leaving.added_to(policy))
            .map(|policy| inbound::assemble(&policy, self.config.inbound.as_ref(), &self.limits, &settings));
        let generation = self.config.generation + 1;
        let next = round.finish();
        self.clusters.adopt(next, &mut self.vanished);
        self.cache = cache;
        self.limits.sweep();
        self.config = Arc::new(Config { generation, settings, destinations, listeners, inbound, names });
        Arc::clone(&self.config)
    }

    /// The mesh's settings, and those of this proxy.
    fn settled(&self) -> (Arc<MeshSettings>, Arc<MeshSettings>) {
        let before = &self.config.settings;
        let mesh = self.settings().cloned().unwrap_or_default();
        let mesh = if mesh == **before { Arc::clone(before) } else { Arc::new(mesh) };
        let here = self.inbound_policy().map(|policy| policy.overrides.clone()).unwrap_or_default();
        let own = entrance::settle(&mesh, &here, Some(before));
        (mesh, own)
    }
}

impl Assembler {
    fn names(&self) -> Arc<NameTable> {
        let shards = (0..NAME_SHARDS).map(Key::Names);
        let held = shards.clone().filter_map(|key| match self.resource(&key) {
            Some(Resource::Names(names)) => Some(names),
            _ => None,
        });
        let is_complete = shards.clone().all(|key| self.known.contains(&key));
        Arc::new(NameTable::new(&self.config.names, held, is_complete))
    }
}

/// What is in force, by kind.
impl Assembler {
    /// Everything in force.
    pub fn held(&self) -> impl Iterator<Item = (&Key, &Resource)> {
        self.held.iter().map(|(key, held)| (key, &held.resource))
    }

    /// What the workload calls.
    pub fn upstreams(&self) -> Option<&Upstreams> {
        match self.resource(&Key::Upstreams(self.own.clone()))? {
            Resource::Upstreams(upstreams) => Some(upstreams),
            _ => None,
        }
    }

    /// What the Gateway listens on.
    pub fn gateway(&self) -> Option<&GatewayRoutes> {
        match self.resource(&Key::GatewayRoutes(self.own.clone()))? {
            Resource::GatewayRoutes(routes) => Some(routes),
            _ => None,
        }
    }

    /// What the workload accepts.
    pub fn inbound_policy(&self) -> Option<&InboundPolicy> {
        match self.resource(&Key::InboundPolicy(self.own.clone()))? {
            Resource::InboundPolicy(policy) => Some(policy),
            _ => None,
        }
    }

    /// The roots.
    pub fn bundle(&self) -> Option<&TrustBundle> {
        match self.resource(&Key::TrustBundle)? {
            Resource::TrustBundle(bundle) => Some(bundle),
            _ => None,
        }
    }

    fn settings(&self) -> Option<&MeshSettings> {
        match self.resource(&Key::MeshSettings)? {
            Resource::MeshSettings(settings) => Some(settings),
            _ => None,
        }
    }

    /// What is in force under a key.
    pub fn resource(&self, key: &Key) -> Option<&Resource> {
        self.held.get(key).map(|held| &held.resource)
    }
}

/// Whether everything in it can be compiled, whatever its backends are.
fn check(resource: &Resource) -> Result<(), Refusal> {
    let mut nowhere = |_: &byrnie_plan::BackendTarget, _: Carries| Err(InvalidBackend::NotFound);
    let known = KnownLimits::default();
    match resource {
        Resource::Routes(routes) => {
            for port in &routes.ports {
                if let Some(table) = &port.http {
                    HttpRoutes::compile(table, &mut nowhere, &known)?;
                }
                for (_, rule) in &port.tcp {
                    TcpRoute::compile(rule, &mut nowhere, &known)?;
                }
            }
        }
        Resource::GatewayRoutes(gateway) => {
            for listener in &gateway.listeners {
                HttpRoutes::compile(&listener.http, &mut nowhere, &known)?;
                for (_, rule) in &listener.tcp {
                    TcpRoute::compile(rule, &mut nowhere, &known)?;
                }
            }
        }
        Resource::Service(service) => {
            known.compile(service.controls.as_deref())?;
        }
        Resource::InboundPolicy(policy) => {
            inbound::controls(policy, &known)?;
        }
        _ => {}
    }
    Ok(())
}
