//! Which requests a limit or a fault is for: the matches of an HTTPRoute, and who calls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests that are meant; all parts must match. Connections of bytes (TCP, TLS) have callers and nothing else: a
/// match that names more matches none of them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficMatch {
    /// The path, as in an HTTPRoute. For gRPC `/package.Service/Method`. Absent: every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<TrafficPathMatch>,
    /// The method, upper case. Absent: every method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Z0-9!#$%&'*+.^_|~-]*$"))]
    pub method: Option<String>,
    /// All of these headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<TrafficValueMatch>,
    /// All of these query parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub query_params: Vec<TrafficValueMatch>,
    /// Any of these callers, in the forms of an AuthorizationPolicy: `spiffe://…`, `namespace/serviceaccount`, with `*`
    /// at one end. Callers from outside of the mesh have no identity. Absent: every caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 2048)))]
    pub identities: Vec<String>,
}

/// How a path is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPathMatch {
    /// Default `PathPrefix`.
    #[serde(rename = "type", default)]
    pub type_: TrafficPathMatchType,
    /// The path, its prefix, or a regular expression for the whole path.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

/// Ways to compare a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPathMatchType {
    /// The whole path.
    Exact,
    /// By segment: `/a` matches `/a` and `/a/b`, not `/ab`.
    #[default]
    PathPrefix,
    /// RE2 syntax, the whole path.
    RegularExpression,
}

/// A header or query parameter that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficValueMatch {
    /// Default `Exact`.
    #[serde(rename = "type", default)]
    pub type_: TrafficValueMatchType,
    /// Its name; of headers in any case.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its value, or a regular expression for the whole value.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

/// Ways to compare a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum TrafficValueMatchType {
    /// The whole value.
    #[default]
    Exact,
    /// RE2 syntax, the whole value.
    RegularExpression,
}

/// At which end of a hop something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Where requests arrive: at the called workload's proxy, or at a Gateway.
    Inbound,
    /// Where requests are sent: at each caller's proxy.
    Outbound,
}
