//! Routes attached to a Service (GAMMA): producer's and consumers', one kind for each port.

use std::collections::{BTreeMap, BTreeSet};

use byrnie_plan::{HostPattern, ObjectName, PortRoutes, Resource, RouteKind, Routes, TcpRule};

use super::backends::kind_name;
use super::compile::Compiled;
use super::profile;
use super::table::{MATCHES_MAX, Scope, TableBuilder};
use crate::findings;
use crate::graph::{Parent, RouteId};
use crate::model::{ParentRef, Service, ServiceShape};
use crate::outputs::{Attachment, Product};
use crate::view::View;

/// One `parentRef` that names this Service.
struct Claim<'a> {
    route: &'a Compiled,
    index: usize,
    ports: Vec<u16>,
}

/// How each claim fared: taken on some port, or why not.
#[derive(Default)]
struct Ledger<'a> {
    taken: BTreeSet<(&'a RouteId, usize)>,
    refused: BTreeMap<(&'a RouteId, usize), Attachment>,
}

impl<'a> Ledger<'a> {
    fn refuse(&mut self, claim: &Claim<'a>, reason: &'static str, code: findings::Code, message: String) {
        let refused = Attachment::refused(claim.index, reason, code, message);
        self.refused.entry((&claim.route.id, claim.index)).or_insert(refused);
    }

    fn attachments(mut self) -> BTreeMap<RouteId, Vec<Attachment>> {
        let mut all: BTreeMap<RouteId, Vec<Attachment>> = BTreeMap::new();
        for &(route, index) in &self.taken {
            self.refused.remove(&(route, index));
            all.entry(route.clone()).or_default().push(Attachment::taken(index));
        }
        for ((route, _), refused) in self.refused {
            all.entry(route.clone()).or_default().push(refused);
        }
        all
    }
}

/// `Key::Routes` of a Service: one for every client, and one for each namespace that has routes of its own.
pub(crate) fn service_routes(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let parent = Parent::Service(name.clone());
    let routes = view.routes_on(&parent);
    let service = view.service(name);
    if routes.is_empty() && service.is_none() {
        return None;
    }
    let mut ledger = Ledger::default();
    let mut groups: BTreeMap<Option<String>, Vec<Claim<'_>>> = BTreeMap::new();
    for route in routes {
        let namespace = &route.id.name.namespace;
        let client = (*namespace != name.namespace).then(|| namespace.clone());
        let group = groups.entry(client).or_default();
        for (index, parent_ref) in route.parents.iter().enumerate() {
            if parent_ref.parent.as_ref() == Some(&parent) {
                group.extend(claim(route, index, parent_ref, name, service, &mut ledger));
            }
        }
    }
    let resources = compile_groups(name, &groups, &mut ledger);
    Some(Product { resources, attachments: ledger.attachments(), ..Product::default() })
}

/// The ports that a `parentRef` is for; none is a refusal.
fn claim<'a>(
    route: &'a Compiled,
    index: usize,
    parent_ref: &ParentRef,
    name: &ObjectName,
    service: Option<&Service>,
    ledger: &mut Ledger<'a>,
) -> Option<Claim<'a>> {
    let ports = match service {
        None => Err((findings::PARENT_MISSING, format!("there is no Service {name}"))),
        Some(service) if service.shape != ServiceShape::Virtual => {
            let message =
                format!("Service {name} is headless or an ExternalName: no route can be attached to it");
            Err((findings::ROUTE_NOT_ATTACHED, message))
        }
        Some(service) => {
            let ports: Vec<u16> = service
                .ports
                .iter()
                .filter(|port| parent_ref.port.is_none_or(|number| number == port.port))
                .filter(|port| parent_ref.section.as_ref().is_none_or(|section| *section == port.name))
                .filter(|port| route.id.kind != RouteKind::Profile || profile::is_for(port.protocol))
                .map(|port| port.port)
                .collect();
            let message = format!("Service {name} has no port as the parentRef names it");
            if ports.is_empty() { Err((findings::ROUTE_NOT_ATTACHED, message)) } else { Ok(ports) }
        }
    };
    match ports {
        Ok(ports) => Some(Claim { route, index, ports }),
        Err((code, message)) => {
            let claim = Claim { route, index, ports: Vec::new() };
            ledger.refuse(&claim, "NoMatchingParent", code, message);
            None
        }
    }
}

fn compile_groups<'a>(
    name: &ObjectName,
    groups: &BTreeMap<Option<String>, Vec<Claim<'a>>>,
    ledger: &mut Ledger<'a>,
) -> Vec<Resource> {
    let mut resources = Vec::new();
    let mut producer: Vec<PortRoutes> = Vec::new();
    // The producer's group (`None`) comes first.
    for (client, claims) in groups {
        let mut ports = compile_ports(name, claims, ledger);
        if client.is_none() {
            producer.clone_from(&ports);
        } else if !ports.is_empty() {
            // A consumer's routes replace the producer's port by port; the whole resource replaces the other.
            let missing = producer.iter().filter(|p| ports.iter().all(|own| own.port != p.port)).cloned();
            let missing: Vec<PortRoutes> = missing.collect();
            ports.extend(missing);
            ports.sort_by_key(|p| p.port);
        }
        if !ports.is_empty() {
            resources.push(Resource::Routes(Routes {
                service: name.clone(),
                client_namespace: client.as_deref().map(Into::into),
                ports,
            }));
        }
    }
    resources
}

fn compile_ports<'a>(service: &ObjectName, claims: &[Claim<'a>], ledger: &mut Ledger<'a>) -> Vec<PortRoutes> {
    let ports: BTreeSet<u16> = claims.iter().flat_map(|claim| claim.ports.iter().copied()).collect();
    let mut compiled = Vec::new();
    for port in ports {
        let claims: Vec<&Claim<'a>> = claims
            .iter()
            .filter(|claim| claim.ports.contains(&port) && claim.route.is_served_by_services())
            .collect();
        let Some(winner) = claims.iter().map(|claim| claim.route.id.kind).min_by_key(|kind| rank(*kind))
        else {
            continue;
        };
        let (same, others): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| claim.route.id.kind == winner);
        for claim in others {
            let message = format!(
                "port {port} has a {}, which comes before a {}",
                kind_name(winner),
                kind_name(claim.route.id.kind)
            );
            ledger.refuse(claim, "Conflicted", findings::ROUTE_OVERRULED, message);
        }
        compiled.push(match winner {
            RouteKind::Http | RouteKind::Grpc => http_port(port, &same, ledger),
            RouteKind::Profile => profile_port(service, port, &same, ledger),
            RouteKind::Tcp => tcp_port(port, &same, ledger),
            RouteKind::Tls => tls_port(port, &same, ledger),
        });
    }
    // A route of which nothing can be served is none of the port's: its own verdict says why.
    for claim in claims.iter().filter(|claim| !claim.route.is_served_by_services()) {
        ledger.taken.insert((&claim.route.id, claim.index));
    }
    compiled
}

/// Which kind holds when several are attached to one port (GEP-1294).
fn rank(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Grpc => 0,
        RouteKind::Http => 1,
        // The standard comes before what is kept for those who come from Linkerd.
        RouteKind::Profile => 2,
        RouteKind::Tls => 3,
        RouteKind::Tcp => 4,
    }
}

fn http_port<'a>(port: u16, claims: &[&Claim<'a>], ledger: &mut Ledger<'a>) -> PortRoutes {
    let mut table = TableBuilder::default();
    let mut added = BTreeSet::new();
    for claim in claims {
        if !added.contains(&claim.route.id) && !table.has_room(1, &claim.route.for_services) {
            let message = format!("port {port} would have more than {MATCHES_MAX} matches");
            ledger.refuse(claim, "UnsupportedValue", findings::TABLE_FULL, message);
            continue;
        }
        if added.insert(&claim.route.id) {
            // `hostnames` of a route attached to a Service are ignored: the destination is what was dialed.
            table.add(claim.route, &claim.route.for_services, &Scope::default(), &[HostPattern::Any]);
        }
        ledger.taken.insert((&claim.route.id, claim.index));
    }
    PortRoutes { port, http: Some(table.build()), tcp: Vec::new() }
}

/// Requests follow one profile: the oldest.
fn profile_port<'a>(
    service: &ObjectName,
    port: u16,
    claims: &[&Claim<'a>],
    ledger: &mut Ledger<'a>,
) -> PortRoutes {
    let mut table = None;
    for claim in claims {
        if !profile::has_room(claim.route) {
            let message = format!("port {port} would have more than {MATCHES_MAX} matches");
            ledger.refuse(claim, "UnsupportedValue", findings::TABLE_FULL, message);
        } else if table.is_none() {
            table = Some(profile::table(claim.route, service, port));
            ledger.taken.insert((&claim.route.id, claim.index));
        } else {
            let message = format!("port {port} follows an older ServiceProfile");
            ledger.refuse(claim, "Conflicted", findings::ROUTE_OVERRULED, message);
        }
    }
    PortRoutes { port, http: table, tcp: Vec::new() }
}

/// Connections follow one route: the oldest.
fn tcp_port<'a>(port: u16, claims: &[&Claim<'a>], ledger: &mut Ledger<'a>) -> PortRoutes {
    let oldest = claims.first().map(|claim| claim.route);
    for claim in claims {
        match oldest {
            Some(oldest) if oldest.id != claim.route.id => {
                let message = format!("port {port} follows the older route {}", oldest.id.name);
                ledger.refuse(claim, "Conflicted", findings::ROUTE_OVERRULED, message);
            }
            _ => {
                ledger.taken.insert((&claim.route.id, claim.index));
            }
        }
    }
    let rule = oldest.map(|route| (HostPattern::Any, tcp_rule(&route.for_services)));
    PortRoutes { port, http: None, tcp: rule.into_iter().collect() }
}

/// Connections that ask for one name follow one route: the oldest. A route holds when it has at least one name to
/// itself; who asks for a name that no route has is refused.
fn tls_port<'a>(port: u16, claims: &[&Claim<'a>], ledger: &mut Ledger<'a>) -> PortRoutes {
    let mut by_name: BTreeMap<HostPattern, &'a Compiled> = BTreeMap::new();
    for claim in claims {
        let hosts: &[HostPattern] =
            if claim.route.hostnames.is_empty() { &[HostPattern::Any] } else { &claim.route.hostnames };
        for host in hosts {
            by_name.entry(host.clone()).or_insert(claim.route);
        }
        let holder = hosts.iter().find_map(|host| by_name.get(host).filter(|r| r.id != claim.route.id));
        let has_own = hosts.iter().any(|host| by_name.get(host).is_some_and(|r| r.id == claim.route.id));
        match holder {
            Some(holder) if !has_own => {
                let message = format!("the names of port {port} follow the older route {}", holder.id.name);
                ledger.refuse(claim, "Conflicted", findings::ROUTE_OVERRULED, message);
            }
            _ => {
                ledger.taken.insert((&claim.route.id, claim.index));
            }
        }
    }
    let tcp = by_name.into_iter().map(|(host, route)| (host, tcp_rule(&route.for_services)));
    PortRoutes { port, http: None, tcp: tcp.collect() }
}

/// The first rule of a route for connections. Without one, connections are refused.
pub(crate) fn tcp_rule(rules: &[super::CompiledRule]) -> TcpRule {
    match rules.first() {
        Some(first) => TcpRule {
            name: Some(first.rule.name.clone()),
            backends: first.rule.backends.clone(),
            controls: first.rule.controls.clone(),
        },
        None => TcpRule { name: None, backends: Vec::new(), controls: None },
    }
}
