//! Which request goes where.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Controls, InboundOverrides, ObjectName, Retry, RetryOn};

/// Longest regular expression of a route, in bytes; the Gateway API's own limit.
pub const REGEX_PATTERN_LIMIT: usize = 1024;

/// Memory that one compiled regular expression may take, in bytes: the compiler refuses what the proxy could not
/// compile within it.
pub const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// The routes attached to a Service, as its callers obey them. A Service without routes has no such resource and
/// is called directly.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    /// The Service that callers name.
    pub service: ObjectName,
    /// `Some`: only clients of this namespace obey.
    pub client_namespace: Option<Arc<str>>,
    /// One entry for each port that has routes, ascending.
    pub ports: Vec<PortRoutes>,
}

/// The routes of one service port. At most one kind holds (GRPCRoute, HTTPRoute > TLSRoute > TCPRoute).
#[derive(Clone, Debug, PartialEq)]
pub struct PortRoutes {
    /// The Service's port.
    pub port: u16,
    /// Routes for requests. `Some` also says that the port speaks HTTP.
    pub http: Option<HttpTable>,
    /// Routes for connections: by SNI pattern; `Any` alone where TLS is not looked into. Empty: none is attached.
    pub tcp: Vec<(HostPattern, TcpRule)>,
}

/// A Gateway's listeners and what they serve.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayRoutes {
    /// The Gateway.
    pub gateway: ObjectName,
    /// One entry for each port; listeners of one port are merged into one table.
    pub listeners: Vec<GatewayListener>,
}

/// One port of a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayListener {
    /// The listeners' names, joined by `,`: for logs and metrics.
    pub name: String,
    /// The port to bind.
    pub port: u16,
    /// The addresses to bind. Empty: loopback.
    pub addresses: Vec<IpAddr>,
    /// What is spoken.
    pub protocol: ListenerProtocol,
    /// For [`ListenerProtocol::Http`].
    pub http: HttpTable,
    /// For [`ListenerProtocol::Tcp`] and [`ListenerProtocol::TlsPassthrough`]: by SNI pattern; `Any` for TCP.
    pub tcp: Vec<(HostPattern, TcpRule)>,
    /// What policies of these listeners alone say about what comes in.
    pub overrides: InboundOverrides,
}

/// What a Gateway's port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenerProtocol {
    /// HTTP/1.x and HTTP/2 with prior knowledge.
    Http,
    /// Bytes.
    Tcp,
    /// Bytes, chosen by SNI.
    TlsPassthrough,
}

/// A routing table for requests: matches in order of precedence (the first that matches wins), each leading to
/// a rule.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct HttpTable {
    /// In the Gateway API's order of precedence already: host (exact, longer wildcard, any), path (exact, longer
    /// prefix, regular expression, and last the prefix `/`, which says nothing about a path), method, number of
    /// headers, number of queries, older route, name, rule.
    ///
    /// Listener isolation: a request whose host matches a more specific host pattern of this table is never
    /// offered to a less specific one, *when the specific pattern belongs to another listener*; the compiler
    /// arranges for that by `host_scope`.
    pub matches: Vec<HttpMatch>,
    /// The rules that the matches lead to.
    pub rules: Vec<HttpRule>,
    /// The listeners' own hostnames (Gateways only). A request is served only in the scope of its most specific
    /// listener; `matches[].host_scope` is an index into this list. Empty for routes of a Service.
    pub scopes: Vec<HostPattern>,
}

/// One way into a rule. All parts must match.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpMatch {
    /// Index into [`HttpTable::scopes`]; 0 where there are none.
    pub host_scope: u32,
    /// The request's host, without port, lower case.
    pub host: HostPattern,
    /// The normalised path, without query.
    pub path: PathMatch,
    /// Upper-case method, exact.
    pub method: Option<String>,
    /// All of these.
    pub headers: Vec<HeaderMatch>,
    /// All of these.
    pub queries: Vec<QueryMatch>,
    /// Index into [`HttpTable::rules`].
    pub rule: u32,
}

/// Which hosts a match is for. Always lower case, no trailing dot, no port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Every host, also none.
    Any,
    /// Exactly this host.
    Exact(String),
    /// `*.example.com` is `Wildcard("example.com")`: one or more labels before it.
    Wildcard(String),
}

/// How a path is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// By segment: `/a` matches `/a` and `/a/b`, not `/ab`. No trailing slash, but `/` itself.
    Prefix(String),
    /// A regular expression that matches the whole path (RE2 syntax, linear time).
    Regex(String),
}

/// How a value is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueMatch {
    /// The whole value.
    Exact(String),
    /// A regular expression that matches the whole value.
    Regex(String),
}

/// A header that must be there. Several lines of one name are joined by `,` before comparing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
}

/// A query parameter that must be there. Of several of one name the first counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryMatch {
    /// Percent-decoded, case-sensitive.
    pub name: String,
    /// Percent-decoded.
    pub value: ValueMatch,
}

/// What happens with the requests of one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRule {
    /// Which route and rule this is: the label in metrics and logs.
    pub name: RouteName,
    /// In the order given.
    pub filters: Vec<Filter>,
    /// By weight. Empty: 500, unless a filter redirects.
    pub backends: Vec<Backend>,
    /// Limits of this rule; what is `None` here comes from the service's settings.
    pub timeouts: Timeouts,
    /// Retries of this rule; `None`: the service's settings.
    pub retry: Option<Retry>,
    /// Rate limits and faults of this rule; what is `None` here comes from the service.
    pub controls: Option<Box<Controls>>,
}

/// Where a rule comes from. Displayed as `route/rule`; of a ServiceProfile, which has but one Service, as `rule`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteName {
    /// HTTPRoute, GRPCRoute, TCPRoute, …
    pub kind: RouteKind,
    /// The route object.
    pub route: ObjectName,
    /// The rule's name, or its index in the route.
    pub rule: String,
}

/// The kind of a route object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
    /// TCPRoute.
    Tcp,
    /// TLSRoute.
    Tls,
    /// ServiceProfile.
    Profile,
}

/// Time limits of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// The whole request including retries. `Some(ZERO)`: explicitly none.
    pub request: Option<Duration>,
    /// One try. `Some(ZERO)`: explicitly none.
    pub backend_request: Option<Duration>,
}

/// A backend of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Where to.
    pub target: BackendTarget,
    /// Relative share; 0 gets nothing.
    pub weight: u32,
    /// Applied when this backend was chosen.
    pub filters: Vec<Filter>,
}

/// Where a backend's requests go.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendTarget {
    /// A service's endpoints (not its routes).
    Service {
        /// The Service.
        service: ObjectName,
        /// Its port.
        port: u16,
        /// Only endpoints with all of these labels. Empty: all.
        subset: Vec<(String, String)>,
    },
    /// A reference that does not resolve: its share is answered with 500.
    Invalid(InvalidBackend),
}

/// Why a backend cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidBackend {
    /// No such Service or port.
    NotFound,
    /// A kind that cannot be a backend.
    InvalidKind,
    /// Another namespace, and no ReferenceGrant.
    NotPermitted,
    /// A filter that cannot be acted on: nothing may be served as if it were not there.
    UnsupportedFilter,
    /// A BackendTLSPolicy asks for TLS to it, which there is not: nothing may go unencrypted instead.
    TlsUnsupported,
}

/// What is done to a request or its response.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Before the request goes on.
    RequestHeaders(HeaderModifier),
    /// Before the response goes back.
    ResponseHeaders(HeaderModifier),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Change host or path.
    Rewrite(Rewrite),
    /// Send a copy.
    Mirror(Mirror),
    /// Say which pages of other origins may call.
    Cors(Cors),
}

/// Changes of headers: first `set`, then `add`, then `remove`. Names in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HeaderModifier {
    /// Replace.
    pub set: Vec<(String, String)>,
    /// Append a line.
    pub add: Vec<(String, String)>,
    /// Remove.
    pub remove: Vec<String>,
}

/// A redirect. What is `None` stays as the request has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The new host.
    pub hostname: Option<String>,
    /// The new path.
    pub path: Option<PathRewrite>,
    /// The new port; `None`: the scheme's own when `scheme` is given, else the listener's.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// A rewrite of host or path.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// The new host.
    pub hostname: Option<String>,
    /// The new path.
    pub path: Option<PathRewrite>,
}

/// Which pages of other origins may call (the Fetch standard's CORS protocol). `*` stands alone in a list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cors {
    /// `*`, or `scheme://host[:port]`, where the host may be `*` or begin with `*.`.
    pub allow_origins: Vec<String>,
    /// Upper case. GET, HEAD and POST are always allowed.
    pub allow_methods: Vec<String>,
    /// Lower case.
    pub allow_headers: Vec<String>,
    /// Lower case.
    pub expose_headers: Vec<String>,
    /// Whether cookies and the like may come along.
    pub allow_credentials: bool,
    /// For how long browsers may keep the answer to a preflight request, in seconds.
    pub max_age: u32,
}

/// How a path is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// The whole path.
    Full(String),
    /// Only the prefix that matched (of a [`PathMatch::Prefix`]).
    Prefix(String),
}

/// A copy of requests, whose answers are discarded.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Where the copy goes.
    pub target: BackendTarget,
    /// Share of requests as a fraction.
    pub numerator: u32,
    /// Never 0.
    pub denominator: u32,
}

/// What happens with connections.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRule {
    /// Which route this is; `None` for the Service itself.
    pub name: Option<RouteName>,
    /// By weight.
    pub backends: Vec<Backend>,
    /// Rate limits and faults of this rule; what is `None` here comes from the service.
    pub controls: Option<Box<Controls>>,
}

impl std::fmt::Display for RouteName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            RouteKind::Profile => f.write_str(&self.rule),
            _ => write!(f, "{}/{}", self.route.name, self.rule),
        }
    }
}

impl RetryOn {
    /// Whether a response with this status is worth another try.
    pub fn has_status(&self, status: u16) -> bool {
        self.statuses.contains(&status) || (self.server_errors && status >= 500)
    }
}
