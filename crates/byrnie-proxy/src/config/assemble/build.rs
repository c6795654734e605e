//! Destinations and listeners of one configuration.

use std::sync::Arc;

use byrnie_plan::{AppProtocol, Key, MeshSettings, ObjectName, Resource, RouteKind, ServicePortRef};
use foldhash::HashMap;

use super::clusters::Round;
use super::compiled::{Cache, Compiled, Source};
use super::{Assembler, Held, entrance};
use crate::config::{Cluster, Destination, HttpRoutes, Listener, TcpRoutes};

/// One assembly: what was, and what is becoming.
pub(super) struct Build<'a, 'r> {
    pub(super) assembler: &'a Assembler,
    pub(super) round: &'r mut Round<'a>,
    pub(super) cache: &'r mut Cache,
    /// What holds for this proxy.
    pub(super) settings: &'r Arc<MeshSettings>,
}

impl Build<'_, '_> {
    pub(super) fn destinations(&mut self) -> HashMap<ServicePortRef, Arc<Destination>> {
        let upstreams = self.assembler.upstreams().map(|u| u.upstreams.as_slice()).unwrap_or_default();
        let mut out = HashMap::default();
        for upstream in upstreams {
            let name = ServicePortRef { service: upstream.service.clone(), port: upstream.port };
            if let Some(destination) = self.destination(&name) {
                out.insert(name, destination);
            }
        }
        for service in self.assembler.called().filter(|service| self.assembler.knows_called(service)) {
            let held = self.assembler.resource(&Key::Service(service.clone()));
            let Some(Resource::Service(plan)) = held else { continue };
            for port in &plan.ports {
                let name = ServicePortRef { service: service.clone(), port: port.port };
                if !out.contains_key(&name)
                    && let Some(destination) = self.destination(&name)
                {
                    out.insert(name, destination);
                }
            }
        }
        out
    }

    /// `None`: there is no such Service or port.
    fn destination(&mut self, name: &ServicePortRef) -> Option<Arc<Destination>> {
        let cluster = self.round.cluster(name, &[]).ok()?;
        let Compiled { http, tcp } = self.routes(name)?;
        let protocol = effective(cluster.protocol, http.as_deref());
        let overrides = self.overrides(&name.service);
        let before = self.assembler.config.destinations.get(name);
        let settings = self.settings_of(&name.service, before.map(|before| &before.settings));
        let same = before.filter(|before| {
            before.protocol == protocol
                && Arc::ptr_eq(&before.settings, &settings)
                && before.overrides.len() == overrides.len()
                && before.overrides.iter().zip(&overrides).all(|(a, b)| Arc::ptr_eq(a, b))
                && Arc::ptr_eq(&before.cluster, &cluster)
                && same(&before.http, &http)
                && same_routes(&before.tcp, &tcp)
        });
        Some(match same {
            Some(before) => Arc::clone(before),
            None => {
                let name = Arc::clone(&cluster.service);
                Arc::new(Destination { name, protocol, http, tcp, cluster, overrides, settings })
            }
        })
    }

    /// What holds where calls of a service come in.
    fn settings_of(&self, service: &ObjectName, before: Option<&Arc<MeshSettings>>) -> Arc<MeshSettings> {
        match self.assembler.resource(&Key::Service(service.clone())) {
            Some(Resource::Service(plan)) => entrance::settle(self.settings, &plan.overrides, before),
            _ => Arc::clone(self.settings),
        }
    }

    /// Where the workload may send single requests for a service instead, as far as that exists.
    fn overrides(&mut self, service: &ObjectName) -> Vec<Arc<Cluster>> {
        let all = self.assembler.upstreams().map(|upstreams| upstreams.overrides.as_slice());
        let own = all.unwrap_or_default().iter().filter(|one| one.service == *service);
        let targets: Vec<_> = own.flat_map(|one| &one.targets).collect();
        targets.into_iter().filter_map(|target| self.round.cluster(target, &[]).ok()).collect()
    }

    /// The consumer's routes where they exist, else the producer's.
    fn routes(&mut self, name: &ServicePortRef) -> Option<Compiled> {
        let own_namespace = Arc::clone(&self.assembler.namespace);
        let key = |client_namespace| Key::Routes { service: name.service.clone(), client_namespace };
        for key in [key(Some(own_namespace)), key(None)] {
            let Some(Held { resource: Resource::Routes(routes), revision }) = self.assembler.held.get(&key)
            else {
                continue;
            };
            let Some(port) = routes.ports.iter().find(|port| port.port == name.port) else { break };
            let tcp = port.tcp.iter().map(|(host, rule)| (host, rule)).collect();
            let source =
                Source { place: (key, name.port), revision: *revision, http: port.http.as_ref(), tcp };
            return self.cache.compile(&self.assembler.cache, source, self.round);
        }
        Some(Compiled { http: None, tcp: Vec::new() })
    }

    pub(super) fn listeners(&mut self) -> HashMap<u16, Arc<Listener>> {
        let key = Key::GatewayRoutes(self.assembler.own.clone());
        let Some(Held { resource: Resource::GatewayRoutes(gateway), revision }) =
            self.assembler.held.get(&key)
        else {
            return HashMap::default();
        };
        let mut out = HashMap::default();
        for plan in &gateway.listeners {
            let source = Source {
                place: (key.clone(), plan.port),
                revision: *revision,
                // A table without entries where something else is spoken.
                http: Some(&plan.http),
                tcp: plan.tcp.iter().map(|(host, rule)| (host, rule)).collect(),
            };
            let compiled = self.cache.compile(&self.assembler.cache, source, self.round);
            let Some(Compiled { http: Some(http), tcp }) = compiled else { continue };
            let before = self.assembler.config.listeners.get(&plan.port);
            let before = before.map(|listener| &listener.settings);
            let settings = entrance::settle(self.settings, &plan.overrides, before);
            let (name, port) = (plan.name.clone(), plan.port);
            let listener = Listener { name, port, protocol: plan.protocol, http, tcp, settings };
            out.insert(plan.port, Arc::new(listener));
        }
        out
    }
}

/// Routes for requests make a port that declares nothing speak HTTP; GRPCRoutes alone make it speak gRPC.
fn effective(declared: AppProtocol, http: Option<&HttpRoutes>) -> AppProtocol {
    match http {
        Some(routes) if declared == AppProtocol::Detect => {
            let grpc =
                !routes.rules.is_empty() && routes.rules.iter().all(|rule| rule.name.kind == RouteKind::Grpc);
            if grpc { AppProtocol::Grpc } else { AppProtocol::Http1 }
        }
        _ => declared,
    }
}

fn same_routes(a: &TcpRoutes, b: &TcpRoutes) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(&a.1, &b.1))
}

fn same<T>(a: &Option<Arc<T>>, b: &Option<Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}
