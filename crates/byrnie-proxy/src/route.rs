//! Which rule takes a request. Host and path are normalised here, once: what is routed is what is authorized, logged
//! and forwarded.

use std::borrow::Cow;
use std::rc::Rc;

use byrnie_decide::{Found, HeaderLookup, Normalized, RequestView, normalize_authority, normalize_path};
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, request};

use crate::config::HttpRoutes;
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front};
use crate::worker::Worker;

/// Lets the decisions read our headers.
pub struct Headers<'a>(pub &'a HeaderMap);

impl HeaderLookup for Headers<'_> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

/// Checks the head and brings it into normal form: exactly one host (RFC 9112 section 3.2), a path without second
/// readings. Absolute-form and HTTP/2 requests come out in origin-form with a Host header.
///
/// Gives out the host: lower case, without port, empty where the request names none.
pub fn normalize(front: &Front, head: &mut request::Parts) -> Result<Rc<str>, ProxyError> {
    let bad = |what: String| ProxyError::unprocessed(Kind::BadRequest, what);
    let named = one_host(head.version, &head.headers)?;
    // An absolute form's authority goes before the Host header (RFC 9112 section 3.2.2), which must be one all the same
    // (section 3.2).
    if let Some(authority) = head.uri.authority()
        && head.version != Version::HTTP_2
    {
        named.map(self::host).transpose()?;
        let host =
            HeaderValue::from_str(authority.as_str()).map_err(|_| bad("the URI's host is odd".into()))?;
        head.headers.insert(HOST, host);
    }
    // Also where no route looks at it: what the application would read in its own way is refused.
    let host = front.host(head.headers.get(HOST))?;
    let path = match normalize_path(head.uri.path().as_bytes()) {
        Normalized::Refused(refusal) => return Err(bad(refusal.to_string())),
        // RFC 9112 section 3.2.4, and for HTTP/2 RFC 9113 section 8.3.1.
        Normalized::Borrowed("*") if head.method != Method::OPTIONS => {
            return Err(bad("the target * is for OPTIONS only".into()));
        }
        Normalized::Borrowed(_) if head.uri.scheme().is_none() && head.uri.authority().is_none() => {
            return Ok(host);
        }
        Normalized::Borrowed(path) => Cow::Borrowed(path),
        Normalized::Owned(path) => Cow::Owned(path),
    };
    head.uri = with_path(&head.uri, &path)?;
    Ok(host)
}

/// The host that a request names: one, which only HTTP/1.0 may leave out.
fn one_host(version: Version, headers: &HeaderMap) -> Result<Option<&HeaderValue>, ProxyError> {
    let bad = |what: &'static str| ProxyError::unprocessed(Kind::BadRequest, what);
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(bad("more than one host")),
        (None, _) if version != Version::HTTP_10 => Err(bad("no host")),
        (Some(host), _) if host.is_empty() && version != Version::HTTP_10 => Err(bad("an empty host")),
        (host, _) => Ok(host),
    }
}

/// Judges the host of a request that is not routed by it.
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), ProxyError> {
    one_host(version, headers)?.map_or(Ok(()), |value| host(value).map(drop))
}

/// An `https` resource is only asked for where TLS has ended before us (RFC 9110 section 7.4): at a Gateway with a
/// balancer in front that its settings know of.
pub fn check_scheme(worker: &Worker, front: &Front, uri: &Uri) -> Result<(), ProxyError> {
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Ok(());
    }
    let settings = front.settings(worker);
    let has_balancer = settings.trusted_hops > 0 || settings.accept_proxy_protocol;
    match matches!(front.entrance, Entrance::Gateway(_)) && has_balancer {
        true => Ok(()),
        false => {
            Err(ProxyError::unprocessed(Kind::BadRequest, "an https target on a connection without TLS"))
        }
    }
}

/// Origin-form with another path and the same query.
pub fn with_path(uri: &Uri, path: &str) -> Result<Uri, ProxyError> {
    let text = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let text =
        text.map_err(|error| ProxyError::unprocessed(Kind::BadRequest, format!("the path: {error}")))?;
    Ok(Uri::from(text))
}

/// What a Host header names: lower case, without port.
pub fn host(value: &HeaderValue) -> Result<Cow<'_, str>, ProxyError> {
    if value.is_empty() {
        return Ok(Cow::Borrowed(""));
    }
    let text =
        value.to_str().map_err(|_| ProxyError::unprocessed(Kind::BadRequest, "the host is not ASCII"))?;
    match normalize_authority(text) {
        Ok(authority) => Ok(authority.host),
        Err(refusal) => Err(ProxyError::unprocessed(Kind::BadRequest, refusal.to_string())),
    }
}

/// Finds the rule by the normalised host and path. `None`: no route takes the request.
pub fn find(
    routes: &HttpRoutes,
    host: &str,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Option<Found> {
    let view = RequestView {
        method: method.as_str(),
        host,
        path: uri.path(),
        query: uri.query(),
        headers: &Headers(headers),
    };
    routes.router.find(&view)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn normalized(request: http::request::Builder) -> Result<request::Parts, Kind> {
        let mut head = request.body(()).unwrap().into_parts().0;
        let front = Front::new(Entrance::Gateway(80), None, "10.0.0.9:1".parse().unwrap());
        normalize(&front, &mut head).map(|_| head).map_err(|error| error.kind)
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        let request = || Request::get("/a");
        assert!(normalized(request().header(HOST, "a")).is_ok());
        assert_eq!(normalized(request()).err(), Some(Kind::BadRequest));
        assert_eq!(normalized(request().header(HOST, "a").header(HOST, "a")).err(), Some(Kind::BadRequest));
        assert_eq!(normalized(request().header(HOST, "")).err(), Some(Kind::BadRequest));
        assert_eq!(normalized(request().version(Version::HTTP_2)).err(), Some(Kind::BadRequest));
        assert!(normalized(request().version(Version::HTTP_10)).is_ok());
        assert!(normalized(request().version(Version::HTTP_10).header(HOST, "")).is_ok());
    }

    #[test]
    fn the_absolute_form_becomes_origin_form() {
        let head = normalized(Request::get("http://web.shop:81/a/../b?q=1").header(HOST, "evil")).unwrap();
        assert_eq!(head.uri, "/b?q=1");
        assert_eq!(head.headers[HOST], "web.shop:81");
        for host in ["u:p@a", "a/b", "a:99999", ""] {
            let request = Request::get("http://b/x").header(HOST, host);
            assert_eq!(normalized(request).err(), Some(Kind::BadRequest), "{host:?}");
        }
    }

    #[test]
    fn a_star_is_for_options() {
        for (method, uri, expected) in [
            ("OPTIONS", "*", Some("*")),
            ("OPTIONS", "/", Some("/")),
            ("OPTIONS", "http://b/", Some("/")),
            ("GET", "*", None),
            ("POST", "*", None),
        ] {
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                let request = Request::builder().method(method).uri(uri).version(version).header(HOST, "b");
                let uri = normalized(request).map(|head| head.uri.to_string());
                assert_eq!(uri.ok().as_deref(), expected, "{method} {version:?}");
            }
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for path in ["/a%2fb", "/a%00", "/a\\b", "/%zz"] {
            if let Ok(uri) = Uri::try_from(path) {
                assert_eq!(
                    normalized(Request::get(uri).header(HOST, "a")).err(),
                    Some(Kind::BadRequest),
                    "{path}"
                );
            }
        }
        let head = normalized(Request::get("/a//b/%61/./c").header(HOST, "a")).unwrap();
        assert_eq!(head.uri, "/a/b/a/c");
    }
}
