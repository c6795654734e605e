//! What a policy's status and findings tell: in force, overruled, without target, without meaning.

use byrnie_api::kinds::TrafficPolicySpec;

use super::{Reach, controls, slots, traffic};
use crate::Finding;
use crate::findings::{self, finding};
use crate::graph::{Place, PolicyId, PolicyKind, Target};
use crate::model::{Policy, Says};
use crate::outputs::Product;
use crate::routes::kind_name;
use crate::status::{Verdict, conditions};
use crate::view::View;

/// How a policy fares at its targets.
#[derive(Default)]
struct Outcome {
    /// Places where it holds and says something that has a meaning there.
    useful: usize,
    /// Fields that have no meaning at some places, and why.
    pointless: Vec<(String, String)>,
    /// Places where another policy holds.
    overruled: Vec<String>,
    /// Targets that do not exist.
    missing: Vec<String>,
}

/// `Node::PolicyStatus`: in force if it holds for at least one target.
pub(crate) fn status(id: &PolicyId, view: &View<'_>) -> Option<Product> {
    let policy = view.policy(id)?;
    let outcome = outcome(policy, view);
    let resolved = if outcome.missing.is_empty() {
        Verdict::yes("ResolvedRefs")
    } else {
        Verdict::no("TargetNotFound", format!("not found: {}", outcome.missing.join(", ")))
    };
    let accepted = if let Some(why) = &policy.broken {
        Verdict::no("Invalid", why.clone())
    } else if policy.expired {
        Verdict::no("Expired", expired(policy))
    } else {
        accepted(&outcome)
    };
    let verdicts = [("Accepted", accepted), ("ResolvedRefs", resolved)];
    let status = conditions(&policy.meta, &verdicts);
    Some(Product { status: Some(status), findings: found(policy, &outcome), ..Product::default() })
}

fn expired(policy: &Policy) -> String {
    let at = policy.expires.map(|at| at.to_string()).unwrap_or_default();
    format!("the experiment ended at {at}; proxies ignore the policy")
}

fn outcome(policy: &Policy, view: &View<'_>) -> Outcome {
    let mut outcome = Outcome { missing: policy.bad_targets.clone(), ..Outcome::default() };
    for place in &policy.places {
        if let Some(missing) = missing(&place.target, place.section.as_deref(), view) {
            outcome.missing.push(missing);
            continue;
        }
        if policy.expired || policy.broken.is_some() {
            continue;
        }
        let slots = slots(policy, &place.target);
        let others = slots.iter().filter_map(|slot| view.holder(*slot, place).filter(|h| h.id != policy.id));
        let mut others: Vec<&Policy> = others.collect();
        let holds = slots.is_empty() || others.len() < slots.len();
        others.dedup_by(|a, b| a.id == b.id);
        for other in others {
            let (kind, place) = (policy_kind_name(policy.id.kind), place_text(place));
            let why = "it is older, or first by name";
            outcome.overruled.push(format!("{kind} {} holds for {place}: {why}", other.meta.name));
        }
        if holds {
            let (useful, pointless) = match &policy.says {
                Says::Traffic(spec) => settings(spec, place),
                Says::RateLimit(_) | Says::Fault(_) => controls::pointless(policy, place),
            };
            outcome.useful += useful;
            outcome.pointless.extend(pointless);
        }
    }
    outcome
}

/// How many settings mean something at a place, and which do not. A policy that says nothing is in force as such.
fn settings(spec: &TrafficPolicySpec, place: &Place) -> (usize, Vec<(String, String)>) {
    let (good, bad): (Vec<_>, Vec<_>) =
        traffic::fields(spec).into_iter().partition(|(_, reach)| reach.includes(place));
    let useful = good.len() + usize::from(bad.is_empty());
    let bad = bad.into_iter().map(|(path, reach)| (path.to_owned(), nothing_there(path, reach, place)));
    (useful, bad.collect())
}

fn nothing_there(path: &str, reach: Reach, place: &Place) -> String {
    let possible = match reach {
        Reach::Endpoints => "a Service, a Namespace or the Mesh",
        Reach::Requests => "a Service, a route, a Gateway, a ListenerSet, a Namespace or the Mesh",
        Reach::Entrances => "a Workload, a Service, a Gateway, a ListenerSet, a Namespace or the Mesh",
        Reach::Gateways => "a Gateway, a ListenerSet, a Namespace or the Mesh",
        Reach::Applications => "a Workload, a Service, a Namespace or the Mesh",
        Reach::Processes => "a Workload, a whole Gateway, a Namespace or the Mesh",
    };
    format!("{path} has no effect at {}; attach it to {possible}", place_text(place))
}

fn accepted(outcome: &Outcome) -> Verdict {
    match (outcome.useful, outcome.pointless.first(), outcome.overruled.first()) {
        // In force, and where it is not: one message.
        (1.., pointless, _) => {
            let open = outcome.overruled.iter().chain(pointless.map(|(_, why)| why));
            let message = open.cloned().collect::<Vec<_>>().join("; ");
            Verdict { message, ..Verdict::yes("Accepted") }
        }
        (0, Some((_, why)), _) => Verdict::no("Invalid", why.clone()),
        (0, None, Some(_)) => Verdict::no("Conflicted", outcome.overruled.join("; ")),
        (0, None, None) => Verdict::no("TargetNotFound", "none of its targets exists"),
    }
}

fn found(policy: &Policy, outcome: &Outcome) -> Vec<Finding> {
    let mut all = Vec::new();
    let about = |code, path: &str, message| finding(code, &policy.meta, path, message);
    if !outcome.overruled.is_empty() {
        let message = outcome.overruled.join("; ");
        all.push(about(findings::POLICY_OVERRULED, "spec.targetRefs", message));
    }
    if !outcome.missing.is_empty() {
        let message = format!("not found: {}", outcome.missing.join(", "));
        all.push(about(findings::POLICY_WITHOUT_TARGET, "spec.targetRefs", message));
    }
    if let Some(why) = &policy.broken {
        all.push(about(findings::POLICY_NOT_USED, "spec", why.clone()));
    }
    if policy.expired {
        all.push(about(findings::FAULT_EXPIRED, "spec.expires", expired(policy)));
    } else if let Some(at) = cut(policy) {
        all.push(about(findings::EXPIRY_CUT, "spec.expires", format!("the experiment ends at {at}")));
    }
    for (path, why) in &outcome.pointless {
        all.push(about(findings::POLICY_FIELD_POINTLESS, path, why.clone()));
    }
    all
}

/// What a target, or a part of it, is called when it does not exist.
pub(crate) fn missing(target: &Target, section: Option<&str>, view: &View<'_>) -> Option<String> {
    let there = match (target, section) {
        (Target::Mesh | Target::Namespace(_), _) => true,
        (Target::Service(name), _) => view.service(name).is_some(),
        (Target::Workload(name), _) => view.workload(name).is_some(),
        (Target::Gateway(name), section) => view.gateway(name).is_some_and(|gateway| {
            section.is_none_or(|section| gateway.listeners.iter().any(|l| l.name == section))
        }),
        (Target::ListenerSet(name), section) => view
            .listener_set(name)
            .is_some_and(|set| section.is_none_or(|section| set.listeners.iter().any(|l| l.name == section))),
        (Target::Route(id), section) => view
            .route(id)
            .is_some_and(|route| section.is_none_or(|section| route.rules.iter().any(|r| r.name == section))),
    };
    let place = Place { target: target.clone(), section: section.map(str::to_owned) };
    (!there).then(|| place_text(&place))
}

/// The end of an experiment that was to last longer than is possible.
fn cut(policy: &Policy) -> Option<jiff::Timestamp> {
    let Says::Fault(spec) = &policy.says else { return None };
    let wanted = spec.expires.as_deref()?.parse::<jiff::Timestamp>().ok()?;
    policy.expires.filter(|at| *at < wanted)
}

pub(super) fn place_text(place: &Place) -> String {
    let part = |what: &str| match &place.section {
        Some(section) => format!("{what} {section} of "),
        None => String::new(),
    };
    match &place.target {
        Target::Mesh => "the Mesh".to_owned(),
        Target::Namespace(name) => format!("Namespace {name}"),
        Target::Service(name) => format!("Service {name}"),
        Target::Workload(name) => format!("Workload {name}"),
        Target::Gateway(name) => format!("{}Gateway {name}", part("listener")),
        Target::ListenerSet(name) => format!("{}ListenerSet {name}", part("listener")),
        Target::Route(id) => format!("{}{} {}", part("rule"), kind_name(id.kind), id.name),
    }
}

pub(super) fn policy_kind_name(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Traffic => "TrafficPolicy",
        PolicyKind::RateLimit => "RateLimitPolicy",
        PolicyKind::Fault => "FaultPolicy",
    }
}
