//! What the compiler understands of an object: numbers in range, names split, protocols told apart.
//!
//! `read` makes these from the API's types, once per change; nothing else looks at those types.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use byrnie_api::ObjectKey;
use byrnie_api::kinds as api;
use byrnie_api::labels::{Selector, has_all};
use byrnie_plan::{
    AppProtocol, Filter, HeaderMatch, HealthCheck, HostPattern, ListenerProtocol, ObjectName, PathMatch,
    QueryMatch, Retry, Timeouts,
};

use crate::graph::{Parent, Place, PolicyId, Refused, RouteId, Target};
use crate::{Finding, mesh};

/// Who an object is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Meta {
    pub(crate) key: ObjectKey,
    /// The namespace is empty for cluster-scoped kinds.
    pub(crate) name: ObjectName,
    /// Another one under the same name is another object, whose status was never written.
    pub(crate) uid: Option<String>,
    pub(crate) generation: Option<i64>,
    pub(crate) age: Age,
    pub(crate) labels: BTreeMap<String, String>,
}

/// What decides between objects that want the same thing: the older one wins, then the one that comes first
/// by `namespace/name`. An object that was never stored is the youngest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age {
    pub(crate) never_stored: bool,
    pub(crate) created: Option<jiff::Timestamp>,
    pub(crate) name: ObjectName,
}

/// The mesh's settings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mesh {
    pub(crate) meta: Meta,
    pub(crate) effective: mesh::Effective,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayClass {
    pub(crate) meta: Meta,
    pub(crate) controller: String,
    /// The kind of the parameters that it asks for.
    pub(crate) parameters: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Namespace {
    pub(crate) meta: Meta,
}

/// What other namespaces may refer to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grant {
    pub(crate) meta: Meta,
    /// Group, kind and namespace of who refers.
    pub(crate) from: Vec<(String, String, String)>,
    /// Group, kind and, unless all, name of what is referred to.
    pub(crate) to: Vec<(String, String, Option<String>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) meta: Meta,
    pub(crate) shape: ServiceShape,
    pub(crate) selector: BTreeMap<String, String>,
    /// TCP ports, ascending, each number once.
    pub(crate) ports: Vec<ServicePort>,
    /// Where its name is, where `Names` are compiled.
    pub(crate) shard: Option<u8>,
    /// Its virtual addresses, as the status has them.
    pub(crate) addresses: Vec<IpAddr>,
    /// Of an `ExternalName`: the DNS name that it stands for.
    pub(crate) alias: Option<String>,
    /// What is odd about the object itself.
    pub(crate) findings: Vec<Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceShape {
    /// It has a virtual address (or would have one).
    Virtual,
    /// `clusterIP: None`: no route can be attached.
    Headless,
    /// An alias of a DNS name: no endpoints, no routes.
    External,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServicePort {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) target: TargetPort,
    pub(crate) protocol: AppProtocol,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TargetPort {
    Number(u16),
    Name(String),
}

impl Service {
    /// Whether the selector chooses a workload with these labels. An empty selector chooses none.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty() && has_all(&self.selector, labels)
    }

    pub(crate) fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.port == number)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workload {
    pub(crate) meta: Meta,
    pub(crate) service_account: String,
    pub(crate) address: IpAddr,
    /// Ascending, each number once.
    pub(crate) ports: Vec<WorkloadPort>,
    /// `None`: the Services of its namespace.
    pub(crate) upstreams: Option<Vec<WantedUpstream>>,
    pub(crate) http_proxy: bool,
    pub(crate) meshed: bool,
    pub(crate) locality: String,
    /// What somebody asks the application to see whether it is healthy.
    pub(crate) health_checks: Vec<HealthCheck>,
    pub(crate) weight: u32,
    /// Where its proxy is, as reported in this run.
    pub(crate) mesh_address: Option<SocketAddr>,
    /// Whether somebody said that it is not ready.
    pub(crate) unready: bool,
    pub(crate) findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkloadPort {
    pub(crate) name: String,
    pub(crate) port: u16,
    /// `None`: what the Service says.
    pub(crate) protocol: Option<AppProtocol>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WantedUpstream {
    pub(crate) service: ObjectName,
    /// `None`: every port.
    pub(crate) port: Option<u16>,
}

impl Workload {
    /// The port that a Service's `targetPort` means here.
    pub(crate) fn target(&self, target: &TargetPort) -> Option<&WorkloadPort> {
        self.ports.iter().find(|port| match target {
            TargetPort::Number(number) => port.port == *number,
            TargetPort::Name(name) => port.name == *name,
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gateway {
    pub(crate) meta: Meta,
    pub(crate) class: String,
    pub(crate) listeners: Vec<Listener>,
    /// Addresses to bind; empty: loopback.
    pub(crate) addresses: Vec<IpAddr>,
    /// An address that cannot be bound, as written.
    pub(crate) bad_address: Option<String>,
    /// Whose ListenerSets may add listeners; `None`: nobody's.
    pub(crate) allowed_sets: Option<AllowedNamespaces>,
    /// Something that the Gateway as a whole asks for and that there is not: field, reason and words.
    pub(crate) unsupported: Option<Unsupported>,
    /// Region, zone and subzone of its proxy, empty when unknown.
    pub(crate) locality: String,
}

/// What an object asks for and what there is not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unsupported {
    pub(crate) field: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Listeners that are added to a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListenerSet {
    pub(crate) meta: Meta,
    /// `None`: a kind that we do not serve.
    pub(crate) gateway: Option<ObjectName>,
    pub(crate) listeners: Vec<Listener>,
}

/// Part of a Service's workloads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subset {
    pub(crate) meta: Meta,
    pub(crate) service: ObjectName,
    pub(crate) labels: BTreeMap<String, String>,
}

/// An object of a kind that is refused as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RefusedObject {
    pub(crate) meta: Meta,
    pub(crate) id: Refused,
    /// Of a UDPRoute.
    pub(crate) parents: Vec<ParentRef>,
    /// Of a BackendTLSPolicy: Services, with the port's name unless all are meant.
    pub(crate) services: Vec<(ObjectName, Option<String>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) protocol: Speaks,
    /// `None`: not a hostname.
    pub(crate) hostname: Option<HostPattern>,
    pub(crate) namespaces: AllowedNamespaces,
    /// Group and kind; `None`: all kinds of the protocol.
    pub(crate) kinds: Option<Vec<(String, String)>>,
}

/// What a listener is asked to speak.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Speaks {
    Http,
    Tcp,
    /// TLS that goes on to the backend unopened.
    TlsPassthrough,
    /// As written, with what it asks for that there is not.
    Unsupported(String),
}

impl Speaks {
    /// What a proxy does for it; `None`: nothing.
    pub(crate) fn protocol(&self) -> Option<ListenerProtocol> {
        match self {
            Self::Http => Some(ListenerProtocol::Http),
            Self::Tcp => Some(ListenerProtocol::Tcp),
            Self::TlsPassthrough => Some(ListenerProtocol::TlsPassthrough),
            Self::Unsupported(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AllowedNamespaces {
    Same,
    All,
    Selector(Selector),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    pub(crate) meta: Meta,
    pub(crate) id: RouteId,
    pub(crate) parents: Vec<ParentRef>,
    /// Empty: any host.
    pub(crate) hostnames: Vec<HostPattern>,
    pub(crate) rules: Vec<Rule>,
    /// Something that the route as a whole asks for and that there is not.
    pub(crate) unsupported: Option<String>,
    /// What is odd about the object itself.
    pub(crate) findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParentRef {
    /// `None`: a kind that we do not serve.
    pub(crate) parent: Option<Parent>,
    pub(crate) section: Option<String>,
    pub(crate) port: Option<u16>,
    /// As written, for the status.
    pub(crate) written: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// The rule's name, or its index.
    pub(crate) name: String,
    /// `Err`: why the rule cannot be understood.
    pub(crate) matches: Result<Vec<Match>, String>,
    pub(crate) filters: Vec<WantedFilter>,
    pub(crate) backends: Vec<WantedBackend>,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: Option<Retry>,
}

/// One way into a rule, without host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Match {
    pub(crate) path: PathMatch,
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) queries: Vec<QueryMatch>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WantedFilter {
    Ready(Filter),
    Mirror {
        backend: BackendRef,
        numerator: u32,
        denominator: u32,
    },
    /// Why it cannot be done.
    Unsupported(String),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WantedBackend {
    pub(crate) reference: BackendRef,
    pub(crate) weight: u32,
    pub(crate) filters: Vec<WantedFilter>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BackendRef {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: ObjectName,
    pub(crate) port: Option<u16>,
}

/// A policy that settles settings of its targets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) meta: Meta,
    pub(crate) id: PolicyId,
    /// Sorted, each once.
    pub(crate) places: Vec<Place>,
    /// Targets that the policy cannot have, as written.
    pub(crate) bad_targets: Vec<String>,
    pub(crate) says: Says,
    /// Why it cannot be understood: it then holds nowhere.
    pub(crate) broken: Option<String>,
    /// When it ends by itself.
    pub(crate) expires: Option<jiff::Timestamp>,
    /// Whether that has come: it then holds nowhere.
    pub(crate) expired: bool,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one for each policy that somebody wrote")]
pub(crate) enum Says {
    Traffic(api::TrafficPolicySpec),
    RateLimit(api::RateLimitPolicySpec),
    Fault(api::FaultPolicySpec),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Authorization {
    pub(crate) meta: Meta,
    pub(crate) targets: Vec<Target>,
    /// Narrows the choice to workloads with these labels.
    pub(crate) selector: Option<Selector>,
    pub(crate) spec: api::AuthorizationPolicySpec,
    /// Why the policy cannot be understood: it then refuses everything for what it selects.
    pub(crate) broken: Option<String>,
}
