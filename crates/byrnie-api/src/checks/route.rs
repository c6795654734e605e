//! Rules of the Gateway API's routes.

use super::Issues;
use crate::codes;
use crate::generated::{
    BackendObjectReference, BackendRef, GRPCRouteFilter, GRPCRouteFilterType, GRPCRouteRule, GRPCRouteSpec,
    HTTPCORSFilter, HTTPMethodWithWildcard, HTTPPathMatch, HTTPPathModifier, HTTPPathModifierType,
    HTTPRequestMirrorFilter, HTTPRouteFilter, HTTPRouteFilterType, HTTPRouteRule, HTTPRouteSpec,
    ParentReference, PathMatchType, TCPRouteSpec, TLSRouteSpec, UDPRouteSpec, ValueMatchType,
};

/// Matches of one route, all rules together.
const MATCHES_LIMIT: usize = 128;

pub(super) fn http_route(spec: &HTTPRouteSpec, issues: &mut Issues) {
    parents(&spec.parent_refs, issues);
    rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()), issues);
    match_count(spec.rules.iter().map(|rule| rule.matches.len()).sum(), issues);
    for (index, rule) in spec.rules.iter().enumerate() {
        http_rule(&format!("spec.rules[{index}]"), rule, issues);
    }
}

fn http_rule(path: &str, rule: &HTTPRouteRule, issues: &mut Issues) {
    for (index, match_) in rule.matches.iter().enumerate() {
        let path = format!("{path}.matches[{index}]");
        path_match(&format!("{path}.path"), &match_.path, issues);
        for (index, header) in match_.headers.iter().enumerate() {
            value_match(format!("{path}.headers[{index}].value"), header.type_, &header.value, issues);
        }
        for (index, query) in match_.query_params.iter().enumerate() {
            value_match(format!("{path}.queryParams[{index}].value"), query.type_, &query.value, issues);
        }
    }
    let only_one_prefix =
        matches!(rule.matches.as_slice(), [only] if only.path.type_ == PathMatchType::PathPrefix);
    http_filters(&format!("{path}.filters"), &rule.filters, only_one_prefix, issues);
    let redirects = rule.filters.iter().any(|filter| filter.type_ == HTTPRouteFilterType::RequestRedirect);
    if redirects && !rule.backend_refs.is_empty() {
        let message = "a rule that redirects has no backends";
        issues.error(codes::FILTER_CONFLICT, format!("{path}.backendRefs"), message);
    }
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        let path = format!("{path}.backendRefs[{index}]");
        service_port(&path, &backend.group, &backend.kind, backend.port, issues);
        http_filters(&format!("{path}.filters"), &backend.filters, only_one_prefix, issues);
    }
    if let Some(timeouts) = &rule.timeouts
        && let (Some(request), Some(backend)) = (timeouts.request, timeouts.backend_request)
        && !request.is_zero()
        && backend > request
    {
        let message = format!("{backend} is longer than the whole request may take ({request})");
        issues.error(codes::TIMEOUT_ORDER, format!("{path}.timeouts.backendRequest"), message);
    }
}

fn path_match(path: &str, match_: &HTTPPathMatch, issues: &mut Issues) {
    path_value(path, match_.type_ == PathMatchType::RegularExpression, &match_.value, issues);
}

pub(super) fn path_value(path: &str, is_regex: bool, value: &str, issues: &mut Issues) {
    if is_regex {
        return issues.regex(format!("{path}.value"), value);
    }
    let normal = value.starts_with('/')
        && !["//", "/./", "/../", "%2f", "%2F", "#"].iter().any(|part| value.contains(part))
        && !value.ends_with("/..")
        && !value.ends_with("/.")
        && is_path(value.as_bytes());
    if !normal {
        issues.error(
            codes::BAD_PATH,
            format!("{path}.value"),
            format!("{value:.64?} is not a path in normal form"),
        );
    }
}

/// Unreserved, sub-delims, `:`, `@`, `/`, and `%` before two hexadecimal digits (RFC 3986).
fn is_path(mut bytes: &[u8]) -> bool {
    loop {
        bytes = match bytes {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(byte) => rest,
            _ => return false,
        }
    }
}

fn value_match(path: String, type_: ValueMatchType, value: &str, issues: &mut Issues) {
    if type_ == ValueMatchType::RegularExpression {
        issues.regex(path, value);
    }
}

fn http_filters(path: &str, filters: &[HTTPRouteFilter], only_one_prefix: bool, issues: &mut Issues) {
    use HTTPRouteFilterType as Type;
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let fields = [
            (Type::RequestHeaderModifier, "requestHeaderModifier", filter.request_header_modifier.is_some()),
            (
                Type::ResponseHeaderModifier,
                "responseHeaderModifier",
                filter.response_header_modifier.is_some(),
            ),
            (Type::RequestMirror, "requestMirror", filter.request_mirror.is_some()),
            (Type::RequestRedirect, "requestRedirect", filter.request_redirect.is_some()),
            (Type::URLRewrite, "urlRewrite", filter.url_rewrite.is_some()),
            (Type::ExtensionRef, "extensionRef", filter.extension_ref.is_some()),
            (Type::Cors, "cors", filter.cors.is_some()),
        ];
        filter_fields(&path, &fields, filter.type_, issues);
        let redirect_path = filter.request_redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
        let rewrite_path = filter.url_rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
        for (field, modifier) in [("requestRedirect", redirect_path), ("urlRewrite", rewrite_path)] {
            if let Some(modifier) = modifier {
                path_modifier(&format!("{path}.{field}.path"), modifier, only_one_prefix, issues);
            }
        }
        if let Some(filter) = &filter.request_mirror {
            mirror(&format!("{path}.requestMirror"), filter, issues);
        }
        if let Some(filter) = &filter.cors {
            cors(&format!("{path}.cors"), filter, issues);
        }
    }
    let repeatable = [Type::RequestMirror, Type::ExtensionRef];
    let keys = filters.iter().enumerate().map(|(index, filter)| {
        (Some(filter.type_).filter(|type_| !repeatable.contains(type_)), format!("{path}[{index}]"))
    });
    issues.unique(codes::FILTER_REPEATED, keys, "type");
    let has = |type_| filters.iter().any(|filter| filter.type_ == type_);
    if has(Type::RequestRedirect) && has(Type::URLRewrite) {
        issues.error(codes::FILTER_CONFLICT, path, "a redirect and a rewrite exclude each other");
    }
}

fn mirror(path: &str, mirror: &HTTPRequestMirrorFilter, issues: &mut Issues) {
    backend_reference(&format!("{path}.backendRef"), &mirror.backend_ref, issues);
    if mirror.percent.is_some() && mirror.fraction.is_some() {
        issues.error(codes::FILTER_CONFLICT, path, "percent and fraction exclude each other");
    }
    if mirror.fraction.as_ref().is_some_and(|share| share.numerator > share.denominator) {
        issues.error(codes::OUT_OF_RANGE, format!("{path}.fraction"), "the share is more than the whole");
    }
}

/// `*` stands alone.
fn cors(path: &str, cors: &HTTPCORSFilter, issues: &mut Issues) {
    let lists = [
        ("allowOrigins", cors.allow_origins.len(), cors.allow_origins.iter().any(|one| one == "*")),
        ("allowHeaders", cors.allow_headers.len(), cors.allow_headers.iter().any(|one| one == "*")),
        ("allowMethods", cors.allow_methods.len(), cors.allow_methods.contains(&HTTPMethodWithWildcard::Any)),
    ];
    for (field, count, has_wildcard) in lists {
        if has_wildcard && count > 1 {
            let message = "'*' stands for all, and others are named beside it";
            issues.error(codes::CORS_WILDCARD, format!("{path}.{field}"), message);
        }
    }
}

/// Exactly the field of the filter's type must be set.
fn filter_fields<T: PartialEq>(path: &str, fields: &[(T, &str, bool)], type_: T, issues: &mut Issues) {
    for (of_type, field, is_set) in fields {
        if *of_type == type_ && !is_set {
            issues.error(
                codes::FILTER_MISMATCH,
                format!("{path}.{field}"),
                "a filter of this type needs this field",
            );
        }
        if *of_type != type_ && *is_set {
            issues.error(
                codes::FILTER_MISMATCH,
                format!("{path}.{field}"),
                "a filter of this type has no such field",
            );
        }
    }
}

fn path_modifier(path: &str, modifier: &HTTPPathModifier, only_one_prefix: bool, issues: &mut Issues) {
    let is_full = modifier.type_ == HTTPPathModifierType::ReplaceFullPath;
    if modifier.replace_full_path.is_some() != is_full || modifier.replace_prefix_match.is_some() == is_full {
        let message = "exactly the field of the type must be set";
        issues.error(codes::FILTER_MISMATCH, path, message);
    }
    if !is_full && !only_one_prefix {
        let message = "the rule must have exactly one match, of type PathPrefix";
        issues.error(codes::PREFIX_REWRITE, path, message);
    }
}

pub(super) fn grpc_route(spec: &GRPCRouteSpec, issues: &mut Issues) {
    parents(&spec.parent_refs, issues);
    rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()), issues);
    match_count(spec.rules.iter().map(|rule| rule.matches.len()).sum(), issues);
    for (index, rule) in spec.rules.iter().enumerate() {
        grpc_rule(&format!("spec.rules[{index}]"), rule, issues);
    }
}

fn grpc_rule(path: &str, rule: &GRPCRouteRule, issues: &mut Issues) {
    for (index, match_) in rule.matches.iter().enumerate() {
        let path = format!("{path}.matches[{index}]");
        if let Some(method) = &match_.method {
            let (service, name) = (method.service.as_deref(), method.method.as_deref());
            if service.unwrap_or_default().is_empty() && name.unwrap_or_default().is_empty() {
                let message = "neither service nor method is given";
                issues.error(codes::EMPTY_MATCH, format!("{path}.method"), message);
            }
            for (field, text) in [("service", service), ("method", name)] {
                if let Some(text) = text {
                    grpc_name(
                        format!("{path}.method.{field}"),
                        method.type_,
                        text,
                        field == "service",
                        issues,
                    );
                }
            }
        }
        for (index, header) in match_.headers.iter().enumerate() {
            value_match(format!("{path}.headers[{index}].value"), header.type_, &header.value, issues);
        }
    }
    grpc_filters(&format!("{path}.filters"), &rule.filters, issues);
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        let path = format!("{path}.backendRefs[{index}]");
        service_port(&path, &backend.group, &backend.kind, backend.port, issues);
        grpc_filters(&format!("{path}.filters"), &backend.filters, issues);
    }
}

/// `package.Service` or `Method`, when compared exactly.
fn grpc_name(path: String, type_: ValueMatchType, text: &str, dots: bool, issues: &mut Issues) {
    if type_ == ValueMatchType::RegularExpression {
        return issues.regex(path, text);
    }
    let is_word = |part: &str| {
        part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let good =
        if dots { text.strip_prefix('.').unwrap_or(text).split('.').all(is_word) } else { is_word(text) };
    if !good {
        issues.error(codes::BAD_FORMAT, path, format!("{text:.64?} is no name of a gRPC service or method"));
    }
}

fn grpc_filters(path: &str, filters: &[GRPCRouteFilter], issues: &mut Issues) {
    use GRPCRouteFilterType as Type;
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let fields = [
            (Type::RequestHeaderModifier, "requestHeaderModifier", filter.request_header_modifier.is_some()),
            (
                Type::ResponseHeaderModifier,
                "responseHeaderModifier",
                filter.response_header_modifier.is_some(),
            ),
            (Type::RequestMirror, "requestMirror", filter.request_mirror.is_some()),
            (Type::ExtensionRef, "extensionRef", filter.extension_ref.is_some()),
        ];
        filter_fields(&path, &fields, filter.type_, issues);
        if let Some(filter) = &filter.request_mirror {
            mirror(&format!("{path}.requestMirror"), filter, issues);
        }
    }
    let once = [Type::RequestHeaderModifier, Type::ResponseHeaderModifier];
    let keys = filters.iter().enumerate().map(|(index, filter)| {
        (Some(filter.type_).filter(|type_| once.contains(type_)), format!("{path}[{index}]"))
    });
    issues.unique(codes::FILTER_REPEATED, keys, "type");
}

pub(super) fn tcp_route(spec: &TCPRouteSpec, issues: &mut Issues) {
    parents(&spec.parent_refs, issues);
    rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()), issues);
    connections(spec.rules.iter().map(|rule| rule.backend_refs.as_slice()), issues);
}

pub(super) fn udp_route(spec: &UDPRouteSpec, issues: &mut Issues) {
    parents(&spec.parent_refs, issues);
    rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()), issues);
    connections(spec.rules.iter().map(|rule| rule.backend_refs.as_slice()), issues);
}

pub(super) fn tls_route(spec: &TLSRouteSpec, issues: &mut Issues) {
    parents(&spec.parent_refs, issues);
    rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()), issues);
    connections(spec.rules.iter().map(|rule| rule.backend_refs.as_slice()), issues);
    for (index, host) in spec.hostnames.iter().enumerate() {
        let name = host.strip_prefix("*.").unwrap_or(host);
        if !is_dns_name(name) || host.parse::<std::net::IpAddr>().is_ok() {
            let message = format!("{host:.64?} is no DNS name");
            issues.error(codes::BAD_HOSTNAME, format!("spec.hostnames[{index}]"), message);
        }
    }
}

fn connections<'a>(rules: impl Iterator<Item = &'a [BackendRef]>, issues: &mut Issues) {
    for (index, backends) in rules.enumerate() {
        for (backend_index, backend) in backends.iter().enumerate() {
            let path = format!("spec.rules[{index}].backendRefs[{backend_index}]");
            service_port(&path, &backend.group, &backend.kind, backend.port, issues);
        }
    }
}

/// Labels of lower-case letters, digits and inner hyphens (the CRDs' pattern, which bounds no label).
pub(super) fn is_dns_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    })
}

/// Several references to one parent must each name another section of it. Ports do not tell them apart: that is the
/// experimental channel's rule.
fn parents(parents: &[ParentReference], issues: &mut Issues) {
    for (index, parent) in parents.iter().enumerate() {
        let given = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
        let is_same = |other: &&ParentReference| {
            (&other.group, &other.kind, &other.name) == (&parent.group, &parent.kind, &parent.name)
                && given(&other.namespace) == given(&parent.namespace)
        };
        let ambiguous = parents[..index].iter().filter(is_same).any(|other| {
            let (one, two) = (given(&other.section_name), given(&parent.section_name));
            one == two || one.is_none() || two.is_none()
        });
        if ambiguous {
            let message = format!("{} {} is named twice", parent.kind, parent.name);
            issues.error(codes::PARENT_REFS, format!("spec.parentRefs[{index}]"), message);
        }
    }
}

fn rule_names<'a>(names: impl Iterator<Item = Option<&'a String>>, issues: &mut Issues) {
    let keys = names.enumerate().map(|(index, name)| (name, format!("spec.rules[{index}].name")));
    issues.unique(codes::DUPLICATE_ENTRY, keys, "name");
}

fn match_count(count: usize, issues: &mut Issues) {
    if count > MATCHES_LIMIT {
        issues.error(
            codes::TOO_MANY_MATCHES,
            "spec.rules",
            format!("{count} matches, at most {MATCHES_LIMIT} are possible"),
        );
    }
}

fn backend_reference(path: &str, backend: &BackendObjectReference, issues: &mut Issues) {
    service_port(path, &backend.group, &backend.kind, backend.port, issues);
}

fn service_port(path: &str, group: &str, kind: &str, port: Option<u16>, issues: &mut Issues) {
    if group.is_empty() && kind == "Service" && port.is_none() {
        issues.error(codes::NO_PORT, format!("{path}.port"), "a reference to a Service needs the port");
    }
}
