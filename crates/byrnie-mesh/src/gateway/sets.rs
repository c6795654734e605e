//! ListenerSets: which of them add their listeners to a Gateway, and what comes of it.

use std::collections::BTreeMap;

use byrnie_plan::ObjectName;
use serde_json::{Value, json};

use super::allows;
use super::attach::{self, Attachments};
use super::listeners::Judged;
use super::status::listener_status;
use crate::findings::{self, finding};
use crate::graph::Parent;
use crate::model::{Gateway, ListenerSet};
use crate::outputs::Product;
use crate::status::{self, Verdict};
use crate::view::View;
use crate::{Finding, StatusUpdate};

/// What a Gateway found about a ListenerSet that names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SetFound {
    /// Whether it adds at least one listener.
    pub(super) attached: bool,
    status: StatusUpdate,
    findings: Vec<Finding>,
    attachments: Attachments,
}

/// The ListenerSets that name a Gateway.
pub(super) struct Sets<'a> {
    /// Whose listeners are the Gateway's; oldest first, then by name.
    pub(super) attached: Vec<&'a ListenerSet>,
    /// Whom `allowedListeners` keeps out.
    not_allowed: Vec<&'a ListenerSet>,
}

pub(super) fn sets<'a>(gateway: &Gateway, view: &View<'a>) -> Sets<'a> {
    let own = &gateway.meta.name.namespace;
    let is_allowed = |set: &&ListenerSet| {
        let allowed = gateway.allowed_sets.as_ref();
        allowed.is_some_and(|allowed| allows(allowed, own, &set.meta.name.namespace, view))
    };
    let (attached, not_allowed) = view.sets_of(&gateway.meta.name).into_iter().partition(is_allowed);
    Sets { attached, not_allowed }
}

pub(super) fn found(
    sets: &Sets<'_>,
    usable: &Verdict,
    judged: &[Judged<'_>],
    mut attachments: BTreeMap<Parent, Attachments>,
) -> BTreeMap<ObjectName, SetFound> {
    let mut all = BTreeMap::new();
    for set in &sets.attached {
        let name = &set.meta.name;
        let listeners: Vec<&Judged<'_>> =
            judged.iter().filter(|one| one.set.is_some_and(|owner| owner.meta.name == *name)).collect();
        let mut findings: Vec<Finding> = Vec::new();
        listeners.iter().for_each(|listener| findings.extend(listener.findings.iter().cloned()));
        let (accepted, programmed) = verdicts(usable, &listeners);
        let generation = set.meta.generation;
        let entries = listeners.iter().map(|listener| listener_status(listener, generation)).collect();
        let attachments = attachments.remove(&Parent::ListenerSet(name.clone())).unwrap_or_default();
        let found = SetFound {
            attached: accepted.holds,
            status: set_status(set, &accepted, &programmed, entries),
            findings,
            attachments,
        };
        all.insert(name.clone(), found);
    }
    for set in &sets.not_allowed {
        let message = "the Gateway's allowedListeners does not let this ListenerSet in";
        let refused = Verdict::no("NotAllowed", message);
        let name = &set.meta.name;
        let found = SetFound {
            attached: false,
            status: set_status(set, &refused, &refused, Vec::new()),
            findings: vec![finding(findings::LISTENER_SET_REFUSED, &set.meta, "spec.parentRef", message)],
            attachments: attachments.remove(&Parent::ListenerSet(name.clone())).unwrap_or_default(),
        };
        all.insert(name.clone(), found);
    }
    all
}

/// `Accepted` and `Programmed` of a set.
fn verdicts(usable: &Verdict, listeners: &[&Judged<'_>]) -> (Verdict, Verdict) {
    if !usable.holds {
        let message = format!("the Gateway is not accepted: {}", usable.message);
        return (
            Verdict::no("ParentNotAccepted", message.clone()),
            Verdict::no("ParentNotProgrammed", message),
        );
    }
    let served = listeners.iter().any(|listener| listener.is_served());
    let bad = listeners.iter().find(|listener| !listener.is_served() || !listener.resolved.holds);
    let Some(bad) = bad else { return (Verdict::yes("Accepted"), Verdict::yes("Programmed")) };
    let why = if bad.is_served() { &bad.resolved } else { &bad.accepted };
    let accepted = Verdict { holds: served, reason: "ListenersNotValid", message: why.message.clone() };
    let programmed = if served {
        Verdict::yes("Programmed")
    } else {
        Verdict::no("ListenersNotValid", "no listener of the set can be served")
    };
    (accepted, programmed)
}

fn set_status(
    set: &ListenerSet,
    accepted: &Verdict,
    programmed: &Verdict,
    listeners: Vec<Value>,
) -> StatusUpdate {
    let generation = set.meta.generation;
    let status = json!({
        "conditions": [
            accepted.condition("Accepted", generation),
            programmed.condition("Programmed", generation),
        ],
        "listeners": listeners,
    });
    status::update(&set.meta.key, status)
}

/// `Node::ListenerSet`.
pub(crate) fn listener_set(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let parent = Parent::ListenerSet(name.clone());
    let refuse = |message: &str| {
        attach::to_nothing(&parent, &view.routes_on(&parent), findings::PARENT_MISSING, message)
    };
    let Some(set) = view.listener_set(name) else {
        let attachments = refuse(&format!("there is no ListenerSet {name}"));
        return (!attachments.is_empty()).then(|| Product { attachments, ..Product::default() });
    };
    // A parent of another kind is another controller's.
    let Some(gateway) = &set.gateway else { return Some(Product::default()) };
    if let Some(found) = view.set_found(gateway, name) {
        return Some(Product {
            status: Some(found.status.clone()),
            findings: found.findings.clone(),
            attachments: found.attachments.clone(),
            ..Product::default()
        });
    }
    if view.gateway(gateway).is_some() {
        return Some(Product::default());
    }
    let message = format!("there is no Gateway {gateway}");
    let (accepted, programmed) = (
        Verdict::no("ParentNotAccepted", message.clone()),
        Verdict::no("ParentNotProgrammed", message.clone()),
    );
    Some(Product {
        status: Some(set_status(set, &accepted, &programmed, Vec::new())),
        findings: vec![finding(findings::LISTENER_SET_REFUSED, &set.meta, "spec.parentRef", message.clone())],
        attachments: refuse(&message),
        ..Product::default()
    })
}
