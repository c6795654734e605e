//! What a rule does to a request and its response: redirects, rewrites, headers.

use byrnie_decide::{normalize_authority, rewrite_path};
use byrnie_plan::{PathMatch, Redirect, Rewrite};
use http::header::HOST;
use http::{HeaderValue, Response, request};

use crate::config::RuleFilters;
use crate::error::{Kind, ProxyError};
use crate::front::Front;
use crate::http::body::Body;
use crate::{reply, route};

/// Applies what comes before the backend. `Some`: the rule answers itself.
pub fn apply(
    filters: &RuleFilters,
    front: &Front,
    matched: &PathMatch,
    head: &mut request::Parts,
) -> Result<Option<Response<Body>>, ProxyError> {
    if !filters.request.is_empty() {
        filters.request.apply(&mut head.headers);
    }
    if let Some(redirect) = &filters.redirect {
        return redirect_to(redirect, front, matched, head).map(Some);
    }
    if let Some(rewrite) = &filters.rewrite {
        rewrite_head(rewrite, matched, head)?;
    }
    Ok(None)
}

fn rewrite_head(rewrite: &Rewrite, matched: &PathMatch, head: &mut request::Parts) -> Result<(), ProxyError> {
    if let Some(host) = &rewrite.hostname {
        let host = HeaderValue::from_str(host).map_err(|_| {
            ProxyError::unprocessed(Kind::Internal, format!("the host {host:?} cannot be sent"))
        })?;
        head.headers.insert(HOST, host);
    }
    if let Some(path) = &rewrite.path {
        let new = rewrite_path(head.uri.path(), matched, path).into_owned();
        head.uri = route::with_path(&head.uri, &new)?;
    }
    Ok(())
}

/// As the Gateway API's HTTPRequestRedirectFilter says: what is not given stays as the request has it; the port is
/// left out where it is the scheme's own.
fn redirect_to(
    redirect: &Redirect,
    front: &Front,
    matched: &PathMatch,
    head: &request::Parts,
) -> Result<Response<Body>, ProxyError> {
    let asked = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let asked = normalize_authority(asked).ok();
    let scheme = redirect.scheme.as_deref().unwrap_or("http");
    let host = match (&redirect.hostname, &asked) {
        (Some(host), _) => host.as_str(),
        (None, Some(asked)) => &asked.host,
        (None, None) => {
            return Err(ProxyError::unprocessed(Kind::BadRequest, "a redirect needs the request's host"));
        }
    };
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => Some(port),
        (None, Some(_)) => None,
        // A service's address is local: the port by which the caller reached it is the way back to it.
        (None, None) if redirect.hostname.is_none() => {
            front.listener_port().or(asked.as_ref().and_then(|asked| asked.port))
        }
        (None, None) => front.listener_port(),
    };
    let default = if scheme == "https" { 443 } else { 80 };
    let port = port.filter(|port| *port != default).map(|port| format!(":{port}")).unwrap_or_default();
    let path = match &redirect.path {
        Some(path) => rewrite_path(head.uri.path(), matched, path),
        None => head.uri.path().into(),
    };
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    reply::redirect(redirect.status, &format!("{scheme}://{host}{port}{path}{query}"))
}
