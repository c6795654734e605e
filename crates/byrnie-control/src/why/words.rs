//! Compiled values in the words of the resources that they come from, so that an answer can be searched for.

use byrnie_api::duration::Duration;
use byrnie_plan::{
    Action, AppProtocol, Balancer, DefaultAction, Fault, FaultAbort, FaultDelay, HashSource, HeaderModifier,
    HostPattern, InvalidBackend, PathMatch, RateKey, RateLimit, RateUnit,
};

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
        InvalidBackend::TlsUnsupported => "a BackendTLSPolicy, which is not supported yet",
        InvalidBackend::UnsupportedFilter => "a filter that is not supported",
    }
}

/// `spec.balancer` of a TrafficPolicy.
pub fn balancer(balancer: &Balancer) -> String {
    match balancer {
        Balancer::PeakEwma => "by latency and load (peakEwma)".to_owned(),
        Balancer::LeastRequest => "by load (leastRequest)".to_owned(),
        Balancer::RoundRobin => "in turn (roundRobin)".to_owned(),
        Balancer::Random => "by chance (random)".to_owned(),
        Balancer::RingHash(by) => format!("by hash of {} (ringHash)", hash_source(by)),
        Balancer::Maglev(by) => format!("by hash of {} (maglev)", hash_source(by)),
    }
}

/// `spec.balancer.hashKey` of a TrafficPolicy.
pub fn hash_source(by: &HashSource) -> String {
    match by {
        HashSource::Header(name) => format!("header {name}"),
        HashSource::Cookie(name) => format!("cookie {name}"),
        HashSource::Query(name) => format!("query {name}"),
        HashSource::SourceAddress => "the caller's address".to_owned(),
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

/// A header filter, name by name.
pub fn headers(change: &HeaderModifier) -> String {
    let set = change.set.iter().map(|(name, _)| format!("sets {name}"));
    let add = change.add.iter().map(|(name, _)| format!("adds {name}"));
    let remove = change.remove.iter().map(|name| format!("removes {name}"));
    set.chain(add).chain(remove).collect::<Vec<_>>().join(", ")
}

/// One limit of a RateLimitPolicy.
pub fn rate_limit(limit: &RateLimit) -> String {
    let what = match limit.unit {
        RateUnit::Requests => "requests",
        RateUnit::Connections => "connections",
    };
    let key = limit.key.iter().map(|key| match key {
        RateKey::Identity => "identity".to_owned(),
        RateKey::Header(name) => format!("header {name}"),
        RateKey::SourceAddress => "source address".to_owned(),
    });
    let key: Vec<String> = key.collect();
    let by = if key.is_empty() { String::new() } else { format!(" for each {}", key.join(" and ")) };
    let per = Duration::from(limit.per);
    format!("{} {what} per {per}, burst {}{by}", limit.number, limit.burst)
}

/// One fault of a FaultPolicy.
pub fn fault(fault: &Fault) -> String {
    let text = |duration: std::time::Duration| Duration::from(duration).to_string();
    let delay = fault.delay.map(|delay| match delay {
        FaultDelay::Fixed(delay) => format!("waits {}", text(delay)),
        FaultDelay::Uniform { min, max } => format!("waits {} to {}", text(min), text(max)),
        FaultDelay::Normal { mean, deviation, .. } => format!("waits {} ± {}", text(mean), text(deviation)),
        FaultDelay::Exponential { mean, .. } => format!("waits {} on average", text(mean)),
    });
    let abort = fault.abort.map(|abort| match abort {
        FaultAbort::Http(status) => format!("answers {status}"),
        FaultAbort::Grpc(status) => format!("answers grpc-status {status}"),
        FaultAbort::Reset => "resets the connection".to_owned(),
    });
    let parts: Vec<String> = delay.into_iter().chain(abort).collect();
    format!("{} % of them: {}", f64::from(fault.share) / 100.0, parts.join(", then "))
}
