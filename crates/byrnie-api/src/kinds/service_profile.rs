//! `ServiceProfile` of `linkerd.io/v1alpha2`: named routes of a Service, with timeouts and retries.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::PolicyStatus;
use crate::meta::{IntOrString, ObjectMeta};

/// Linkerd's routes of one Service, read as they are. The profile's name is the full name of the Service
/// (`web.shop.svc.cluster.local`); in the Service's namespace it holds for every caller, in another one for callers
/// of that namespace. Requests that match no route go to the Service as if there were no profile. Where HTTPRoutes or
/// GRPCRoutes are attached to the Service, these hold instead.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceProfile {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The routes.
    #[serde(default)]
    pub spec: ServiceProfileSpec,
    /// `Accepted`, `ResolvedRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

/// Routes of a Service, the first that matches takes the request.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceProfileSpec {
    /// The routes, in order of precedence.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub routes: Vec<ProfileRoute>,
    /// Bounds the retries of all routes. Default 20 % and 10 per second, as Linkerd has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<ProfileRetryBudget>,
    /// Other destinations by weight. Use `backendRefs` of an HTTPRoute instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dst_overrides: Vec<WeightedDst>,
    /// Ports that are not looked into. Use `appProtocol: tcp` of the Service's port instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "port_flags")]
    pub opaque_ports: Option<std::collections::BTreeMap<String, bool>>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRoute {
    /// The label in metrics, and what `byrnie routes` shows.
    #[schemars(length(min = 1, max = 1024))]
    pub name: String,
    /// Which requests are the route's.
    #[schemars(schema_with = "request_match")]
    pub condition: RequestMatch,
    /// Which statuses are failures and therefore retried. Default: 500 to 599.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_classes: Vec<ResponseClass>,
    /// Whether failures are tried again, whatever the method. Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_retryable: bool,
    /// Time for a request including retries, as Go writes it (`300ms`, `1.5s`). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// Which requests: all parts that are given must hold.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMatch {
    /// Each of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<RequestMatch>>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<RequestMatch>>,
    /// Not this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<RequestMatch>>,
    /// A regular expression for the whole path, without query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<String>,
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// Whether responses are failures.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponseClass {
    /// Which responses.
    #[schemars(schema_with = "response_match")]
    pub condition: ResponseMatch,
    /// Whether these are failures. Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_failure: bool,
}

/// Which responses: all parts that are given must hold.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseMatch {
    /// Each of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<ResponseMatch>>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<ResponseMatch>>,
    /// Not this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<ResponseMatch>>,
    /// A range of statuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusRange>,
}

/// A range of statuses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusRange {
    /// The lowest. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub min: Option<u16>,
    /// The highest. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub max: Option<u16>,
}

/// How many retries there may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRetryBudget {
    /// Retries for each request: `0.2` are 20 %.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub retry_ratio: f64,
    /// Retries per second that are allowed at least.
    pub min_retries_per_second: u32,
    /// How long requests count, as Go writes it. The mesh always counts ten seconds.
    pub ttl: String,
}

/// Another destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightedDst {
    /// `host:port`.
    pub authority: String,
    /// Its share.
    pub weight: IntOrString,
}

impl RequestMatch {
    /// Whether no part is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ResponseMatch {
    /// Whether a response with this status is meant.
    pub fn matches(&self, status: u16) -> bool {
        let all = self.all.iter().flatten().all(|inner| inner.matches(status));
        let any = self.any.as_ref().is_none_or(|any| any.iter().any(|inner| inner.matches(status)));
        let not = self.not.as_ref().is_none_or(|inner| !inner.matches(status));
        let within = self.status.is_none_or(|range| {
            range.min.is_none_or(|min| status >= min) && range.max.is_none_or(|max| status <= max)
        });
        all && any && not && within
    }
}

/// Levels of `all`, `any` and `not` below a condition. A schema of Kubernetes cannot refer to itself.
const LEVELS: u32 = 2;

fn request_match(_: &mut SchemaGenerator) -> Schema {
    let own = [
        (
            "pathRegex",
            json!({"type": "string", "maxLength": 1024,
            "description": "A regular expression for the whole path, without query."}),
        ),
        ("method", json!({"type": "string", "maxLength": 64, "description": "The method."})),
    ];
    Schema::try_from(nested(&own, LEVELS)).unwrap_or_default()
}

fn response_match(generator: &mut SchemaGenerator) -> Schema {
    let mut range = StatusRange::json_schema(generator).to_value();
    range["description"] = json!("A range of statuses, both ends included.");
    Schema::try_from(nested(&[("status", range)], LEVELS)).unwrap_or_default()
}

fn nested(own: &[(&str, Value)], levels: u32) -> Value {
    let mut properties = serde_json::Map::new();
    for (name, schema) in own {
        properties.insert((*name).to_owned(), schema.clone());
    }
    if levels > 0 {
        let inner = nested(own, levels - 1);
        for (name, text) in [("all", "Each of these."), ("any", "One of these.")] {
            let list = json!({"type": "array", "items": inner, "maxItems": 64, "description": text});
            properties.insert(name.to_owned(), list);
        }
        let mut not = inner;
        not["description"] = json!("Not this.");
        properties.insert("not".to_owned(), not);
    }
    json!({
        "type": "object",
        "description": "All parts that are given must hold.",
        "properties": properties,
    })
}

fn port_flags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": {"type": "boolean"}})
}
