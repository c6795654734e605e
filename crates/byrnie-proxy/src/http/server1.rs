//! HTTP/1.x from clients, on hyper with every limit set.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming as HyperBody;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Body;
use super::headers::upgrade_token;
use super::noting::Noting;
use super::upgrade::ClientUpgrade;
use super::{CODEC_HEADERS, Incoming, answer, idle};
use crate::front::{Entrance, Front};
use crate::worker::Worker;

/// Serves one HTTP/1.x connection to its end.
pub async fn serve<S>(worker: &Rc<Worker>, front: &Rc<Front>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = Arc::clone(&worker.config().settings);
    let io = TokioIo::new(Noting::new(stream, Arc::clone(&front.heard)));
    let service = service_fn(|request: Request<HyperBody>| {
        front.heard.store(false, Relaxed);
        let (worker, front) = (Rc::clone(worker), Rc::clone(front));
        async move { Ok::<_, Infallible>(exchange(&worker, &front, request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .half_close(true)
        .header_read_timeout(None)
        .max_header_size(settings.max_header_bytes as usize)
        .max_buf_size((settings.max_header_bytes as usize).max(MIN_BUFFER));
    if settings.max_headers != CODEC_HEADERS {
        builder.max_headers(settings.max_headers as usize);
    }
    let mut connection = std::pin::pin!(builder.serve_connection(io, service).with_upgrades());
    let mut expired = std::pin::pin!(idle::expired(
        front,
        settings.client_idle_timeout,
        Some(settings.header_timeout),
        || front.heard.load(Relaxed),
        || worker.process.overload.is_shedding()
    ));
    let mut draining = std::pin::pin!(worker.process.draining.cancelled());
    let mut parting = std::pin::pin!(worker.process.parting.cancelled());
    front.leaving.set(worker.process.draining.is_cancelled());
    let asked = Cell::new(false);
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            () = draining.as_mut(), if !front.leaving.get() => front.leaving.set(true),
            () = parting.as_mut(), if !asked.get() => {
                asked.set(true);
                connection.as_mut().graceful_shutdown();
            }
            () = expired.as_mut() => {
                if front.heard.load(Relaxed) {
                    worker.process.counters.limit_header_timeout.inc();
                }
                return;
            }
        }
    };
    if let Err(error) = ended {
        if error.is_parse_too_large() {
            worker.process.counters.limit_headers.inc();
        }
        tracing::debug!("HTTP/1 connection from {}: {error}", front.remote);
    }
    // What it became counts as a connection, and a drain waits for it.
    front.tunnels.close();
    front.tunnels.wait().await;
}

/// hyper's smallest buffer.
const MIN_BUFFER: usize = 8192;

async fn exchange(worker: &Rc<Worker>, front: &Rc<Front>, mut request: Request<HyperBody>) -> Response<Body> {
    if *request.method() == Method::CONNECT {
        return match front.entrance {
            Entrance::HttpProxy => crate::capture::connect(worker, front, request).await,
            _ => crate::outbound::refuse_connect(worker, front, &request),
        };
    }
    // An upgrade with a body of its own is left to be an ordinary request, as RFC 9110 section 7.8 allows.
    let token = upgrade_token(request.version(), request.headers())
        .filter(|_| http_body::Body::is_end_stream(request.body()));
    let Some(token) = token else {
        let request = request
            .map(|body| if http_body::Body::is_end_stream(&body) { Body::Empty } else { Body::H1(body) });
        let mut response = answer(worker, front, Incoming { request, upgrade: None }).await;
        // As which version it came from upstream says nothing about this connection; hyper would think so, and leave
        // HTTP/1.0 clients without a word about keep-alive.
        *response.version_mut() = Version::HTTP_11;
        if front.leaving.get() || worker.process.overload.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        return response;
    };
    let (client, body) = ClientUpgrade::new(hyper::upgrade::on(&mut request));
    let request = request.map(|_| body);
    let mut response = answer(worker, front, Incoming { request, upgrade: Some(token) }).await;
    match response.headers_mut().remove(super::upgrade::BYRNIE_UPGRADE) {
        Some(token) => client.accept(&front.tunnels, response, token),
        None => response,
    }
}
