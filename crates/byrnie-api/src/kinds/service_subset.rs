//! `ServiceSubset`: part of a Service's workloads, as a backend of routes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyStatus;
use crate::meta::ObjectMeta;

/// The workloads of a Service that have some labels more, for example one version. A backend of routes:
/// `backendRefs: [{group: mesh.byrnie.dev, kind: ServiceSubset, name: web-v2, port: 80, weight: 10}]`, with a port
/// of the Service. Settings and limits are the Service's.
///
/// A second Service with a narrower selector does the same by the Gateway API's own means; a subset needs no name in
/// DNS, shares its Service's settings and retry budget, and cannot be called but through a route.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSubset {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Of which Service, and which part.
    pub spec: ServiceSubsetSpec,
    /// `Accepted`, `ResolvedRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

/// Of which Service, and which part.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSubsetSpec {
    /// The Service, in the subset's own namespace.
    #[schemars(length(min = 1, max = 63))]
    pub service: String,
    /// Workloads of the Service that have all of these labels. At least one.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub labels: BTreeMap<String, String>,
}
