//! Compiled values in the words of the resources that they come from, so that an answer can be searched for.

use byrnie_plan::{Action, AppProtocol, DefaultAction, HostPattern, InvalidBackend, PathMatch};

/// `appProtocol` of a Service's port.
pub fn protocol(protocol: AppProtocol) -> &'static str {
    match protocol {
        AppProtocol::Detect => "not declared (detected)",
        AppProtocol::Http1 => "http",
        AppProtocol::Http2 => "http2",
        AppProtocol::Grpc => "grpc",
        AppProtocol::Tcp => "tcp",
        AppProtocol::Tls => "tls",
    }
}

/// An entry of `hostnames`.
pub fn host(host: &HostPattern) -> String {
    match host {
        HostPattern::Any => "any host".to_owned(),
        HostPattern::Exact(host) => format!("host {host}"),
        HostPattern::Wildcard(parent) => format!("host *.{parent}"),
    }
}

/// `path.type` and `path.value` of a match.
pub fn path(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("path Exact {path}"),
        PathMatch::Prefix(path) => format!("path PathPrefix {path}"),
        PathMatch::Regex(pattern) => format!("path RegularExpression {pattern}"),
    }
}

/// The reason in the route's ResolvedRefs condition.
pub fn invalid(why: InvalidBackend) -> &'static str {
    match why {
        InvalidBackend::NotFound => "BackendNotFound",
        InvalidBackend::InvalidKind => "InvalidKind",
        InvalidBackend::NotPermitted => "RefNotPermitted",
        InvalidBackend::UnsupportedFilter => "a filter that is not supported",
    }
}

/// `spec.action` of an AuthorizationPolicy.
pub fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "ALLOW",
        Action::Deny => "DENY",
        Action::Audit => "AUDIT",
    }
}

/// `spec.defaultInboundPolicy` of the Mesh.
pub fn default_action(action: DefaultAction) -> &'static str {
    match action {
        DefaultAction::AllowAll => "all-unauthenticated",
        DefaultAction::AllowAuthenticated => "all-authenticated",
        DefaultAction::Deny => "deny",
    }
}
