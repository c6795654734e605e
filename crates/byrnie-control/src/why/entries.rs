//! What holds where the request comes in, where that is otherwise than by default, and whose word it is.

use std::collections::{BTreeMap, BTreeSet};

use byrnie_mesh::{Compiler, Entry, Origins};
use byrnie_plan::{InboundOverrides, Key, MeshSettings, ObjectName, Resource};

use super::route::Hop;
use super::step;
use crate::api::WhyStep;
use crate::table::Table;

/// Workloads that are looked at; with more the answer would be too long to be read.
const TOLD: usize = 10;

/// Where a Gateway's clients come in, whichever listener it is.
pub fn at_gateway(table: &Table, compiler: &Compiler, gateway: &ObjectName) -> Option<WhyStep> {
    let here = of_proxy(table, gateway)?;
    told(table, compiler, gateway, &Entry::Proxy, &[here])
        .map(|detail| step("inbound", true, format!("Gateway {gateway}"), detail))
}

/// Where calls of a Service come into their caller's proxy.
pub fn at_caller(
    table: &Table,
    compiler: &Compiler,
    source: &ObjectName,
    service: &ObjectName,
) -> Option<WhyStep> {
    let here = of_proxy(table, source)?;
    let nearer = super::service(table, service)?.overrides;
    told(table, compiler, source, &Entry::Service(service.clone()), &[here, nearer])
        .map(|detail| step("inbound", true, format!("proxy of {source}"), detail))
}

/// Where they come into the called Workloads' proxies; those with the same answer together.
pub fn at_servers(table: &Table, compiler: &Compiler, hops: &[Hop], steps: &mut Vec<WhyStep>) {
    let mut told_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (workload, port) in called(table, hops).into_iter().take(TOLD) {
        if let Some(detail) = at_server(table, compiler, &workload, port) {
            told_of.entry(detail).or_default().push(format!("{workload} port {port}"));
        }
    }
    steps
        .extend(told_of.into_iter().map(|(detail, places)| step("inbound", true, places.join(", "), detail)));
}

fn at_server(table: &Table, compiler: &Compiler, workload: &ObjectName, port: u16) -> Option<String> {
    let published = table.get(&Key::InboundPolicy(workload.clone()))?;
    let Resource::InboundPolicy(policy) = &published.resource else { return None };
    let here = &policy.ports.iter().find(|p| p.port == port)?.overrides;
    told(table, compiler, workload, &Entry::Port(port), &[policy.overrides.clone(), here.clone()])
}

/// Workloads with proxies, and their ports.
fn called(table: &Table, hops: &[Hop]) -> BTreeSet<(ObjectName, u16)> {
    let mut all = BTreeSet::new();
    for hop in hops {
        let found = table.get(&Key::Endpoints(hop.service.clone()));
        if let Some(Resource::Endpoints(endpoints)) = found.as_ref().map(|found| &found.resource) {
            let port = endpoints.ports.iter().find(|port| port.port == hop.port);
            let meshed = port.into_iter().flat_map(|port| &port.endpoints);
            all.extend(meshed.map(|endpoint| (endpoint.workload.clone(), endpoint.app_port)));
        }
    }
    all
}

fn of_proxy(table: &Table, proxy: &ObjectName) -> Option<InboundOverrides> {
    match &table.get(&Key::InboundPolicy(proxy.clone()))?.resource {
        Resource::InboundPolicy(policy) => Some(policy.overrides.clone()),
        _ => None,
    }
}

/// `None`: everything is as by default.
fn told(
    table: &Table,
    compiler: &Compiler,
    proxy: &ObjectName,
    entry: &Entry,
    nearer: &[InboundOverrides],
) -> Option<String> {
    let mesh = match table.get(&Key::MeshSettings).map(|published| published.resource.clone()) {
        Some(Resource::MeshSettings(settings)) => *settings,
        _ => MeshSettings::default(),
    };
    let parts = otherwise(&mesh, nearer, &compiler.inbound_origins(proxy, entry));
    let text = |(name, (value, origin)): (&&str, &(String, String))| format!("{name} {value} ({origin})");
    let parts: Vec<String> = parts.iter().map(text).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Whose word a value is that no policy says: the Mesh's; `None`: nobody's, it is the default.
pub fn of_mesh(field: &str, value: &str) -> Option<String> {
    let defaults = InboundOverrides::in_force(&MeshSettings::default()).words();
    let is_default = defaults.iter().any(|(name, default)| *name == field && default == value);
    (!is_default).then(|| format!("Mesh default spec.proxy.{field}"))
}

/// Value and origin of what is not as by default.
fn otherwise(
    mesh: &MeshSettings,
    nearer: &[InboundOverrides],
    origins: &Origins,
) -> BTreeMap<&'static str, (String, String)> {
    let said = InboundOverrides::in_force(mesh).words().into_iter();
    let mut all: BTreeMap<&'static str, (String, String)> = said
        .filter_map(|(name, value)| of_mesh(name, &value).map(|origin| (name, (value, origin))))
        .collect();
    for (name, value) in nearer.iter().flat_map(InboundOverrides::words) {
        let origin = origins.get(name).cloned().unwrap_or_default();
        all.insert(name, (value, origin));
    }
    all
}
