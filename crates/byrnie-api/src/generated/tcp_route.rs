//! `tcp_route`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::meta::ObjectMeta;

/// TCPRoute provides a way to route TCP requests. When combined with a Gateway listener, it can be used
/// to forward connections on the port specified by the listener to a set of backends specified by the
/// TCPRoute.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TCPRoute {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of TCPRoute.
    pub spec: TCPRouteSpec,
    /// Status defines the current state of TCPRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
}

/// TCPRouteRule is the configuration for a given rule.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TCPRouteRule {
    /// BackendRefs defines the backend(s) where matching requests should be sent. If unspecified or
    /// invalid (refers to a nonexistent resource or a Service with no endpoints), the underlying
    /// implementation MUST actively reject connection attempts to this backend. Connection rejections
    /// must respect weight; if an invalid backend is requested to have 80% of connections, then 80% of
    /// connections must be rejected instead.
    pub backend_refs: Vec<BackendRef>,
    /// Name is the name of the route rule. This name MUST be unique within a Route if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Spec defines the desired state of TCPRoute.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TCPRouteSpec {
    /// ParentRefs references the resources (usually Gateways) that a Route wants to be attached to. Note
    /// that the referenced parent resource needs to allow this for the attachment to be complete. For
    /// Gateways, that means the Gateway needs to allow attachment from Routes of this kind and
    /// namespace. For Services, that means the Service must either be in the same namespace for a
    /// "producer" route, or the mesh implementation must support and allow "consumer" routes for the
    /// referenced Service. ReferenceGrant is not applicable for governing ParentRefs to Services - it is
    /// not possible to create a "producer" route for a Service in a different namespace from the Route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Rules are a list of TCP matchers and actions.
    pub rules: Vec<TCPRouteRule>,
}
