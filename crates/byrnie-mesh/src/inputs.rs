//! The objects as the compiler understands them, and the lists that lead to them.

use std::collections::{BTreeMap, BTreeSet};

use byrnie_plan::ObjectName;

use crate::graph::{Fact, Label, List, Node, Parent, PolicyId, Ref, Refused, RouteId};
use crate::model::{
    Authorization, Gateway, GatewayClass, Grant, ListenerSet, Mesh, Meta, Namespace, Policy, RefusedObject,
    Route, Service, Subset, Workload,
};

/// One object, read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Model {
    Mesh(Mesh),
    Class(GatewayClass),
    Namespace(Namespace),
    Service(Service),
    Workload(Workload),
    Gateway(Box<Gateway>),
    ListenerSet(Box<ListenerSet>),
    Subset(Subset),
    Refused(RefusedObject),
    Route(Box<Route>),
    Policy(Box<Policy>),
    Authorization(Box<Authorization>),
    Grant(Grant),
}

impl Model {
    pub(crate) fn meta(&self) -> &Meta {
        match self {
            Self::Mesh(object) => &object.meta,
            Self::Class(object) => &object.meta,
            Self::Namespace(object) => &object.meta,
            Self::Service(object) => &object.meta,
            Self::Workload(object) => &object.meta,
            Self::Gateway(object) => &object.meta,
            Self::ListenerSet(object) => &object.meta,
            Self::Subset(object) => &object.meta,
            Self::Refused(object) => &object.meta,
            Self::Route(object) => &object.meta,
            Self::Policy(object) => &object.meta,
            Self::Authorization(object) => &object.meta,
            Self::Grant(object) => &object.meta,
        }
    }
}

/// All objects, and lists of them.
#[derive(Default)]
pub(crate) struct Inputs {
    /// Policies that will end by themselves, by when.
    expiring: BTreeSet<(jiff::Timestamp, PolicyId)>,
    objects: BTreeMap<Ref, Model>,
    lists: BTreeMap<List, BTreeSet<Ref>>,
}

/// What a change touched.
#[derive(Default)]
pub(crate) struct Touched {
    /// Facts that are other than before.
    pub(crate) facts: BTreeSet<Fact>,
    /// Nodes that may be new or gone.
    pub(crate) nodes: BTreeSet<Node>,
}

impl Inputs {
    pub(crate) fn get(&self, reference: &Ref) -> Option<&Model> {
        self.objects.get(reference)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Model> {
        self.objects.values()
    }

    pub(crate) fn members<'a>(&'a self, list: &List) -> impl Iterator<Item = &'a Ref> + use<'a> {
        self.lists.get(list).into_iter().flatten()
    }

    pub(crate) fn count(&self, list: &List) -> usize {
        self.lists.get(list).map_or(0, BTreeSet::len)
    }

    /// Stores an object (`None`: removes it) and says what that touches.
    pub(crate) fn put(&mut self, reference: Ref, model: Option<Model>, touched: &mut Touched) {
        let old = match &model {
            Some(model) => self.objects.insert(reference.clone(), model.clone()),
            None => self.objects.remove(&reference),
        };
        if old == model {
            return;
        }
        if let Some((at, id)) = old.as_ref().and_then(expiry) {
            self.expiring.remove(&(at, id));
        }
        self.expiring.extend(model.as_ref().and_then(expiry));
        let before = old.as_ref().map(lists_of).unwrap_or_default();
        let after = model.as_ref().map(lists_of).unwrap_or_default();
        for list in before.difference(&after) {
            self.leave(list, &reference);
        }
        for list in after.difference(&before) {
            self.lists.entry(list.clone()).or_default().insert(reference.clone());
        }
        for list in before.symmetric_difference(&after) {
            touched.nodes.extend(node_of_list(list));
            touched.facts.insert(Fact::Members(list.clone()));
        }
        touched.nodes.extend(nodes_of(&reference));
        touched.facts.insert(Fact::Object(reference));
    }

    /// When the next policy ends by itself.
    pub(crate) fn next_expiry(&self) -> Option<jiff::Timestamp> {
        self.expiring.first().map(|(at, _)| *at)
    }

    /// Ends the policies whose time has come.
    pub(crate) fn expire(&mut self, now: jiff::Timestamp, touched: &mut Touched) {
        while let Some((_, id)) = self.expiring.first().filter(|(at, _)| *at <= now).cloned() {
            let reference = Ref::Policy(id.clone());
            let Some(Model::Policy(policy)) = self.objects.get(&reference) else { return };
            let ended = crate::model::Policy { expired: true, ..(**policy).clone() };
            self.put(reference, Some(Model::Policy(Box::new(ended))), touched);
        }
    }

    fn leave(&mut self, list: &List, reference: &Ref) {
        if let Some(members) = self.lists.get_mut(list) {
            members.remove(reference);
            if members.is_empty() {
                self.lists.remove(list);
            }
        }
    }
}

/// When a policy ends by itself, unless it has.
fn expiry(model: &Model) -> Option<(jiff::Timestamp, PolicyId)> {
    match model {
        Model::Policy(policy) if !policy.expired => Some((policy.expires?, policy.id.clone())),
        _ => None,
    }
}

/// The lists that an object is in.
fn lists_of(model: &Model) -> BTreeSet<List> {
    match model {
        Model::Mesh(_) | Model::Class(_) | Model::Namespace(_) | Model::Subset(_) => BTreeSet::new(),
        Model::Service(service) => service_lists(service),
        Model::Workload(workload) => workload_lists(workload),
        Model::Gateway(gateway) => {
            gateway.listeners.iter().map(|listener| List::GatewaysOnPort(listener.port)).collect()
        }
        Model::ListenerSet(set) => {
            let ports = set.listeners.iter().map(|listener| List::GatewaysOnPort(listener.port));
            ports.chain(set.gateway.clone().map(List::SetsOf)).collect()
        }
        Model::Route(route) => route_lists(route),
        Model::Refused(object) => {
            object.services.iter().map(|(service, _)| List::BackendTlsOn(service.clone())).collect()
        }
        Model::Policy(policy) => {
            policy.places.iter().map(|place| List::PoliciesOn(place.target.clone())).collect()
        }
        Model::Authorization(policy) => policy.targets.iter().cloned().map(List::AuthorizationOn).collect(),
        Model::Grant(grant) => BTreeSet::from([List::GrantsIn(grant.meta.name.namespace.clone())]),
    }
}

fn route_lists(route: &Route) -> BTreeSet<List> {
    let parents = route.parents.iter().filter_map(|p| p.parent.clone()).map(List::RoutesOn);
    let backends = route.rules.iter().flat_map(|rule| &rule.backends).map(|backend| &backend.reference);
    let services = backends.filter(|backend| backend.group.is_empty() && backend.kind == "Service");
    parents.chain(services.map(|backend| List::RoutesTo(backend.name.clone()))).collect()
}

fn service_lists(service: &Service) -> BTreeSet<List> {
    let namespace = &service.meta.name.namespace;
    let mut lists = BTreeSet::from([List::ServicesIn(namespace.clone())]);
    if let Some((key, value)) = service.selector.first_key_value() {
        lists.insert(List::ServicesSelecting(label(namespace, key, value)));
    }
    lists.extend(service.shard.map(List::ServicesInShard));
    lists
}

fn workload_lists(workload: &Workload) -> BTreeSet<List> {
    let namespace = &workload.meta.name.namespace;
    let mut lists = BTreeSet::from([List::WorkloadsIn(namespace.clone())]);
    for (key, value) in &workload.meta.labels {
        lists.insert(List::WorkloadsWith(label(namespace, key, value)));
    }
    lists
}

pub(crate) fn label(namespace: &str, key: &str, value: &str) -> Label {
    Label { namespace: namespace.to_owned(), key: key.to_owned(), value: value.to_owned() }
}

/// The nodes that stand for an object: they appear and go with it.
fn nodes_of(reference: &Ref) -> Vec<Node> {
    match reference {
        Ref::Mesh(name) => vec![Node::MeshStatus(name.clone())],
        Ref::Class(name) => vec![Node::ClassStatus(name.clone())],
        Ref::Namespace(_) | Ref::Grant(_) => Vec::new(),
        Ref::Service(name) => {
            vec![
                Node::Service(name.clone()),
                Node::Endpoints(name.clone()),
                Node::ServiceRoutes(name.clone()),
            ]
        }
        Ref::Workload(name) => vec![
            Node::WorkloadInbound(name.clone()),
            Node::Upstreams(name.clone()),
            Node::WorkloadStatus(name.clone()),
        ],
        Ref::Gateway(name) => vec![Node::Gateway(name.clone()), Node::GatewayInbound(name.clone())],
        Ref::ListenerSet(name) => vec![Node::ListenerSet(name.clone())],
        Ref::Subset(name) => vec![Node::SubsetStatus(name.clone())],
        Ref::Refused(id) => vec![Node::Refused(id.clone())],
        Ref::Route(id) => vec![Node::Route(id.clone()), Node::RouteStatus(id.clone())],
        Ref::Policy(id) => vec![Node::PolicyStatus(id.clone())],
        Ref::Authorization(name) => vec![Node::AuthorizationStatus(name.clone())],
    }
}

/// The node that exists because a list has members, whether or not the object it is named after exists.
fn node_of_list(list: &List) -> Option<Node> {
    match list {
        List::GatewaysOnPort(port) => Some(Node::Port(*port)),
        List::PoliciesOn(target) => Some(Node::Policies(target.clone())),
        List::ServicesInShard(shard) => Some(Node::Names(*shard)),
        List::RoutesOn(Parent::Service(name)) => Some(Node::ServiceRoutes(name.clone())),
        List::RoutesOn(Parent::Gateway(name)) => Some(Node::Gateway(name.clone())),
        List::RoutesOn(Parent::ListenerSet(name)) => Some(Node::ListenerSet(name.clone())),
        _ => None,
    }
}

macro_rules! getters {
    ($($name:ident, $variant:ident, $key:ty, $model:ty;)*) => {
        impl Inputs {
            $(#[allow(clippy::ptr_arg)] // one macro for both types of keys
            pub(crate) fn $name(&self, key: &$key) -> Option<&$model> {
                match self.objects.get(&Ref::$variant(key.clone())) {
                    Some(Model::$variant(model)) => Some(model),
                    _ => None,
                }
            })*
        }
    };
}

getters! {
    mesh, Mesh, String, Mesh;
    class, Class, String, GatewayClass;
    namespace, Namespace, String, Namespace;
    service, Service, ObjectName, Service;
    workload, Workload, ObjectName, Workload;
    gateway, Gateway, ObjectName, Gateway;
    listener_set, ListenerSet, ObjectName, ListenerSet;
    subset, Subset, ObjectName, Subset;
    refused, Refused, Refused, RefusedObject;
    route, Route, RouteId, Route;
    policy, Policy, PolicyId, Policy;
    authorization, Authorization, ObjectName, Authorization;
    grant, Grant, ObjectName, Grant;
}
