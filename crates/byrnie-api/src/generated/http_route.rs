//! `http_route`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::duration::Duration;
use crate::meta::ObjectMeta;

/// HTTPBackendRef defines how a HTTPRoute forwards a HTTP request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPBackendRef {
    /// Filters defined at this level should be executed if and only if the request is being forwarded to
    /// the backend defined here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HTTPRouteFilter>,
    /// Group is the group of the referent. For example, "gateway.networking.k8s.io". When unspecified or
    /// empty string, core API group is inferred.
    #[serde(default)]
    pub group: String,
    /// Kind is the Kubernetes resource kind of the referent. For example "Service".
    #[serde(default = "http_backend_ref_kind_default")]
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
    #[serde(default = "http_backend_ref_weight_default")]
    pub weight: u32,
}

fn http_backend_ref_kind_default() -> String {
    "Service".to_owned()
}

fn http_backend_ref_weight_default() -> u32 {
    1
}

/// CORS defines a schema for a filter that responds to the cross-origin request based on HTTP response
/// header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPCORSFilter {
    /// AllowCredentials indicates whether the actual cross-origin request allows to include credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// AllowHeaders indicates which HTTP request headers are supported for accessing the requested
    /// resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// AllowMethods indicates which HTTP methods are supported for accessing the requested resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<HTTPMethodWithWildcard>,
    /// AllowOrigins indicates whether the response can be shared with requested resource from the given
    /// `Origin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    /// ExposeHeaders indicates which HTTP response headers can be exposed to client-side scripts in
    /// response to a cross-origin request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// MaxAge indicates the duration (in seconds) for the client to cache the results of a "preflight"
    /// request.
    #[serde(default = "httpcors_filter_max_age_default")]
    pub max_age: u32,
}

fn httpcors_filter_max_age_default() -> u32 {
    5
}

/// HTTPHeaderMatch describes how to select a HTTP route by matching HTTP request headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPHeaderMatch {
    /// Name is the name of the HTTP Header to be matched. Name matching MUST be case-insensitive. (See
    /// https://tools.ietf.org/html/rfc7230#section-3.2).
    pub name: String,
    /// Type specifies how to match against the value of the header.
    #[serde(default = "http_header_match_type_default")]
    pub type_: ValueMatchType,
    /// Value is the value of HTTP Header to be matched.
    pub value: String,
}

fn http_header_match_type_default() -> ValueMatchType {
    ValueMatchType::Exact
}

/// Method specifies HTTP method matcher. When specified, this route will be matched only if the request
/// has the specified method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HTTPMethod {
    /// `GET`.
    #[serde(rename = "GET")]
    Get,
    /// `HEAD`.
    #[serde(rename = "HEAD")]
    Head,
    /// `POST`.
    #[serde(rename = "POST")]
    Post,
    /// `PUT`.
    #[serde(rename = "PUT")]
    Put,
    /// `DELETE`.
    #[serde(rename = "DELETE")]
    Delete,
    /// `CONNECT`.
    #[serde(rename = "CONNECT")]
    Connect,
    /// `OPTIONS`.
    #[serde(rename = "OPTIONS")]
    Options,
    /// `TRACE`.
    #[serde(rename = "TRACE")]
    Trace,
    /// `PATCH`.
    #[serde(rename = "PATCH")]
    Patch,
}

/// As the Gateway API has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HTTPMethodWithWildcard {
    /// `GET`.
    #[serde(rename = "GET")]
    Get,
    /// `HEAD`.
    #[serde(rename = "HEAD")]
    Head,
    /// `POST`.
    #[serde(rename = "POST")]
    Post,
    /// `PUT`.
    #[serde(rename = "PUT")]
    Put,
    /// `DELETE`.
    #[serde(rename = "DELETE")]
    Delete,
    /// `CONNECT`.
    #[serde(rename = "CONNECT")]
    Connect,
    /// `OPTIONS`.
    #[serde(rename = "OPTIONS")]
    Options,
    /// `TRACE`.
    #[serde(rename = "TRACE")]
    Trace,
    /// `PATCH`.
    #[serde(rename = "PATCH")]
    Patch,
    /// `*`.
    #[serde(rename = "*")]
    Any,
}

/// Path specifies a HTTP request path matcher. If this field is not specified, a default prefix match on
/// the "/" path is provided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPPathMatch {
    /// Type specifies how to match against the path Value.
    #[serde(default = "http_path_match_type_default")]
    pub type_: PathMatchType,
    /// Value of the HTTP path to match against.
    #[serde(default = "http_path_match_value_default")]
    pub value: String,
}

fn http_path_match_type_default() -> PathMatchType {
    PathMatchType::PathPrefix
}

fn http_path_match_value_default() -> String {
    "/".to_owned()
}

/// Path defines parameters used to modify the path of the incoming request. The modified path is then
/// used to construct the `Location` header. When empty, the request path is used as-is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPPathModifier {
    /// ReplaceFullPath specifies the value with which to replace the full path of a request during a
    /// rewrite or redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_full_path: Option<String>,
    /// ReplacePrefixMatch specifies the value with which to replace the prefix match of a request during
    /// a rewrite or redirect. For example, a request to "/foo/bar" with a prefix match of "/foo" and a
    /// ReplacePrefixMatch of "/xyz" would be modified to "/xyz/bar".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_prefix_match: Option<String>,
    /// Type defines the type of path modifier. Additional types may be added in a future release of the
    /// API.
    pub type_: HTTPPathModifierType,
}

/// Type defines the type of path modifier. Additional types may be added in a future release of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HTTPPathModifierType {
    /// `ReplaceFullPath`.
    ReplaceFullPath,
    /// `ReplacePrefixMatch`.
    ReplacePrefixMatch,
}

/// HTTPQueryParamMatch describes how to select a HTTP route by matching HTTP query parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPQueryParamMatch {
    /// Name is the name of the HTTP query param to be matched. This must be an exact string match. (See
    /// https://tools.ietf.org/html/rfc7230#section-2.7.3).
    pub name: String,
    /// Type specifies how to match against the value of the query parameter.
    #[serde(default = "http_query_param_match_type_default")]
    pub type_: ValueMatchType,
    /// Value is the value of HTTP query param to be matched.
    pub value: String,
}

fn http_query_param_match_type_default() -> ValueMatchType {
    ValueMatchType::Exact
}

/// RequestRedirect defines a schema for a filter that responds to the request with an HTTP redirection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRequestRedirectFilter {
    /// Hostname is the hostname to be used in the value of the `Location` header in the response. When
    /// empty, the hostname in the `Host` header of the request is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path defines parameters used to modify the path of the incoming request. The modified path is
    /// then used to construct the `Location` header. When empty, the request path is used as-is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<HTTPPathModifier>,
    /// Port is the port to be used in the value of the `Location` header in the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Scheme is the scheme to be used in the value of the `Location` header in the response. When
    /// empty, the scheme of the request is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<RedirectScheme>,
    /// StatusCode is the HTTP status code to be used in response.
    #[serde(default = "http_request_redirect_filter_status_code_default")]
    pub status_code: u16,
}

fn http_request_redirect_filter_status_code_default() -> u16 {
    302
}

/// HTTPRoute provides a way to route HTTP requests. This includes the capability to match requests by
/// hostname, path, header, or query param. Filters can be used to specify additional processing steps.
/// Backends specify where matching requests should be routed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRoute {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of HTTPRoute.
    pub spec: HTTPRouteSpec,
    /// Status defines the current state of HTTPRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
}

/// HTTPRouteFilter defines processing steps that must be completed during the request or response
/// lifecycle. HTTPRouteFilters are meant as an extension point to express processing that may be done in
/// Gateway implementations. Some examples include request or response modification, implementing
/// authentication strategies, rate-limiting, and traffic shaping. API guarantee/conformance is defined
/// based on the type of the filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRouteFilter {
    /// CORS defines a schema for a filter that responds to the cross-origin request based on HTTP
    /// response header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<HTTPCORSFilter>,
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
    /// RequestRedirect defines a schema for a filter that responds to the request with an HTTP
    /// redirection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<HTTPRequestRedirectFilter>,
    /// ResponseHeaderModifier defines a schema for a filter that modifies response headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HTTPHeaderFilter>,
    /// Type identifies the type of filter to apply. As with other API fields, types are classified into
    /// three conformance levels:
    pub type_: HTTPRouteFilterType,
    /// URLRewrite defines a schema for a filter that modifies a request during forwarding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<HTTPURLRewriteFilter>,
}

/// Type identifies the type of filter to apply. As with other API fields, types are classified into
/// three conformance levels:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HTTPRouteFilterType {
    /// `RequestHeaderModifier`.
    RequestHeaderModifier,
    /// `ResponseHeaderModifier`.
    ResponseHeaderModifier,
    /// `RequestMirror`.
    RequestMirror,
    /// `RequestRedirect`.
    RequestRedirect,
    /// `URLRewrite`.
    URLRewrite,
    /// `ExtensionRef`.
    ExtensionRef,
    /// `CORS`.
    #[serde(rename = "CORS")]
    Cors,
}

/// HTTPRouteMatch defines the predicate used to match requests to a given action. Multiple match types
/// are ANDed together, i.e. the match will evaluate to true only if all conditions are satisfied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRouteMatch {
    /// Headers specifies HTTP request header matchers. Multiple match values are ANDed together,
    /// meaning, a request must match all the specified headers to select the route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HTTPHeaderMatch>,
    /// Method specifies HTTP method matcher. When specified, this route will be matched only if the
    /// request has the specified method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HTTPMethod>,
    /// Path specifies a HTTP request path matcher. If this field is not specified, a default prefix
    /// match on the "/" path is provided.
    #[serde(default = "http_route_match_path_default")]
    pub path: HTTPPathMatch,
    /// QueryParams specifies HTTP query parameter matchers. Multiple match values are ANDed together,
    /// meaning, a request must match all the specified query parameters to select the route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<HTTPQueryParamMatch>,
}

fn http_route_match_path_default() -> HTTPPathMatch {
    HTTPPathMatch { type_: PathMatchType::PathPrefix, value: "/".to_owned() }
}

/// Retry defines the configuration for when to retry an HTTP request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRouteRetry {
    /// Attempts specifies the maximum number of times an individual request from the Gateway to a
    /// backend should be retried in addition to the initial request.
    #[serde(default = "http_route_retry_attempts_default")]
    pub attempts: u32,
    /// Backoff specifies the base interval for a backoff strategy between retry attempts and is
    /// represented in Gateway API Duration formatting. The duration a Gateway waits before a retry
    /// attempt is determined by the base interval and the implementation's retry strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
    /// Codes defines the HTTP response status codes for which a backend request should be retried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
}

fn http_route_retry_attempts_default() -> u32 {
    1
}

/// HTTPRouteRule defines semantics for matching an HTTP request based on conditions (matches),
/// processing it (filters), and forwarding the request to an API object (backendRefs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRouteRule {
    /// BackendRefs defines the backend(s) where matching requests should be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<HTTPBackendRef>,
    /// Filters define the filters that are applied to requests that match this rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HTTPRouteFilter>,
    /// Matches define conditions used for matching the rule against incoming HTTP requests. Each match
    /// is independent, i.e. this rule will be matched if **any** one of the matches is satisfied.
    #[serde(default = "http_route_rule_matches_default")]
    pub matches: Vec<HTTPRouteMatch>,
    /// Name is the name of the route rule. This name MUST be unique within a Route if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Retry defines the configuration for when to retry an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<HTTPRouteRetry>,
    /// Timeouts defines the timeouts that can be configured for an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<HTTPRouteTimeouts>,
}

fn http_route_rule_matches_default() -> Vec<HTTPRouteMatch> {
    vec![HTTPRouteMatch {
        headers: std::default::Default::default(),
        method: std::default::Default::default(),
        path: HTTPPathMatch { type_: PathMatchType::PathPrefix, value: "/".to_owned() },
        query_params: std::default::Default::default(),
    }]
}

/// Spec defines the desired state of HTTPRoute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRouteSpec {
    /// Hostnames defines a set of hostnames that should match against the HTTP Host header to select a
    /// HTTPRoute used to process the request. Implementations MUST ignore any port value specified in
    /// the HTTP Host header while performing a match and (absent of any applicable header modification
    /// configuration) MUST forward this header unmodified to the backend.
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
    /// Rules are a list of HTTP matchers, filters and actions.
    #[serde(default = "http_route_spec_rules_default")]
    pub rules: Vec<HTTPRouteRule>,
}

fn http_route_spec_rules_default() -> Vec<HTTPRouteRule> {
    vec![HTTPRouteRule {
        backend_refs: std::default::Default::default(),
        filters: std::default::Default::default(),
        matches: vec![HTTPRouteMatch {
            headers: std::default::Default::default(),
            method: std::default::Default::default(),
            path: HTTPPathMatch { type_: PathMatchType::PathPrefix, value: "/".to_owned() },
            query_params: std::default::Default::default(),
        }],
        name: std::default::Default::default(),
        retry: std::default::Default::default(),
        timeouts: std::default::Default::default(),
    }]
}

/// Timeouts defines the timeouts that can be configured for an HTTP request.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPRouteTimeouts {
    /// BackendRequest specifies a timeout for an individual request from the gateway to a backend. This
    /// covers the time from when the request first starts being sent from the gateway to when the full
    /// response has been received from the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<Duration>,
    /// Request specifies the maximum duration for a gateway to respond to an HTTP request. If the
    /// gateway has not been able to respond before this deadline is met, the gateway MUST return a
    /// timeout error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
}

/// URLRewrite defines a schema for a filter that modifies a request during forwarding.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HTTPURLRewriteFilter {
    /// Hostname is the value to be used to replace the Host header value during forwarding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path defines a path rewrite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<HTTPPathModifier>,
}

/// Type specifies how to match against the path Value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum PathMatchType {
    /// `Exact`.
    Exact,
    /// `PathPrefix`.
    #[default]
    PathPrefix,
    /// `RegularExpression`.
    RegularExpression,
}

/// Scheme is the scheme to be used in the value of the `Location` header in the response. When empty,
/// the scheme of the request is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RedirectScheme {
    /// `http`.
    #[serde(rename = "http")]
    Http,
    /// `https`.
    #[serde(rename = "https")]
    Https,
}
