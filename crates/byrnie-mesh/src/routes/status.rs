//! `status.parents` of a route: one entry for each `parentRef` that is ours.

use byrnie_plan::RouteKind;
use serde_json::{Value, json};

use super::backends::RefProblem;
use super::compile::Compiled;
use crate::findings::{self, finding};
use crate::graph::{Parent, RouteId};
use crate::model::{ParentRef, Route};
use crate::outputs::{Attachment, Product};
use crate::status::{self, Verdict};
use crate::view::View;

/// `Node::RouteStatus`.
pub(crate) fn status(id: &RouteId, view: &View<'_>) -> Option<Product> {
    let route = view.route(id)?;
    let compiled = view.compiled_route(id)?;
    if id.kind == RouteKind::Profile {
        return Some(profile(route, compiled, view));
    }
    let mut found = Vec::new();
    let mut entries = Vec::new();
    for (index, parent_ref) in route.parents.iter().enumerate() {
        let Some(parent) = &parent_ref.parent else {
            let message =
                "a parent is a Gateway, a ListenerSet or a Service; this one is left to others".to_owned();
            found.push(finding(
                findings::PARENT_MISSING,
                &route.meta,
                format!("spec.parentRefs[{index}]"),
                message,
            ));
            continue;
        };
        let said = view.attachments(parent, id).iter().find(|said| said.index == index);
        // A parent that says nothing belongs to another controller.
        if let Some(said) = said {
            let problems = match parent {
                Parent::Gateway(_) | Parent::ListenerSet(_) => &compiled.gateway_refs,
                Parent::Service(_) => &compiled.service_refs,
            };
            entries.push(entry(route, compiled, parent_ref, said, problems));
            if let Some(code) = said.code {
                let path = format!("spec.parentRefs[{index}]");
                found.push(finding(code, &route.meta, path, said.verdict.message.clone()));
            }
        }
    }
    if route.parents.is_empty() {
        let message = "the route names no parent and is attached to nothing".to_owned();
        found.push(finding(findings::ROUTE_NOT_ATTACHED, &route.meta, "spec.parentRefs", message));
    }
    let update = status::update(&route.meta.key, json!({ "parents": entries }));
    Some(Product { status: Some(update), findings: found, ..Product::default() })
}

/// A ServiceProfile has no `parentRefs`, its name is one: its status is nothing but conditions.
fn profile(route: &Route, compiled: &Compiled, view: &View<'_>) -> Product {
    let parent = route.parents.first().and_then(|parent| parent.parent.as_ref());
    let said = parent.and_then(|parent| view.attachments(parent, &route.id).first());
    let accepted = match said {
        Some(said) if compiled.usable.holds => said.verdict.clone(),
        _ => compiled.usable.clone(),
    };
    let told = said.and_then(|said| Some((said.code?, said.verdict.message.clone())));
    let findings = told.map(|(code, message)| finding(code, &route.meta, "metadata.name", message));
    let mut verdicts = vec![("Accepted", accepted)];
    if let Some(partial) = &compiled.partial {
        let partial = Verdict { holds: true, reason: "UnsupportedValue", message: partial.clone() };
        verdicts.push(("PartiallyInvalid", partial));
    }
    let status = status::conditions(&route.meta, &verdicts);
    Product { status: Some(status), findings: findings.into_iter().collect(), ..Product::default() }
}

fn entry(
    route: &Route,
    compiled: &Compiled,
    parent_ref: &ParentRef,
    said: &Attachment,
    problems: &[RefProblem],
) -> Value {
    let accepted = if compiled.usable.holds { &said.verdict } else { &compiled.usable };
    let resolved = match problems.first() {
        None => Verdict::yes("ResolvedRefs"),
        Some(problem) => Verdict::no(problem.reason, format!("{}: {}", problem.path, problem.message)),
    };
    let generation = route.meta.generation;
    let mut conditions =
        vec![accepted.condition("Accepted", generation), resolved.condition("ResolvedRefs", generation)];
    if let Some(partial) = &compiled.partial {
        let partial = Verdict { holds: true, reason: "UnsupportedValue", message: partial.clone() };
        conditions.push(partial.condition("PartiallyInvalid", generation));
    }
    json!({
        "parentRef": parent_ref.written,
        "controllerName": crate::CONTROLLER_NAME,
        "conditions": conditions,
    })
}
