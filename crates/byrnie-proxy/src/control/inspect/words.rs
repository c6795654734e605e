//! The plan's parts as operators write them.

use byrnie_plan::{
    Action, AppProtocol, AuthorizationRule, Backend, BackendTarget, DefaultAction, HostPattern, HttpMatch,
    MeshSettings, PathMatch, TextMatch, ValueMatch,
};
use serde_json::{Value, json};

pub(super) fn protocol(protocol: AppProtocol) -> &'static str {
    match protocol {
        AppProtocol::Detect => "detect",
        AppProtocol::Http1 => "HTTP",
        AppProtocol::Http2 => "HTTP2",
        AppProtocol::Grpc => "GRPC",
        AppProtocol::Tcp => "TCP",
        AppProtocol::Tls => "TLS",
    }
}

pub(super) fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "ALLOW",
        Action::Deny => "DENY",
        Action::Audit => "AUDIT",
    }
}

pub(super) fn default_action(action: DefaultAction) -> &'static str {
    match action {
        DefaultAction::AllowAll => "ALLOW all-unauthenticated",
        DefaultAction::AllowAuthenticated => "ALLOW all-authenticated",
        DefaultAction::Deny => "DENY",
    }
}

pub(super) fn host(host: &HostPattern) -> String {
    match host {
        HostPattern::Any => "*".to_owned(),
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
    }
}

/// `GET /a* header x=1 query y~re`.
pub(super) fn matching(matching: &HttpMatch) -> String {
    let mut parts: Vec<String> = matching.method.iter().cloned().collect();
    parts.push(match &matching.path {
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(path) => format!("{}*", path),
        PathMatch::Regex(pattern) => format!("~{pattern}"),
    });
    let value = |value: &ValueMatch| match value {
        ValueMatch::Exact(value) => format!("={value}"),
        ValueMatch::Regex(pattern) => format!("~{pattern}"),
    };
    parts.extend(matching.headers.iter().map(|m| format!("header {}{}", m.name, value(&m.value))));
    parts.extend(matching.queries.iter().map(|m| format!("query {}{}", m.name, value(&m.value))));
    parts.join(" ")
}

/// `shop/web:80 90%, shop/web-v2:80 10%`.
pub(super) fn backends(backends: &[Backend]) -> String {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let one = |backend: &Backend| {
        let target = match &backend.target {
            BackendTarget::Service { service, port, .. } => format!("{service}:{port}"),
            BackendTarget::Invalid(why) => format!("none ({why:?})"),
        };
        match backends.len() {
            1 => target,
            _ => format!("{target} {}%", (u64::from(backend.weight) * 100).checked_div(total).unwrap_or(0)),
        }
    };
    backends.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn text(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => text.clone(),
        TextMatch::Prefix(text) => format!("{text}*"),
        TextMatch::Suffix(text) => format!("*{text}"),
        TextMatch::Present => "*".to_owned(),
    }
}

pub(super) fn rule(rule: &AuthorizationRule) -> Value {
    let texts = |all: &[TextMatch]| all.iter().map(text).collect::<Vec<_>>();
    let from = rule.from.iter().map(|source| {
        json!({
            "identities": texts(&source.identities), "notIdentities": texts(&source.not_identities),
            "namespaces": texts(&source.namespaces), "notNamespaces": texts(&source.not_namespaces),
        })
    });
    let to = rule.to.iter().map(|operation| {
        json!({
            "methods": operation.methods, "notMethods": operation.not_methods,
            "paths": texts(&operation.paths), "notPaths": texts(&operation.not_paths),
            "ports": operation.ports, "notPorts": operation.not_ports,
        })
    });
    json!({"from": from.collect::<Vec<_>>(), "to": to.collect::<Vec<_>>()})
}

pub(super) fn settings(settings: &MeshSettings) -> Value {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    json!({
        "detectTimeoutMs": ms(settings.detect_timeout), "drainTimeoutMs": ms(settings.drain_timeout),
        "restartTimeoutMs": ms(settings.restart_timeout), "headerTimeoutMs": ms(settings.header_timeout),
        "clientIdleTimeoutMs": ms(settings.client_idle_timeout), "maxHeaderBytes": settings.max_header_bytes,
        "maxHeaders": settings.max_headers, "maxConcurrentStreams": settings.max_concurrent_streams,
        "maxConnections": settings.max_connections, "maxRequests": settings.max_requests,
        "drainPercent": settings.drain_percent, "shedPercent": settings.shed_percent,
        "bufferPercent": settings.buffer_percent,
        "adaptiveConcurrency": settings.adaptive_concurrency,
    })
}
