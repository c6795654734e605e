//! What routes are made of: patterns, matches, filters, names.

use byrnie_plan::{
    Cors, Filter, HeaderMatch, HeaderModifier, HostPattern, Mirror, PathMatch, PathRewrite, QueryMatch,
    Redirect, Rewrite, RouteKind, RouteName, ValueMatch,
};

use super::field::{MAX_LIST, at, filled, list, maybe, name, port, required, same_names, short};
use super::route::{target_from_proto, target_to_proto};
use crate::error::{DecodeError, Problem};
use crate::generated as pb;

same_names!(
    route_kind_to_proto,
    route_kind_from_proto,
    RouteKind,
    pb::RouteKind,
    [Http, Grpc, Tcp, Tls, Profile]
);

pub(super) fn route_name_to_proto(name: &RouteName) -> pb::RouteName {
    pb::RouteName {
        kind: route_kind_to_proto(name.kind),
        route: name.route.to_string(),
        rule: name.rule.clone(),
    }
}

pub(super) fn route_name_from_proto(wire: pb::RouteName) -> Result<RouteName, DecodeError> {
    Ok(RouteName {
        kind: at("kind", route_kind_from_proto(wire.kind))?,
        route: at("route", name(&wire.route))?,
        rule: at("rule", short(wire.rule))?,
    })
}

pub(super) fn host_to_proto(host: &HostPattern) -> pb::HostPattern {
    use pb::host_pattern::Pattern;
    let pattern = match host {
        HostPattern::Any => Pattern::Any(pb::Flag {}),
        HostPattern::Exact(host) => Pattern::Exact(host.clone()),
        HostPattern::Wildcard(host) => Pattern::Wildcard(host.clone()),
    };
    pb::HostPattern { pattern: Some(pattern) }
}

pub(super) fn host_from_proto(wire: pb::HostPattern) -> Result<HostPattern, DecodeError> {
    use pb::host_pattern::Pattern;
    required("pattern", wire.pattern, |pattern| match pattern {
        Pattern::Any(_) => Ok(HostPattern::Any),
        Pattern::Exact(host) => filled(host).map(HostPattern::Exact),
        Pattern::Wildcard(host) => filled(host).map(HostPattern::Wildcard),
    })
}

pub(super) fn path_to_proto(path: &PathMatch) -> pb::PathMatch {
    use pb::path_match::Match;
    let path = match path {
        PathMatch::Exact(path) => Match::Exact(path.clone()),
        PathMatch::Prefix(path) => Match::Prefix(path.clone()),
        PathMatch::Regex(path) => Match::Regex(path.clone()),
    };
    pb::PathMatch { r#match: Some(path) }
}

pub(super) fn path_from_proto(wire: pb::PathMatch) -> Result<PathMatch, DecodeError> {
    use pb::path_match::Match;
    required("match", wire.r#match, |path| match path {
        Match::Exact(path) => filled(path).map(PathMatch::Exact),
        Match::Prefix(path) => filled(path).map(PathMatch::Prefix),
        Match::Regex(path) => filled(path).map(PathMatch::Regex),
    })
}

fn value_to_proto(value: &ValueMatch) -> pb::ValueMatch {
    use pb::value_match::Match;
    let value = match value {
        ValueMatch::Exact(value) => Match::Exact(value.clone()),
        ValueMatch::Regex(value) => Match::Regex(value.clone()),
    };
    pb::ValueMatch { r#match: Some(value) }
}

fn value_from_proto(wire: pb::ValueMatch) -> Result<ValueMatch, DecodeError> {
    use pb::value_match::Match;
    required("match", wire.r#match, |value| match value {
        Match::Exact(value) => short(value).map(ValueMatch::Exact),
        Match::Regex(value) => short(value).map(ValueMatch::Regex),
    })
}

pub(super) fn header_to_proto(header: &HeaderMatch) -> pb::HeaderMatch {
    pb::HeaderMatch { name: header.name.clone(), value: Some(value_to_proto(&header.value)) }
}

pub(super) fn header_from_proto(wire: pb::HeaderMatch) -> Result<HeaderMatch, DecodeError> {
    Ok(HeaderMatch {
        name: at("name", filled(wire.name))?,
        value: required("value", wire.value, value_from_proto)?,
    })
}

pub(super) fn query_to_proto(query: &QueryMatch) -> pb::QueryMatch {
    pb::QueryMatch { name: query.name.clone(), value: Some(value_to_proto(&query.value)) }
}

pub(super) fn query_from_proto(wire: pb::QueryMatch) -> Result<QueryMatch, DecodeError> {
    Ok(QueryMatch {
        name: at("name", filled(wire.name))?,
        value: required("value", wire.value, value_from_proto)?,
    })
}

pub(super) fn filter_to_proto(filter: &Filter) -> pb::Filter {
    use pb::filter::Filter as Wire;
    let filter = match filter {
        Filter::RequestHeaders(headers) => Wire::RequestHeaders(headers_to_proto(headers)),
        Filter::ResponseHeaders(headers) => Wire::ResponseHeaders(headers_to_proto(headers)),
        Filter::Redirect(redirect) => Wire::Redirect(pb::Redirect {
            scheme: redirect.scheme.clone(),
            hostname: redirect.hostname.clone(),
            path: redirect.path.as_ref().map(rewrite_to_proto),
            port: redirect.port.map(u32::from),
            status: redirect.status.into(),
        }),
        Filter::Rewrite(rewrite) => Wire::Rewrite(pb::Rewrite {
            hostname: rewrite.hostname.clone(),
            path: rewrite.path.as_ref().map(rewrite_to_proto),
        }),
        Filter::Mirror(mirror) => Wire::Mirror(pb::Mirror {
            target: Some(target_to_proto(&mirror.target)),
            numerator: mirror.numerator,
            denominator: mirror.denominator,
        }),
        Filter::Cors(cors) => Wire::Cors(pb::Cors {
            allow_origins: cors.allow_origins.clone(),
            allow_methods: cors.allow_methods.clone(),
            allow_headers: cors.allow_headers.clone(),
            expose_headers: cors.expose_headers.clone(),
            allow_credentials: cors.allow_credentials,
            max_age_seconds: cors.max_age,
        }),
    };
    pb::Filter { filter: Some(filter) }
}

pub(super) fn filter_from_proto(wire: pb::Filter) -> Result<Filter, DecodeError> {
    use pb::filter::Filter as Wire;
    match wire.filter {
        None => Err(DecodeError::new(Problem::Missing).within("filter")),
        Some(Wire::RequestHeaders(headers)) => {
            at("request_headers", headers_from_proto(headers)).map(Filter::RequestHeaders)
        }
        Some(Wire::ResponseHeaders(headers)) => {
            at("response_headers", headers_from_proto(headers)).map(Filter::ResponseHeaders)
        }
        Some(Wire::Redirect(redirect)) => at("redirect", redirect_from_proto(redirect)).map(Filter::Redirect),
        Some(Wire::Rewrite(rewrite)) => Ok(Filter::Rewrite(Rewrite {
            hostname: maybe("hostname", rewrite.hostname, filled)?,
            path: maybe("path", rewrite.path, rewrite_from_proto)?,
        })),
        Some(Wire::Mirror(mirror)) => at("mirror", mirror_from_proto(mirror)).map(Filter::Mirror),
        Some(Wire::Cors(cors)) => at("cors", cors_from_proto(cors)).map(Filter::Cors),
    }
}

fn headers_to_proto(headers: &HeaderModifier) -> pb::HeaderModifier {
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(name, value)| pb::Header { name: name.clone(), value: value.clone() }).collect()
    };
    pb::HeaderModifier { set: pairs(&headers.set), add: pairs(&headers.add), remove: headers.remove.clone() }
}

fn headers_from_proto(wire: pb::HeaderModifier) -> Result<HeaderModifier, DecodeError> {
    let pair = |header: pb::Header| Ok((at("name", filled(header.name))?, at("value", short(header.value))?));
    Ok(HeaderModifier {
        set: list("set", wire.set, MAX_LIST, pair)?,
        add: list("add", wire.add, MAX_LIST, pair)?,
        remove: list("remove", wire.remove, MAX_LIST, filled)?,
    })
}

fn redirect_from_proto(wire: pb::Redirect) -> Result<Redirect, DecodeError> {
    let status = match wire.status {
        301 => 301,
        302 => 302,
        303 => 303,
        307 => 307,
        308 => 308,
        _ => return Err(super::field::invalid("301, 302, 303, 307 or 308").within("status")),
    };
    Ok(Redirect {
        scheme: maybe("scheme", wire.scheme, filled)?,
        hostname: maybe("hostname", wire.hostname, filled)?,
        path: maybe("path", wire.path, rewrite_from_proto)?,
        port: maybe("port", wire.port, port)?,
        status,
    })
}

fn mirror_from_proto(wire: pb::Mirror) -> Result<Mirror, DecodeError> {
    if wire.denominator == 0 {
        let problem = Problem::OutOfRange { value: 0, min: 1, max: u32::MAX.into() };
        return Err(DecodeError::new(problem).within("denominator"));
    }
    Ok(Mirror {
        target: required("target", wire.target, target_from_proto)?,
        numerator: wire.numerator,
        denominator: wire.denominator,
    })
}

fn cors_from_proto(wire: pb::Cors) -> Result<Cors, DecodeError> {
    Ok(Cors {
        allow_origins: list("allow_origins", wire.allow_origins, MAX_LIST, filled)?,
        allow_methods: list("allow_methods", wire.allow_methods, MAX_LIST, filled)?,
        allow_headers: list("allow_headers", wire.allow_headers, MAX_LIST, filled)?,
        expose_headers: list("expose_headers", wire.expose_headers, MAX_LIST, filled)?,
        allow_credentials: wire.allow_credentials,
        max_age: wire.max_age_seconds,
    })
}

fn rewrite_to_proto(path: &PathRewrite) -> pb::PathRewrite {
    use pb::path_rewrite::Path;
    let path = match path {
        PathRewrite::Full(path) => Path::Full(path.clone()),
        PathRewrite::Prefix(path) => Path::Prefix(path.clone()),
    };
    pb::PathRewrite { path: Some(path) }
}

/// An empty replacement is legal: it removes the prefix.
fn rewrite_from_proto(wire: pb::PathRewrite) -> Result<PathRewrite, DecodeError> {
    use pb::path_rewrite::Path;
    required("path", wire.path, |path| match path {
        Path::Full(path) => short(path).map(PathRewrite::Full),
        Path::Prefix(path) => short(path).map(PathRewrite::Prefix),
    })
}
