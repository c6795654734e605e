//! `TrafficPolicy` and `AuthorizationPolicy`.

use byrnie_api::kinds as api;
use byrnie_api::labels::Selector;
use byrnie_api::{GATEWAY_GROUP, MESH_GROUP};
use byrnie_plan::ObjectName;

use crate::graph::Target;
use crate::model::{Authorization, Meta, Traffic};

pub(super) fn traffic(meta: Meta, policy: &api::TrafficPolicy) -> Traffic {
    let mut targets = Vec::new();
    let mut bad_targets = Vec::new();
    for written in &policy.spec.target_refs {
        match target(&meta, written) {
            Some(target @ (Target::Service(_) | Target::Namespace(_))) => targets.push(target),
            _ => bad_targets.push(format!("{} {}", written.kind, written.name)),
        }
    }
    targets.sort();
    targets.dedup();
    Traffic { meta, targets, bad_targets, spec: policy.spec.clone() }
}

pub(super) fn authorization(meta: Meta, policy: &api::AuthorizationPolicy) -> Authorization {
    let spec = &policy.spec;
    let mut broken = None;
    let mut targets = Vec::new();
    for written in &spec.target_refs {
        match target(&meta, written) {
            Some(target) => targets.push(target),
            None => {
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
    match written.kind.as_str() {
        "Service" if group_is("") => Some(Target::Service(name)),
        "Namespace" if group_is("") && written.name == meta.name.namespace => {
            Some(Target::Namespace(written.name.clone()))
        }
        "Gateway" if group_is(GATEWAY_GROUP) => Some(Target::Gateway(name)),
        "Workload" if group_is(MESH_GROUP) => Some(Target::Workload(name)),
        "Mesh" if group_is(MESH_GROUP) => Some(Target::Mesh),
        _ => None,
    }
}
