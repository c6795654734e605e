//! Types that several kinds use: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::meta::Condition;
use crate::meta::LabelSelector;

/// AllowedRoutes defines the types of routes that MAY be attached to a Listener and the trusted
/// namespaces where those Route resources MAY be present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedRoutes {
    /// Kinds specifies the groups and kinds of Routes that are allowed to bind to this Gateway Listener.
    /// When unspecified or empty, the kinds of Routes selected are determined using the Listener
    /// protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<RouteGroupKind>,
    /// Namespaces indicates namespaces from which Routes may be attached to this Listener. This is
    /// restricted to the namespace of this Gateway by default.
    #[serde(default = "allowed_routes_namespaces_default")]
    pub namespaces: RouteNamespaces,
}

fn allowed_routes_namespaces_default() -> RouteNamespaces {
    RouteNamespaces { from: FromNamespaces::Same, selector: std::default::Default::default() }
}

/// BackendRef references a resource where mirrored requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendObjectReference {
    /// Group is the group of the referent. For example, "gateway.networking.k8s.io". When unspecified or
    /// empty string, core API group is inferred.
    #[serde(default)]
    pub group: String,
    /// Kind is the Kubernetes resource kind of the referent. For example "Service".
    #[serde(default = "backend_object_reference_kind_default")]
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
}

fn backend_object_reference_kind_default() -> String {
    "Service".to_owned()
}

/// BackendRef defines how a Route should forward a request to a Kubernetes resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// Group is the group of the referent. For example, "gateway.networking.k8s.io". When unspecified or
    /// empty string, core API group is inferred.
    #[serde(default)]
    pub group: String,
    /// Kind is the Kubernetes resource kind of the referent. For example "Service".
    #[serde(default = "backend_ref_kind_default")]
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
    #[serde(default = "backend_ref_weight_default")]
    pub weight: u32,
}

fn backend_ref_kind_default() -> String {
    "Service".to_owned()
}

fn backend_ref_weight_default() -> u32 {
    1
}

/// Fraction represents the fraction of requests that should be mirrored to BackendRef.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fraction {
    /// As the Gateway API has it.
    #[serde(default = "fraction_denominator_default")]
    pub denominator: u32,
    /// As the Gateway API has it.
    pub numerator: u32,
}

fn fraction_denominator_default() -> u32 {
    100
}

/// From indicates where Routes will be selected for this Gateway. Possible values are:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum FromNamespaces {
    /// `All`.
    All,
    /// `Selector`.
    Selector,
    /// `Same`.
    #[default]
    Same,
}

/// HTTPHeader represents an HTTP Header name and value as defined by RFC 7230.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPHeader {
    /// Name is the name of the HTTP Header to be matched. Name matching MUST be case-insensitive. (See
    /// https://tools.ietf.org/html/rfc7230#section-3.2).
    pub name: String,
    /// Value is the value of HTTP Header to be matched.
    pub value: String,
}

/// RequestHeaderModifier defines a schema for a filter that modifies request headers.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPHeaderFilter {
    /// Add adds the given header(s) (name, value) to the request before the action. It appends to any
    /// existing values associated with the header name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HTTPHeader>,
    /// Remove the given header(s) from the HTTP request before the action. The value of Remove is a list
    /// of HTTP header names. Note that the header names are case-insensitive (see
    /// https://datatracker.ietf.org/doc/html/rfc2616#section-4.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Set overwrites the request with the given header (name, value) before the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HTTPHeader>,
}

/// RequestMirror defines a schema for a filter that mirrors requests. Requests are sent to the specified
/// destination, but responses from that destination are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRequestMirrorFilter {
    /// BackendRef references a resource where mirrored requests are sent.
    pub backend_ref: BackendObjectReference,
    /// Fraction represents the fraction of requests that should be mirrored to BackendRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
    /// Percent represents the percentage of requests that should be mirrored to BackendRef. Its minimum
    /// value is 0 (indicating 0% of requests) and its maximum value is 100 (indicating 100% of
    /// requests).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u16>,
}

/// TLS is the TLS configuration for the Listener. This field is required if the Protocol field is
/// "HTTPS" or "TLS". It is invalid to set this field if the Protocol field is "HTTP", "TCP", or "UDP".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTLSConfig {
    /// CertificateRefs contains a series of references to Kubernetes objects that contains TLS
    /// certificates and private keys. These certificates are used to establish a TLS handshake for
    /// requests that match the hostname of the associated listener.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<SecretObjectReference>,
    /// Mode defines the TLS behavior for the TLS session initiated by the client. There are two possible
    /// modes:
    #[serde(default = "listener_tls_config_mode_default")]
    pub mode: TLSMode,
    /// Options are a list of key/value pairs to enable extended TLS configuration for each
    /// implementation. For example, configuring the minimum TLS version or supported cipher suites.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

fn listener_tls_config_mode_default() -> TLSMode {
    TLSMode::Terminate
}

/// LocalObjectReference identifies an API object within the namespace of the referrer. The API object
/// must be valid in the cluster; the Group and Kind must be registered in the cluster for this reference
/// to be valid.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalObjectReference {
    /// Group is the group of the referent. For example, "gateway.networking.k8s.io". When unspecified or
    /// empty string, core API group is inferred.
    pub group: String,
    /// Kind is kind of the referent. For example "HTTPRoute" or "Service".
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
}

/// AncestorRef corresponds with a ParentRef in the spec that this PolicyAncestorStatus struct describes
/// the status of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// Group is the group of the referent. When unspecified, "gateway.networking.k8s.io" is inferred. To
    /// set the core API group (such as for a "Service" kind referent), Group must be explicitly set to
    /// "" (empty string).
    #[serde(default = "parent_reference_group_default")]
    pub group: String,
    /// Kind is kind of the referent.
    #[serde(default = "parent_reference_kind_default")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referent. When unspecified, this refers to the local namespace
    /// of the Route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port is the network port this Route targets. It can be interpreted differently based on the type
    /// of parent resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// SectionName is the name of a section within the target resource. In the following resources,
    /// SectionName is interpreted as the following:
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

fn parent_reference_group_default() -> String {
    "gateway.networking.k8s.io".to_owned()
}

fn parent_reference_kind_default() -> String {
    "Gateway".to_owned()
}

/// RouteGroupKind indicates the group and kind of a Route resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteGroupKind {
    /// Group is the group of the Route.
    #[serde(default = "route_group_kind_group_default")]
    pub group: String,
    /// Kind is the kind of the Route.
    pub kind: String,
}

fn route_group_kind_group_default() -> String {
    "gateway.networking.k8s.io".to_owned()
}

/// Namespaces indicates namespaces from which Routes may be attached to this Listener. This is
/// restricted to the namespace of this Gateway by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteNamespaces {
    /// From indicates where Routes will be selected for this Gateway. Possible values are:
    #[serde(default = "route_namespaces_from_default")]
    pub from: FromNamespaces,
    /// Selector must be specified when From is set to "Selector". In that case, only Routes in
    /// Namespaces matching this Selector will be selected by this Gateway. This field is ignored for
    /// other values of "From".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

fn route_namespaces_from_default() -> FromNamespaces {
    FromNamespaces::Same
}

/// RouteParentStatus describes the status of a route with respect to an associated Parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// Conditions describes the status of the route with respect to the Gateway. Note that the route's
    /// availability is also subject to the Gateway's own status conditions and listener status.
    pub conditions: Vec<Condition>,
    /// ControllerName is a domain/path string that indicates the name of the controller that wrote this
    /// status. This corresponds with the controllerName field on GatewayClass.
    pub controller_name: String,
    /// ParentRef corresponds with a ParentRef in the spec that this RouteParentStatus struct describes
    /// the status of.
    pub parent_ref: ParentReference,
}

/// Status defines the current state of GRPCRoute.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// Parents is a list of parent resources (usually Gateways) that are associated with the route, and
    /// the status of the route with respect to each parent. When this route attaches to a parent, the
    /// controller that manages the parent must add an entry to this list when the controller first sees
    /// the route and should update the entry as appropriate when the route or gateway is modified.
    pub parents: Vec<RouteParentStatus>,
}

/// SecretObjectReference identifies an API object including its namespace, defaulting to Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretObjectReference {
    /// Group is the group of the referent. For example, "gateway.networking.k8s.io". When unspecified or
    /// empty string, core API group is inferred.
    #[serde(default)]
    pub group: String,
    /// Kind is kind of the referent. For example "Secret".
    #[serde(default = "secret_object_reference_kind_default")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referenced object. When unspecified, the local namespace is
    /// inferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

fn secret_object_reference_kind_default() -> String {
    "Secret".to_owned()
}

/// Mode defines the TLS behavior for the TLS session initiated by the client. There are two possible
/// modes:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum TLSMode {
    /// `Terminate`.
    #[default]
    Terminate,
    /// `Passthrough`.
    Passthrough,
}

/// Type specifies how to match against the value of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum ValueMatchType {
    /// `Exact`.
    #[default]
    Exact,
    /// `RegularExpression`.
    RegularExpression,
}
