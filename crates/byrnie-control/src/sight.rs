//! What is going on: edges, routes and numbers, from the last minutes of the proxies' reports.
//!
//! A request between two proxies is reported by both. Everything here counts it once, as the caller's proxy saw it;
//! only a Workload's own numbers are those of its own proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use byrnie_plan::{Endpoints, Hop, ObjectName, Resource};
use byrnie_telemetry::{Direction, Labels, RequestTotals};

use crate::api::{EdgeItem, RouteItem, SightQuery, StatItem, TopItem};
use crate::state::Control;

/// Seconds to look back when the query names none, and at most; `top` looks at the newest only.
const WINDOW: u32 = 60;
const WINDOW_MAX: u32 = 300;
const WINDOW_TOP: u32 = 10;

fn span(query: &SightQuery, default: u32) -> Duration {
    Duration::from_secs(query.window_seconds.unwrap_or(default).clamp(1, WINDOW_MAX).into())
}

fn is_wanted(query: &SightQuery, name: &ObjectName) -> bool {
    query.namespace.as_ref().is_none_or(|namespace| *namespace == name.namespace)
        && query.name.as_ref().is_none_or(|wanted| *wanted == name.name)
}

fn millis(totals: &RequestTotals, share: f64) -> Option<f64> {
    // Three digits behind the point: microseconds.
    totals.quantile(share).map(|time| (time.as_secs_f64() * 1e6).round() / 1e3)
}

/// Both ends of a hop that a caller's proxy reported.
fn hop(labels: &Labels) -> Option<(ObjectName, ObjectName)> {
    if labels.direction != Direction::Outbound {
        return None;
    }
    Some((labels.source.clone()?, labels.destination.clone()?))
}

/// `GET /v1/edges`. The query's name is that of either end.
pub fn edges(control: &Control, query: &SightQuery) -> Vec<EdgeItem> {
    let (now, span) = (Instant::now(), span(query, WINDOW));
    let mut seen: BTreeSet<(ObjectName, ObjectName, Labels)> = BTreeSet::new();
    {
        let window = control.window.lock();
        let mut note = |labels: &Labels| {
            let (src, dst) = hop(labels)?;
            let wanted = is_wanted(query, &src) || is_wanted(query, &dst);
            // What an edge does not show is not compared.
            let bare = Labels { service: None, route: None, ..labels.clone() };
            wanted.then(|| seen.insert((src, dst, bare))).map(drop)
        };
        window.requests(now, span, |key| note(&key.labels));
        window.connections(now, span, |key| note(&key.labels));
    }
    let mut edges: BTreeMap<(ObjectName, ObjectName), EdgeItem> = BTreeMap::new();
    for (src, dst, labels) in seen {
        let id = |id: &Option<byrnie_plan::WorkloadIdentity>| {
            id.as_ref().map(ToString::to_string).unwrap_or_default()
        };
        let new = EdgeItem {
            namespace: src.namespace.clone(),
            src: src.name.clone(),
            dst: dst.name.clone(),
            dst_namespace: dst.namespace.clone(),
            secured: labels.secured,
            why: if labels.secured { String::new() } else { labels.why.clone() },
            client_id: if labels.secured { id(&labels.self_identity) } else { String::new() },
            server_id: id(&labels.peer_identity),
        };
        let edge = edges.entry((src, dst)).or_insert_with(|| new.clone());
        // One unsecured request makes the edge unsecured.
        if edge.secured && !new.secured {
            *edge = new;
        }
    }
    edges.into_values().collect()
}

/// `GET /v1/routes`.
pub fn routes(control: &Control, query: &SightQuery) -> Vec<RouteItem> {
    let totals = control.window.lock().requests(Instant::now(), span(query, WINDOW), |key| {
        let labels = &key.labels;
        if labels.direction != Direction::Outbound {
            return None;
        }
        let service = labels.service.clone().or_else(|| labels.source.clone())?;
        let route = route_name(labels);
        is_wanted(query, &service).then_some((service, route))
    });
    let items = totals.into_iter().map(|((service, route), totals)| RouteItem {
        namespace: service.namespace.clone(),
        service: service.name.clone(),
        route,
        success: totals.success().unwrap_or(1.0),
        rps: totals.rps(),
        p50_ms: millis(&totals, 0.50).unwrap_or_default(),
        p95_ms: millis(&totals, 0.95).unwrap_or_default(),
        p99_ms: millis(&totals, 0.99).unwrap_or_default(),
    });
    items.collect()
}

fn route_name(labels: &Labels) -> String {
    labels.route.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string)
}

/// `GET /v1/top`. The query's name is that of the called workload or service.
pub fn top(control: &Control, query: &SightQuery) -> Vec<TopItem> {
    let totals = control.window.lock().requests(Instant::now(), span(query, WINDOW_TOP), |key| {
        let labels = &key.labels;
        let is_from_outside = labels.source.is_none() && labels.peer_identity.is_none();
        if labels.direction == Direction::Inbound && !is_from_outside {
            return None;
        }
        let service = labels.service.clone();
        let dst = labels.destination.clone();
        let wanted = dst.iter().chain(&service).any(|name| is_wanted(query, name));
        wanted.then(|| (labels.source.clone(), dst, service, route_name(labels)))
    });
    let mut items: Vec<TopItem> = totals.into_iter().map(top_item).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.count));
    items
}

type TopKey = (Option<ObjectName>, Option<ObjectName>, Option<ObjectName>, String);

fn top_item(((src, dst, service, route), totals): (TopKey, RequestTotals)) -> TopItem {
    let (namespace, src) =
        src.map_or_else(|| (String::new(), "-".to_owned()), |s| (s.namespace.clone(), s.name.clone()));
    let (dst_namespace, dst) =
        dst.map_or_else(|| (String::new(), "-".to_owned()), |d| (d.namespace.clone(), d.name.clone()));
    TopItem {
        namespace,
        src,
        dst,
        dst_namespace,
        service: service.map(|service| service.name.clone()).unwrap_or_default(),
        route,
        count: totals.count(),
        rps: totals.rps(),
        success: totals.success().unwrap_or(1.0),
        p50_ms: millis(&totals, 0.50).unwrap_or_default(),
        p95_ms: millis(&totals, 0.95).unwrap_or_default(),
        p99_ms: millis(&totals, 0.99).unwrap_or_default(),
    }
}

/// `GET /v1/stat`.
pub fn stat(control: &Control, query: &SightQuery) -> Vec<StatItem> {
    let mut items = Vec::new();
    match query.kind.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("workload" | "workloads") => items.extend(workloads(control, query)),
        Some("gateway" | "gateways") => items.extend(gateways(control, query)),
        Some("service" | "services" | "svc") => items.extend(services(control, query)),
        _ => {
            items.extend(services(control, query));
            items.extend(gateways(control, query));
        }
    }
    items
}

fn services(control: &Control, query: &SightQuery) -> Vec<StatItem> {
    let called = |labels: &Labels| match labels.direction {
        Direction::Outbound => labels.service.clone(),
        Direction::Inbound => None,
    };
    let numbers = Numbers::of(control, query, called);
    let all = control.table.all();
    let known = all.iter().filter_map(|published| match &published.resource {
        Resource::Endpoints(endpoints) if is_wanted(query, &endpoints.service) => Some(endpoints),
        _ => None,
    });
    let rows: BTreeMap<&ObjectName, (u32, u32)> = known.map(|e| (&e.service, meshed(e))).collect();
    rows.into_iter().map(|(name, meshed)| numbers.item("Service", name, meshed)).collect()
}

/// Workloads behind a service: meshed ones, and all.
fn meshed(endpoints: &Endpoints) -> (u32, u32) {
    let all = || endpoints.ports.iter().flat_map(|port| &port.endpoints);
    let is_meshed = |hop: &Hop| matches!(hop, Hop::Mesh { .. });
    let names: BTreeSet<&ObjectName> = all().map(|e| &e.workload).collect();
    let meshed: BTreeSet<&ObjectName> = all().filter(|e| is_meshed(&e.hop)).map(|e| &e.workload).collect();
    (count(meshed.len()), count(names.len()))
}

fn gateways(control: &Control, query: &SightQuery) -> Vec<StatItem> {
    let own = |labels: &Labels| match labels.direction {
        Direction::Outbound => labels.source.clone(),
        Direction::Inbound => None,
    };
    let numbers = Numbers::of(control, query, own);
    let all = control.table.all();
    let names: BTreeSet<&ObjectName> = all
        .iter()
        .filter_map(|published| match &published.resource {
            Resource::GatewayRoutes(routes) if is_wanted(query, &routes.gateway) => Some(&routes.gateway),
            _ => None,
        })
        .collect();
    names.into_iter().map(|name| numbers.item("Gateway", name, (proxy(control, name), 1))).collect()
}

fn workloads(control: &Control, query: &SightQuery) -> Vec<StatItem> {
    let own = |labels: &Labels| match labels.direction {
        Direction::Inbound => labels.destination.clone(),
        Direction::Outbound => None,
    };
    let numbers = Numbers::of(control, query, own);
    let mut rows: BTreeMap<ObjectName, (u32, u32)> = BTreeMap::new();
    for published in control.table.all() {
        match &published.resource {
            Resource::InboundPolicy(policy)
                if is_wanted(query, &policy.workload) && !control.is_gateway(&policy.workload) =>
            {
                rows.insert(policy.workload.clone(), (proxy(control, &policy.workload), 1));
            }
            Resource::Endpoints(endpoints) => {
                let plain = endpoints.ports.iter().flat_map(|port| &port.endpoints);
                for endpoint in plain.filter(|e| e.hop == Hop::Plaintext && is_wanted(query, &e.workload)) {
                    rows.insert(endpoint.workload.clone(), (0, 1));
                }
            }
            _ => {}
        }
    }
    rows.iter().map(|(name, meshed)| numbers.item("Workload", name, *meshed)).collect()
}

/// 1 when the workload's proxy is connected.
fn proxy(control: &Control, workload: &ObjectName) -> u32 {
    control.nodes.get(workload).is_some_and(|node| node.is_connected()).into()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Requests and connections under one name each.
struct Numbers {
    requests: BTreeMap<ObjectName, RequestTotals>,
    /// Open connections, and whether all of the window were mTLS.
    connections: BTreeMap<ObjectName, (u64, bool)>,
}

impl Numbers {
    fn of(control: &Control, query: &SightQuery, name: impl Fn(&Labels) -> Option<ObjectName>) -> Self {
        let (now, span) = (Instant::now(), span(query, WINDOW));
        let window = control.window.lock();
        let requests = window.requests(now, span, |key| name(&key.labels));
        let by_security = window.connections(now, span, |key| Some((name(&key.labels)?, key.labels.secured)));
        let mut connections: BTreeMap<ObjectName, (u64, bool)> = BTreeMap::new();
        for ((name, secured), totals) in by_security {
            let entry = connections.entry(name).or_insert((0, true));
            entry.0 += totals.open;
            entry.1 &= secured;
        }
        Self { requests, connections }
    }

    fn item(&self, kind: &str, name: &ObjectName, (meshed, total): (u32, u32)) -> StatItem {
        let requests = self.requests.get(name);
        let connections = self.connections.get(name);
        let quantile = |share| requests.and_then(|totals| millis(totals, share));
        let secured =
            match (requests.and_then(RequestTotals::all_secured), connections.map(|(_, secured)| *secured)) {
                (Some(a), Some(b)) => Some(a && b),
                (a, b) => a.or(b),
            };
        StatItem {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            kind: kind.to_owned(),
            meshed,
            total,
            success: requests.and_then(RequestTotals::success),
            rps: requests.map_or(0.0, RequestTotals::rps),
            p50_ms: quantile(0.50),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            tcp_connections: connections.map_or(0, |(open, _)| *open),
            secured,
        }
    }
}
