//! Rules of routes: matches, backends, limits. Filters are read in `filters`.

use byrnie_api::generated as api;
use byrnie_plan::{
    HeaderMatch, ObjectName, PathMatch, QueryMatch, REGEX_PATTERN_LIMIT, REGEX_SIZE_LIMIT, Retry, RetryOn,
    Timeouts, ValueMatch,
};

use super::filters::{grpc_filter, http_filter};
use crate::model::{BackendRef, Match, Meta, Rule, WantedBackend};

pub(super) fn http(meta: &Meta, index: usize, rule: &api::HTTPRouteRule) -> Rule {
    let matches: Result<Vec<Match>, String> = rule.matches.iter().map(http_match).collect();
    let backends = rule.backend_refs.iter().map(|backend| WantedBackend {
        reference: backend_ref(
            meta,
            &backend.group,
            &backend.kind,
            backend.namespace.as_ref(),
            &backend.name,
            backend.port,
        ),
        weight: backend.weight,
        filters: backend.filters.iter().map(|filter| http_filter(meta, filter)).collect(),
    });
    let timeouts = rule.timeouts.as_ref();
    Rule {
        name: rule_name(rule.name.as_ref(), index),
        matches: matches.map(or_everything),
        filters: rule.filters.iter().map(|filter| http_filter(meta, filter)).collect(),
        backends: backends.collect(),
        timeouts: Timeouts {
            request: timeouts.and_then(|t| t.request).map(|d| d.get()),
            backend_request: timeouts.and_then(|t| t.backend_request).map(|d| d.get()),
        },
        retry: rule.retry.as_ref().map(retry),
    }
}

pub(super) fn grpc(meta: &Meta, index: usize, rule: &api::GRPCRouteRule) -> Rule {
    let matches: Result<Vec<Match>, String> = rule.matches.iter().map(grpc_match).collect();
    let backends = rule.backend_refs.iter().map(|backend| WantedBackend {
        reference: backend_ref(
            meta,
            &backend.group,
            &backend.kind,
            backend.namespace.as_ref(),
            &backend.name,
            backend.port,
        ),
        weight: backend.weight,
        filters: backend.filters.iter().map(|filter| grpc_filter(meta, filter)).collect(),
    });
    Rule {
        name: rule_name(rule.name.as_ref(), index),
        matches: matches.map(or_everything),
        filters: rule.filters.iter().map(|filter| grpc_filter(meta, filter)).collect(),
        backends: backends.collect(),
        timeouts: Timeouts::default(),
        retry: None,
    }
}

pub(super) fn tcp(meta: &Meta, index: usize, rule: &api::TCPRouteRule) -> Rule {
    connections(meta, rule_name(rule.name.as_ref(), index), &rule.backend_refs)
}

pub(super) fn tls(meta: &Meta, index: usize, rule: &api::TLSRouteRule) -> Rule {
    connections(meta, rule_name(rule.name.as_ref(), index), &rule.backend_refs)
}

fn connections(meta: &Meta, name: String, backends: &[api::BackendRef]) -> Rule {
    let backends = backends.iter().map(|backend| WantedBackend {
        reference: backend_ref(
            meta,
            &backend.group,
            &backend.kind,
            backend.namespace.as_ref(),
            &backend.name,
            backend.port,
        ),
        weight: backend.weight,
        filters: Vec::new(),
    });
    Rule {
        name,
        matches: Ok(or_everything(Vec::new())),
        filters: Vec::new(),
        backends: backends.collect(),
        timeouts: Timeouts::default(),
        retry: None,
    }
}

fn rule_name(name: Option<&String>, index: usize) -> String {
    name.cloned().unwrap_or_else(|| index.to_string())
}

/// A rule without matches takes everything.
fn or_everything(matches: Vec<Match>) -> Vec<Match> {
    if !matches.is_empty() {
        return matches;
    }
    let path = PathMatch::Prefix("/".to_owned());
    vec![Match { path, method: None, headers: Vec::new(), queries: Vec::new() }]
}

fn http_match(way: &api::HTTPRouteMatch) -> Result<Match, String> {
    let path = &way.path.value;
    let path = match way.path.type_ {
        api::PathMatchType::RegularExpression => PathMatch::Regex(regex(path)?),
        _ if !path.starts_with('/') => return Err(format!("path {path:?} does not begin with /")),
        api::PathMatchType::Exact => PathMatch::Exact(path.clone()),
        api::PathMatchType::PathPrefix => PathMatch::Prefix(prefix(path)),
    };
    // Of several entries with one name the first counts (Gateway API).
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for header in &way.headers {
        push_header(&mut headers, &header.name, header.type_, &header.value)?;
    }
    let mut queries: Vec<QueryMatch> = Vec::new();
    for query in &way.query_params {
        if queries.iter().all(|known| known.name != query.name) {
            queries.push(QueryMatch { name: query.name.clone(), value: value(query.type_, &query.value)? });
        }
    }
    let method = way.method.as_ref().map(|method| method_name(*method).to_owned());
    Ok(Match { path, method, headers, queries })
}

/// gRPC calls are requests to `/service/method`. The HTTP method is not looked at, as in other
/// implementations: a gRPC server refuses what is not a POST itself.
fn grpc_match(way: &api::GRPCRouteMatch) -> Result<Match, String> {
    let path = match &way.method {
        None => PathMatch::Prefix("/".to_owned()),
        Some(call) => {
            let part = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            match (call.type_, part(&call.service), part(&call.method)) {
                (_, None, None) => PathMatch::Prefix("/".to_owned()),
                (api::ValueMatchType::Exact, Some(service), Some(method)) => {
                    PathMatch::Exact(format!("/{service}/{method}"))
                }
                (api::ValueMatchType::Exact, Some(service), None) => PathMatch::Prefix(format!("/{service}")),
                (api::ValueMatchType::Exact, None, Some(method)) => {
                    PathMatch::Regex(format!("/[^/]+/{}", regex::escape(&method)))
                }
                (api::ValueMatchType::RegularExpression, service, method) => {
                    let any = || "[^/]+".to_owned();
                    let service = regex(&service.unwrap_or_else(any))?;
                    let method = regex(&method.unwrap_or_else(any))?;
                    PathMatch::Regex(regex(&format!("/(?:{service})/(?:{method})"))?)
                }
            }
        }
    };
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for header in &way.headers {
        push_header(&mut headers, &header.name, header.type_, &header.value)?;
    }
    Ok(Match { path, method: None, headers, queries: Vec::new() })
}

fn push_header(
    headers: &mut Vec<HeaderMatch>,
    name: &str,
    kind: api::ValueMatchType,
    text: &str,
) -> Result<(), String> {
    let name = name.to_ascii_lowercase();
    if headers.iter().all(|known| known.name != name) {
        headers.push(HeaderMatch { name, value: value(kind, text)? });
    }
    Ok(())
}

/// A prefix ends without `/`, but for `/` itself.
pub(crate) fn prefix(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

fn value(kind: api::ValueMatchType, text: &str) -> Result<ValueMatch, String> {
    Ok(match kind {
        api::ValueMatchType::Exact => ValueMatch::Exact(text.to_owned()),
        api::ValueMatchType::RegularExpression => ValueMatch::Regex(regex(text)?),
    })
}

/// Checks an expression with the limits that the proxy compiles it with.
pub(crate) fn regex(text: &str) -> Result<String, String> {
    if text.len() > REGEX_PATTERN_LIMIT {
        return Err(format!(
            "a regular expression of {} bytes is longer than {REGEX_PATTERN_LIMIT}",
            text.len()
        ));
    }
    let build = |pattern: &str| regex::bytes::RegexBuilder::new(pattern).size_limit(REGEX_SIZE_LIMIT).build();
    // Alone first, as the proxy does: `a)|(b` would otherwise escape from the group.
    match build(text).and_then(|_| build(&format!(r"\A(?:{text})\z"))) {
        Ok(_) => Ok(text.to_owned()),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err(format!("regular expression {text:?} needs too much memory"))
        }
        // The parser's message has several lines and a caret; the last line says what is wrong.
        Err(error) => {
            let error = error.to_string();
            Err(format!("regular expression {text:?}: {}", error.lines().last().unwrap_or_default()))
        }
    }
}

/// Statuses named here are tried again; connection errors always are (`HTTPRouteRetryConnectionError`).
fn retry(retry: &api::HTTPRouteRetry) -> Retry {
    let default = Retry::default();
    let backoff = retry.backoff.map_or(default.backoff, |backoff| backoff.get());
    Retry {
        attempts: retry.attempts,
        on: RetryOn { statuses: retry.codes.clone(), connection_error: true, ..RetryOn::default() },
        backoff,
        backoff_max: default.backoff_max.max(backoff),
        ..default
    }
}

pub(super) fn backend_ref(
    meta: &Meta,
    group: &str,
    kind: &str,
    namespace: Option<&String>,
    name: &str,
    port: Option<u16>,
) -> BackendRef {
    let namespace = namespace.unwrap_or(&meta.name.namespace);
    BackendRef {
        group: if group == "core" { String::new() } else { group.to_owned() },
        kind: kind.to_owned(),
        name: ObjectName::new(namespace.as_str(), name),
        port,
    }
}

fn method_name(method: api::HTTPMethod) -> &'static str {
    match method {
        api::HTTPMethod::Get => "GET",
        api::HTTPMethod::Head => "HEAD",
        api::HTTPMethod::Post => "POST",
        api::HTTPMethod::Put => "PUT",
        api::HTTPMethod::Delete => "DELETE",
        api::HTTPMethod::Connect => "CONNECT",
        api::HTTPMethod::Options => "OPTIONS",
        api::HTTPMethod::Trace => "TRACE",
        api::HTTPMethod::Patch => "PATCH",
    }
}
