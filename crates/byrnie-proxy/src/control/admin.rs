//! The admin server, on loopback. Everybody may GET `/metrics`, `/ready`, `/live`; all else needs the token of this
//! life in a header, and a Host that is loopback: a page in a browser, or an application that can be made to fetch an
//! address, has neither.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_net::socket::Watched;
use byrnie_telemetry::Registry;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::inspect::Question;
use super::profile;
use super::readiness::Readiness;
use super::secret::Secret;
use crate::process::Process;
use crate::run::LogFilter;

/// The header with the token.
const TOKEN: &str = "byrnie-admin-token";
/// Where to look.
const PATHS: &str = "there are /metrics, /ready, /live; with the token /config, /config/SECTION, /connections, \
    /log-level, /profile/cpu, /profile/heap, /profile/threads and /profile/memory\n";
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

/// What the admin server stands on.
pub struct Desk {
    /// Metrics.
    pub process: Arc<Process>,
    /// Whether the proxy can do its work.
    pub readiness: Arc<Readiness>,
    /// `None`: nobody has a token.
    pub secret: Option<Secret>,
    /// Asks the control loop.
    pub ask: mpsc::Sender<Question>,
    /// The process's own log.
    pub log: Option<LogFilter>,
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, desk: Arc<Desk>) {
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
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let client = Watched::new(&stream);
            let answer = service_fn(move |request: Request<Incoming>| {
                let desk = Arc::clone(&desk);
                async move { Ok::<_, Infallible>(respond(request, &desk, client).await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            server.max_buf_size(HEAD_LIMIT).max_headers(HEADERS);
            // Who says at once that nothing more comes wants an answer all the same.
            server.half_close(true);
            // A client that breaks off is no news.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            drop(place);
        });
    }
}

async fn respond(request: Request<Incoming>, desk: &Desk, client: Watched) -> Response<Full<Bytes>> {
    let (method, path) = (request.method(), request.uri().path());
    if matches!(path, "/metrics" | "/ready" | "/live") {
        return match *method == Method::GET || *method == Method::HEAD {
            true => free(&request, &desk.process, &desk.readiness),
            false => only("GET, HEAD"),
        };
    }
    if !names_loopback(&request) {
        return text(StatusCode::FORBIDDEN, "BYR0243: the Host is not this machine's loopback\n".to_owned());
    }
    let given = request.headers().get(TOKEN).map(HeaderValue::as_bytes).unwrap_or_default();
    if !desk.secret.as_ref().is_some_and(|secret| secret.is(given)) {
        let words = format!("BYR0244: this needs the token of this process in the header {TOKEN}\n");
        return text(StatusCode::UNAUTHORIZED, words);
    }
    for_the_operator(request, desk, client).await
}

/// Whether Host (and the target, where that has one, too) is loopback.
fn names_loopback(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let is_loopback = |authority: &str| {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let target = request.uri().authority().map(Authority::as_str);
    request.headers().get_all(HOST).iter().count() == 1
        && host.is_some_and(is_loopback)
        && target.is_none_or(is_loopback)
}

async fn for_the_operator(request: Request<Incoming>, desk: &Desk, client: Watched) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if path == "/log-level" {
        return log_level(request, desk).await;
    }
    if method != Method::GET && method != Method::HEAD {
        return only("GET, HEAD");
    }
    let time = match seconds(request.uri().query()) {
        Ok(time) => time,
        Err(why) => return text(StatusCode::BAD_REQUEST, why),
    };
    match path.as_str() {
        "/profile/cpu" => profile::cpu(time, client).await,
        "/profile/heap" => profile::heap(time, client).await,
        "/profile/threads" => document(&profile::threads(time).await),
        "/profile/memory" => document(&profile::memory()),
        "/config" => ask(desk, "all").await,
        "/connections" => ask(desk, "connections").await,
        _ => match path.strip_prefix("/config/") {
            Some(section) => ask(desk, section).await,
            None => text(StatusCode::NOT_FOUND, PATHS.to_owned()),
        },
    }
}

async fn ask(desk: &Desk, what: &str) -> Response<Full<Bytes>> {
    let (reply, answer) = oneshot::channel();
    let asked = desk.ask.send(Question { what: what.to_owned(), reply }).await;
    match (asked, answer.await) {
        (Ok(()), Ok(Value::Null)) => text(StatusCode::NOT_FOUND, PATHS.to_owned()),
        (Ok(()), Ok(found)) => document(&found),
        _ => text(StatusCode::SERVICE_UNAVAILABLE, "this process is about to end\n".to_owned()),
    }
}

async fn log_level(request: Request<Incoming>, desk: &Desk) -> Response<Full<Bytes>> {
    let Some(log) = &desk.log else {
        return text(StatusCode::NOT_FOUND, "the log's filter cannot be changed here\n".to_owned());
    };
    if request.method() == Method::GET {
        return text(StatusCode::OK, format!("{}\n", (log.get)()));
    }
    if request.method() != Method::PUT {
        return only("GET, PUT");
    }
    let Ok(body) = Limited::new(request.into_body(), HEAD_LIMIT).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "a filter is shorter\n".to_owned());
    };
    let body = body.to_bytes();
    let filter = String::from_utf8_lossy(&body);
    // Nothing at all would be a filter, too: of everything.
    if filter.trim().is_empty() {
        return text(StatusCode::BAD_REQUEST, "write a filter, info for example\n".to_owned());
    }
    match (log.set)(filter.trim()) {
        Ok(()) => text(StatusCode::OK, format!("{}\n", (log.get)())),
        Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    }
}

/// How long a profile takes: `?seconds=N`.
fn seconds(query: Option<&str>) -> Result<Duration, String> {
    let mut pairs =
        query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let Some((_, given)) = pairs.find(|(name, _)| *name == "seconds") else {
        return Ok(Duration::from_secs(5));
    };
    match given.parse() {
        Ok(seconds @ 1..=60) if given.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Duration::from_secs(seconds))
        }
        _ => Err(format!("seconds={given:.32} is no whole number from 1 to 60\n")),
    }
}

/// Whether a scraper wants OpenMetrics rather than the classic text (RFC 9110 section 12.5.1): it names it, and nothing
/// better.
fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<(&str, f32)> = lines.flat_map(|line| line.split(',')).map(range).collect();
    let quality = |wanted: &str| {
        let named = ranges.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, quality)| *quality).reduce(f32::max)
    };
    let open = quality("application/openmetrics-text").unwrap_or_default();
    let classic = ["text/plain", "text/*", "*/*"].into_iter().find_map(quality).unwrap_or_default();
    open > 0.0 && open >= classic
}

/// One part of `Accept`: what, and how much it is liked. A quality that cannot be read is none.
fn range(part: &str) -> (&str, f32) {
    let mut parts = part.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("q").then(|| value.parse().unwrap_or_default())
    });
    (name, quality.unwrap_or(1.0))
}

fn document(document: &Value) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, format!("{document:#}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn only(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {methods}\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn free<B>(request: &Request<B>, process: &Process, readiness: &Readiness) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/metrics" => {
            let (body, kind) = match wants_openmetrics(request.headers()) {
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

pub(super) fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests;
