//! Which policies hold for an object, the nearest first: for people, beside the values that come of it.

use byrnie_api::{Kind, ObjectKey};
use byrnie_plan::{ObjectName, RouteKind};
use serde_json::Value;

use super::status::place_text;
use crate::Compiler;
use crate::graph::{Place, PolicyKind, RouteId, Target};
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
        places.push(Place { target, section: None });
        if is_service {
            let farther = [Target::Namespace(key.namespace.clone()), Target::Mesh];
            places.extend(farther.map(|target| Place { target, section: None }));
        }
        let view = self.view();
        let held = places.iter().flat_map(|place| PolicyKind::ALL.map(|kind| (kind, place)));
        held.filter_map(|(kind, place)| {
            let policy = view.holder(kind, place)?;
            let spec = match &policy.says {
                Says::Traffic(spec) => serde_json::to_value(spec),
            };
            let policy = policy.meta.key.clone();
            Some(Holding { policy, place: place_text(place), spec: spec.unwrap_or_default() })
        })
        .collect()
    }
}
