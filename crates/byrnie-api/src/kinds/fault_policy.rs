//! `FaultPolicy`: delays and failures on purpose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Direction, PolicyStatus, PolicyTargetRef, TrafficMatch};
use crate::duration::Duration;
use crate::meta::ObjectMeta;

/// Delays and failures on purpose, for a share of requests or connections and for a time.
///
/// Of several policies the nearest holds: rule, route, listener, ListenerSet, Gateway; then Workload, Service,
/// namespace, mesh. At one target the oldest holds, then the first by name. A fault says nothing about an endpoint: it
/// ejects none, and one that the caller's proxy injects is never tried again and takes nothing of the retry budget.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultPolicy {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Targets and faults.
    #[serde(default)]
    pub spec: FaultPolicySpec,
    /// `Accepted` (reason `Expired` when the experiment is over), `ResolvedRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

/// Targets and faults.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultPolicySpec {
    /// What the policy is for: `Service`, `Workload`, `HTTPRoute`, `GRPCRoute`, `TCPRoute`, `TLSRoute` (`sectionName`:
    /// one rule), `Gateway` or `ListenerSet` (`sectionName`: one listener), the policy's own `Namespace`, or the
    /// `Mesh`.
    #[schemars(length(min = 1, max = 64))]
    pub target_refs: Vec<PolicyTargetRef>,
    /// Where it happens. Default: `outbound`, but of Gateways and Workloads `inbound`, and of routes wherever they are
    /// followed: at their Gateways, and at the callers of their Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// When the experiment ends: a duration after the policy's creation (`30m`), or a time (`2026-01-31T18:00:00Z`);
    /// at most seven days after the creation. From then on proxies ignore it, by their own clocks. Default `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64))]
    pub expires: Option<String>,
    /// Each is drawn for itself: delays add up, and the first failure is the one.
    #[schemars(length(min = 1, max = 16))]
    pub faults: Vec<Fault>,
}

/// What happens to which share. At least one of `delay` and `abort`; with both, first one and then the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Any of these. Absent: every request or connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub matches: Vec<TrafficMatch>,
    /// Of what matches, in steps of 0.01, 0 to 100. Default 100.
    #[serde(default = "all")]
    pub percent: f64,
    /// Wait first. The time counts for the request's timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<FaultDelay>,
    /// Fail, without asking anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<FaultAbort>,
}

fn all() -> f64 {
    100.0
}

/// How long to wait: exactly one of these. Each time is at most 1 h.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultDelay {
    /// Always as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Duration>,
    /// Every time between two as likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniform: Option<UniformDelay>,
    /// Normally distributed, cut off at zero and `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal: Option<NormalDelay>,
    /// Exponentially distributed, cut off at `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponential: Option<ExponentialDelay>,
}

/// Every time between two as likely.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UniformDelay {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// Normally distributed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NormalDelay {
    /// The middle.
    pub mean: Duration,
    /// The standard deviation.
    pub deviation: Duration,
    /// The longest. Default: the mean and four deviations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// Exponentially distributed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExponentialDelay {
    /// The mean.
    pub mean: Duration,
    /// The longest. Default: ten times the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// How to fail: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultAbort {
    /// Answer a request with this status, 400 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub http_status: Option<u16>,
    /// Answer a gRPC call with this status, 1 to 16; any other request with 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub grpc_status: Option<u16>,
    /// Reset a connection of bytes (TCP, TLS); nothing to requests. Default false.
    #[serde(default)]
    pub reset: bool,
}
