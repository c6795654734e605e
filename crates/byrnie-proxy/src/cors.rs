//! CORS on the wire: preflight requests are answered here, and other responses say what the filter says instead of what
//! the application may say itself.

use std::sync::Arc;

use byrnie_decide::{CorsRules, Shared};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::http::body::Body;

/// A page of another origin that asks, and what the rule or backend says about it.
pub struct Page {
    rules: Arc<CorsRules>,
    origin: HeaderValue,
}

impl Page {
    /// `None`: the filters say nothing to other origins, or none asks.
    pub fn new(rules: Option<&Arc<CorsRules>>, headers: &HeaderMap) -> Option<Box<Self>> {
        let rules = rules?;
        let origin = headers.get(ORIGIN)?.clone();
        Some(Box::new(Self { rules: Arc::clone(rules), origin }))
    }

    /// Says on a response what is said about this page's origin.
    pub fn apply(&self, headers: &mut HeaderMap) {
        apply(&self.rules, Some(&self.origin), headers);
    }
}

/// The method that a preflight request asks about; `None`: it is none.
pub fn asks_for<'a>(method: &Method, headers: &'a HeaderMap) -> Option<&'a str> {
    let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| *method == Method::OPTIONS)?;
    headers.get(ORIGIN)?;
    asked.to_str().ok()
}

/// The answer to a preflight request. An origin that is not allowed is told nothing, which forbids it.
pub fn preflight(rules: &CorsRules, headers: &HeaderMap, method: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let out = response.headers_mut();
    if let Some(shared) = origin.and_then(|origin| rules.shared(origin)) {
        share(out, &Shared { expose_headers: None, ..shared });
        let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|names| names.to_str().ok());
        let more = rules.preflight(method, asked);
        set(out, ACCESS_CONTROL_ALLOW_METHODS, more.allow_methods);
        set(out, ACCESS_CONTROL_ALLOW_HEADERS, more.allow_headers);
        set(out, ACCESS_CONTROL_MAX_AGE, Some(more.max_age));
    }
    let vary = "origin, access-control-request-method, access-control-request-headers";
    out.insert(VARY, HeaderValue::from_static(vary));
    response
}

/// Says on a response what the filter says about the request's origin.
pub fn apply(rules: &CorsRules, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS]
    {
        headers.remove(name);
    }
    let origin = origin.and_then(|origin| origin.to_str().ok());
    if let Some(shared) = origin.and_then(|origin| rules.shared(origin)) {
        share(headers, &shared);
    }
    if rules.varies() {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

fn share(headers: &mut HeaderMap, shared: &Shared<'_>) {
    set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, Some(shared.allow_origin));
    set(headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, shared.allow_credentials.then_some("true"));
    set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, shared.expose_headers);
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}
