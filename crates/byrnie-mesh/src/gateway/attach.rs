//! Routes attached to a Gateway's listeners, and the tables that come of it.

use std::collections::{BTreeMap, BTreeSet};

use byrnie_plan::{
    GatewayListener, HostPattern, HttpTable, InboundOverrides, ListenerProtocol, RouteKind, TcpRule,
};

use super::allows;
use super::listeners::Judged;
use crate::findings::{self, Code};
use crate::graph::{self, Parent, RouteId};
use crate::hosts::{self, HostSet};
use crate::model::{Gateway, ParentRef};
use crate::outputs::Attachment;
use crate::policy;
use crate::routes::{Compiled, MATCHES_MAX, Scope, TableBuilder, kind_name, tcp_rule};
use crate::view::View;

/// What a parent says to each route.
pub(super) type Attachments = BTreeMap<RouteId, Vec<Attachment>>;
/// Reason, code and message.
type Refusal = (&'static str, Code, String);
/// Names, protocol and hosts of the listeners that share a port, and where their policies stand.
type Opened<'a> = (Vec<&'a str>, ListenerProtocol, Vec<HostPattern>, Vec<graph::Place>);
/// Index of a listener, and the hosts that a route has there.
type Place = (usize, Vec<HostPattern>);

/// What routes hear whose parent does not exist.
pub(crate) fn to_nothing(parent: &Parent, routes: &[&Compiled], code: Code, message: &str) -> Attachments {
    let mut all = Attachments::new();
    for route in routes {
        for (index, parent_ref) in route.parents.iter().enumerate() {
            if parent_ref.parent.as_ref() == Some(parent) {
                let refused = Attachment::refused(index, "NoMatchingParent", code, message);
                all.entry(route.id.clone()).or_default().push(refused);
            }
        }
    }
    all
}

/// Where the policies of a listener stand.
fn policy_places(gateway: &Gateway, listener: &Judged<'_>) -> Vec<graph::Place> {
    let set = listener.set.map(|set| &set.meta.name);
    policy::listener_places(&gateway.meta.name, set, &listener.listener.name)
}

/// What stands on one port: the listeners that share it, and the routes so far.
struct Port<'a> {
    names: Vec<&'a str>,
    protocol: ListenerProtocol,
    /// The listeners' hosts.
    scopes: Vec<HostPattern>,
    table: TableBuilder,
    /// Routes for connections, by host.
    tcp: BTreeMap<HostPattern, (&'a RouteId, TcpRule)>,
    overrides: InboundOverrides,
}

/// What one listener has: its place in the port's scopes, and who is on it.
struct Seat<'a> {
    scope: Scope,
    http: HostSet,
    grpc: HostSet,
    routes: BTreeSet<&'a RouteId>,
}

/// Attaches the routes of a Gateway and of its ListenerSets, oldest first. What is said to them, by parent.
pub(crate) fn attach<'a>(
    gateway: &'a Gateway,
    judged: &mut [Judged<'a>],
    view: &View<'a>,
) -> (Vec<GatewayListener>, BTreeMap<Parent, Attachments>) {
    let (ports, seats, said) = seated(gateway, judged, view);
    for (listener, seat) in judged.iter_mut().zip(&seats) {
        listener.attached = seat.routes.len();
    }
    (ports.into_iter().map(|(number, port)| close(gateway, number, port)).collect(), said)
}

/// The listeners that serve a route, each with what its policies say and where they stand.
pub(super) fn seats_of(
    route: &RouteId,
    gateway: &Gateway,
    judged: &[Judged<'_>],
    view: &View<'_>,
) -> Vec<(Vec<graph::Place>, policy::OfListener)> {
    let (_, seats, _) = seated(gateway, judged, view);
    let taken = judged.iter().zip(seats).filter(|(_, seat)| seat.routes.contains(route));
    taken.map(|(listener, seat)| (policy_places(gateway, listener), seat.scope.policies)).collect()
}

type Seated<'a> = (BTreeMap<u16, Port<'a>>, Vec<Seat<'a>>, BTreeMap<Parent, Attachments>);

fn seated<'a>(gateway: &Gateway, judged: &[Judged<'a>], view: &View<'a>) -> Seated<'a> {
    let named = view.sets_of(&gateway.meta.name);
    let mut parents = vec![Parent::Gateway(gateway.meta.name.clone())];
    parents.extend(named.iter().map(|set| Parent::ListenerSet(set.meta.name.clone())));
    let mut routes: Vec<&Compiled> = parents.iter().flat_map(|parent| view.routes_on(parent)).collect();
    routes.sort_by(|a, b| (&a.age, &a.id).cmp(&(&b.age, &b.id)));
    routes.dedup_by(|a, b| a.id == b.id);
    let (mut ports, mut seats) = open(gateway, judged, view);
    let mut all: BTreeMap<Parent, Attachments> = BTreeMap::new();
    for route in routes {
        for (index, parent_ref) in route.parents.iter().enumerate() {
            let Some(parent) = parent_ref.parent.as_ref().filter(|parent| parents.contains(parent)) else {
                continue;
            };
            let said = match places(parent, route, parent_ref, judged, view) {
                Ok(places) => sit(route, &places, judged, &mut ports, &mut seats),
                Err(refusal) => Err(refusal),
            };
            let said = match said {
                Ok(()) => Attachment::taken(index),
                Err((reason, code, message)) => Attachment::refused(index, reason, code, message),
            };
            all.entry(parent.clone()).or_default().entry(route.id.clone()).or_default().push(said);
        }
    }
    (ports, seats, all)
}

fn open<'a>(
    gateway: &Gateway,
    judged: &[Judged<'a>],
    view: &View<'_>,
) -> (BTreeMap<u16, Port<'a>>, Vec<Seat<'a>>) {
    let mut ports: BTreeMap<u16, Opened<'a>> = BTreeMap::new();
    let mut seats = Vec::new();
    for listener in judged {
        let places = policy_places(gateway, listener);
        let mut index = 0;
        if let (true, Some(protocol)) = (listener.is_served(), listener.protocol) {
            let new = || (Vec::new(), protocol, Vec::new(), Vec::new());
            let port = ports.entry(listener.listener.port).or_insert_with(new);
            index = u32::try_from(port.2.len()).unwrap_or(u32::MAX);
            port.0.push(&listener.listener.name);
            port.2.push(listener.host.clone());
            port.3.extend(places.iter().cloned());
        }
        let policies = policy::OfListener::new(&gateway.meta.name, &places, view);
        seats.push(Seat {
            scope: Scope { index, policies },
            http: HostSet::default(),
            grpc: HostSet::default(),
            routes: BTreeSet::new(),
        });
    }
    let ports = ports.into_iter().map(|(number, (names, protocol, scopes, places))| {
        let table = TableBuilder::with_scopes(scopes.clone());
        let overrides = policy::inbound::of_listeners(&places, view);
        (number, Port { names, protocol, scopes, table, tcp: BTreeMap::new(), overrides })
    });
    (ports.collect(), seats)
}

fn close(gateway: &Gateway, number: u16, port: Port<'_>) -> GatewayListener {
    let is_http = port.protocol == ListenerProtocol::Http;
    let mut tcp: BTreeMap<HostPattern, TcpRule> =
        port.tcp.into_iter().map(|(host, (_, rule))| (host, rule)).collect();
    if port.protocol == ListenerProtocol::TlsPassthrough {
        // A name belongs to the listener that is most specific for it, also where that one has no route.
        for host in port.scopes {
            tcp.entry(host).or_insert_with(|| tcp_rule(&[]));
        }
    }
    GatewayListener {
        name: port.names.join(","),
        port: number,
        addresses: gateway.addresses.clone(),
        protocol: port.protocol,
        http: if is_http { port.table.build() } else { HttpTable::default() },
        tcp: tcp.into_iter().collect(),
        overrides: port.overrides,
    }
}

/// The listeners that take a route, with the hosts that it has there.
fn places(
    parent: &Parent,
    route: &Compiled,
    parent_ref: &ParentRef,
    judged: &[Judged<'_>],
    view: &View<'_>,
) -> Result<Vec<Place>, Refusal> {
    let code = findings::ROUTE_NOT_ATTACHED;
    let (name, own) = match parent {
        Parent::Gateway(name) => (format!("Gateway {name}"), None),
        Parent::ListenerSet(name) => (format!("ListenerSet {name}"), Some(name)),
        Parent::Service(name) => (format!("Service {name}"), None),
    };
    let (Parent::Gateway(owner) | Parent::ListenerSet(owner) | Parent::Service(owner)) = parent;
    let named = judged.iter().enumerate().filter(|(_, listener)| {
        listener.set.map(|set| &set.meta.name) == own
            && parent_ref.section.as_ref().is_none_or(|section| *section == listener.listener.name)
            && parent_ref.port.is_none_or(|port| port == listener.listener.port)
    });
    let named: Vec<(usize, &Judged<'_>)> = named.collect();
    if named.is_empty() {
        let message = format!("{name} has no listener as sectionName and port of the parentRef say");
        return Err(("NoMatchingParent", code, message));
    }
    let allows = |listener: &Judged<'_>| {
        listener.kinds.contains(&route.id.kind)
            && allows(&listener.listener.namespaces, &owner.namespace, &route.id.name.namespace, view)
    };
    let allowed: Vec<_> = named.into_iter().filter(|(_, listener)| allows(listener)).collect();
    if allowed.is_empty() {
        let kind = kind_name(route.id.kind);
        let namespace = &route.id.name.namespace;
        let message = format!("no such listener of {name} takes a {kind} of namespace {namespace}");
        return Err(("NotAllowedByListeners", code, message));
    }
    let (served, broken): (Vec<_>, Vec<_>) =
        allowed.into_iter().partition(|(_, listener)| listener.is_served());
    if let (true, Some((_, listener))) = (served.is_empty(), broken.first()) {
        let message =
            format!("listener {:?} is not served: {}", listener.listener.name, listener.accepted.message);
        return Err(("NoMatchingParent", code, message));
    }
    let places = served.into_iter().map(|(i, listener)| (i, hosts_on(route, &listener.host)));
    let places: Vec<_> = places.filter(|(_, hosts)| !hosts.is_empty()).collect();
    if places.is_empty() {
        let message = format!("no hostname of the route is one of a listener's of {name}");
        return Err(("NoMatchingListenerHostname", code, message));
    }
    Ok(places)
}

fn hosts_on(route: &Compiled, listener: &HostPattern) -> Vec<HostPattern> {
    match route.id.kind {
        RouteKind::Http | RouteKind::Grpc | RouteKind::Tls => hosts::within(listener, &route.hostnames),
        RouteKind::Tcp | RouteKind::Profile => vec![listener.clone()],
    }
}

/// Puts a route on its listeners. Taken when at least one has room for it.
fn sit<'a>(
    route: &'a Compiled,
    places: &[Place],
    judged: &[Judged<'a>],
    ports: &mut BTreeMap<u16, Port<'a>>,
    seats: &mut [Seat<'a>],
) -> Result<(), Refusal> {
    let mut refusal = None;
    let mut taken = !route.is_served_by_gateways();
    for (index, hosts) in places {
        let (listener, seat) = (&judged[*index], &mut seats[*index]);
        let Some(port) = ports.get_mut(&listener.listener.port) else {
            continue;
        };
        if seat.routes.contains(&route.id) {
            taken = true;
        } else if route.is_served_by_gateways() {
            match take(route, hosts, &listener.host, port, seat) {
                Ok(()) => {
                    seat.routes.insert(&route.id);
                    taken = true;
                }
                Err(why) => refusal = refusal.or(Some(why)),
            }
        }
    }
    match (taken, refusal) {
        (false, Some(refusal)) => Err(refusal),
        _ => Ok(()),
    }
}

fn take<'a>(
    route: &'a Compiled,
    hosts: &[HostPattern],
    listener: &HostPattern,
    port: &mut Port<'a>,
    seat: &mut Seat<'a>,
) -> Result<(), Refusal> {
    let (own, other) = match route.id.kind {
        RouteKind::Tcp | RouteKind::Tls | RouteKind::Profile => {
            return take_connections(route, hosts, listener, port, &seat.scope.policies);
        }
        RouteKind::Http => (&mut seat.http, &seat.grpc),
        RouteKind::Grpc => (&mut seat.grpc, &seat.http),
    };
    if let Some(host) = hosts.iter().find(|host| other.overlaps(host)) {
        let message =
            format!("an older route of the other kind has host {} on this listener", hosts::text(host));
        return Err(("Conflicted", findings::ROUTE_OVERRULED, message));
    }
    if !port.table.has_room(hosts.len(), &route.for_gateways) {
        let message = format!("the port would have more than {MATCHES_MAX} matches");
        return Err(("UnsupportedValue", findings::TABLE_FULL, message));
    }
    for host in hosts {
        own.insert(host);
    }
    port.table.add(route, &route.for_gateways, &seat.scope, hosts);
    Ok(())
}

/// Connections of one host follow one route: the oldest. A route holds when it has at least one host to itself.
fn take_connections<'a>(
    route: &'a Compiled,
    hosts: &[HostPattern],
    listener: &HostPattern,
    port: &mut Port<'a>,
    policies: &policy::OfListener,
) -> Result<(), Refusal> {
    let mut refusal = None;
    let mut taken = false;
    for host in hosts {
        // Listener isolation: the host may be another listener's, which is more specific for it.
        if hosts::most_specific(&port.scopes, host) != Some(listener) {
            continue;
        }
        match port.tcp.get(host) {
            Some((holder, _)) => {
                let message = match host {
                    HostPattern::Any => format!("the listener follows the older route {}", holder.name),
                    host => format!("host {} follows the older route {}", hosts::text(host), holder.name),
                };
                refusal = refusal.or(Some(("Conflicted", findings::ROUTE_OVERRULED, message)));
            }
            None => {
                let mut rule = tcp_rule(&route.for_gateways);
                policies.control(&mut rule.controls);
                port.tcp.insert(host.clone(), (&route.id, rule));
                taken = true;
            }
        }
    }
    match (taken, refusal) {
        (true, _) => Ok(()),
        (false, Some(refusal)) => Err(refusal),
        (false, None) => {
            let message = "each of the route's hostnames belongs to a more specific listener".to_owned();
            Err(("NoMatchingListenerHostname", findings::ROUTE_NOT_ATTACHED, message))
        }
    }
}
