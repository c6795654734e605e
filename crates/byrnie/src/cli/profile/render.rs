//! Operations as objects.

use std::collections::BTreeSet;

use byrnie_api::duration::Duration;
use serde_json::{Value, json};

use super::{Call, Operation, Target};
use crate::cli::args::ProfileFormat;
use crate::output::block_yaml;

/// Rules of one route: the Gateway API's own limit.
const RULES_OF_A_ROUTE: usize = 16;
/// Longest name of a rule; the Gateway API allows more, but it is a label of metrics.
const RULE_NAME: usize = 60;
/// The rule for requests that the source does not name: without it they would get 404.
const OTHER: &str = "other";

/// What fits the operations best.
pub fn fitting(operations: &[Operation]) -> ProfileFormat {
    let is_grpc = |operation: &Operation| matches!(operation.call, Call::Grpc { .. });
    if !operations.is_empty() && operations.iter().all(is_grpc) {
        ProfileFormat::GrpcRoute
    } else {
        ProfileFormat::HttpRoute
    }
}

/// The documents. The same operations give the same bytes.
pub fn render(operations: &[Operation], target: Target<'_>, format: ProfileFormat) -> String {
    let documents = match format {
        ProfileFormat::ServiceProfile => vec![service_profile(operations, target)],
        ProfileFormat::HttpRoute => routes("HTTPRoute", operations, target, http_rule),
        ProfileFormat::GrpcRoute => routes("GRPCRoute", operations, target, grpc_rule),
    };
    let documents: Vec<String> = documents.iter().map(block_yaml).collect();
    documents.join("---\n")
}

/// What the source says and the format cannot.
pub fn remarks(operations: &[Operation], format: ProfileFormat) -> Vec<String> {
    let mut remarks = Vec::new();
    for operation in operations {
        let name = title(operation);
        if let Some(text) = &operation.timeout
            && byrnie_api::parse_go_duration(text).is_none()
        {
            remarks.push(format!("{name}: the timeout `{text}` is no duration"));
        }
        match (format, &operation.call) {
            (ProfileFormat::GrpcRoute, _) if operation.retryable || operation.timeout.is_some() => {
                remarks.push(format!(
                    "{name}: a GRPCRoute has no retries and no timeout; attach a TrafficPolicy to the Service"
                ));
            }
            (ProfileFormat::HttpRoute, Call::Http { method, .. })
                if operation.retryable && matches!(method.as_str(), "POST" | "PATCH") =>
            {
                remarks.push(format!(
                    "{name}: an HTTPRoute repeats idempotent methods only; a TrafficPolicy with \
                     retry.on.unsafeMethods repeats this one, too"
                ));
            }
            _ => {}
        }
    }
    remarks
}

/// As Linkerd names a route.
fn title(operation: &Operation) -> String {
    match &operation.call {
        Call::Http { method, path } => format!("{method} {path}"),
        Call::Grpc { method, .. } => method.clone(),
    }
}

fn service_profile(operations: &[Operation], target: Target<'_>) -> Value {
    let routes: Vec<Value> = operations.iter().map(profile_route).collect();
    json!({
        "apiVersion": "linkerd.io/v1alpha2",
        "kind": "ServiceProfile",
        "metadata": {
            "creationTimestamp": null,
            "name": format!("{}.{}.svc.cluster.local", target.service, target.namespace),
            "namespace": target.namespace,
        },
        "spec": {"routes": routes},
    })
}

fn profile_route(operation: &Operation) -> Value {
    let (method, path) = match &operation.call {
        Call::Http { method, path } => (method.as_str(), pattern(path)),
        Call::Grpc { service, method } => ("POST", quote_meta(&format!("/{service}/{method}"))),
    };
    let mut route = json!({
        "condition": {"method": method, "pathRegex": path},
        "name": title(operation),
    });
    if operation.retryable {
        route["isRetryable"] = json!(true);
    }
    if let Some(timeout) = operation.timeout.as_ref().filter(|timeout| !timeout.is_empty()) {
        route["timeout"] = json!(timeout);
    }
    let classes: Vec<Value> = operation.statuses.iter().map(|status| response_class(*status)).collect();
    if !classes.is_empty() {
        route["responseClasses"] = json!(classes);
    }
    route
}

fn response_class(status: u16) -> Value {
    let mut class = json!({"condition": {"status": {"max": status, "min": status}}});
    if status >= 500 {
        class["isFailure"] = json!(true);
    }
    class
}

/// Routes of one kind, each with as many rules as it may have; the last rule of the last takes the rest.
fn routes(
    kind: &str,
    operations: &[Operation],
    target: Target<'_>,
    rule: fn(&Operation) -> Value,
) -> Vec<Value> {
    let mut names = BTreeSet::from([OTHER.to_owned()]);
    let mut rules: Vec<Value> = Vec::new();
    for operation in operations {
        let mut rule = rule(operation);
        rule["name"] = json!(unique(&mut names, &slug(&title(operation))));
        rules.push(rule);
    }
    rules.push(json!({"name": OTHER}));
    for rule in &mut rules {
        rule["backendRefs"] = json!([{"name": target.service, "port": target.port}]);
    }
    let count = rules.len().div_ceil(RULES_OF_A_ROUTE);
    let width = count.to_string().len();
    let chunks = rules.chunks(RULES_OF_A_ROUTE).enumerate();
    chunks
        .map(|(index, rules)| {
            let name = match count {
                // Not the Service's own name, which a route of somebody else is likely to have.
                1 => format!("{}-profile", target.service),
                _ => format!("{}-profile-{:0width$}", target.service, index + 1),
            };
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": name, "namespace": target.namespace},
                "spec": {
                    "parentRefs": [{"group": "", "kind": "Service", "name": target.service, "port": target.port}],
                    "rules": rules,
                },
            })
        })
        .collect()
}

fn http_rule(operation: &Operation) -> Value {
    let (method, path) = match &operation.call {
        Call::Http { method, path } => (method.as_str(), path.clone()),
        Call::Grpc { service, method } => ("POST", format!("/{service}/{method}")),
    };
    let path = match has_parameters(&path) {
        true => json!({"type": "RegularExpression", "value": pattern(&path)}),
        false => json!({"type": "Exact", "value": encoded(&path)}),
    };
    let mut rule = json!({"matches": [{"method": method, "path": path}]});
    if let Some(limit) = operation.timeout.as_deref().and_then(byrnie_api::parse_go_duration) {
        rule["timeouts"] = json!({"request": Duration::from(limit).to_string()});
    }
    if operation.retryable {
        // As often as the mesh's default; the budget bounds it anyway.
        rule["retry"] = json!({"attempts": 2, "codes": [500, 502, 503, 504]});
    }
    rule
}

fn grpc_rule(operation: &Operation) -> Value {
    match &operation.call {
        Call::Grpc { service, method } => {
            json!({"matches": [{"method": {"service": service, "method": method}}]})
        }
        Call::Http { .. } => json!({}),
    }
}

fn has_parameters(path: &str) -> bool {
    path.find('{').is_some_and(|open| path[open..].contains('}'))
}

/// A regular expression for the whole path: parameters take one segment each.
fn pattern(path: &str) -> String {
    let mut text = String::new();
    let mut rest = path;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((_, after)) = behind.split_once('}') else { break };
        text.push_str(&quote_meta(before));
        text.push_str("[^/]*");
        rest = after;
    }
    text + &quote_meta(rest)
}

/// Go's `regexp.QuoteMeta`.
fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// What the Gateway API does not allow in a path, percent-encoded.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// `GET /api/{id}` is `get-api-id`, `VoteDoughnut` is `vote-doughnut`.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    let mut after_lower = false;
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && after_lower {
                slug.push('-');
            }
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    slug.truncate(RULE_NAME);
    slug.trim_matches('-').to_owned()
}

fn unique(names: &mut BTreeSet<String>, wanted: &str) -> String {
    let wanted = if wanted.is_empty() { "rule" } else { wanted };
    let mut name = wanted.to_owned();
    let mut number = 2;
    while !names.insert(name.clone()) {
        name = format!("{wanted}-{number}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests;
