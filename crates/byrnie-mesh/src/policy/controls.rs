//! `RateLimitPolicy` and `FaultPolicy`: what holds for a rule, a listener, a Service's callers, a Workload.

use std::time::Duration;

use byrnie_api::kinds as api;
use byrnie_plan::{
    Controls, Fault, FaultAbort, FaultDelay, Faults, HeaderMatch, HostPattern, HttpMatch, InboundControls,
    ObjectName, PathMatch, QueryMatch, RateKey, RateLimit, RateLimits, RateUnit, TrafficMatch, ValueMatch,
};

use super::Slot;
use super::status::place_text;
use crate::authorization::identity;
use crate::graph::{Place, RouteId, Target};
use crate::model::{Policy, Says, Service};
use crate::read::rules::prefix;
use crate::routes::Purpose;
use crate::view::View;

/// The default of `maxKeys`.
const MAX_KEYS: u32 = 10_000;

pub(super) const INBOUND: [Slot; 2] = [Slot::LimitsInbound, Slot::FaultsInbound];
pub(super) const OUTBOUND: [Slot; 2] = [Slot::LimitsOutbound, Slot::FaultsOutbound];

/// The sides at which a rule's policies hold: where Gateways follow it, or where callers do.
pub(super) fn slots_of(purpose: Purpose) -> [Slot; 2] {
    match purpose {
        Purpose::Gateway => INBOUND,
        Purpose::Mesh => OUTBOUND,
    }
}

/// The policies of a rule and its route.
pub(crate) fn of_rule(
    route: &RouteId,
    rule: &str,
    purpose: Purpose,
    view: &View<'_>,
) -> Option<Box<Controls>> {
    let places = super::rule_places(route, rule);
    within(&places, places.first()?, slots_of(purpose), view)
}

/// The policies of a listener, its ListenerSet, its Gateway, their namespace and the mesh.
pub(super) fn of_listener(gateway: &ObjectName, places: &[Place], view: &View<'_>) -> Option<Box<Controls>> {
    // What is said to a namespace holds for the Gateway as a whole.
    within(&with_around(places, gateway), &whole(Target::Gateway(gateway.clone())), INBOUND, view)
}

/// The policies that callers of a Service keep to.
pub(crate) fn of_service(service: &ObjectName, view: &View<'_>) -> Option<Box<Controls>> {
    let own = whole(Target::Service(service.clone()));
    within(&with_around(std::slice::from_ref(&own), service), &own, OUTBOUND, view)
}

/// The policies of a workload's inbound side: one entry for all requests, and one for each Service where its own
/// policies make a difference.
pub(crate) fn of_workload(
    workload: &ObjectName,
    services: &[&Service],
    view: &View<'_>,
) -> Vec<InboundControls> {
    let own = whole(Target::Workload(workload.clone()));
    let default = within(&with_around(std::slice::from_ref(&own), workload), &own, INBOUND, view);
    let mut all = Vec::new();
    for service in services {
        let name = &service.meta.name;
        let places = with_around(&[own.clone(), whole(Target::Service(name.clone()))], workload);
        if let Some(controls) = within(&places, &own, INBOUND, view).filter(|c| Some(c) != default.as_ref()) {
            all.push(InboundControls { service: Some(name.clone()), controls: *controls });
        }
    }
    all.extend(default.map(|controls| InboundControls { service: None, controls: *controls }));
    all
}

fn whole(target: Target) -> Place {
    Place { target, section: None }
}

/// Some places, then the namespace that they are in, then the mesh.
pub(super) fn with_around(places: &[Place], name: &ObjectName) -> Vec<Place> {
    let around = [whole(Target::Namespace(name.namespace.clone())), whole(Target::Mesh)];
    places.iter().cloned().chain(around).collect()
}

/// The nearest policies of the slots for limits and for faults, each with the place where it is attached.
pub(super) fn holders<'a, 'p>(
    places: &'p [Place],
    slots: [Slot; 2],
    view: &View<'a>,
) -> [Option<(&'p Place, &'a Policy)>; 2] {
    slots.map(|slot| places.iter().find_map(|place| Some((place, view.holder(slot, place)?))))
}

/// What the nearest policies say. One of a namespace or the mesh has buckets for each thing below it: their scope is
/// `own`.
pub(super) fn within(
    places: &[Place],
    own: &Place,
    slots: [Slot; 2],
    view: &View<'_>,
) -> Option<Box<Controls>> {
    let [limits, faults] = holders(places, slots, view);
    let limits = limits.and_then(|(place, policy)| {
        let place = if matches!(place.target, Target::Namespace(_) | Target::Mesh) { own } else { place };
        rate_limits(policy, place_text(place), view)
    });
    let faults = faults.and_then(|(_, policy)| self::faults(policy, view));
    (limits.is_some() || faults.is_some()).then(|| Box::new(Controls { limits, faults }))
}

fn rate_limits(policy: &Policy, scope: String, view: &View<'_>) -> Option<RateLimits> {
    let Says::RateLimit(spec) = &policy.says else { return None };
    let name = |index: usize| match index {
        0 => policy.meta.name.name.clone(),
        index => format!("{}-{index}", policy.meta.name.name),
    };
    let limits = spec.limits.iter().enumerate().map(|(index, limit)| rate_limit(name(index), limit, view));
    Some(RateLimits {
        policy: policy.meta.name.to_string(),
        scope,
        shadow: spec.shadow,
        headers: spec.response_headers,
        limits: limits.collect(),
    })
}

fn rate_limit(name: String, limit: &api::RateLimit, view: &View<'_>) -> RateLimit {
    let number = limit.requests.or(limit.connections).unwrap_or(1).max(1);
    let key = limit.key.iter().map(|key| match key.type_ {
        api::RateLimitKeyType::Identity => RateKey::Identity,
        api::RateLimitKeyType::SourceAddress => RateKey::SourceAddress,
        api::RateLimitKeyType::Header => {
            RateKey::Header(key.name.as_deref().unwrap_or_default().to_ascii_lowercase())
        }
    });
    RateLimit {
        name: limit.name.clone().unwrap_or(name),
        unit: if limit.connections.is_some() { RateUnit::Connections } else { RateUnit::Requests },
        matches: limit.matches.iter().map(|way| traffic_match(way, view)).collect(),
        key: key.collect(),
        number,
        per: limit.per.map_or(Duration::from_secs(1), |per| per.get()).max(Duration::from_millis(1)),
        burst: limit.burst.unwrap_or(number).max(1),
        max_keys: limit.max_keys.unwrap_or(MAX_KEYS),
    }
}

fn faults(policy: &Policy, view: &View<'_>) -> Option<Faults> {
    let Says::Fault(spec) = &policy.says else { return None };
    let expires = policy.expires.map_or(u64::MAX, |at| u64::try_from(at.as_millisecond()).unwrap_or(0));
    let faults = spec.faults.iter().map(|fault| Fault {
        matches: fault.matches.iter().map(|way| traffic_match(way, view)).collect(),
        // Checked: 0 to 100.
        share: (fault.percent * 100.0).round().clamp(0.0, 10_000.0) as u32,
        delay: fault.delay.as_ref().and_then(delay),
        abort: fault.abort.as_ref().and_then(abort),
    });
    Some(Faults { policy: policy.meta.name.to_string(), expires_unix_ms: expires, faults: faults.collect() })
}

fn delay(delay: &api::FaultDelay) -> Option<FaultDelay> {
    if let Some(fixed) = delay.fixed {
        return Some(FaultDelay::Fixed(fixed.get()));
    }
    if let Some(uniform) = &delay.uniform {
        return Some(FaultDelay::Uniform { min: uniform.min.get(), max: uniform.max.get() });
    }
    if let Some(normal) = &delay.normal {
        let (mean, deviation) = (normal.mean.get(), normal.deviation.get());
        let max = normal.max.map_or(mean.saturating_add(deviation.saturating_mul(4)), |max| max.get());
        return Some(FaultDelay::Normal { mean, deviation, max });
    }
    let exponential = delay.exponential.as_ref()?;
    let mean = exponential.mean.get();
    let max = exponential.max.map_or(mean.saturating_mul(10), |max| max.get());
    Some(FaultDelay::Exponential { mean, max })
}

fn abort(abort: &api::FaultAbort) -> Option<FaultAbort> {
    let status = abort.http_status.map(FaultAbort::Http).or(abort.grpc_status.map(FaultAbort::Grpc));
    status.or(abort.reset.then_some(FaultAbort::Reset))
}

fn traffic_match(way: &api::TrafficMatch, view: &View<'_>) -> TrafficMatch {
    let identities = way.identities.iter().map(|text| identity(text, &view.mesh().trust_domain)).collect();
    let names_request =
        way.path.is_some() || way.method.is_some() || !way.headers.is_empty() || !way.query_params.is_empty();
    let request = || HttpMatch {
        host_scope: 0,
        host: HostPattern::Any,
        path: way.path.as_ref().map_or_else(|| PathMatch::Prefix("/".to_owned()), path),
        method: way.method.clone(),
        headers: way
            .headers
            .iter()
            .map(|header| HeaderMatch { name: header.name.to_ascii_lowercase(), value: value(header) })
            .collect(),
        queries: way
            .query_params
            .iter()
            .map(|query| QueryMatch { name: query.name.clone(), value: value(query) })
            .collect(),
        rule: 0,
    };
    TrafficMatch { request: names_request.then(request), identities }
}

fn path(path: &api::TrafficPathMatch) -> PathMatch {
    match path.type_ {
        api::TrafficPathMatchType::Exact => PathMatch::Exact(path.value.clone()),
        api::TrafficPathMatchType::PathPrefix => PathMatch::Prefix(prefix(&path.value)),
        api::TrafficPathMatchType::RegularExpression => PathMatch::Regex(path.value.clone()),
    }
}

fn value(wanted: &api::TrafficValueMatch) -> ValueMatch {
    match wanted.type_ {
        api::TrafficValueMatchType::Exact => ValueMatch::Exact(wanted.value.clone()),
        api::TrafficValueMatchType::RegularExpression => ValueMatch::Regex(wanted.value.clone()),
    }
}

/// What of a policy can do nothing at a target: field and reason. The other number counts what can do something.
pub(super) fn pointless(policy: &Policy, place: &Place) -> (usize, Vec<(String, String)>) {
    let mut all = Vec::new();
    let what = place_text(place);
    if super::slots(policy, &place.target).is_empty() {
        let why = format!("nothing goes out at {what}; attach the policy to a Service or a route");
        return (0, vec![("spec.direction".to_owned(), why)]);
    }
    let (requests, connections) = match &place.target {
        Target::Route(id) => match id.kind {
            byrnie_plan::RouteKind::Http | byrnie_plan::RouteKind::Grpc | byrnie_plan::RouteKind::Profile => {
                (true, false)
            }
            byrnie_plan::RouteKind::Tcp | byrnie_plan::RouteKind::Tls => (false, true),
        },
        _ => (true, true),
    };
    let mut useful = 0;
    let mut judge = |path: String, fits: bool, has: &str| match fits {
        true => useful += 1,
        false => {
            let why = format!("{path} has no effect at {what}, which has no {has}");
            all.push((path, why));
        }
    };
    match &policy.says {
        Says::Traffic(_) => {}
        Says::RateLimit(spec) => {
            for (index, limit) in spec.limits.iter().enumerate() {
                let (fits, has) = match limit.connections {
                    Some(_) => (connections, "connections of bytes"),
                    None => (requests, "requests"),
                };
                judge(format!("spec.limits[{index}]"), fits, has);
            }
        }
        Says::Fault(spec) => {
            for (index, fault) in spec.faults.iter().enumerate() {
                let (fits, has) = match &fault.abort {
                    None => (true, ""),
                    Some(abort) if abort.reset => (connections, "connections of bytes"),
                    Some(_) => (requests, "requests"),
                };
                judge(format!("spec.faults[{index}]"), fits, has);
            }
        }
    }
    (useful, all)
}
