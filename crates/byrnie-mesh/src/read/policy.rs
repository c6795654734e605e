//! `TrafficPolicy`, `AuthorizationPolicy` and `BackendTLSPolicy`.

use byrnie_api::duration;
use byrnie_api::generated::BackendTLSPolicy;
use byrnie_api::kinds as api;
use byrnie_api::labels::Selector;
use byrnie_api::{GATEWAY_GROUP, MESH_GROUP};
use byrnie_plan::{ObjectName, RouteKind};

use crate::graph::{Place, PolicyId, PolicyKind, Refused, RouteId, Target};
use crate::model::{Authorization, Meta, Policy, RefusedObject, Says};

pub(super) fn traffic(meta: Meta, policy: &api::TrafficPolicy) -> Policy {
    let says = Says::Traffic(policy.spec.clone());
    attached(meta, PolicyKind::Traffic, &policy.spec.target_refs, says)
}

pub(super) fn rate_limit(meta: Meta, policy: &api::RateLimitPolicy) -> Policy {
    let says = Says::RateLimit(policy.spec.clone());
    let matches = policy.spec.limits.iter().flat_map(|limit| &limit.matches);
    let broken = matches.filter_map(bad_match).next();
    Policy { broken, ..attached(meta, PolicyKind::RateLimit, &policy.spec.target_refs, says) }
}

/// Longest experiment.
const LONGEST: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);
/// The default of `spec.expires`.
const EXPIRES: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

pub(super) fn fault(meta: Meta, policy: &api::FaultPolicy) -> Policy {
    let says = Says::Fault(policy.spec.clone());
    let matches = policy.spec.faults.iter().flat_map(|fault| &fault.matches);
    let broken = matches.filter_map(bad_match).next();
    let expires = meta.age.created.map(|created| {
        let latest = created.checked_add(LONGEST).unwrap_or(jiff::Timestamp::MAX);
        let text = policy.spec.expires.as_deref();
        let after = |duration| created.checked_add(duration).unwrap_or(latest);
        let wanted = match text.map(|text| (text.parse::<duration::Duration>(), text.parse())) {
            Some((Ok(duration), _)) => after(duration.get().try_into().unwrap_or(LONGEST)),
            Some((Err(_), Ok(time))) => time,
            // Nobody knows when it shall end: as if nothing was said.
            Some((Err(_), Err(_))) | None => after(EXPIRES),
        };
        wanted.min(latest)
    });
    Policy { broken, expires, ..attached(meta, PolicyKind::Fault, &policy.spec.target_refs, says) }
}

/// Why a match cannot be used.
fn bad_match(way: &api::TrafficMatch) -> Option<String> {
    let is_regex = |v: &&api::TrafficValueMatch| v.type_ == api::TrafficValueMatchType::RegularExpression;
    let path = way.path.iter().filter(|path| path.type_ == api::TrafficPathMatchType::RegularExpression);
    let values = way.headers.iter().chain(&way.query_params).filter(is_regex).map(|value| &value.value);
    let texts = path.map(|path| &path.value).chain(values);
    texts.filter_map(|text| super::rules::regex(text).err()).next()
}

/// A policy with its targets.
fn attached(meta: Meta, kind: PolicyKind, written: &[api::PolicyTargetRef], says: Says) -> Policy {
    let mut places = Vec::new();
    let mut bad_targets = Vec::new();
    for reference in written {
        match place(&meta, reference) {
            Some(place) if can_have(kind, &place) => places.push(place),
            _ => bad_targets.push(format!("{} {}", reference.kind, reference.name)),
        }
    }
    places.sort();
    places.dedup();
    let id = PolicyId { kind, name: meta.name.clone() };
    Policy { id, meta, places, bad_targets, says, broken: None, expires: None, expired: false }
}

/// Whether policies of a kind can be attached there.
fn can_have(kind: PolicyKind, place: &Place) -> bool {
    match (kind, &place.target) {
        (_, Target::Mesh | Target::Namespace(_) | Target::Service(_)) => place.section.is_none(),
        (_, Target::Gateway(_) | Target::ListenerSet(_)) => true,
        (PolicyKind::Traffic, Target::Route(id)) => matches!(id.kind, RouteKind::Http | RouteKind::Grpc),
        (_, Target::Workload(_)) => place.section.is_none(),
        (_, Target::Route(_)) => true,
    }
}

fn place(meta: &Meta, written: &api::PolicyTargetRef) -> Option<Place> {
    Some(Place { target: target(meta, written)?, section: written.section_name.clone() })
}

pub(super) fn authorization(meta: Meta, policy: &api::AuthorizationPolicy) -> Authorization {
    let spec = &policy.spec;
    let mut broken = None;
    let mut targets = Vec::new();
    for written in &spec.target_refs {
        match place(&meta, written) {
            Some(Place { target, section: None })
                if !matches!(target, Target::Route(_) | Target::ListenerSet(_)) =>
            {
                targets.push(target)
            }
            _ => {
                // Whom it should protect is not known, so it protects the whole namespace.
                broken = Some(format!("a policy cannot be attached to {} {}", written.kind, written.name));
                targets.push(Target::Namespace(meta.name.namespace.clone()));
            }
        }
    }
    if targets.is_empty() {
        targets.push(Target::Namespace(meta.name.namespace.clone()));
    }
    targets.sort();
    targets.dedup();
    let selector = match spec.selector.as_ref().map(Selector::try_from) {
        None => None,
        Some(Ok(selector)) => Some(selector),
        Some(Err(error)) => {
            broken = Some(error.to_string());
            None
        }
    };
    broken = broken.or_else(|| bad_text(spec));
    Authorization { meta, targets, selector, spec: spec.clone(), broken }
}

/// BackendTLSPolicies are read so far that their status says what there is not, and that nothing goes unencrypted
/// where one asks for TLS.
pub(super) fn backend_tls(meta: Meta, policy: &BackendTLSPolicy) -> RefusedObject {
    let services = policy
        .spec
        .target_refs
        .iter()
        .filter(|target| (target.group.is_empty() || target.group == "core") && target.kind == "Service");
    let services = services.map(|target| {
        let section = target.section_name.clone().filter(|name| !name.is_empty());
        (ObjectName::new(meta.name.namespace.as_str(), target.name.as_str()), section)
    });
    RefusedObject {
        id: Refused::BackendTls(meta.name.clone()),
        parents: Vec::new(),
        services: services.collect(),
        meta,
    }
}

/// A `*` in the middle of a text would be compared as a star: nothing that anybody means.
fn bad_text(spec: &api::AuthorizationPolicySpec) -> Option<String> {
    let from = spec.rules.iter().flat_map(|rule| &rule.from);
    let to = spec.rules.iter().flat_map(|rule| &rule.to);
    let texts = from
        .flat_map(|s| [&s.identities, &s.not_identities, &s.namespaces, &s.not_namespaces])
        .chain(to.flat_map(|o| [&o.paths, &o.not_paths]))
        .flatten();
    texts.filter(|text| !is_text_match(text)).map(|text| format!("{text:?} is no pattern")).next()
}

fn is_text_match(text: &str) -> bool {
    match text.bytes().filter(|byte| *byte == b'*').count() {
        0 => !text.is_empty(),
        1 => text.starts_with('*') || text.ends_with('*'),
        _ => false,
    }
}

/// What a `targetRef` means; `None`: a kind that no policy has.
fn target(meta: &Meta, written: &api::PolicyTargetRef) -> Option<Target> {
    let name = ObjectName::new(meta.name.namespace.as_str(), written.name.as_str());
    let group_is =
        |group: &str| written.group.as_deref().is_none_or(|given| given == group || given == "core");
    let route = |kind| Some(Target::Route(RouteId { kind, name: name.clone() }));
    match written.kind.as_str() {
        "HTTPRoute" if group_is(GATEWAY_GROUP) => route(RouteKind::Http),
        "GRPCRoute" if group_is(GATEWAY_GROUP) => route(RouteKind::Grpc),
        "TCPRoute" if group_is(GATEWAY_GROUP) => route(RouteKind::Tcp),
        "TLSRoute" if group_is(GATEWAY_GROUP) => route(RouteKind::Tls),
        "Service" if group_is("") => Some(Target::Service(name)),
        "Namespace" if group_is("") && written.name == meta.name.namespace => {
            Some(Target::Namespace(written.name.clone()))
        }
        "Gateway" if group_is(GATEWAY_GROUP) => Some(Target::Gateway(name)),
        "ListenerSet" if group_is(GATEWAY_GROUP) => Some(Target::ListenerSet(name)),
        "Workload" if group_is(MESH_GROUP) => Some(Target::Workload(name)),
        "Mesh" if group_is(MESH_GROUP) => Some(Target::Mesh),
        _ => None,
    }
}
