//! Filters of rules and of backends.

use byrnie_api::generated as api;
use byrnie_plan::{Cors, Filter, HeaderModifier, PathRewrite, Redirect, Rewrite};

use super::rules::backend_ref;
use crate::model::{Meta, WantedFilter};

pub(super) fn http_filter(meta: &Meta, filter: &api::HTTPRouteFilter) -> WantedFilter {
    use api::HTTPRouteFilterType as Type;
    let done = match filter.type_ {
        Type::RequestHeaderModifier => {
            filter.request_header_modifier.as_ref().map(|f| ready(Filter::RequestHeaders(modifier(f))))
        }
        Type::ResponseHeaderModifier => {
            filter.response_header_modifier.as_ref().map(|f| ready(Filter::ResponseHeaders(modifier(f))))
        }
        Type::RequestMirror => filter.request_mirror.as_ref().map(|f| mirror(meta, f)),
        Type::RequestRedirect => filter.request_redirect.as_ref().map(redirect),
        Type::URLRewrite => filter.url_rewrite.as_ref().map(|f| {
            let rewrite =
                Rewrite { hostname: f.hostname.clone(), path: f.path.as_ref().and_then(path_rewrite) };
            ready(Filter::Rewrite(rewrite))
        }),
        Type::Cors => filter.cors.as_ref().map(|f| ready(Filter::Cors(cors(f)))),
        Type::ExtensionRef => None,
    };
    done.unwrap_or_else(|| WantedFilter::Unsupported(format!("filter {:?} is not supported", filter.type_)))
}

pub(super) fn grpc_filter(meta: &Meta, filter: &api::GRPCRouteFilter) -> WantedFilter {
    use api::GRPCRouteFilterType as Type;
    let done = match filter.type_ {
        Type::RequestHeaderModifier => {
            filter.request_header_modifier.as_ref().map(|f| ready(Filter::RequestHeaders(modifier(f))))
        }
        Type::ResponseHeaderModifier => {
            filter.response_header_modifier.as_ref().map(|f| ready(Filter::ResponseHeaders(modifier(f))))
        }
        Type::RequestMirror => filter.request_mirror.as_ref().map(|f| mirror(meta, f)),
        Type::ExtensionRef => None,
    };
    done.unwrap_or_else(|| WantedFilter::Unsupported(format!("filter {:?} is not supported", filter.type_)))
}

fn ready(filter: Filter) -> WantedFilter {
    WantedFilter::Ready(filter)
}

fn modifier(filter: &api::HTTPHeaderFilter) -> HeaderModifier {
    // Of several entries whose names differ in case only the first holds (Gateway API: HTTPHeader.name).
    let pairs = |list: &[api::HTTPHeader]| {
        let mut pairs: Vec<(String, String)> = Vec::with_capacity(list.len());
        for header in list {
            let name = header.name.to_ascii_lowercase();
            if pairs.iter().all(|(known, _)| *known != name) {
                pairs.push((name, header.value.clone()));
            }
        }
        pairs
    };
    HeaderModifier {
        set: pairs(&filter.set),
        add: pairs(&filter.add),
        remove: filter.remove.iter().map(|name| name.to_ascii_lowercase()).collect(),
    }
}

fn cors(filter: &api::HTTPCORSFilter) -> Cors {
    let names = |list: &[String]| list.iter().map(|name| name.to_ascii_lowercase()).collect();
    Cors {
        allow_origins: filter.allow_origins.clone(),
        allow_methods: filter.allow_methods.iter().map(|method| cors_method(*method).to_owned()).collect(),
        allow_headers: names(&filter.allow_headers),
        expose_headers: names(&filter.expose_headers),
        allow_credentials: filter.allow_credentials == Some(true),
        max_age: filter.max_age,
    }
}

fn cors_method(method: api::HTTPMethodWithWildcard) -> &'static str {
    match method {
        api::HTTPMethodWithWildcard::Get => "GET",
        api::HTTPMethodWithWildcard::Head => "HEAD",
        api::HTTPMethodWithWildcard::Post => "POST",
        api::HTTPMethodWithWildcard::Put => "PUT",
        api::HTTPMethodWithWildcard::Delete => "DELETE",
        api::HTTPMethodWithWildcard::Connect => "CONNECT",
        api::HTTPMethodWithWildcard::Options => "OPTIONS",
        api::HTTPMethodWithWildcard::Trace => "TRACE",
        api::HTTPMethodWithWildcard::Patch => "PATCH",
        api::HTTPMethodWithWildcard::Any => "*",
    }
}

fn mirror(meta: &Meta, filter: &api::HTTPRequestMirrorFilter) -> WantedFilter {
    let backend = &filter.backend_ref;
    let (numerator, denominator) = match (&filter.fraction, filter.percent) {
        (Some(fraction), _) => (fraction.numerator, fraction.denominator.max(1)),
        (None, Some(percent)) => (u32::from(percent), 100),
        (None, None) => (1, 1),
    };
    let backend = backend_ref(
        meta,
        &backend.group,
        &backend.kind,
        backend.namespace.as_ref(),
        &backend.name,
        backend.port,
    );
    WantedFilter::Mirror { backend, numerator, denominator }
}

fn redirect(filter: &api::HTTPRequestRedirectFilter) -> WantedFilter {
    if ![301, 302, 303, 307, 308].contains(&filter.status_code) {
        return WantedFilter::Unsupported(format!(
            "a redirect with status {} is not supported",
            filter.status_code
        ));
    }
    ready(Filter::Redirect(Redirect {
        scheme: filter.scheme.map(|scheme| match scheme {
            api::RedirectScheme::Http => "http".to_owned(),
            api::RedirectScheme::Https => "https".to_owned(),
        }),
        hostname: filter.hostname.clone(),
        path: filter.path.as_ref().and_then(path_rewrite),
        port: filter.port,
        status: filter.status_code,
    }))
}

fn path_rewrite(path: &api::HTTPPathModifier) -> Option<PathRewrite> {
    match path.type_ {
        api::HTTPPathModifierType::ReplaceFullPath => path.replace_full_path.clone().map(PathRewrite::Full),
        api::HTTPPathModifierType::ReplacePrefixMatch => {
            path.replace_prefix_match.clone().map(PathRewrite::Prefix)
        }
    }
}
