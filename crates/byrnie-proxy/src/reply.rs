//! Answers that this proxy gives itself: failures and redirects.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use crate::error::{Kind, ProxyError};
use crate::http::body::Body;

/// What went wrong, for the caller's machine: `BYR0203 no_endpoint side=mesh`.
pub const BYRNIE_ERROR: HeaderName = HeaderName::from_static("byrnie-error");
/// From the server's proxy to the client's: the application never saw the request, so it may be tried elsewhere.
pub const BYRNIE_UNPROCESSED: HeaderName = HeaderName::from_static("byrnie-unprocessed");
/// How a call ended.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The same for people, percent-encoded.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How much a failure tells the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Code and sentence: callers inside the mesh.
    Everything,
    /// The status only: callers from outside (gateways).
    Status,
}

/// The answer that says that a request failed. A gRPC caller gets a `grpc-status` (trailers-only response).
pub fn failure(error: &ProxyError, is_grpc: bool, tell: Tell) -> Response<Body> {
    let facts = error.kind.describe();
    let mut response = Response::new(Body::Empty);
    if is_grpc {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from(facts.grpc));
        let message = match tell {
            Tell::Everything => sentence(error),
            Tell::Status => facts.flag.to_owned(),
        };
        if let Ok(message) = HeaderValue::from_str(&percent_encode(&message)) {
            headers.insert(GRPC_MESSAGE, message);
        }
    } else {
        *response.status_mut() = facts.status;
        let text = match tell {
            Tell::Everything => format!("{}\n", sentence(error)),
            Tell::Status => plain_words(facts.status),
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(text.len()));
        *response.body_mut() = Body::Full(Bytes::from(text));
    }
    if tell == Tell::Everything
        && let Ok(value) =
            HeaderValue::from_str(&format!("{} {} side={}", facts.code, facts.flag, facts.side.as_str()))
    {
        response.headers_mut().insert(BYRNIE_ERROR, value);
    }
    response
}

/// Takes the words out of a refusal that a peer's proxy wrote for callers inside the mesh: they name identities and
/// policies. Status and gRPC status stay.
pub fn hide_words(response: &mut Response<Body>) {
    if let Some(message) = response.headers_mut().get_mut(GRPC_MESSAGE) {
        *message = HeaderValue::from_static("refused");
        return;
    }
    // The answer to a HEAD has the length only.
    let has_body = !response.body().is_finished();
    let text = plain_words(response.status());
    response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    if has_body {
        *response.body_mut() = Body::Full(Bytes::from(text));
    }
}

/// What a status says by itself.
fn plain_words(status: StatusCode) -> String {
    format!("{}\n", status.canonical_reason().unwrap_or("error").to_lowercase())
}

/// The operator's sentence: code, what happened here, what to do.
fn sentence(error: &ProxyError) -> String {
    let facts = error.kind.describe();
    match error.context.is_empty() {
        true => format!("{}: {}", facts.code, facts.sentence),
        false => format!("{}: {} ({})", facts.code, facts.sentence, error.context),
    }
}

/// As gRPC wants its message (gRPC over HTTP/2, "Percent-Encoded").
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f..=0xff => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// A redirect.
pub fn redirect(status: u16, location: &str) -> Result<Response<Body>, ProxyError> {
    let bad = || ProxyError::new(Kind::Internal, format!("the redirect to {location:?} cannot be sent"));
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| bad())?;
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(location).map_err(|_| bad())?);
    response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_from_outside_learns_the_status_only() {
        let error = ProxyError::new(Kind::NoEndpoint, "shop/web has no endpoint");
        let inside = failure(&error, false, Tell::Everything);
        assert_eq!(inside.status(), 503);
        assert_eq!(inside.headers()[BYRNIE_ERROR], "BYR0203 no_endpoint side=mesh");
        let outside = failure(&error, false, Tell::Status);
        assert_eq!(outside.status(), 503);
        assert!(!outside.headers().contains_key(BYRNIE_ERROR));
        let Body::Full(text) = outside.into_body() else { panic!("no body") };
        assert_eq!(text, "service unavailable\n");
    }

    #[test]
    fn grpc_callers_get_a_grpc_status() {
        let error = ProxyError::new(Kind::Denied, "by shop/no-\n%");
        let response = failure(&error, true, Tell::Everything);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "7");
        let message = response.headers()["grpc-message"].to_str().unwrap();
        assert!(message.ends_with("(by shop/no-%0A%25)"), "{message}");
    }
}
