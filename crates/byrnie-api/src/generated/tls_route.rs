//! `tls_route`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::meta::ObjectMeta;

/// The TLSRoute resource is similar to TCPRoute, but can be configured to match against TLS-specific
/// metadata. This allows more flexibility in matching streams for a given TLS listener.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TLSRoute {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of TLSRoute.
    pub spec: TLSRouteSpec,
    /// Status defines the current state of TLSRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
}

/// TLSRouteRule is the configuration for a given rule.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TLSRouteRule {
    /// BackendRefs defines the backend(s) where matching requests should be sent. If unspecified or
    /// invalid (refers to a nonexistent resource or a Service with no endpoints), the rule performs no
    /// forwarding; if no filters are specified that would result in a response being sent, the
    /// underlying implementation must actively reject request attempts to this backend, by rejecting the
    /// connection. Request rejections must respect weight; if an invalid backend is requested to have
    /// 80% of requests, then 80% of requests must be rejected instead.
    pub backend_refs: Vec<BackendRef>,
    /// Name is the name of the route rule. This name MUST be unique within a Route if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Spec defines the desired state of TLSRoute.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TLSRouteSpec {
    /// Hostnames defines a set of SNI hostnames that should match against the SNI attribute of TLS
    /// ClientHello message in TLS handshake. This matches the RFC 1123 definition of a hostname with 2
    /// notable exceptions:
    pub hostnames: Vec<String>,
    /// ParentRefs references the resources (usually Gateways) that a Route wants to be attached to. Note
    /// that the referenced parent resource needs to allow this for the attachment to be complete. For
    /// Gateways, that means the Gateway needs to allow attachment from Routes of this kind and
    /// namespace. For Services, that means the Service must either be in the same namespace for a
    /// "producer" route, or the mesh implementation must support and allow "consumer" routes for the
    /// referenced Service. ReferenceGrant is not applicable for governing ParentRefs to Services - it is
    /// not possible to create a "producer" route for a Service in a different namespace from the Route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Rules are a list of actions.
    pub rules: Vec<TLSRouteRule>,
}
