//! HTTP/2 from clients and from peers' proxies, on h2 directly: each stream is a task.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use byrnie_plan::MeshSettings;
use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;

use super::body::{Body, BodyError, H2Body, Sends, send_body};
use super::expect::Gate;
use super::headers::{is_protocol, is_switch};
use super::lists::{self, Bounds, Lists};
use super::upgrade::{BYRNIE_UPGRADE, CONNECT, is_connect};
use super::{Message, answer, hints, idle, strict2, to_connect};
use crate::budget::Held;
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front};
use crate::woken::when_woken;
use crate::worker::Worker;

/// What one stream may send before we read it, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all streams of a client's connection may: it stops nobody but itself.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The same for a peer's proxy, whose streams belong to many: as many as it opens, so that those that an application
/// does not read do not stop the others.
const PEER_WINDOW: u32 = STREAM_WINDOW * 128;
/// Streams that were opened and reset before we looked at them, after which a client is cut off (CVE-2023-44487; h2's
/// default).
const RESETS: usize = 20;
/// The same for a peer's proxy, which passes on what its clients reset, and each of them was held to `RESETS`: cutting
/// it off would fail the requests of the others. It bounds what waits, and a hundred clients may break off at once.
const PEER_RESETS: usize = RESETS * 100;
/// Time for the preface and first settings.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the other side may take to acknowledge that we leave. Until then the codec waits for requests that are on
/// their way (RFC 9113 section 6.8); for a client that is asleep, or does not want to, it would wait for ever.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a client may take to read the last of what was said to it, when all its streams are done.
const FLUSH: Duration = Duration::from_secs(30);

/// How long the other side may take to close, once it was told that we leave.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one HTTP/2 connection to its end.
pub async fn serve<S>(worker: &Rc<Worker>, front: &Rc<Front>, mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    serve_streams(worker, front, &mut stream).await;
    Box::pin(linger(&mut stream)).await;
}

/// Lets the other side close first. A socket that is closed with something unread resets the connection, and with it
/// what the other side has not read: the answers, and the GOAWAY that says which requests were not processed.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let rest = async {
        let mut sink = [0; 1024];
        let closed = stream.shutdown().await.is_ok();
        while closed && stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

async fn serve_streams<S>(worker: &Rc<Worker>, front: &Rc<Front>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let settings = front.settings(worker);
    let windows =
        worker.process.budget.windows(STREAM_WINDOW, for_peers(front, PEER_WINDOW, CONNECTION_WINDOW));
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_pending_accept_reset_streams(for_peers(front, PEER_RESETS, RESETS))
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_header_list_size(header_limit(front, &settings))
        // What nobody takes from us is bounded as what nobody takes from them.
        .max_send_buffer_size(windows.stream as usize)
        .enable_connect_protocol();
    let bounds = Bounds {
        list: header_limit(front, &settings),
        time: settings.header_timeout,
        ends: front.entrance != Entrance::Mesh,
    };
    let stream = Lists::new(stream, &worker.process, bounds);
    let large = stream.large();
    // Boxed: it must not be kept for as long as the connection lasts.
    let handshake = Box::pin(builder.handshake::<_, Bytes>(stream));
    let mut connection = match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!("HTTP/2 handshake with {}: {error}", front.remote),
        Err(_) => return tracing::debug!("HTTP/2 handshake with {}: not within {HANDSHAKE:?}", front.remote),
    };
    let idle = idle::expired(worker, front, settings.client_idle_timeout, None, || false);
    let idle = pin!(idle);
    let mut idle = pin!(when_woken(idle));
    let process = Arc::clone(&worker.process);
    let is_late = process.draining.is_cancelled();
    let drain = pin!(process.to_go_away());
    let mut drain = pin!(when_woken(drain));
    let mut farewell: Option<Pin<Box<Sleep>>> = None;
    let max_headers = settings.max_headers;
    loop {
        tokio::select! {
            biased;
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let is_full = worker.process.overload.is_draining() && front.entrance != Entrance::Mesh;
                    if (is_late || is_full) && farewell.is_none() {
                        farewell = Some(leave(&mut connection));
                    }
                    let list = lists::take(&large, || request.body().stream_id().as_u32());
                    let (worker, front) = (Rc::clone(worker), Rc::clone(front));
                    // Boxed: a runtime moves a task several times, and this one has thousands of bytes.
                    let head = (list, max_headers);
                    let serving = Box::pin(async move { serve_stream(&worker, &front, request, respond, head).await });
                    let process = Arc::clone(&process);
                    tokio::task::spawn_local(async move { process.survive(serving).await });
                }
                Some(Err(error)) => return tracing::debug!("HTTP/2 connection from {}: {error}", front.remote),
                None => return,
            },
            () = drain.as_mut(), if farewell.is_none() => farewell = Some(leave(&mut connection)),
            // A peer's proxy closes its pooled connections itself; a client's are closed with notice.
            () = idle.as_mut(), if farewell.is_none() && front.entrance != Entrance::Mesh => {
                farewell = Some(leave(&mut connection));
            }
            () = over(&mut farewell) => {
                if !connection.has_streams() {
                    break;
                }
                farewell = Some(Box::pin(tokio::time::sleep(FAREWELL)));
            }
        }
    }
    // What it asks meanwhile is above the last stream that this names: it knows that nobody has looked at it.
    connection.abrupt_shutdown(Reason::NO_ERROR);
    // What was said last may still be on its way to a client that reads slowly.
    let end = std::future::poll_fn(|cx| connection.poll_closed(cx));
    let _ = tokio::time::timeout(FLUSH, end).await;
}

/// Tells the other side that nothing new is taken, and gives it time to hear that.
fn leave<S>(connection: &mut Connection<S, Bytes>) -> Pin<Box<Sleep>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connection.graceful_shutdown();
    Box::pin(tokio::time::sleep(FAREWELL))
}

/// Returns when that time is over.
async fn over(farewell: &mut Option<Pin<Box<Sleep>>>) {
    match farewell {
        Some(time) => time.await,
        None => std::future::pending().await,
    }
}

/// The first for a peer's proxy, the second for a client.
fn for_peers<T>(front: &Front, peers: T, clients: T) -> T {
    if front.entrance == Entrance::Mesh { peers } else { clients }
}

/// Largest header list. HTTP/2 counts 32 bytes more for each line (RFC 9113 section 6.5.2), and a peer's proxy adds its
/// own: what it accepted must not be refused here.
fn header_limit(front: &Front, settings: &MeshSettings) -> u32 {
    let more = settings.max_headers.saturating_mul(32).saturating_add(4096);
    settings.max_header_bytes.saturating_add(for_peers(front, more, 0))
}

async fn serve_stream(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    (list, max_headers): (Option<Held>, u32),
) {
    if let Some(response) = refusal(worker, front, &request, list.as_ref(), max_headers) {
        if let Err(error) = send(respond, response).await {
            tracing::debug!("HTTP/2 stream from {}: {error}", front.remote);
        }
        return;
    }
    let is_head = request.method() == Method::HEAD;
    let mut message = message(front, request);
    let is_upgrade = message.upgrade.is_some();
    let mut gate = message.head.extensions.get::<Gate>().cloned();
    let mut hints = hints::MOST;
    // What was reset before anybody looked at it is not begun: nobody else hears of it.
    if std::future::poll_fn(|cx| Poll::Ready(respond.poll_reset(cx).is_ready())).await {
        return;
    }
    let answered = {
        let mut answering = pin!(answer(worker, front, &mut message));
        std::future::poll_fn(|cx| {
            let polled = worker.hints.listen(|| answering.as_mut().poll(cx));
            for hint in worker.hints.take().into_iter().take(hints) {
                hints -= 1;
                // The stream is gone: seen below.
                let _ = respond.send_informational(hint);
            }
            if let Poll::Ready(answer) = polled {
                return Poll::Ready(Some(answer));
            }
            if gate.as_ref().is_some_and(|gate| gate.poll_open(cx)) {
                gate = None;
                let mut go_on = Response::new(());
                *go_on.status_mut() = StatusCode::CONTINUE;
                // The stream is gone: seen below.
                let _ = respond.send_informational(go_on);
            }
            // The client does not want it any more: stop working on it.
            respond.poll_reset(cx).map(|_| None)
        })
        .await
    };
    let Some(mut response) = answered else { return };
    if front.entrance != Entrance::Mesh {
        let switched = response.headers_mut().remove(BYRNIE_UPGRADE).is_some();
        if is_upgrade && !switched && response.status().is_success() {
            // To an extended CONNECT any 2xx says that the protocol was switched (RFC 8441 section 5).
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
    }
    if is_head && matches!(response.body(), Body::Full(_)) {
        *response.body_mut() = Body::Empty;
    }
    if let Err(error) = send(respond, response).await {
        tracing::debug!("HTTP/2 stream from {}: {error}", front.remote);
    }
}

/// The answer to what is refused before anything else is looked at. `list`: the place of a large header list.
fn refusal(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    request: &Request<RecvStream>,
    list: Option<&Held>,
    max_headers: u32,
) -> Option<Response<Body>> {
    if list.is_some_and(|list| !list.fits()) {
        let error = ProxyError::unprocessed(Kind::Shed, "no room for a header list of this size");
        return Some(crate::outbound::refuse_request(worker, front, request, &error));
    }
    match (request.method(), request.extensions().get::<Protocol>()) {
        (&Method::CONNECT, None) if !allows_connect(worker, front) => {
            return Some(crate::outbound::refuse_connect(worker, front, request));
        }
        (&Method::CONNECT, None) if request.uri().port().is_none() => {
            let error = ProxyError::unprocessed(Kind::BadRequest, "a CONNECT to no host and port");
            return Some(crate::outbound::refuse_request(worker, front, request, &error));
        }
        (_, Some(protocol)) if !is_protocol(protocol.as_str()) => {
            let error = ProxyError::unprocessed(Kind::BadRequest, "the :protocol is no token");
            return Some(crate::outbound::refuse_request(worker, front, request, &error));
        }
        (_, Some(protocol)) if !is_switch(protocol.as_str()) => {
            let error = ProxyError::unprocessed(Kind::UpgradeRefused, "HTTP within HTTP");
            return Some(crate::outbound::refuse_request(worker, front, request, &error));
        }
        _ => {}
    }
    // A peer's proxy has looked at it already.
    if front.entrance == Entrance::Mesh {
        return None;
    }
    if !request.body().is_end_stream()
        && let Err(error) = Gate::wanted(request.headers())
    {
        return Some(crate::outbound::refuse_request(worker, front, request, &error));
    }
    let error = strict2::judge(request, max_headers).err()?;
    if error.kind == Kind::LargeHead {
        worker.process.counters.limit_headers.inc();
    }
    Some(crate::outbound::refuse_request(worker, front, request, &error))
}

/// From a peer's proxy it never comes as such, and where requests name their service, tunnels are HTTP/1's.
fn allows_connect(worker: &Rc<Worker>, front: &Rc<Front>) -> bool {
    !matches!(front.entrance, Entrance::Mesh | Entrance::HttpProxy) && front.settings(worker).allow_connect
}

/// The request in the shape that it would have on HTTP/1: path only, host as a header. Extended CONNECT (RFC 8441)
/// becomes an upgrade.
fn message(front: &Front, request: Request<RecvStream>) -> Message {
    let (mut head, body) = request.into_parts();
    strict2::join_cookies(&mut head.headers);
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
        && head.method != Method::CONNECT
    {
        set_host(&mut head.headers, host);
    }
    let body = if body.is_end_stream() { Body::Empty } else { Body::H2(H2Body::of_request(body)) };
    if !body.is_finished()
        && let Ok(Some(gate)) = Gate::wanted(&head.headers)
    {
        head.extensions.insert(gate);
    }
    let mut upgrade =
        head.extensions.remove::<Protocol>().and_then(|p| HeaderValue::from_str(p.as_str()).ok());
    if upgrade.is_some()
        && let Some(authority) = head.uri.authority()
    {
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            set_host(&mut head.headers, host);
        }
        head.method = Method::GET;
    }
    if head.method == Method::CONNECT && to_connect(&mut head).is_ok() {
        upgrade = Some(HeaderValue::from_static(CONNECT));
    }
    // Only a proxy of the mesh says it this way.
    if front.entrance == Entrance::Mesh
        && let Some(token) = head.headers.remove(BYRNIE_UPGRADE)
    {
        if is_connect(Some(&token)) {
            head.method = Method::CONNECT;
        }
        upgrade = Some(token);
    }
    Message::new(head, body, upgrade)
}

/// `:authority` as Host. One that differs stays beside it: then the request has two hosts, and is refused for that
/// (RFC 9113 section 8.3.1).
fn set_host(headers: &mut HeaderMap, host: HeaderValue) {
    if let Some(other) = headers.insert(HOST, host.clone())
        && !other.as_bytes().eq_ignore_ascii_case(host.as_bytes())
    {
        headers.append(HOST, other);
    }
}

async fn send(mut respond: SendResponse<Bytes>, response: Response<Body>) -> Result<(), BodyError> {
    let (head, body) = response.into_parts();
    let end = body.is_finished();
    let stream = match respond.send_response(Response::from_parts(head, ()), end) {
        Ok(stream) => stream,
        Err(error) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Err(error.into());
        }
    };
    if end { Ok(()) } else { send_body(body, stream, Sends::Response).await }
}
