//! `TrafficPolicy`: how callers treat a service's endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InboundSettings, PolicyStatus, PolicyTargetRef};
use crate::duration::Duration;
use crate::meta::ObjectMeta;

/// How callers treat requests and the endpoints of Services. What is absent keeps the default.
///
/// It is attached to a rule, a route, a listener, a ListenerSet, a Gateway, a Workload, a Service, its namespace or the
/// Mesh; each setting comes from the nearest policy that has it, in this order. What a route says itself comes before
/// every policy. Of several policies on one target the oldest holds as a whole, then the first by name; the others say
/// so in their conditions.
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
    /// What the policy is for: `Service`, `HTTPRoute` or `GRPCRoute` (`sectionName`: one rule), `Gateway` or
    /// `ListenerSet` (`sectionName`: one listener), `Workload`, the policy's own `Namespace`, or the `Mesh`. At routes
    /// only `timeouts.request` and `retry` have an effect, at Gateways and ListenerSets these and `inbound`, at a
    /// Workload `inbound` alone.
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
    /// Time over which a new endpoint's share grows linearly, from nothing to what it would have. Not with the
    /// balancers that hash. Absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// Prefers endpoints that are near the caller's proxy (`spec.locality` of its Workload, the annotation
    /// `byrnie.dev/locality` of a Gateway): of the same subzone, else zone, else region, else in the order of
    /// `failover`, else any. A further one gets what the nearer ones cannot take. Absent: all are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<LocalityPreference>,
    /// A client stays with the endpoint that it began with, as long as that is there (Gateway API GEP-1619).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// Longest time for which an endpoint that answers 429 or 503 with `Retry-After` is left alone, while there is
    /// another one; `0s`: the header says nothing. Default `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_max: Option<Duration>,
    /// Lets single requests go elsewhere for staging. Absent: no request may.
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub override_: Option<RequestOverride>,
    /// How the proxies treat what comes in: limits, time-outs, headers about the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<InboundSettings>,
}

/// Which endpoints are near, and when further ones take over.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalityPreference {
    /// Regions, or `region/zone`, in the order in which they take over once the caller's own region cannot; all
    /// others come last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub failover: Vec<String>,
    /// How much more than its share of endpoints in service a locality is believed to bear, in percent: with 140, a
    /// locality keeps all its requests until fewer than 72 of 100 endpoints are in service. Default 140 (Envoy's
    /// `overprovisioning_factor`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 1000))]
    pub overprovisioning_percent: Option<u32>,
}

/// A client stays with the endpoint that it began with (Gateway API GEP-1619).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPersistence {
    /// Name of the cookie or header. Default `mesh-session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub session_name: Option<String>,
    /// What carries the session. Default `Cookie`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<SessionPersistenceType>,
    /// Longest life of a session; required for a permanent cookie. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<Duration>,
    /// Longest pause between two requests of a session. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// Only with type `Cookie`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie_config: Option<CookieConfig>,
}

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum SessionPersistenceType {
    /// A cookie.
    #[default]
    Cookie,
    /// A header of the response, which the client sends back.
    Header,
}

/// How long a client keeps the cookie of a session.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CookieConfig {
    /// Default `Session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_type: Option<CookieLifetimeType>,
}

/// How long a client keeps a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum CookieLifetimeType {
    /// Until the browser is closed.
    #[default]
    Session,
    /// For the absolute time-out.
    Permanent,
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
    /// Time in which nothing moves in either direction after which a request (504), its response or a TCP connection
    /// is ended. Default, and `0s`: no limit.
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
    /// Whether another try prefers an endpoint of another locality; otherwise just another endpoint. Default false.
    #[serde(default)]
    pub other_locality: bool,
}

/// What is worth another try.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryCondition {
    /// Kinds of failure, beside what is named one by one below. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub conditions: Vec<RetryKind>,
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

/// A kind of failure, with Envoy's names of `retry_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RetryKind {
    /// Any status of 500 and above, a reset and a try's time-out.
    #[serde(rename = "5xx")]
    ServerError,
    /// Statuses 502, 503 and 504.
    #[serde(rename = "gateway-error")]
    GatewayError,
    /// Status 409.
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    /// The connection died after the request was sent: the same as `connectionError`.
    #[serde(rename = "reset")]
    Reset,
    /// The time-out of a single try (`perTryTimeout`).
    #[serde(rename = "per-try-timeout")]
    PerTryTimeout,
    /// No connection came about. Always on: nothing was processed.
    #[serde(rename = "connect-failure")]
    ConnectFailure,
    /// The server refused the stream before it looked at it. Always on.
    #[serde(rename = "refused-stream")]
    RefusedStream,
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
    /// When fewer of the endpoints (of a locality) than this are in service, in percent, ejection is ignored there.
    /// Default 50 (Envoy's `healthy_panic_threshold`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub panic_threshold: Option<u32>,
    /// How often success rates and latencies are compared. Default `10s` (Envoy's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Ejects endpoints that succeed less often than the others. Absent: does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<SuccessRateEjection>,
    /// Ejects endpoints that are slower than the others. Absent: does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyEjection>,
}

/// Ejects endpoints that succeed less often than the others. Compared once per interval.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuccessRateEjection {
    /// Endpoints with enough requests that there must be for a comparison. Default 5 (Envoy's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100_000))]
    pub minimum_endpoints: Option<u32>,
    /// Requests (or connections) in an interval that make an endpoint's rate count. Default 100 (Envoy's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum_requests: Option<u32>,
    /// Ejected is whose rate is so many thousandths of a standard deviation below the mean of all. Default 1900
    /// (Envoy's `success_rate_stdev_factor`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub stdev_factor: Option<u32>,
    /// Ejected is, however the others are, whose rate is below this, in percent. Default 0: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub threshold: Option<u32>,
}

/// Ejects endpoints that are slower than the others. Compared once per interval.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatencyEjection {
    /// Endpoints with enough requests that there must be for a comparison. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100_000))]
    pub minimum_endpoints: Option<u32>,
    /// Requests (or connections) in an interval that make an endpoint's latency count. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum_requests: Option<u32>,
    /// Ejected is whose mean time to the first byte (of a connection: until it is established) is above this share of
    /// the median of all, in percent. Default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 101, max = 100_000))]
    pub factor_percent: Option<u32>,
    /// Nobody whose mean is below this is ejected. Default `50ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Duration>,
}
