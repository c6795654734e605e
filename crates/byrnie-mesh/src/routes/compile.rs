//! One route with its references resolved, for whichever parents it has.

use byrnie_plan::{
    Backend, BackendTarget, Filter, HostPattern, HttpRule, InvalidBackend, Mirror, PathMatch, PathRewrite,
    Redirect, Rewrite, RouteName,
};

use super::backends::{Purpose, RefProblem, resolve};
use super::judge::{judge, refused, unsupported, weightless};
use crate::findings::{self, finding};
use crate::graph::{Parent, RouteId};
use crate::model::{Age, Match, ParentRef, Route, Rule, WantedBackend, WantedFilter};
use crate::outputs::{Derived, Product};
use crate::policy;
use crate::status::Verdict;
use crate::view::View;

/// A route that parents can take.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compiled {
    pub(crate) id: RouteId,
    pub(crate) age: Age,
    pub(crate) parents: Vec<ParentRef>,
    pub(crate) hostnames: Vec<HostPattern>,
    /// For Gateways; empty when none is a parent.
    pub(crate) for_gateways: Vec<CompiledRule>,
    /// For Services; empty when none is a parent.
    pub(crate) for_services: Vec<CompiledRule>,
    /// Whether the route can be served at all, before any parent is asked.
    pub(crate) usable: Verdict,
    /// Why some rules are not served as written.
    pub(crate) partial: Option<String>,
    pub(crate) gateway_refs: Vec<RefProblem>,
    pub(crate) service_refs: Vec<RefProblem>,
}

/// One rule with its ways in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledRule {
    pub(crate) matches: Vec<Match>,
    pub(crate) rule: HttpRule,
}

impl Compiled {
    /// Whether Gateways have anything of the route to serve. A route whose every rule asks for an unsupported
    /// filter is served: with errors, never as if it were not there.
    pub(crate) fn is_served_by_gateways(&self) -> bool {
        self.usable.holds || !self.for_gateways.is_empty()
    }

    /// The same for callers of Services.
    pub(crate) fn is_served_by_services(&self) -> bool {
        self.usable.holds || !self.for_services.is_empty()
    }
}

/// `Node::Route`.
pub(crate) fn compile(id: &RouteId, view: &View<'_>) -> Option<Product> {
    let route = view.route(id)?;
    let has =
        |wanted: fn(&Parent) -> bool| route.parents.iter().filter_map(|p| p.parent.as_ref()).any(wanted);
    let (mut gateway_refs, mut service_refs) = (Vec::new(), Vec::new());
    let mut for_gateways = Vec::new();
    let mut for_services = Vec::new();
    if has(|parent| !matches!(parent, Parent::Service(_))) {
        for_gateways = rules(route, Purpose::Gateway, view, &mut gateway_refs);
    }
    if has(|parent| matches!(parent, Parent::Service(_))) {
        for_services = rules(route, Purpose::Mesh, view, &mut service_refs);
    }
    let (usable, partial) = judge(route);
    let mut found: Vec<_> = refused(route)
        .into_iter()
        .map(|(path, why)| finding(findings::RULE_REFUSED, &route.meta, path, why))
        .collect();
    for (path, why) in unsupported(route) {
        found.push(finding(findings::FILTER_UNSUPPORTED, &route.meta, path, why));
    }
    for problem in gateway_refs.iter().chain(service_refs.iter().filter(|p| !gateway_refs.contains(p))) {
        found.push(finding(problem.code, &route.meta, problem.path.clone(), problem.message.clone()));
    }
    found.extend(weightless(route));
    found.extend(route.findings.iter().cloned());
    let compiled = Compiled {
        id: id.clone(),
        age: route.meta.age.clone(),
        parents: route.parents.clone(),
        hostnames: route.hostnames.clone(),
        for_gateways,
        for_services,
        usable,
        partial,
        gateway_refs,
        service_refs,
    };
    Some(Product { derived: Some(Derived::Route(Box::new(compiled))), findings: found, ..Product::default() })
}

fn rules(
    route: &Route,
    purpose: Purpose,
    view: &View<'_>,
    problems: &mut Vec<RefProblem>,
) -> Vec<CompiledRule> {
    if route.unsupported.is_some() {
        return Vec::new();
    }
    let mut compiled = Vec::new();
    for (index, rule) in route.rules.iter().enumerate() {
        if let Ok(matches) = &rule.matches {
            let rule = compile_rule(route, index, rule, purpose, view, problems);
            compiled.push(CompiledRule { matches: matches.clone(), rule });
        }
    }
    compiled
}

fn compile_rule(
    route: &Route,
    index: usize,
    rule: &Rule,
    purpose: Purpose,
    view: &View<'_>,
    problems: &mut Vec<RefProblem>,
) -> HttpRule {
    let path = format!("spec.rules[{index}]");
    let mut resolve =
        |reference: &_, path: &str| resolve(&route.id, purpose, reference, path, view, problems);
    let backends = rule.backends.iter().enumerate();
    let backends = backends
        .map(|(i, wanted)| backend(wanted, &rule.matches, &format!("{path}.backendRefs[{i}]"), &mut resolve));
    let mut backends: Vec<Backend> = backends.collect();
    let mut filters = Some(Vec::new());
    for (i, wanted) in rule.filters.iter().enumerate() {
        let done = filter(wanted, &rule.matches, &format!("{path}.filters[{i}]"), &mut resolve);
        filters = filters.zip(done).map(|(mut list, done)| {
            list.extend(done);
            list
        });
    }
    if filters.is_none() {
        let target = BackendTarget::Invalid(InvalidBackend::UnsupportedFilter);
        backends = vec![Backend { target, weight: 1, filters: Vec::new() }];
    }
    let mut compiled = HttpRule {
        name: RouteName { kind: route.id.kind, route: route.id.name.clone(), rule: rule.name.clone() },
        filters: filters.unwrap_or_default(),
        backends,
        timeouts: rule.timeouts,
        retry: rule.retry.clone(),
        controls: policy::of_rule(&route.id, &rule.name, purpose, view),
    };
    policy::apply_to_rule(&route.id, &mut compiled, view);
    compiled
}

type Resolve<'a> = &'a mut dyn FnMut(&crate::model::BackendRef, &str) -> BackendTarget;

fn backend(
    wanted: &WantedBackend,
    matches: &Result<Vec<Match>, String>,
    path: &str,
    resolve: Resolve<'_>,
) -> Backend {
    let mut target = resolve(&wanted.reference, path);
    let mut filters = Vec::new();
    for (i, wanted) in wanted.filters.iter().enumerate() {
        match filter(wanted, matches, &format!("{path}.filters[{i}]"), resolve) {
            Some(done) => filters.extend(done),
            None => target = BackendTarget::Invalid(InvalidBackend::UnsupportedFilter),
        }
    }
    if matches!(target, BackendTarget::Invalid(_)) {
        filters.clear();
    }
    Backend { target, weight: wanted.weight, filters }
}

/// `None`: the filter cannot be done, so nothing of its rule can be.
fn filter(
    wanted: &WantedFilter,
    matches: &Result<Vec<Match>, String>,
    path: &str,
    resolve: Resolve<'_>,
) -> Option<Option<Filter>> {
    match wanted {
        WantedFilter::Unsupported(_) => None,
        WantedFilter::Ready(filter) if prefix_without_prefix(filter, matches) => None,
        WantedFilter::Ready(filter) => Some(Some(filter.clone())),
        WantedFilter::Mirror { backend, numerator, denominator } => match resolve(backend, path) {
            // A copy that can go nowhere is no reason to fail the original (Gateway API: "MUST NOT be sent").
            BackendTarget::Invalid(_) => Some(None),
            target => {
                let mirror = Mirror { target, numerator: *numerator, denominator: *denominator };
                Some(Some(Filter::Mirror(mirror)))
            }
        },
    }
}

/// Replacing the matched prefix has a meaning only where every way into the rule is a prefix.
pub(super) fn prefix_without_prefix(filter: &Filter, matches: &Result<Vec<Match>, String>) -> bool {
    let path = match filter {
        Filter::Redirect(Redirect { path, .. }) | Filter::Rewrite(Rewrite { path, .. }) => path,
        _ => return false,
    };
    let prefixes = matches.iter().flatten().all(|m| matches!(m.path, PathMatch::Prefix(_)));
    matches!(path, Some(PathRewrite::Prefix(_))) && !prefixes
}
