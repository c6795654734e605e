//! Whose word the settings for what comes into a proxy are: for people.

use byrnie_plan::ObjectName;

use super::explain::{Origins, origin};
use super::{inbound, listener_places};
use crate::Compiler;
use crate::graph::{Place, Target};
use crate::inbound::services_of;
use crate::model::{Gateway, Listener, Service};
use crate::view::View;

/// Where in a proxy something comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Anywhere.
    Proxy,
    /// At a port of the Workload, or of the Gateway's listeners.
    Port(u16),
    /// As a call of a Service, at its caller.
    Service(ObjectName),
}

/// Whose word the settings for what comes in are (`spec.inbound`), by their path there.
impl Compiler {
    /// Those that policies say about one entry of a Workload's or Gateway's proxy, all that is around it included. What
    /// is not in it is the Mesh's, or a default.
    pub fn inbound_origins(&self, proxy: &ObjectName, entry: &Entry) -> Origins {
        let view = self.view();
        let mut origins = Origins::new();
        inbound::nearest_told(&entry_places(proxy, entry, &view), &view, |place, policy, so_far| {
            for (path, _) in so_far.words() {
                origins.entry(path.to_owned()).or_insert_with(|| origin(place, policy));
            }
        });
        origins
    }
}

fn entry_places(proxy: &ObjectName, entry: &Entry, view: &View<'_>) -> Vec<Place> {
    let gateway = view.gateway(proxy);
    let mut around = match gateway {
        Some(_) => inbound::gateway_places(proxy),
        None => inbound::workload_places(proxy),
    };
    if let Entry::Service(service) = entry {
        around.push(inbound::whole(Target::Namespace(service.namespace.clone())));
    }
    let nearer = match (entry, gateway) {
        (Entry::Proxy, _) => Vec::new(),
        (Entry::Service(service), _) => vec![inbound::whole(Target::Service(service.clone()))],
        (Entry::Port(port), Some(gateway)) => gateway_port_places(gateway, *port, view),
        (Entry::Port(port), None) => {
            return inbound::port_places(proxy, services_behind(proxy, *port, view).into_iter());
        }
    };
    nearer.into_iter().chain(around).collect()
}

/// Those of all listeners of a port in their order, the Gateway's own and then those of its ListenerSets.
fn gateway_port_places(gateway: &Gateway, port: u16, view: &View<'_>) -> Vec<Place> {
    let name = &gateway.meta.name;
    let of = |set: Option<&ObjectName>, listeners: &[Listener]| {
        let here = listeners.iter().filter(|listener| listener.port == port);
        here.flat_map(|listener| listener_places(name, set, &listener.name)).collect::<Vec<_>>()
    };
    let mut places = of(None, &gateway.listeners);
    for set in view.sets_of(name) {
        places.extend(of(Some(&set.meta.name), &set.listeners));
    }
    inbound::without_gateway(&places)
}

/// The Services that lead to a port of a Workload, by name.
fn services_behind(workload: &ObjectName, port: u16, view: &View<'_>) -> Vec<ObjectName> {
    let Some(workload) = view.workload(workload) else { return Vec::new() };
    let leads = |service: &&Service| {
        let mut targets = service.ports.iter().filter_map(|port| workload.target(&port.target));
        targets.any(|target| target.port == port)
    };
    let services = services_of(workload, view).into_iter().filter(leads);
    services.map(|service| service.meta.name.clone()).collect()
}
