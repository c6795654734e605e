//! `grpc_route`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::meta::ObjectMeta;

/// GRPCBackendRef defines how a GRPCRoute forwards a gRPC request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GRPCBackendRef {
    /// Filters defined at this level MUST be executed if and only if the request is being forwarded to
    /// the backend defined here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<GRPCRouteFilter>,
    /// Group is the group of the referent. For example, "gateway.networking.k8s.io". When unspecified or
    /// empty string, core API group is inferred.
    #[serde(default)]
    pub group: String,
    /// Kind is the Kubernetes resource kind of the referent. For example "Service".
    #[serde(default = "grpc_backend_ref_kind_default")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the backend. When unspecified, the local namespace is inferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port specifies the destination port number to use for this resource. Port is required when the
    /// referent is a Kubernetes Service. In this case, the port number is the service port number, not
    /// the target port. For other resources, destination port might be derived from the referent
    /// resource or this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Weight specifies the proportion of requests forwarded to the referenced backend. This is computed
    /// as weight/(sum of all weights in this BackendRefs list). For non-zero values, there may be some
    /// epsilon from the exact proportion defined here depending on the precision an implementation
    /// supports. Weight is not a percentage and the sum of weights does not need to equal 100.
    #[serde(default = "grpc_backend_ref_weight_default")]
    pub weight: u32,
}

fn grpc_backend_ref_kind_default() -> String {
    "Service".to_owned()
}

fn grpc_backend_ref_weight_default() -> u32 {
    1
}

/// GRPCHeaderMatch describes how to select a gRPC route by matching gRPC request headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GRPCHeaderMatch {
    /// Name is the name of the gRPC Header to be matched.
    pub name: String,
    /// Type specifies how to match against the value of the header.
    #[serde(default = "grpc_header_match_type_default")]
    pub type_: ValueMatchType,
    /// Value is the value of the gRPC Header to be matched.
    pub value: String,
}

fn grpc_header_match_type_default() -> ValueMatchType {
    ValueMatchType::Exact
}

/// Method specifies a gRPC request service/method matcher. If this field is not specified, all services
/// and methods will match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GRPCMethodMatch {
    /// Value of the method to match against. If left empty or omitted, will match all services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Value of the service to match against. If left empty or omitted, will match any service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Type specifies how to match against the service and/or method. Support: Core (Exact with service
    /// and method specified)
    #[serde(default = "grpc_method_match_type_default")]
    pub type_: ValueMatchType,
}

fn grpc_method_match_type_default() -> ValueMatchType {
    ValueMatchType::Exact
}

/// GRPCRoute provides a way to route gRPC requests. This includes the capability to match requests by
/// hostname, gRPC service, gRPC method, or HTTP/2 header. Filters can be used to specify additional
/// processing steps. Backends specify where matching requests will be routed.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GRPCRoute {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of GRPCRoute.
    pub spec: GRPCRouteSpec,
    /// Status defines the current state of GRPCRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
}

/// GRPCRouteFilter defines processing steps that must be completed during the request or response
/// lifecycle. GRPCRouteFilters are meant as an extension point to express processing that may be done in
/// Gateway implementations. Some examples include request or response modification, implementing
/// authentication strategies, rate-limiting, and traffic shaping. API guarantee/conformance is defined
/// based on the type of the filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GRPCRouteFilter {
    /// ExtensionRef is an optional, implementation-specific extension to the "filter" behavior. For
    /// example, resource "myroutefilter" in group "networking.example.net"). ExtensionRef MUST NOT be
    /// used for core and extended filters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
    /// RequestHeaderModifier defines a schema for a filter that modifies request headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HTTPHeaderFilter>,
    /// RequestMirror defines a schema for a filter that mirrors requests. Requests are sent to the
    /// specified destination, but responses from that destination are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<HTTPRequestMirrorFilter>,
    /// ResponseHeaderModifier defines a schema for a filter that modifies response headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HTTPHeaderFilter>,
    /// Type identifies the type of filter to apply. As with other API fields, types are classified into
    /// three conformance levels:
    pub type_: GRPCRouteFilterType,
}

/// Type identifies the type of filter to apply. As with other API fields, types are classified into
/// three conformance levels:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GRPCRouteFilterType {
    /// `ResponseHeaderModifier`.
    ResponseHeaderModifier,
    /// `RequestHeaderModifier`.
    RequestHeaderModifier,
    /// `RequestMirror`.
    RequestMirror,
    /// `ExtensionRef`.
    ExtensionRef,
}

/// GRPCRouteMatch defines the predicate used to match requests to a given action. Multiple match types
/// are ANDed together, i.e. the match will evaluate to true only if all conditions are satisfied.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GRPCRouteMatch {
    /// Headers specifies gRPC request header matchers. Multiple match values are ANDed together,
    /// meaning, a request MUST match all the specified headers to select the route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<GRPCHeaderMatch>,
    /// Method specifies a gRPC request service/method matcher. If this field is not specified, all
    /// services and methods will match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<GRPCMethodMatch>,
}

/// GRPCRouteRule defines the semantics for matching a gRPC request based on conditions (matches),
/// processing it (filters), and forwarding the request to an API object (backendRefs).
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GRPCRouteRule {
    /// BackendRefs defines the backend(s) where matching requests should be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<GRPCBackendRef>,
    /// Filters define the filters that are applied to requests that match this rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<GRPCRouteFilter>,
    /// Matches define conditions used for matching the rule against incoming gRPC requests. Each match
    /// is independent, i.e. this rule will be matched if **any** one of the matches is satisfied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<GRPCRouteMatch>,
    /// Name is the name of the route rule. This name MUST be unique within a Route if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Spec defines the desired state of GRPCRoute.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GRPCRouteSpec {
    /// Hostnames defines a set of hostnames to match against the GRPC Host header to select a GRPCRoute
    /// to process the request. This matches the RFC 1123 definition of a hostname with 2 notable
    /// exceptions:
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    /// Rules are a list of GRPC matchers, filters and actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<GRPCRouteRule>,
}
