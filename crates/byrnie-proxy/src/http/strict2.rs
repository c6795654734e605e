//! HTTP/2 as strictly as RFC 9113 has it, where the codec (h2) is not: what HTTP/1 would read in another way. Pure.

use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request};

use super::headers::has_odd_space;
use super::strict::content_length;
use crate::error::{Kind, ProxyError};

/// Judges a client's request, which may have so many header lines.
pub fn judge<B>(request: &Request<B>, max_headers: u32) -> Result<(), ProxyError> {
    let headers = request.headers();
    if headers.len() > max_headers as usize {
        let lines = lines(headers);
        if lines > max_headers as usize {
            let context = format!("{lines} header lines of {max_headers} (maxHeaders)");
            return Err(ProxyError::unprocessed(Kind::LargeHead, context));
        }
    }
    let why = if has_repeated(headers) && headers.get_all(HOST).iter().nth(1).is_some() {
        "more than one host"
    } else if request.uri().scheme_str() == Some("") {
        "an empty :scheme"
    } else if !has_plain_target(request) {
        "the :path does not begin with a slash"
    } else {
        return odd_fields(headers).map_or(Ok(()), |why| Err(ProxyError::unprocessed(Kind::BadRequest, why)));
    };
    Err(ProxyError::unprocessed(Kind::BadRequest, why))
}

/// What is odd about the fields of a message, whoever sent it: a value that begins or ends with a space (section
/// 8.2.1), or a length that HTTP/1 would not take (section 8.1.1).
pub fn odd_fields(headers: &HeaderMap) -> Option<&'static str> {
    if has_odd_space(headers) {
        return Some("a header's value begins or ends with a space");
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next()?;
    if lengths.next().is_some() {
        return Some("more than one Content-Length");
    }
    content_length(length.as_bytes()).is_none().then_some("Content-Length is not a plain number")
}

/// Whether any name is there more than once, without a look at names: few messages have such.
fn has_repeated(headers: &HeaderMap) -> bool {
    headers.len() != headers.keys_len()
}

/// Header lines as HTTP/1 would have them: of a cookie a client may make as many as it likes (section 8.2.3).
fn lines(headers: &HeaderMap) -> usize {
    let crumbs = headers.get_all(COOKIE).iter().count();
    headers.len() - crumbs.saturating_sub(1)
}

/// Makes one line of a cookie that came in several: HTTP/1 has no other form of it (section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if !has_repeated(headers) {
        return;
    }
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, cookie);
    }
}

/// Whether the target is a path, or `*` where it may be (section 8.3.1).
fn has_plain_target<B>(request: &Request<B>) -> bool {
    let (method, uri) = (request.method(), request.uri());
    if *method == Method::CONNECT && request.extensions().get::<Protocol>().is_none() {
        return true; // It has none.
    }
    match uri.path_and_query().map(|target| target.as_str()) {
        Some("*") => *method == Method::OPTIONS,
        Some(target) => target.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_one_line() {
        let request = |cookies: usize, others: usize| {
            let mut request = Request::get("http://web.shop/");
            for _ in 0..cookies {
                request = request.header(COOKIE, "a=b");
            }
            for other in 0..others {
                request = request.header(format!("x-{other}"), "1");
            }
            judge(&request.body(()).unwrap(), 100).map_err(|error| error.kind)
        };
        assert_eq!(request(0, 100), Ok(()));
        assert_eq!(request(0, 101), Err(Kind::LargeHead));
        assert_eq!(request(300, 99), Ok(()));
        assert_eq!(request(300, 100), Err(Kind::LargeHead));
    }

    #[test]
    fn a_target_is_a_path() {
        let parts = |target: &str| {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(http::uri::Scheme::HTTP);
            parts.authority = Some(http::uri::Authority::from_static("web.shop"));
            parts.path_and_query = Some(target.parse().unwrap());
            http::Uri::from_parts(parts).unwrap()
        };
        for (method, target, is_plain) in [
            (Method::GET, "/", true),
            (Method::GET, "/a?b", true),
            (Method::GET, "?b", false),
            (Method::GET, "*", false),
            (Method::OPTIONS, "*", true),
            (Method::OPTIONS, "?b", false),
        ] {
            let request = Request::builder().method(method).uri(parts(target)).body(()).unwrap();
            assert_eq!(judge(&request, 100).is_ok(), is_plain, "{target}");
        }
    }
}
