//! What a computation sees. Every read is recorded.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use byrnie_api::labels::{Selector, has_all};
use byrnie_plan::{ObjectName, WorkloadIdentity};

use crate::graph::{Fact, Label, List, Node, Parent, Place, PolicyId, Ref, Refused, RouteId, Target};
use crate::inputs::{Inputs, label};
use crate::model::{
    Authorization, Gateway, GatewayClass, Grant, ListenerSet, Mesh, Namespace, Policy, RefusedObject, Route,
    Service, Subset, Workload,
};
use crate::outputs::{Attachment, Derived, Outputs};
use crate::{gateway, mesh, policy, routes};

/// What holds for the life of a compiler.
pub(crate) struct Context {
    /// The run of the supervisor whose proxies' addresses count.
    pub(crate) run_id: String,
    /// Whether `Names` are compiled.
    pub(crate) transparent: bool,
    /// The settings of a mesh that has no Mesh object.
    pub(crate) defaults: mesh::Effective,
}

/// What a computation sees.
pub(crate) struct View<'a> {
    inputs: &'a Inputs,
    outputs: &'a Outputs,
    pub(crate) context: &'a Context,
    reads: RefCell<BTreeSet<Fact>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(inputs: &'a Inputs, outputs: &'a Outputs, context: &'a Context) -> Self {
        Self { inputs, outputs, context, reads: RefCell::default() }
    }

    /// Everything that was read.
    pub(crate) fn into_reads(self) -> BTreeSet<Fact> {
        self.reads.into_inner()
    }

    fn read(&self, fact: Fact) {
        self.reads.borrow_mut().insert(fact);
    }

    fn members(&self, list: List) -> impl Iterator<Item = &'a Ref> + use<'a> {
        let members = self.inputs.members(&list);
        self.read(Fact::Members(list));
        members
    }

    fn derived(&self, node: Node) -> Option<&'a Derived> {
        let derived = self.outputs.derived(&node);
        self.read(Fact::Derived(node));
        derived
    }

    /// The Services of a namespace by name. Lazy: who stops early does not depend on the rest.
    pub(crate) fn services_in(&self, namespace: &str) -> impl Iterator<Item = &'a Service> {
        self.members(List::ServicesIn(namespace.to_owned())).filter_map(|r| self.as_service(r))
    }

    /// The Services whose names are in a shard, by namespace and name.
    pub(crate) fn services_in_shard(&self, shard: u8) -> impl Iterator<Item = &'a Service> {
        self.members(List::ServicesInShard(shard)).filter_map(|r| self.as_service(r))
    }

    /// The Services whose selector chooses a workload with these labels, by name.
    pub(crate) fn services_selecting(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Vec<&'a Service> {
        let mut found: Vec<&Service> = Vec::new();
        for (key, value) in labels {
            let candidates = self.members(List::ServicesSelecting(label(namespace, key, value)));
            found.extend(candidates.filter_map(|r| self.as_service(r)).filter(|s| s.selects(labels)));
        }
        found.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        found
    }

    /// The workloads that have all of these labels, by name. No labels choose nothing.
    pub(crate) fn workloads_with(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Vec<&'a Workload> {
        let rarest = labels
            .iter()
            .map(|(key, value)| label(namespace, key, value))
            .min_by_key(|label| self.inputs.count(&List::WorkloadsWith(label.clone())));
        match rarest {
            Some(label) => {
                self.workloads_labelled(label).filter(|w| has_all(labels, &w.meta.labels)).collect()
            }
            None => Vec::new(),
        }
    }

    fn workloads_labelled(&self, label: Label) -> impl Iterator<Item = &'a Workload> {
        self.members(List::WorkloadsWith(label)).filter_map(|r| self.as_workload(r))
    }

    /// Whether a selector chooses any workload of a namespace. `must`: a label that everything chosen has.
    pub(crate) fn any_workload_chosen(
        &self,
        namespace: &str,
        selector: &Selector,
        must: Option<(&String, &String)>,
    ) -> bool {
        let list = match must {
            Some((key, value)) => List::WorkloadsWith(label(namespace, key, value)),
            None => List::WorkloadsIn(namespace.to_owned()),
        };
        let mut workloads = self.members(list).filter_map(|r| self.as_workload(r));
        workloads.any(|workload| selector.matches(&workload.meta.labels))
    }

    /// The Gateways that have a listener of this port, their own or a ListenerSet's. `None`: nobody names the port,
    /// not even a ListenerSet without Gateway.
    pub(crate) fn gateways_on_port(&self, port: u16) -> Option<Vec<&'a Gateway>> {
        let mut members = self.members(List::GatewaysOnPort(port)).peekable();
        members.peek()?;
        let names = members.filter_map(|r| match r {
            Ref::Gateway(name) => Some(name),
            Ref::ListenerSet(name) => self.listener_set(name)?.gateway.as_ref(),
            _ => None,
        });
        let names: BTreeSet<&ObjectName> = names.collect();
        Some(names.into_iter().filter_map(|name| self.gateway(name)).collect())
    }

    /// The ListenerSets that name a Gateway: oldest first, then by name.
    pub(crate) fn sets_of(&self, gateway: &ObjectName) -> Vec<&'a ListenerSet> {
        let names = self.members(List::SetsOf(gateway.clone()));
        let mut sets: Vec<&ListenerSet> = names
            .filter_map(|r| if let Ref::ListenerSet(name) = r { self.listener_set(name) } else { None })
            .collect();
        sets.sort_by(|a, b| a.meta.age.cmp(&b.meta.age));
        sets
    }

    /// Routes that have a Service for a backend.
    pub(crate) fn routes_to(&self, service: &ObjectName) -> Vec<&'a Route> {
        let members = self.members(List::RoutesTo(service.clone()));
        members.filter_map(|r| if let Ref::Route(id) = r { self.route(id) } else { None }).collect()
    }

    /// BackendTLSPolicies for a Service.
    pub(crate) fn backend_tls_on(&self, service: &ObjectName) -> Vec<&'a RefusedObject> {
        let members = self.members(List::BackendTlsOn(service.clone()));
        members.filter_map(|r| if let Ref::Refused(id) = r { self.refused(id) } else { None }).collect()
    }

    /// The routes of a parent, each with its references resolved: oldest first, then by name.
    pub(crate) fn routes_on(&self, parent: &Parent) -> Vec<&'a routes::Compiled> {
        let members = self.members(List::RoutesOn(parent.clone()));
        let mut routes: Vec<&routes::Compiled> = members
            .filter_map(|r| if let Ref::Route(id) = r { self.compiled_route(id) } else { None })
            .collect();
        routes.sort_by(|a, b| a.age.cmp(&b.age));
        routes
    }

    /// The policies of every kind that are attached to a target or to a part of it.
    pub(crate) fn policies_on(&self, target: &Target) -> Vec<&'a Policy> {
        let ids = self.members(List::PoliciesOn(target.clone()));
        ids.filter_map(|r| if let Ref::Policy(id) = r { self.policy(id) } else { None }).collect()
    }

    pub(crate) fn authorization_on(&self, target: &Target) -> Vec<&'a Authorization> {
        let names = self.members(List::AuthorizationOn(target.clone()));
        names
            .filter_map(|r| if let Ref::Authorization(name) = r { self.authorization(name) } else { None })
            .collect()
    }

    pub(crate) fn grants_in(&self, namespace: &str) -> Vec<&'a Grant> {
        let names = self.members(List::GrantsIn(namespace.to_owned()));
        names.filter_map(|r| if let Ref::Grant(name) = r { self.grant(name) } else { None }).collect()
    }

    fn as_service(&self, reference: &Ref) -> Option<&'a Service> {
        if let Ref::Service(name) = reference { self.service(name) } else { None }
    }

    fn as_workload(&self, reference: &Ref) -> Option<&'a Workload> {
        if let Ref::Workload(name) = reference { self.workload(name) } else { None }
    }

    /// The settings of the mesh, defaults filled in.
    pub(crate) fn mesh(&self) -> &'a mesh::Effective {
        match self.derived(Node::Mesh) {
            Some(Derived::Mesh(mesh)) => mesh,
            _ => &self.context.defaults,
        }
    }

    pub(crate) fn compiled_route(&self, id: &RouteId) -> Option<&'a routes::Compiled> {
        match self.derived(Node::Route(id.clone())) {
            Some(Derived::Route(route)) => Some(route),
            _ => None,
        }
    }

    /// What a Gateway found about a ListenerSet that names it.
    pub(crate) fn set_found(&self, gateway: &ObjectName, set: &ObjectName) -> Option<&'a gateway::SetFound> {
        match self.derived(Node::Gateway(gateway.clone())) {
            Some(Derived::Sets(sets)) => sets.get(set),
            _ => None,
        }
    }

    pub(crate) fn port_holders(&self, port: u16) -> Option<&'a gateway::PortHolders> {
        match self.derived(Node::Port(port)) {
            Some(Derived::Port(holders)) => Some(holders),
            _ => None,
        }
    }

    /// The policies of one kind that hold at a target and its parts.
    pub(crate) fn holders(&self, target: &Target) -> &'a policy::Holders {
        static NONE: policy::Holders = policy::Holders::NONE;
        match self.derived(Node::Policies(target.clone())) {
            Some(Derived::Policies(holders)) => holders,
            _ => &NONE,
        }
    }

    /// The policy that holds for something at exactly this place.
    pub(crate) fn holder(&self, slot: policy::Slot, place: &Place) -> Option<&'a Policy> {
        let name = self.holders(&place.target).at(slot, place.section.as_deref())?;
        self.policy(&PolicyId { kind: slot.kind(), name: name.clone() })
    }

    /// What a parent said about a route. Not recorded: a changed answer runs the route's status again anyway.
    pub(crate) fn attachments(&self, parent: &Parent, route: &RouteId) -> &'a [Attachment] {
        let node = match parent {
            Parent::Gateway(name) => Node::Gateway(name.clone()),
            Parent::ListenerSet(name) => Node::ListenerSet(name.clone()),
            Parent::Service(name) => Node::ServiceRoutes(name.clone()),
        };
        self.outputs.attachments(&node, route)
    }

    /// Whether a Gateway of this class is ours to serve. The class named `byrnie` is built in where no object
    /// says otherwise.
    pub(crate) fn is_our_class(&self, name: &str) -> bool {
        match self.class(&name.to_owned()) {
            Some(class) => class.controller == crate::CONTROLLER_NAME,
            None => name == crate::BUILT_IN_CLASS,
        }
    }

    /// The SPIFFE ID of a service account.
    pub(crate) fn identity(&self, namespace: &str, service_account: &str) -> WorkloadIdentity {
        WorkloadIdentity {
            trust_domain: self.mesh().trust_domain.clone(),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
        }
    }
}

macro_rules! recorded {
    ($($name:ident, $getter:ident, $variant:ident, $key:ty, $model:ty;)*) => {
        impl<'a> View<'a> {
            $(#[allow(clippy::ptr_arg)] // one macro for both types of keys
            pub(crate) fn $name(&self, key: &$key) -> Option<&'a $model> {
                self.read(Fact::Object(Ref::$variant(key.clone())));
                self.inputs.$getter(key)
            })*
        }
    };
}

recorded! {
    mesh_object, mesh, Mesh, String, Mesh;
    class, class, Class, String, GatewayClass;
    namespace, namespace, Namespace, String, Namespace;
    service, service, Service, ObjectName, Service;
    workload, workload, Workload, ObjectName, Workload;
    gateway, gateway, Gateway, ObjectName, Gateway;
    listener_set, listener_set, ListenerSet, ObjectName, ListenerSet;
    subset, subset, Subset, ObjectName, Subset;
    refused, refused, Refused, Refused, RefusedObject;
    route, route, Route, RouteId, Route;
    policy, policy, Policy, PolicyId, Policy;
    authorization, authorization, Authorization, ObjectName, Authorization;
    grant, grant, Grant, ObjectName, Grant;
}
