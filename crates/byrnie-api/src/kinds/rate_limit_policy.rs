//! `RateLimitPolicy`: how many requests or connections may pass in a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Direction, PolicyStatus, PolicyTargetRef, TrafficMatch};
use crate::duration::Duration;
use crate::meta::ObjectMeta;

/// How many requests or connections may pass in a time. What is too much gets 429 with `Retry-After` (gRPC:
/// `RESOURCE_EXHAUSTED`), a connection of bytes is reset.
///
/// A number holds for one proxy process, whatever its number of workers: with three workloads behind a Service an
/// inbound limit of 100 lets 300 through. Of several policies the nearest holds: rule, route, listener, ListenerSet,
/// Gateway; then Workload, Service, namespace, mesh. At one target the oldest holds, then the first by name.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitPolicy {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Targets and limits.
    #[serde(default)]
    pub spec: RateLimitPolicySpec,
    /// `Accepted`, `ResolvedRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

/// Targets and limits.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitPolicySpec {
    /// What the policy is for: `Service`, `Workload`, `HTTPRoute`, `GRPCRoute`, `TCPRoute`, `TLSRoute` (`sectionName`:
    /// one rule), `Gateway` or `ListenerSet` (`sectionName`: one listener), the policy's own `Namespace`, or the
    /// `Mesh`. Each target has buckets of its own; below a namespace or the mesh each Service, Workload and Gateway
    /// has.
    #[schemars(length(min = 1, max = 64))]
    pub target_refs: Vec<PolicyTargetRef>,
    /// Where it is enforced. Default: `inbound`, but of routes wherever they are followed: at their Gateways, and at
    /// the callers of their Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Only counts what would be refused, in `byrnie_rate_limited_total`. Default false.
    #[serde(default)]
    pub shadow: bool,
    /// Whether answers tell what is left, in `RateLimit` and `RateLimit-Policy`
    /// (draft-ietf-httpapi-ratelimit-headers). Default true.
    #[serde(default = "yes")]
    pub response_headers: bool,
    /// Every limit that matches must let a request through.
    #[schemars(length(min = 1, max = 16))]
    pub limits: Vec<RateLimit>,
}

fn yes() -> bool {
    true
}

/// A token bucket, or one for each value of a key. In any time t it lets at most `burst + requests × t / per` pass.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Names the limit in headers, metrics and logs. Default: the policy's name, with `-1` and
    /// so on for those after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$"))]
    pub name: Option<String>,
    /// Any of these. Absent: every request or connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub matches: Vec<TrafficMatch>,
    /// What tells buckets apart; several parts together are one key. Absent: one bucket for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub key: Vec<RateLimitKey>,
    /// Requests in `per`. Either this or `connections`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: Option<u32>,
    /// Connections of bytes (TCP, TLS) that may begin in `per`. Either this or `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: Option<u32>,
    /// The time that the number is for, 100 ms to 24 h. Default `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Duration>,
    /// How many may pass at once after a pause. Default: `requests` or `connections`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// Buckets that are kept at most, where there is a key; 16 bytes each. When there is no room for one more, the one
    /// nearest to full is given to the new key with what was used of it, so that no flood of keys gives anybody a new
    /// burst. Default 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub max_keys: Option<u32>,
}

/// A part of a key. A request that lacks it shares one bucket with all others that lack it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitKey {
    /// What it is.
    #[serde(rename = "type")]
    pub type_: RateLimitKeyType,
    /// Name of the header; only for `header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
}

/// What tells buckets apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RateLimitKeyType {
    /// The caller's identity, proven by its certificate. From outside of the mesh all callers have the same: none.
    #[default]
    Identity,
    /// A request header.
    Header,
    /// The address at the connection's other end; inbound that is the caller's proxy.
    SourceAddress,
}
