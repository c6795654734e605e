//! `TrafficPolicy`: how callers treat a service's endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PolicyStatus, PolicyTargetRef};
use crate::duration::Duration;
use crate::meta::ObjectMeta;

/// How callers treat requests and the endpoints of Services. What is absent keeps the default.
///
/// It is attached to a rule, a route, a listener, a Gateway, a Service, its namespace or the Mesh; each setting comes
/// from the nearest policy that has it, in this order. What a route says itself comes before every policy. Of several
/// policies on one target the oldest holds as a whole, then the first by name; the others say so in their conditions.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Targets and settings.
    #[serde(default)]
    pub spec: TrafficPolicySpec,
    /// `Accepted`, `ResolvedRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

/// Targets and settings of a traffic policy.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicySpec {
    /// What the policy is for: `Service`, `HTTPRoute` or `GRPCRoute` (`sectionName`: one rule), `Gateway`
    /// (`sectionName`: one listener), the policy's own `Namespace`, or the `Mesh`. At routes and Gateways only
    /// `timeouts.request` and `retry` have an effect.
    #[schemars(length(min = 1, max = 64))]
    pub target_refs: Vec<PolicyTargetRef>,
    /// Which endpoint takes the next request. Default `peakEwma`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer: Option<Balancer>,
    /// Time limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TrafficTimeouts>,
    /// Retries where the route names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySettings>,
    /// Limits of one caller's proxy towards the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ConnectionLimits>,
    /// When an endpoint is left out for a while. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_ejection: Option<OutlierEjection>,
    /// Time over which a new endpoint's share grows linearly. Absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// Lets single requests go elsewhere for staging. Absent: no request may.
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub override_: Option<RequestOverride>,
}

/// Where callers may send single requests instead, by the header `byrnie-override: [namespace/]service[:port]`. It
/// holds for one hop: the header is removed from every request, and honoured only where it comes from the application
/// of a caller named here. At Gateways it is never honoured.
///
/// The request goes to the endpoints of the Service named; routes are passed over, the called workload's
/// AuthorizationPolicies are not. A name that is not among `to` is answered with 404.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestOverride {
    /// The callers who may: `namespace/serviceaccount`, or whole SPIFFE IDs. At least one; no patterns.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 2048)))]
    pub from: Vec<String>,
    /// Where to. At least one.
    #[schemars(length(min = 1, max = 16))]
    pub to: Vec<OverrideTarget>,
}

/// A Service that requests may be sent to instead.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideTarget {
    /// The Service.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace. Default: the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

/// Which endpoint takes the next request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Balancer {
    /// The way to choose.
    #[serde(rename = "type")]
    pub type_: BalancerType,
    /// What `ringHash` and `maglev` hash; not allowed with the others. Default: the caller's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<HashKey>,
}

/// A way to choose an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BalancerType {
    /// The better of two by chance: latency (peak-sensitive average) times load, failures penalised.
    #[default]
    PeakEwma,
    /// The better of two by chance: requests in flight.
    LeastRequest,
    /// Each in turn, by weight.
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// Consistent hashing on a ring.
    RingHash,
    /// Consistent hashing by Maglev's table.
    Maglev,
}

/// What consistent hashing hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HashKey {
    /// Where it stands.
    #[serde(rename = "type")]
    pub type_: HashKeyType,
    /// Name of the header, cookie or query parameter; not for `sourceAddress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
}

/// Where the key of consistent hashing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HashKeyType {
    /// A request header.
    Header,
    /// A cookie.
    Cookie,
    /// A query parameter.
    Query,
    /// The caller's address.
    #[default]
    SourceAddress,
}

/// Time limits towards a service.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficTimeouts {
    /// To establish a connection, TLS included. Default `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
    /// For a whole request including retries, where the route names none. Default, and `0s`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// Idle time after which a stream or TCP connection is closed. Default, and `0s`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
}

/// Retries of requests, beyond those that provably were not processed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetrySettings {
    /// Tries after the first one, 0 to 10; 0: never. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: Option<u32>,
    /// What is worth another try. Default: only what provably was not processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<RetryCondition>,
    /// Longest time for one try. Default: the request's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<Duration>,
    /// First wait; doubles with each try, jittered. Default `25ms` (Envoy's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
    /// Longest wait. Default `250ms` (Envoy's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_max: Option<Duration>,
    /// How many retries are allowed in all; always enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetryBudget>,
}

/// What is worth another try.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryCondition {
    /// Response statuses, 400 to 599. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 400, max = 599)))]
    pub statuses: Vec<u16>,
    /// gRPC status codes, 1 to 16. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 1, max = 16)))]
    pub grpc_codes: Vec<u16>,
    /// A connection error after the request was sent. Default false.
    #[serde(default)]
    pub connection_error: bool,
    /// Also methods that are not idempotent, such as POST: the application must bear being asked twice.
    /// Default false.
    #[serde(default)]
    pub unsafe_methods: bool,
}

/// Retries as a share of requests.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Retries allowed per hundred requests of the last ten seconds. Default 20 (Linkerd's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub percent: Option<u32>,
    /// Retries per second that are allowed at least. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min_per_second: Option<u32>,
}

/// Limits of one caller's proxy towards a service. Each holds for the process, whatever its number of workers.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionLimits {
    /// Open connections to one endpoint. Default 1,024 (Envoy's `max_connections`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection. Default 1,024 (Envoy's `max_pending_requests`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_pending: Option<u32>,
    /// Requests in flight to one endpoint. Default 1,024 (Envoy's `max_requests`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_in_flight: Option<u32>,
}

/// When an endpoint is left out for a while. At least half of a service's endpoints always stay.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutlierEjection {
    /// Failures in a row (5xx, connect errors, resets) that eject; 0: never. Default 5 (Envoy's
    /// `consecutive_5xx`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub consecutive_failures: Option<u32>,
    /// First time out; doubles each time. Default `30s` (Envoy's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_ejection: Option<Duration>,
    /// Longest time out. Default `5m` (Envoy's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ejection: Option<Duration>,
}
