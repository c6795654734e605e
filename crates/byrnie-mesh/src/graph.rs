//! The dependency graph: what is computed (`Node`) and what is read (`Fact`). Who read what stands in
//! `reads`.
//!
//! A node's reads are recorded while it is computed (see `view`), so an index cannot be forgotten: whatever a
//! computation looked at makes it run again when that changes. Nodes are computed in the order of `Node`'s
//! variants, and a node reads derived values of smaller nodes only, so one pass settles everything.

use byrnie_plan::{ObjectName, RouteKind};

/// One unit of computation. The order of the variants is the order of evaluation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    /// The one Mesh that holds: settings, trust domain, defaults.
    Mesh,
    /// Which Gateway holds a port on which address.
    Port(u16),
    /// Which of the policies attached to a target hold there.
    Policies(Target),
    /// A route with its references resolved and its own policies applied, independent of its parents.
    Route(RouteId),
    /// `Key::Service`.
    Service(ObjectName),
    /// `Key::Endpoints`.
    Endpoints(ObjectName),
    /// `Key::Routes` of a Service, producer's and consumers'.
    ServiceRoutes(ObjectName),
    /// `Key::GatewayRoutes`, the Gateway's status, and what its ListenerSets come to.
    Gateway(ObjectName),
    /// Status of a ListenerSet, and what it says to its routes: as its Gateway found.
    ListenerSet(ObjectName),
    /// `Key::InboundPolicy` of a Workload.
    WorkloadInbound(ObjectName),
    /// `Key::InboundPolicy` of a Gateway.
    GatewayInbound(ObjectName),
    /// `Key::Upstreams`.
    Upstreams(ObjectName),
    /// `Key::Names`.
    Names(u8),
    /// Status of a Workload.
    WorkloadStatus(ObjectName),
    /// Status of a Mesh, by name.
    MeshStatus(String),
    /// Status of a GatewayClass.
    ClassStatus(String),
    /// Status of a route: what each of its parents said.
    RouteStatus(RouteId),
    /// Status of a policy that is attached to a target.
    PolicyStatus(PolicyId),
    /// Status of a ServiceSubset.
    SubsetStatus(ObjectName),
    /// Status of an object of a kind that is refused as a whole.
    Refused(Refused),
    /// Status of an AuthorizationPolicy.
    AuthorizationStatus(ObjectName),
}

/// A route object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RouteId {
    pub(crate) kind: RouteKind,
    pub(crate) name: ObjectName,
}

/// A policy object of any kind that settles settings of its targets; of each kind one holds at each place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PolicyId {
    pub(crate) kind: PolicyKind,
    pub(crate) name: ObjectName,
}

/// The kinds of such policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PolicyKind {
    Traffic,
    RateLimit,
    Fault,
}

/// An object of a kind that says in its status that there is no such thing here yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refused {
    UdpRoute(ObjectName),
    BackendTls(ObjectName),
}

/// What a policy can be attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Everything.
    Mesh,
    /// Everything in a namespace.
    Namespace(String),
    /// The workloads behind a Service, or its callers.
    Service(ObjectName),
    /// One Workload.
    Workload(ObjectName),
    /// One Gateway.
    Gateway(ObjectName),
    /// The listeners that one ListenerSet adds to its Gateway.
    ListenerSet(ObjectName),
    /// One route.
    Route(RouteId),
}

/// A target, or a part of it: a rule of a route, a listener of a Gateway or ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) target: Target,
    pub(crate) section: Option<String>,
}

/// What a route can be attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Parent {
    Gateway(ObjectName),
    ListenerSet(ObjectName),
    Service(ObjectName),
}

/// An object that a computation reads by name. Cluster-scoped kinds have a plain name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ref {
    Mesh(String),
    Class(String),
    Namespace(String),
    Service(ObjectName),
    Workload(ObjectName),
    Gateway(ObjectName),
    ListenerSet(ObjectName),
    Subset(ObjectName),
    Route(RouteId),
    Policy(PolicyId),
    Refused(Refused),
    Authorization(ObjectName),
    Grant(ObjectName),
}

impl Ref {
    /// The node that writes the object's status.
    pub(crate) fn status_node(self) -> Option<Node> {
        match self {
            Self::Mesh(name) => Some(Node::MeshStatus(name)),
            Self::Class(name) => Some(Node::ClassStatus(name)),
            Self::Workload(name) => Some(Node::WorkloadStatus(name)),
            Self::Gateway(name) => Some(Node::Gateway(name)),
            Self::ListenerSet(name) => Some(Node::ListenerSet(name)),
            Self::Subset(name) => Some(Node::SubsetStatus(name)),
            Self::Route(id) => Some(Node::RouteStatus(id)),
            Self::Policy(id) => Some(Node::PolicyStatus(id)),
            Self::Refused(refused) => Some(Node::Refused(refused)),
            Self::Authorization(name) => Some(Node::AuthorizationStatus(name)),
            Self::Namespace(_) | Self::Service(_) | Self::Grant(_) => None,
        }
    }
}

/// A set of objects that a computation goes through. Changes when an object joins or leaves; what an object
/// says is a fact of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    ServicesIn(String),
    /// Only where `Names` are compiled.
    ServicesInShard(u8),
    /// Services whose selector begins with this label (selectors are sorted; one pair is enough to find
    /// them).
    ServicesSelecting(Label),
    WorkloadsWith(Label),
    WorkloadsIn(String),
    /// Gateways, and ListenerSets, that have a listener of this port.
    GatewaysOnPort(u16),
    /// ListenerSets that name this Gateway.
    SetsOf(ObjectName),
    RoutesOn(Parent),
    /// Those attached to a part of the target are among them.
    PoliciesOn(Target),
    /// Routes with a backend that is this Service.
    RoutesTo(ObjectName),
    /// BackendTLSPolicies that name this Service.
    BackendTlsOn(ObjectName),
    AuthorizationOn(Target),
    GrantsIn(String),
}

/// A label of an object in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    pub(crate) namespace: String,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Something that a computation read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    Object(Ref),
    Members(List),
    Derived(Node),
}
