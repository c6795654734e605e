//! Which policies hold for an object, the nearest first: for people, beside the values that come of it.

use byrnie_api::{Kind, ObjectKey};
use byrnie_plan::{ObjectName, RouteKind};
use serde_json::{Value, json};

use super::Slot;
use super::status::place_text;
use crate::Compiler;
use crate::graph::{Place, RouteId, Target};
use crate::model::Says;

/// One policy that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// The policy.
    pub policy: ObjectKey,
    /// Where it is attached: `Service shop/web`, `rule api of HTTPRoute shop/web`.
    pub place: String,
    /// What it says.
    pub spec: Value,
}

impl Compiler {
    /// The policies that hold for an object or, with `section`, for a rule or listener of it: of each kind at each
    /// place at most one, the nearest place first. What a nearer one says, a farther one cannot change.
    pub fn policies_for(&self, key: &ObjectKey, section: Option<&str>) -> Vec<Holding> {
        let name = ObjectName::new(key.namespace.as_str(), key.name.as_str());
        let target = match key.kind {
            Kind::Service => Target::Service(name),
            Kind::Gateway => Target::Gateway(name),
            Kind::HTTPRoute => Target::Route(RouteId { kind: RouteKind::Http, name }),
            Kind::GRPCRoute => Target::Route(RouteId { kind: RouteKind::Grpc, name }),
            Kind::TCPRoute => Target::Route(RouteId { kind: RouteKind::Tcp, name }),
            Kind::Workload => Target::Workload(name),
            _ => return Vec::new(),
        };
        let mut places = Vec::new();
        if let Some(section) = section {
            places.push(Place { target: target.clone(), section: Some(section.to_owned()) });
        }
        let is_service = matches!(target, Target::Service(_));
        let is_route = matches!(target, Target::Route(_));
        places.push(Place { target, section: None });
        let near = places.len();
        if !is_route {
            let farther = [Target::Namespace(key.namespace.clone()), Target::Mesh];
            places.extend(farther.map(|target| Place { target, section: None }));
        }
        let view = self.view();
        let held = places.iter().enumerate().flat_map(|place| Slot::ALL.map(|slot| (slot, place)));
        held.filter_map(|(slot, (index, place))| {
            // Settings of a namespace or the mesh are its Services' alone; limits and faults are everybody's.
            let policy =
                view.holder(slot, place).filter(|_| index < near || is_service || slot != Slot::Traffic)?;
            let (key, place) = (policy.meta.key.clone(), place_text(place));
            Some(Holding { policy: key, place, spec: spec(slot, &policy.says) })
        })
        .collect()
    }
}

/// What a policy says, each value under the name that people are to see.
fn spec(slot: Slot, says: &Says) -> Value {
    let direction = match slot {
        Slot::LimitsInbound | Slot::FaultsInbound => "inbound",
        Slot::Traffic | Slot::LimitsOutbound | Slot::FaultsOutbound => "outbound",
    };
    match says {
        Says::Traffic(spec) => serde_json::to_value(spec).unwrap_or_default(),
        Says::RateLimit(spec) => json!({ format!("rateLimits.{direction}"): spec.limits }),
        Says::Fault(spec) => json!({ format!("faults.{direction}"): spec.faults }),
    }
}
