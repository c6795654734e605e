//! Policies that settle settings of their targets: which of several holds (here), what each kind says
//! (`traffic`), what a policy's status tells (`status`).
//!
//! Nearest first: rule, route, listener, Gateway, Service, namespace, mesh. At one place the oldest policy of a
//! kind holds as a whole, then the first by name.

mod explain;
mod status;
mod traffic;

use byrnie_plan::{HttpRule, ObjectName};

pub use explain::Holding;
pub(crate) use status::{missing, status};
pub(crate) use traffic::{override_of, settings};

use crate::graph::{Place, PolicyKind, RouteId, Target};
use crate::outputs::{Derived, Product};
use crate::view::View;

/// Where a setting can mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// How endpoints are treated: a Service's own, so at a Service, a namespace or the mesh.
    Endpoints,
    /// How a request is treated: there, and at Gateways and routes.
    Requests,
}

impl Reach {
    fn includes(self, target: &Target) -> bool {
        match target {
            Target::Mesh | Target::Namespace(_) | Target::Service(_) => true,
            Target::Gateway(_) | Target::Route(_) => self == Self::Requests,
            Target::Workload(_) => false,
        }
    }
}

/// Which policies hold at a target and its parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holders(Vec<Holder>);

/// One kind of policy at one place.
#[derive(Clone, Debug, PartialEq)]
struct Holder {
    kind: PolicyKind,
    section: Option<String>,
    name: ObjectName,
}

impl Holders {
    /// Nothing is attached.
    pub(crate) const NONE: Self = Self(Vec::new());

    /// The policy of a kind that holds at the target itself, or at one part of it.
    pub(crate) fn at(&self, kind: PolicyKind, section: Option<&str>) -> Option<&ObjectName> {
        let holder = self.0.iter().find(|h| h.kind == kind && h.section.as_deref() == section);
        holder.map(|holder| &holder.name)
    }
}

/// `Node::Policies`: the oldest policy of each kind holds, then the first by name.
pub(crate) fn holders(target: &Target, view: &View<'_>) -> Option<Product> {
    let mut policies = view.policies_on(target);
    if policies.is_empty() {
        return None;
    }
    policies.sort_by(|a, b| a.meta.age.cmp(&b.meta.age));
    let mut holders = Holders::NONE;
    for policy in policies {
        for place in policy.places.iter().filter(|place| place.target == *target) {
            if holders.at(policy.id.kind, place.section.as_deref()).is_none() {
                let (section, name) = (place.section.clone(), policy.meta.name.clone());
                holders.0.push(Holder { kind: policy.id.kind, section, name });
            }
        }
    }
    Some(Product { derived: Some(Derived::Policies(holders)), ..Product::default() })
}

/// A part of a target, then the target: the nearer one first.
fn part_and_whole(target: Target, part: &str) -> [Place; 2] {
    let section = Some(part.to_owned());
    [Place { target: target.clone(), section }, Place { target, section: None }]
}

/// What the policies of a rule and of its route say, applied to the rule.
pub(crate) fn apply_to_rule(route: &RouteId, rule: &mut HttpRule, view: &View<'_>) {
    if let Some(spec) = traffic::of_rule(route, &rule.name.rule, view) {
        traffic::apply(&spec, rule);
    }
}

/// What the policies of a listener and of its Gateway say to every rule there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfListener {
    traffic: Option<byrnie_api::kinds::TrafficPolicySpec>,
}

impl OfListener {
    pub(crate) fn new(gateway: &ObjectName, listener: &str, view: &View<'_>) -> Self {
        Self { traffic: traffic::of_listener(gateway, listener, view) }
    }

    /// What the rule and its own policies leave open.
    pub(crate) fn apply(&self, rule: &mut HttpRule) {
        if let Some(spec) = &self.traffic {
            traffic::apply(spec, rule);
        }
    }
}
