//! The kinds as Rust types. Ours and the core group's are written by hand; the Gateway API's are generated.

mod authorization_policy;
mod capture;
mod core;
mod fault_policy;
mod inbound;
mod mesh;
mod rate_limit_policy;
mod service_profile;
mod service_subset;
mod traffic_match;
mod traffic_policy;
mod virtual_addresses;
mod workload;

pub use self::core::{
    ClientIpConfig, IpProtocol, LoadBalancerIngress, LoadBalancerPort, LoadBalancerStatus, LocalObjectName,
    Namespace, NamespaceSpec, NamespaceStatus, ObjectReferenceV1, Service, ServiceAccount, ServicePort,
    ServiceSpec, ServiceStatus, ServiceType, SessionAffinityConfig,
};
pub use authorization_policy::{
    AuthorizationAction, AuthorizationPolicy, AuthorizationPolicySpec, AuthorizationRule, Operation, Source,
};
pub use capture::{CaptureNetworks, CaptureSettings};
pub use fault_policy::{
    ExponentialDelay, Fault, FaultAbort, FaultDelay, FaultPolicy, FaultPolicySpec, NormalDelay, UniformDelay,
};
pub use inbound::{InboundSettings, ProxyProtocol, ProxyProtocolVersion};
pub use mesh::{
    AccessLog, AccessLogFormat, CertificateSettings, DefaultInboundPolicy, DnsDefaults, Egress,
    ForwardedHeaders, Mesh, MeshSpec, MtlsMode, OverloadSettings, ProxyDefaults, TelemetrySettings,
};
pub use rate_limit_policy::{
    RateLimit, RateLimitKey, RateLimitKeyType, RateLimitPolicy, RateLimitPolicySpec,
};
pub use service_profile::{
    ProfileRetryBudget, ProfileRoute, RequestMatch, ResponseClass, ResponseMatch, ServiceProfile,
    ServiceProfileSpec, StatusRange, WeightedDst,
};
pub use service_subset::{ServiceSubset, ServiceSubsetSpec};
pub use traffic_match::{
    Direction, TrafficMatch, TrafficPathMatch, TrafficPathMatchType, TrafficValueMatch, TrafficValueMatchType,
};
pub use traffic_policy::{
    Balancer, BalancerType, ConnectionLimits, CookieConfig, CookieLifetimeType, HashKey, HashKeyType,
    LatencyEjection, LocalityPreference, OutlierEjection, OverrideTarget, RequestOverride, RetryBudget,
    RetryCondition, RetryKind, RetrySettings, SessionPersistence, SessionPersistenceType,
    SuccessRateEjection, TrafficPolicy, TrafficPolicySpec, TrafficTimeouts,
};
pub use virtual_addresses::{VirtualAddressSettings, VirtualRange};
pub use workload::{
    EnvVar, HealthCheck, HealthCheckProtocol, ProxyMode, Workload, WorkloadPort, WorkloadProxyStatus,
    WorkloadSpec, WorkloadStatus, WorkloadUpstream, WorkloadUpstreamStatus,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::Condition;

/// What a policy is attached to, in the policy's own namespace (a `Mesh` is cluster-scoped).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTargetRef {
    /// API group of the target: empty for a Service or Namespace, `gateway.networking.k8s.io` for a Gateway,
    /// ListenerSet or route, `mesh.byrnie.dev` for a Workload or the Mesh. Absent: the group of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Kind of the target; which kinds a policy accepts stands with the policy.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the target; of a Namespace the policy's own.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// A part of the target: a listener of a Gateway or ListenerSet by its name, or a rule of a route by its name (by
    /// its index in the route where it has none). Absent: the whole target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

/// The state of a policy.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// `Accepted`: the policy is in force. `ResolvedRefs`: all targets exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
