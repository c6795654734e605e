//! Policies that settle settings of their targets: which of several holds (here), what each kind says (`traffic`,
//! `controls`), what a policy's status tells (`status`).
//!
//! Nearest first: rule, route, listener, ListenerSet, Gateway; Workload, Service, namespace, mesh. At one place the
//! oldest policy of a kind holds as a whole, then the first by name; rate limits and faults hold for each direction
//! apart.

mod controls;
mod entries;
mod explain;
pub(crate) mod inbound;
mod status;
mod traffic;

use byrnie_api::kinds::{Direction, TrafficPolicySpec};
use byrnie_plan::{Controls, HttpRule, ObjectName};

pub(crate) use controls::{of_rule, of_service, of_workload};
pub use entries::Entry;
pub use explain::{Controlled, ListenerValues, Origins, RuleValues, ServiceValues};
pub(crate) use status::{missing, status};
pub(crate) use traffic::{override_of, settings};

use crate::graph::{Place, PolicyKind, RouteId, Target};
use crate::model::{Policy, Says};
use crate::outputs::{Derived, Product};
use crate::view::View;

/// What of a place a policy settles. For each slot one policy holds at each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Traffic,
    LimitsInbound,
    LimitsOutbound,
    FaultsInbound,
    FaultsOutbound,
}

impl Slot {
    pub(crate) fn kind(self) -> PolicyKind {
        match self {
            Self::Traffic => PolicyKind::Traffic,
            Self::LimitsInbound | Self::LimitsOutbound => PolicyKind::RateLimit,
            Self::FaultsInbound | Self::FaultsOutbound => PolicyKind::Fault,
        }
    }
}

/// What a policy settles at a target; nothing where its direction has no meaning there.
fn slots(policy: &Policy, target: &Target) -> Vec<Slot> {
    let (wanted, default, inbound, outbound) = match &policy.says {
        Says::Traffic(_) => return vec![Slot::Traffic],
        Says::RateLimit(spec) => {
            (spec.direction, Direction::Inbound, Slot::LimitsInbound, Slot::LimitsOutbound)
        }
        Says::Fault(spec) => (spec.direction, Direction::Outbound, Slot::FaultsInbound, Slot::FaultsOutbound),
    };
    let slot = |direction| match direction {
        Direction::Inbound => inbound,
        Direction::Outbound => outbound,
    };
    match target {
        // Followed by Gateways, which requests come in to, and by callers, from which they go out.
        Target::Route(_) => wanted.map_or_else(|| vec![inbound, outbound], |direction| vec![slot(direction)]),
        Target::Gateway(_) | Target::ListenerSet(_) | Target::Workload(_) => match wanted {
            None | Some(Direction::Inbound) => vec![inbound],
            Some(Direction::Outbound) => Vec::new(),
        },
        Target::Mesh | Target::Namespace(_) | Target::Service(_) => vec![slot(wanted.unwrap_or(default))],
    }
}

/// Where a setting of a TrafficPolicy can mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// How endpoints are treated: a Service's own, so at a Service, a namespace or the mesh.
    Endpoints,
    /// How a request is treated: there, and at Gateways and routes.
    Requests,
    /// How a proxy treats what comes in: everywhere but at routes.
    Entrances,
    /// The same of a Gateway's clients: there, and around it.
    Gateways,
    /// The same of what an application gets: at a Workload, a Service, and around them.
    Applications,
    /// A number of a whole proxy.
    Processes,
}

impl Reach {
    fn includes(self, place: &Place) -> bool {
        match &place.target {
            Target::Mesh | Target::Namespace(_) => true,
            Target::Service(_) => !matches!(self, Self::Gateways | Self::Processes),
            Target::Route(_) => self == Self::Requests,
            Target::Gateway(_) | Target::ListenerSet(_) => match self {
                Self::Requests | Self::Entrances | Self::Gateways => true,
                Self::Processes => place.section.is_none() && matches!(place.target, Target::Gateway(_)),
                Self::Endpoints | Self::Applications => false,
            },
            Target::Workload(_) => matches!(self, Self::Entrances | Self::Applications | Self::Processes),
        }
    }
}

/// Which policies hold at a target and its parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holders(Vec<Holder>);

/// Who holds for one slot at one place.
#[derive(Clone, Debug, PartialEq)]
struct Holder {
    slot: Slot,
    section: Option<String>,
    name: ObjectName,
}

impl Holders {
    /// Nothing is attached.
    pub(crate) const NONE: Self = Self(Vec::new());

    /// The policy that holds for something at the target itself, or at one part of it.
    pub(crate) fn at(&self, slot: Slot, section: Option<&str>) -> Option<&ObjectName> {
        let holder = self.0.iter().find(|h| h.slot == slot && h.section.as_deref() == section);
        holder.map(|holder| &holder.name)
    }
}

/// `Node::Policies`: the oldest policy of each kind holds, then the first by name.
pub(crate) fn holders(target: &Target, view: &View<'_>) -> Option<Product> {
    let mut policies = view.policies_on(target);
    if policies.is_empty() {
        return None;
    }
    policies.retain(|policy| !policy.expired && policy.broken.is_none());
    policies.sort_by(|a, b| a.meta.age.cmp(&b.meta.age));
    let mut holders = Holders::NONE;
    for policy in policies {
        for place in policy.places.iter().filter(|place| place.target == *target) {
            for slot in slots(policy, target) {
                if holders.at(slot, place.section.as_deref()).is_none() {
                    let (section, name) = (place.section.clone(), policy.meta.name.clone());
                    holders.0.push(Holder { slot, section, name });
                }
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

/// Where policies of a listener stand: there, at the ListenerSet that added it, at its Gateway.
pub(crate) fn listener_places(gateway: &ObjectName, set: Option<&ObjectName>, listener: &str) -> Vec<Place> {
    let whole = Place { target: Target::Gateway(gateway.clone()), section: None };
    match set {
        None => part_and_whole(Target::Gateway(gateway.clone()), listener).into(),
        Some(set) => {
            let own = part_and_whole(Target::ListenerSet(set.clone()), listener);
            own.into_iter().chain([whole]).collect()
        }
    }
}

/// Where policies of a rule stand: there, and at its route.
fn rule_places(route: &RouteId, rule: &str) -> [Place; 2] {
    part_and_whole(Target::Route(route.clone()), rule)
}

/// What the TrafficPolicies of a rule and of its route say, applied to the rule.
pub(crate) fn apply_to_rule(route: &RouteId, rule: &mut HttpRule, view: &View<'_>) {
    if let Some(spec) = traffic::nearest(&rule_places(route, &rule.name.rule), view) {
        traffic::apply(&spec, rule);
    }
}

/// What the policies of a listener and of its Gateway say to every rule there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfListener {
    traffic: Option<TrafficPolicySpec>,
    controls: Option<Box<Controls>>,
}

impl OfListener {
    /// `places`: from [`listener_places`].
    pub(crate) fn new(gateway: &ObjectName, places: &[Place], view: &View<'_>) -> Self {
        Self {
            traffic: traffic::nearest(places, view),
            controls: controls::of_listener(gateway, places, view),
        }
    }

    /// What the rule and its own policies leave open.
    pub(crate) fn apply(&self, rule: &mut HttpRule) {
        if let Some(spec) = &self.traffic {
            traffic::apply(spec, rule);
        }
        self.control(&mut rule.controls);
    }

    /// The controls that a rule's own policies leave open.
    pub(crate) fn control(&self, near: &mut Option<Box<Controls>>) {
        let Some(far) = &self.controls else { return };
        let near = near.get_or_insert_default();
        if near.limits.is_none() {
            near.limits.clone_from(&far.limits);
        }
        if near.faults.is_none() {
            near.faults.clone_from(&far.faults);
        }
    }
}
