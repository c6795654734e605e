//! What can go wrong with a request or connection: one struct, from which come the status code, the
//! `byrnie-error` header, the metric label, the access-log flag and the operator's sentence.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

/// A failure, with what is needed to explain it and to decide what happens next.
#[derive(Debug)]
pub struct ProxyError {
    /// What went wrong: a closed set.
    pub kind: Kind,
    /// Whether the request provably was not processed by the upstream's application.
    pub unprocessed: bool,
    /// What exactly, for people: addresses, names, the underlying error. Never secret.
    pub context: Cow<'static, str>,
}

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller sent something that cannot be served.
    Client,
    /// This proxy, or its configuration.
    Mesh,
    /// The other side of the hop, or the application.
    Upstream,
}

impl Side {
    /// As headers and logs say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Mesh => "mesh",
            Self::Upstream => "upstream",
        }
    }
}

/// What went wrong. Each has a stable code, a flag, a status and a sentence in [`Kind::describe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is malformed or could be read in two ways.
    BadRequest,
    /// The request expects what nobody can promise: malformed in its own way, so its code is that of
    /// [`Self::BadRequest`].
    Expectation,
    /// The request's head is larger than allowed.
    LargeHead,
    /// No route matches.
    NoRoute,
    /// The route's backend does not resolve.
    InvalidBackend,
    /// The service has no endpoint.
    NoEndpoint,
    /// The connection to an endpoint could not be made.
    ConnectFailed,
    /// TLS with the endpoint's proxy failed, or it proved another identity.
    TlsFailed,
    /// The connection broke after the request was sent.
    UpstreamReset,
    /// The upstream's answer cannot be understood.
    UpstreamProtocol,
    /// The request took longer than its limit.
    Timeout,
    /// A limit of this proxy was reached.
    Overload,
    /// This process has as many requests in flight as it may have.
    TooManyRequests,
    /// Memory or descriptors of this process run out.
    Shed,
    /// Answers take longer than those of a quiet proxy.
    Slow,
    /// An authorization policy refused.
    Denied,
    /// The hop names a service or port that this workload does not serve.
    WrongDestination,
    /// The hop's header is missing or malformed.
    BadHop,
    /// The body of the request broke off.
    ClientGone,
    /// Upgrade or CONNECT where it is not offered.
    UpgradeRefused,
    /// Configuration for the destination has not arrived.
    NotReady,
    /// It came past the mesh, without mTLS.
    PlaintextRefused,
    /// The mesh does not know the destination, and lets nothing out to such.
    EgressDenied,
    /// A rate limit allows no more for now.
    RateLimited,
    /// A failure on purpose.
    Fault,
    /// A defect of ours.
    Internal,
}

/// The fixed facts of a kind.
pub struct Facts {
    /// Stable code.
    pub code: &'static str,
    /// Short flag for logs, metrics and the header.
    pub flag: &'static str,
    /// Who is at fault.
    pub side: Side,
    /// What the client gets.
    pub status: StatusCode,
    /// gRPC status for gRPC callers (grpc.io status codes).
    pub grpc: u16,
    /// What happened and what to do.
    pub sentence: &'static str,
}

impl Kind {
    /// The fixed facts of this kind.
    #[rustfmt::skip] // A table: one kind, two lines.
    pub fn describe(self) -> Facts {
        use Side::{Client, Mesh, Upstream};
        let facts = |code, flag, side, status, grpc, sentence| Facts { code, flag, side, status, grpc, sentence };
        match self {
            Self::BadRequest => facts("BYR0200", "bad_request", Client, StatusCode::BAD_REQUEST, 13,
                "the request is malformed or ambiguous; send it as RFC 9110 and 9112 say"),
            Self::Expectation => facts("BYR0200", "bad_request", Client, StatusCode::EXPECTATION_FAILED, 13,
                "the request expects something other than 100-continue; send it without Expect"),
            Self::LargeHead => facts("BYR0200", "bad_request", Client, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, 8,
                "the request's head is larger than maxHeaders and maxHeaderBytes of Mesh.spec.proxy allow"),
            Self::NoRoute => facts("BYR0201", "no_route", Client, StatusCode::NOT_FOUND, 12,
                "no route matches this request; see `byrnie describe` of the route for hosts and matches"),
            Self::InvalidBackend => facts("BYR0202", "invalid_backend", Mesh, StatusCode::INTERNAL_SERVER_ERROR, 14,
                "the route's backend does not resolve; see the route's ResolvedRefs condition"),
            Self::NoEndpoint => facts("BYR0203", "no_endpoint", Mesh, StatusCode::SERVICE_UNAVAILABLE, 14,
                "the service has no endpoint; see whether its selector matches a ready workload"),
            Self::ConnectFailed => facts("BYR0204", "connect_failed", Upstream, StatusCode::SERVICE_UNAVAILABLE, 14,
                "no connection to the endpoint could be made; see whether the application listens on its port"),
            Self::TlsFailed => facts("BYR0205", "tls_failed", Upstream, StatusCode::SERVICE_UNAVAILABLE, 14,
                "mTLS with the endpoint's proxy failed; see the certificates of both sides"),
            Self::UpstreamReset => facts("BYR0206", "upstream_reset", Upstream, StatusCode::BAD_GATEWAY, 14,
                "the application closed the connection before its answer was complete"),
            Self::UpstreamProtocol => facts("BYR0207", "upstream_protocol", Upstream, StatusCode::BAD_GATEWAY, 13,
                "the application's answer is not valid for the protocol; see the port's appProtocol"),
            Self::Timeout => facts("BYR0208", "timeout", Upstream, StatusCode::GATEWAY_TIMEOUT, 4,
                "the request took longer than its timeout"),
            Self::Overload => facts("BYR0209", "overload", Mesh, StatusCode::SERVICE_UNAVAILABLE, 14,
                "a limit was reached; see the limit's name and raise it, or add endpoints"),
            Self::TooManyRequests => facts("BYR0240", "too_many_requests", Mesh, StatusCode::SERVICE_UNAVAILABLE, 14,
                "this proxy has as many requests in flight as Mesh.spec.proxy.maxRequests allows"),
            Self::Shed => facts("BYR0241", "shed", Mesh, StatusCode::SERVICE_UNAVAILABLE, 14,
                "this proxy is short of memory or descriptors; see byrnie_pressure_percent, and try again"),
            Self::Slow => facts("BYR0242", "slow", Mesh, StatusCode::SERVICE_UNAVAILABLE, 14,
                "answers take longer than usual, so nothing more is taken; see Mesh.spec.proxy.adaptiveConcurrency"),
            Self::Denied => facts("BYR0210", "denied", Client, StatusCode::FORBIDDEN, 7,
                "an authorization policy refuses this caller"),
            Self::WrongDestination => facts("BYR0211", "wrong_destination", Client, StatusCode::FORBIDDEN, 7,
                "this workload does not serve the service and port that the hop names"),
            Self::BadHop => facts("BYR0212", "bad_hop", Client, StatusCode::BAD_REQUEST, 13,
                "the hop's header is missing or malformed; both proxies must be of the mesh"),
            Self::ClientGone => facts("BYR0213", "client_gone", Client, StatusCode::BAD_REQUEST, 1,
                "the caller broke off before its request was complete"),
            Self::UpgradeRefused => facts("BYR0214", "upgrade_refused", Client, StatusCode::NOT_IMPLEMENTED, 12,
                "this upgrade is not offered here"),
            Self::NotReady => facts("BYR0215", "not_ready", Mesh, StatusCode::SERVICE_UNAVAILABLE, 14,
                "the configuration for this destination has not arrived; see `byrnie proxy-status`"),
            Self::PlaintextRefused => facts("BYR0270", "plaintext", Client, StatusCode::FORBIDDEN, 7,
                "the caller is not of the mesh, and the mesh is strict; call through a proxy or a Gateway"),
            Self::EgressDenied => facts("BYR0271", "egress_denied", Client, StatusCode::FORBIDDEN, 7,
                "the destination is no service of the mesh, and the Mesh's spec.egress is deny"),
            Self::RateLimited => facts("BYR0250", "rate_limited", Client, StatusCode::TOO_MANY_REQUESTS, 8,
                "a rate limit allows no more for now; try again later, as Retry-After says"),
            Self::Fault => facts("BYR0251", "fault", Mesh, StatusCode::SERVICE_UNAVAILABLE, 14,
                "a FaultPolicy injects this failure on purpose; delete the policy to end the experiment"),
            Self::Internal => facts("BYR0216", "internal", Mesh, StatusCode::INTERNAL_SERVER_ERROR, 13,
                "a defect of the proxy; please report it with the proxy's log"),
        }
    }
}

impl Kind {
    /// Whether it speaks against the endpoint: the balancer then prefers others.
    pub fn blames_endpoint(self) -> bool {
        matches!(
            self,
            Self::ConnectFailed
                | Self::TlsFailed
                | Self::UpstreamReset
                | Self::UpstreamProtocol
                | Self::Timeout
        )
    }
}

impl ProxyError {
    /// A failure after which the upstream may have processed the request.
    pub fn new(kind: Kind, context: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, unprocessed: false, context: context.into() }
    }

    /// A failure that provably came before the upstream's application saw the request.
    pub fn unprocessed(kind: Kind, context: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, unprocessed: true, context: context.into() }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.kind.describe();
        write!(f, "{} {}: {}", facts.code, facts.flag, self.context)
    }
}

impl std::error::Error for ProxyError {}
