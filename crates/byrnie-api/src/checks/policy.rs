//! Rules of our policies.

use super::Issues;
use super::mesh::within;
use crate::codes;
use crate::duration::Duration;
use crate::kind::{GATEWAY_GROUP, MESH_GROUP};
use crate::kinds::{
    AuthorizationPolicySpec, Balancer, BalancerType, CookieLifetimeType, HashKeyType, Operation,
    PolicyTargetRef, RequestOverride, SessionPersistence, SessionPersistenceType, Source, TrafficPolicySpec,
};
use crate::labels::Selector;
use crate::names::{is_dns_label, is_dns_subdomain};

/// Kind, group, and whether a part of it can be named.
pub(super) type Target = (&'static str, &'static str, bool);

const TRAFFIC_TARGETS: [Target; 8] = [
    ("Workload", MESH_GROUP, false),
    ("Service", "", false),
    ("HTTPRoute", GATEWAY_GROUP, true),
    ("GRPCRoute", GATEWAY_GROUP, true),
    ("Gateway", GATEWAY_GROUP, true),
    ("ListenerSet", GATEWAY_GROUP, true),
    ("Namespace", "", false),
    ("Mesh", MESH_GROUP, false),
];

const AUTHORIZATION_TARGETS: [Target; 4] = [
    ("Service", "", false),
    ("Workload", MESH_GROUP, false),
    ("Gateway", GATEWAY_GROUP, false),
    ("Mesh", MESH_GROUP, false),
];

pub(super) fn traffic_policy(spec: &TrafficPolicySpec, issues: &mut Issues) {
    if let Some(spec) = &spec.override_ {
        override_(spec, issues);
    }
    targets(&spec.target_refs, &TRAFFIC_TARGETS, issues);
    if let Some(balancer) = &spec.balancer {
        hash_key(balancer, issues);
    }
    if let Some(retry) = &spec.retry {
        let first = retry.backoff.unwrap_or(Duration::from_millis(25));
        let last = retry.backoff_max.unwrap_or(Duration::from_millis(250));
        in_order("spec.retry.backoff", first, last, issues);
        within("spec.retry.backoff", first, 1, 3_600_000, issues);
    }
    if let Some(session) = &spec.session_persistence {
        session_persistence(session, issues);
    }
    if let Some(slow_start) = spec.slow_start.filter(|duration| !duration.is_zero()) {
        within("spec.slowStart", slow_start, 1, 24 * 3_600_000, issues);
    }
    if let Some(longest) = spec.retry_after_max {
        within("spec.retryAfterMax", longest, 0, 300_000, issues);
    }
    if let Some(outlier) = &spec.outlier_ejection {
        if let Some(interval) = outlier.interval {
            within("spec.outlierEjection.interval", interval, 100, 3_600_000, issues);
        }
        let first = outlier.base_ejection.unwrap_or(Duration::from_secs(30));
        let last = outlier.max_ejection.unwrap_or(Duration::from_secs(300));
        in_order("spec.outlierEjection.baseEjection", first, last, issues);
        within("spec.outlierEjection.baseEjection", first, 1, 24 * 3_600_000, issues);
    }
    if let Some(inbound) = &spec.inbound {
        let times = [
            ("headerTimeout", inbound.header_timeout),
            ("clientIdleTimeout", inbound.client_idle_timeout),
            ("detectTimeout", inbound.detect_timeout),
        ];
        for (field, time) in times {
            if let Some(time) = time {
                within(&format!("spec.inbound.{field}"), time, 1, 24 * 3_600_000, issues);
            }
        }
    }
    if let Some(connect) = spec.timeouts.as_ref().and_then(|timeouts| timeouts.connect) {
        within("spec.timeouts.connect", connect, 1, 3_600_000, issues);
    }
}

/// As the Gateway API's own validation has it.
fn session_persistence(session: &SessionPersistence, issues: &mut Issues) {
    let path = "spec.sessionPersistence";
    let mut refuse = |field: &str, message: &str| {
        issues.error(codes::SESSION_PERSISTENCE, format!("{path}{field}"), message)
    };
    let name = session.session_name.as_deref().unwrap_or("mesh-session");
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        refuse(".sessionName", "is no name of a cookie or header");
    }
    if name.to_ascii_lowercase().starts_with("byrnie-") {
        refuse(".sessionName", "names that begin with byrnie- are the mesh's own");
    }
    let lifetime = session.cookie_config.as_ref().and_then(|config| config.lifetime_type);
    let is_header = session.type_ == Some(SessionPersistenceType::Header);
    if is_header && session.cookie_config.is_some() {
        refuse(".cookieConfig", "only with type Cookie");
    }
    if lifetime == Some(CookieLifetimeType::Permanent) && session.absolute_timeout.is_none() {
        refuse(".absoluteTimeout", "a permanent cookie needs it");
    }
    let absolute = session.absolute_timeout.filter(|duration| !duration.is_zero());
    if let (Some(idle), Some(absolute)) = (session.idle_timeout, absolute)
        && idle > absolute
    {
        refuse(".idleTimeout", "is longer than absoluteTimeout");
    }
}

fn in_order(path: &str, first: Duration, last: Duration, issues: &mut Issues) {
    if first > last {
        issues.error(codes::BACKOFF_ORDER, path, format!("{first} is more than the largest, {last}"));
    }
}

fn hash_key(balancer: &Balancer, issues: &mut Issues) {
    let Some(key) = &balancer.hash_key else { return };
    let hashes = matches!(balancer.type_, BalancerType::RingHash | BalancerType::Maglev);
    if !hashes {
        issues.error(codes::HASH_KEY, "spec.balancer.hashKey", "this balancer hashes nothing");
    }
    if (key.type_ == HashKeyType::SourceAddress) == key.name.is_some() {
        let message = "a header, cookie or query needs a name; an address has none";
        issues.error(codes::HASH_KEY, "spec.balancer.hashKey.name", message);
    }
}

/// Whether each target is one that the policy may have.
pub(super) fn targets(targets: &[PolicyTargetRef], allowed: &[Target], issues: &mut Issues) {
    for (index, target) in targets.iter().enumerate() {
        let row = allowed.iter().find(|(kind, ..)| *kind == target.kind);
        let fits =
            row.is_some_and(|(_, group, _)| target.group.as_deref().is_none_or(|given| given == *group));
        if !fits {
            let kinds: Vec<&str> = allowed.iter().map(|(kind, ..)| *kind).collect();
            let group = target.group.as_deref().unwrap_or_default();
            let message =
                format!("not {:.64} of group {group:?}: possible is {}", target.kind, kinds.join(", "));
            issues.error(codes::BAD_TARGET, format!("spec.targetRefs[{index}].kind"), message);
        }
        if target.section_name.is_some() && row.is_some_and(|(.., parts)| !parts) {
            let message = format!("a {} has no parts that the policy can be attached to", target.kind);
            issues.error(codes::BAD_TARGET, format!("spec.targetRefs[{index}].sectionName"), message);
        }
        if target.kind == "Mesh" && target.name != "default" {
            issues.error(
                codes::MESH_NAME,
                format!("spec.targetRefs[{index}].name"),
                "the Mesh is named default",
            );
        }
    }
    let keys = targets.iter().enumerate();
    let keys = keys
        .map(|(index, t)| (Some((&t.kind, &t.name, &t.section_name)), format!("spec.targetRefs[{index}]")));
    issues.unique(codes::DUPLICATE_ENTRY, keys, "target");
}

fn override_(spec: &RequestOverride, issues: &mut Issues) {
    for (index, text) in spec.from.iter().enumerate() {
        if text.contains('*') || !is_identity_pattern(text) {
            let message = format!("{text:.128?} names no identity");
            issues.error(codes::BAD_IDENTITY, format!("spec.override.from[{index}]"), message);
        }
    }
    let keys = spec.to.iter().enumerate().map(|(index, to)| (Some(to), format!("spec.override.to[{index}]")));
    issues.unique(
        codes::DUPLICATE_ENTRY,
        keys.map(|(to, path)| (to.map(|to| (&to.namespace, &to.name, to.port)), path)),
        "target",
    );
}

pub(super) fn authorization_policy(spec: &AuthorizationPolicySpec, issues: &mut Issues) {
    targets(&spec.target_refs, &AUTHORIZATION_TARGETS, issues);
    if let Some(selector) = &spec.selector
        && let Err(error) = Selector::try_from(selector)
    {
        issues.error(codes::BAD_FORMAT, "spec.selector.matchExpressions", error.to_string());
    }
    for (index, rule) in spec.rules.iter().enumerate() {
        for (source_index, source) in rule.from.iter().enumerate() {
            source_texts(&format!("spec.rules[{index}].from[{source_index}]"), source, issues);
        }
        for (operation_index, operation) in rule.to.iter().enumerate() {
            operation_texts(&format!("spec.rules[{index}].to[{operation_index}]"), operation, issues);
        }
    }
}

fn source_texts(path: &str, source: &Source, issues: &mut Issues) {
    identities(&format!("{path}.identities"), &source.identities, issues);
    identities(&format!("{path}.notIdentities"), &source.not_identities, issues);
    for (field, texts) in [("namespaces", &source.namespaces), ("notNamespaces", &source.not_namespaces)] {
        for (index, text) in texts.iter().enumerate() {
            let path = format!("{path}.{field}[{index}]");
            if text_match(&path, text, issues) && !text.contains('*') && !is_dns_label(text) {
                issues.error(codes::BAD_NAMESPACE, path, format!("{text:.64?} is no namespace"));
            }
        }
    }
}

pub(super) fn identities(path: &str, texts: &[String], issues: &mut Issues) {
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if text_match(&path, text, issues) && !is_identity_pattern(text) {
            issues.error(codes::BAD_IDENTITY, path, format!("{text:.128?} can match no identity"));
        }
    }
}

fn operation_texts(path: &str, operation: &Operation, issues: &mut Issues) {
    for (field, texts) in [("paths", &operation.paths), ("notPaths", &operation.not_paths)] {
        for (index, text) in texts.iter().enumerate() {
            let path = format!("{path}.{field}[{index}]");
            if text_match(&path, text, issues) && !text.starts_with(['/', '*']) {
                issues.error(codes::BAD_PATH, path, format!("{text:.64?} can match no path"));
            }
        }
    }
}

/// Whether a `*` stands only where it may; says so, when not.
fn text_match(path: &str, text: &str, issues: &mut Issues) -> bool {
    let inner = text.strip_prefix('*').or_else(|| text.strip_suffix('*')).unwrap_or(text);
    let good = !inner.contains('*');
    if !good {
        issues.error(codes::BAD_TEXT_MATCH, path, format!("{text:.64?} has a '*' in the middle, or two"));
    }
    good
}

/// A whole SPIFFE ID, `namespace/account`, or a pattern of either.
fn is_identity_pattern(text: &str) -> bool {
    if text.contains('*') {
        return text == "*" || text.starts_with('*') || text.starts_with("spiffe://") || text.contains('/');
    }
    let short = |text: &str| {
        text.split_once('/')
            .is_some_and(|(namespace, account)| is_dns_label(namespace) && is_dns_subdomain(account))
    };
    match text.strip_prefix("spiffe://").and_then(|rest| rest.split_once("/ns/")) {
        Some((domain, rest)) => {
            let (namespace, account) = rest.split_once("/sa/").unwrap_or_default();
            !domain.is_empty()
                && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
                && short(&format!("{namespace}/{account}"))
        }
        None => short(text),
    }
}
