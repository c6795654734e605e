//! The admin server: `/metrics`, `/ready`, `/live`. On loopback, without secrets, without anything that changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_telemetry::Registry;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::readiness::Readiness;
use crate::process::Process;

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Time for the head of a request, also for an idle connection to say something.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest head, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;
/// Header lines.
const HEADERS: usize = 64;
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, process: Arc<Process>, readiness: Arc<Readiness>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Waits for a place first, so that what is too much waits in the backlog.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin server cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (process, readiness) = (Arc::clone(&process), Arc::clone(&readiness));
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let response = respond(&request, &process, &readiness);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            server.max_buf_size(HEAD_LIMIT).max_headers(HEADERS);
            // A client that breaks off is no news.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            drop(place);
        });
    }
}

fn respond<B>(request: &Request<B>, process: &Process, readiness: &Readiness) -> Response<Full<Bytes>> {
    let (method, path) = (request.method(), request.uri().path());
    if !matches!(path, "/metrics" | "/ready" | "/live") {
        return text(StatusCode::NOT_FOUND, "there are /metrics, /ready and /live\n".to_owned());
    }
    if *method != Method::GET && *method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => {
            let accept =
                request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let (body, kind) = match accept.contains("application/openmetrics-text") {
                true => (process.metrics.render(Instant::now()), Registry::CONTENT_TYPE),
                false => (process.metrics.render_classic(Instant::now()), Registry::CLASSIC_CONTENT_TYPE),
            };
            let mut response = text(StatusCode::OK, body);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            response
        }
        "/ready" => match readiness.why_not() {
            None => text(StatusCode::OK, "ready\n".to_owned()),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        _ => text(StatusCode::OK, "live\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
