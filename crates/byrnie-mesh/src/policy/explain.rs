//! What holds for an object and whose word each value is: for people. The values are those that are compiled, by the
//! same functions; only the origins are found out here, by watching these put policies together.

use std::collections::BTreeMap;

use byrnie_api::kinds::TrafficPolicySpec;
use byrnie_plan::{Controls, HttpRule, ObjectName, Retry, RouteKind, Timeouts, TrafficSettings};
use serde_json::Value;

use super::status::{place_text, policy_kind_name};
use super::{OfListener, Slot, controls, listener_places, rule_places, traffic};
use crate::Compiler;
use crate::gateway;
use crate::graph::{Parent, Place, RouteId, Target};
use crate::model::{Listener, Policy};
use crate::routes::{Compiled, Purpose};
use crate::view::View;

/// Whose word a setting is, by its path in the policy's spec: `TrafficPolicy shop/web (Service shop/web)`. What is not
/// in it is a default, or the route's own word.
pub type Origins = BTreeMap<String, String>;

/// Rate limits and faults that hold, and the policies that they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Controlled {
    /// As they are compiled.
    pub controls: Controls,
    /// Whose the limits are; empty: there are none.
    pub limits: String,
    /// Whose the faults are; empty: there are none.
    pub faults: String,
}

/// What holds for a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceValues {
    /// As its callers have them.
    pub settings: TrafficSettings,
    /// Whose they are.
    pub origins: Origins,
    /// What its callers keep to.
    pub outbound: Controlled,
    /// What its workloads keep to, unless a policy is nearer to one of them.
    pub inbound: Controlled,
}

/// What holds for a rule of a route at one of its parents, where neither it nor these policies leave it to the Service.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleValues {
    /// `listener http of Gateway shop/front`, `Service shop/web`.
    pub at: String,
    /// As it is compiled for this parent.
    pub rule: HttpRule,
    /// Whose word the settings are; the route's own are not among them.
    pub origins: Origins,
    /// Its limits and faults.
    pub controlled: Controlled,
}

/// What the policies of a listener say to all routes there.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerValues {
    /// Name of the listener.
    pub listener: String,
    /// Time for a request, where its rule says nothing.
    pub timeouts: Timeouts,
    /// Retries, where its rule says nothing.
    pub retry: Option<Retry>,
    /// Whose they are.
    pub origins: Origins,
    /// Its limits and faults.
    pub controlled: Controlled,
}

impl Compiler {
    /// What holds for a Service.
    pub fn service_values(&self, name: &ObjectName) -> ServiceValues {
        let view = self.view();
        let own = Place { target: Target::Service(name.clone()), section: None };
        let places = controls::with_around(std::slice::from_ref(&own), name);
        ServiceValues {
            settings: traffic::settings(name, &view),
            origins: origins(&traffic::service_places(name), &view),
            outbound: controlled(&places, &own, controls::OUTBOUND, &view),
            inbound: controlled(&places, &own, controls::INBOUND, &view),
        }
    }

    /// What holds for a rule, for each listener and Service that has it.
    pub fn rule_values(&self, kind: RouteKind, route: &ObjectName, rule: &str) -> Vec<RuleValues> {
        let view = self.view();
        let id = RouteId { kind, name: route.clone() };
        let Some(compiled) = view.compiled_route(&id) else { return Vec::new() };
        let named = |rules: &[crate::routes::CompiledRule]| {
            rules.iter().find(|compiled| compiled.rule.name.rule == rule).map(|found| found.rule.clone())
        };
        let mut all = Vec::new();
        if let Some(rule) = named(&compiled.for_gateways) {
            all.extend(at_gateways(compiled, &rule, &view));
        }
        if let Some(rule) = named(&compiled.for_services) {
            for parent in parents(compiled) {
                let Parent::Service(service) = parent else { continue };
                let at = place_text(&Place { target: Target::Service(service), section: None });
                let (origins, controlled) = of_rule(compiled, &rule, Purpose::Mesh, &view);
                all.push(RuleValues { at, rule: rule.clone(), origins, controlled });
            }
        }
        all
    }

    /// What the policies of each listener that is the Gateway's own say.
    pub fn listener_values(&self, gateway: &ObjectName) -> Vec<ListenerValues> {
        let view = self.view();
        let listeners = view.gateway(gateway).into_iter().flat_map(|gateway| &gateway.listeners);
        let of = |listener: &Listener| {
            let places = listener_places(gateway, None, &listener.name);
            let (origins, controlled) = of_listener(gateway, &places, &view);
            let (mut timeouts, mut retry) = (Timeouts::default(), None);
            if let Some(spec) = traffic::nearest(&places, &view) {
                traffic::fill(&spec, &mut timeouts, &mut retry);
            }
            ListenerValues { listener: listener.name.clone(), timeouts, retry, origins, controlled }
        };
        listeners.map(of).collect()
    }
}

/// Each parent once, in the order written.
fn parents(route: &Compiled) -> Vec<Parent> {
    let mut parents: Vec<Parent> = Vec::new();
    for parent in route.parents.iter().filter_map(|parent| parent.parent.clone()) {
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    parents
}

fn at_gateways(route: &Compiled, rule: &HttpRule, view: &View<'_>) -> Vec<RuleValues> {
    let mut gateways: Vec<ObjectName> = Vec::new();
    for parent in parents(route) {
        let gateway = match parent {
            Parent::Gateway(name) => Some(name),
            Parent::ListenerSet(name) => view.listener_set(&name).and_then(|set| set.gateway.clone()),
            Parent::Service(_) => None,
        };
        gateways.extend(gateway.filter(|gateway| !gateways.contains(gateway)));
    }
    let mut all = Vec::new();
    for gateway in gateways.iter().filter_map(|name| view.gateway(name)) {
        for (places, policies) in gateway::seats_of(&route.id, gateway, view) {
            all.push(at_listener(route, rule, &gateway.meta.name, &places, &policies, view));
        }
    }
    all
}

/// The rule as a listener has it: what it leaves open is the listener's.
fn at_listener(
    route: &Compiled,
    rule: &HttpRule,
    gateway: &ObjectName,
    places: &[Place],
    policies: &OfListener,
    view: &View<'_>,
) -> RuleValues {
    let (mut origins, mut controlled) = of_rule(route, rule, Purpose::Gateway, view);
    let (farther, of_listener) = of_listener(gateway, places, view);
    for (path, origin) in farther {
        let is_open = match path.as_str() {
            "timeouts.request" => rule.timeouts.request.is_none(),
            path => path.starts_with("retry") && rule.retry.is_none(),
        };
        if is_open {
            origins.insert(path, origin);
        }
    }
    let mut rule = rule.clone();
    policies.apply(&mut rule);
    controlled.controls = rule.controls.as_deref().cloned().unwrap_or_default();
    if controlled.limits.is_empty() {
        controlled.limits = of_listener.limits;
    }
    if controlled.faults.is_empty() {
        controlled.faults = of_listener.faults;
    }
    RuleValues { at: places.first().map(place_text).unwrap_or_default(), rule, origins, controlled }
}

/// What of a compiled rule its own policies and those of its route say.
fn of_rule(route: &Compiled, rule: &HttpRule, purpose: Purpose, view: &View<'_>) -> (Origins, Controlled) {
    let places = rule_places(&route.id, &rule.name.rule);
    let mut origins = origins(&places, view);
    // The route's own word comes before every policy's.
    let written =
        view.route(&route.id).and_then(|route| route.rules.iter().find(|r| r.name == rule.name.rule));
    if let Some(written) = written {
        let request = written.timeouts.request.is_some();
        let retry = written.retry.is_some();
        origins
            .retain(|path, _| !(request && path == "timeouts.request" || retry && path.starts_with("retry")));
    }
    (origins, controlled(&places, &places[0], controls::slots_of(purpose), view))
}

fn of_listener(gateway: &ObjectName, places: &[Place], view: &View<'_>) -> (Origins, Controlled) {
    let own = Place { target: Target::Gateway(gateway.clone()), section: None };
    let around = controls::with_around(places, gateway);
    (origins(places, view), controlled(&around, &own, controls::INBOUND, view))
}

fn controlled(places: &[Place], own: &Place, slots: [Slot; 2], view: &View<'_>) -> Controlled {
    let [limits, faults] = controls::holders(places, slots, view)
        .map(|holder| holder.map(|(place, policy)| origin(place, policy)).unwrap_or_default());
    let controls = controls::within(places, own, slots, view).map(|controls| *controls).unwrap_or_default();
    Controlled { controls, limits, faults }
}

/// Whose word each setting is: the policy's with which it came to what the nearer ones say.
fn origins(places: &[Place], view: &View<'_>) -> Origins {
    let mut origins = Origins::new();
    traffic::nearest_told(places, view, |place, policy, so_far| {
        for path in paths(so_far).into_keys() {
            origins.entry(path).or_insert_with(|| origin(place, policy));
        }
    });
    origins
}

pub(super) fn origin(place: &Place, policy: &Policy) -> String {
    format!("{} {} ({})", policy_kind_name(policy.id.kind), policy.meta.name, place_text(place))
}

/// Every field that a spec has, and what is below it, by path.
fn paths(spec: &TrafficPolicySpec) -> BTreeMap<String, Value> {
    let mut paths = BTreeMap::new();
    for (name, value) in serde_json::to_value(spec).unwrap_or_default().as_object().into_iter().flatten() {
        if name != "targetRefs" {
            walk(name.clone(), value, &mut paths);
        }
    }
    paths
}

fn walk(path: String, value: &Value, paths: &mut BTreeMap<String, Value>) {
    for (name, below) in value.as_object().into_iter().flatten() {
        walk(format!("{path}.{name}"), below, paths);
    }
    if !value.is_null() {
        paths.insert(path, value.clone());
    }
}
