//! `AuthorizationPolicy`: which policies select a workload or Gateway, compiled.
//!
//! Fails closed: a policy that cannot be understood refuses everything for what it selects.

use std::collections::BTreeMap;

use byrnie_api::kinds as api;
use byrnie_plan::{Action, AuthorizationPolicy, AuthorizationRule, ObjectName, Operation, Source, TextMatch};

use crate::findings::{self, finding};
use crate::graph::Target;
use crate::model::{Authorization, Gateway, Service, Workload};
use crate::outputs::Product;
use crate::policy;
use crate::status::{Verdict, conditions};
use crate::view::View;

/// The policies that select a workload, by name.
pub(crate) fn for_workload(
    workload: &Workload,
    services: &[&Service],
    view: &View<'_>,
) -> Vec<AuthorizationPolicy> {
    let name = &workload.meta.name;
    let behind = services.iter().map(|service| Target::Service(service.meta.name.clone()));
    let targets = [Target::Mesh, Target::Namespace(name.namespace.clone()), Target::Workload(name.clone())];
    selected(targets.into_iter().chain(behind), &workload.meta.labels, view)
}

/// The policies that select a Gateway, by name. One that chooses by labels alone is for workloads.
pub(crate) fn for_gateway(gateway: &Gateway, view: &View<'_>) -> Vec<AuthorizationPolicy> {
    let name = &gateway.meta.name;
    let targets = [Target::Mesh, Target::Namespace(name.namespace.clone()), Target::Gateway(name.clone())];
    selected(targets.into_iter(), &gateway.meta.labels, view)
}

fn selected(
    targets: impl Iterator<Item = Target>,
    labels: &BTreeMap<String, String>,
    view: &View<'_>,
) -> Vec<AuthorizationPolicy> {
    let mut policies: Vec<&Authorization> = targets
        .flat_map(|target| view.authorization_on(&target))
        .filter(|policy| policy.selector.as_ref().is_none_or(|selector| selector.matches(labels)))
        .collect();
    policies.sort_by_cached_key(|policy| policy.meta.name.to_string());
    policies.dedup_by(|a, b| a.meta.name == b.meta.name);
    let trust_domain = &view.mesh().trust_domain;
    policies.into_iter().map(|policy| compile(policy, trust_domain)).collect()
}

fn compile(policy: &Authorization, trust_domain: &str) -> AuthorizationPolicy {
    let spec = &policy.spec;
    if policy.broken.is_some() {
        return AuthorizationPolicy {
            name: policy.meta.name.to_string(),
            action: Action::Deny,
            rules: vec![AuthorizationRule::default()],
            dry_run: spec.dry_run,
        };
    }
    AuthorizationPolicy {
        name: policy.meta.name.to_string(),
        action: match spec.action {
            api::AuthorizationAction::Allow => Action::Allow,
            api::AuthorizationAction::Deny => Action::Deny,
            api::AuthorizationAction::Audit => Action::Audit,
        },
        rules: spec.rules.iter().map(|rule| compile_rule(rule, trust_domain)).collect(),
        dry_run: spec.dry_run,
    }
}

fn compile_rule(rule: &api::AuthorizationRule, trust_domain: &str) -> AuthorizationRule {
    let identities = |list: &[String]| list.iter().map(|text| identity(text, trust_domain)).collect();
    let from = rule.from.iter().map(|source| Source {
        identities: identities(&source.identities),
        not_identities: identities(&source.not_identities),
        namespaces: texts(&source.namespaces),
        not_namespaces: texts(&source.not_namespaces),
    });
    let to = rule.to.iter().map(|operation| Operation {
        methods: operation.methods.clone(),
        not_methods: operation.not_methods.clone(),
        paths: texts(&operation.paths),
        not_paths: texts(&operation.not_paths),
        ports: operation.ports.clone(),
        not_ports: operation.not_ports.clone(),
    });
    AuthorizationRule { from: from.collect(), to: to.collect() }
}

fn texts(list: &[String]) -> Vec<TextMatch> {
    list.iter().map(|text| text_match(text)).collect()
}

/// `abc`, `abc*`, `*abc`, `*`.
fn text_match(text: &str) -> TextMatch {
    if text == "*" {
        TextMatch::Present
    } else if let Some(prefix) = text.strip_suffix('*') {
        TextMatch::Prefix(prefix.to_owned())
    } else if let Some(suffix) = text.strip_prefix('*') {
        TextMatch::Suffix(suffix.to_owned())
    } else {
        TextMatch::Exact(text.to_owned())
    }
}

/// Whole SPIFFE IDs as they are; `namespace/account` within the mesh's own trust domain.
pub(crate) fn identity(text: &str, trust_domain: &str) -> TextMatch {
    if text.starts_with("spiffe:") {
        return text_match(text);
    }
    let whole = |short: &str| match short.split_once('/') {
        Some((namespace, account)) => format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}"),
        None => format!("spiffe://{trust_domain}/ns/{short}"),
    };
    match text_match(text) {
        TextMatch::Exact(short) => TextMatch::Exact(whole(&short)),
        TextMatch::Prefix(short) => TextMatch::Prefix(whole(&short)),
        TextMatch::Suffix(short) => TextMatch::Suffix(short.replacen('/', "/sa/", 1)),
        TextMatch::Present => TextMatch::Present,
    }
}

/// Status of one policy.
pub(crate) fn status(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let policy = view.authorization(name)?;
    let mut found = Vec::new();
    let missing: Vec<String> =
        policy.targets.iter().filter_map(|target| policy::missing(target, None, view)).collect();
    let accepted = if let Some(why) = &policy.broken {
        let message = format!("{why}; until that is corrected everything that the policy selects is refused");
        found.push(finding(findings::POLICY_NOT_UNDERSTOOD, &policy.meta, "spec", message.clone()));
        Verdict::no("Invalid", message)
    } else if !missing.is_empty() && missing.len() == policy.targets.len() {
        Verdict::no("TargetNotFound", format!("not found: {}", missing.join(", ")))
    } else {
        Verdict::yes("Accepted")
    };
    let resolved = if missing.is_empty() {
        Verdict::yes("ResolvedRefs")
    } else {
        Verdict::no("TargetNotFound", format!("not found: {}", missing.join(", ")))
    };
    if !missing.is_empty() {
        let message = format!("not found: {}; the policy protects nothing there", missing.join(", "));
        found.push(finding(findings::POLICY_WITHOUT_TARGET, &policy.meta, "spec.targetRefs", message));
    } else if selects_nobody(policy, view) {
        let message = "no Workload of the namespace has these labels; the policy protects nothing".to_owned();
        found.push(finding(findings::POLICY_WITHOUT_TARGET, &policy.meta, "spec.selector", message));
    }
    let status = conditions(&policy.meta, &[("Accepted", accepted), ("ResolvedRefs", resolved)]);
    Some(Product { status: Some(status), findings: found, ..Product::default() })
}

fn selects_nobody(policy: &Authorization, view: &View<'_>) -> bool {
    let namespace = &policy.meta.name.namespace;
    match (&policy.selector, policy.targets.as_slice()) {
        (Some(selector), [Target::Namespace(_)]) => {
            let must = policy.spec.selector.as_ref().and_then(|s| s.match_labels.first_key_value());
            !view.any_workload_chosen(namespace, selector, must)
        }
        _ => false,
    }
}
