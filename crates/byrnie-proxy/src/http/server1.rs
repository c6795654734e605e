//! HTTP/1.x from clients, on hyper with every limit set.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use byrnie_net::socket::OtherEnd;
use byrnie_plan::MeshSettings;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue, UPGRADE};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming as HyperBody;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Body;
use super::expect::Gate;
use super::headers::upgrade_token;
use super::noting::Noting;
use super::strict::{Refusal, Side};
use super::trailing::{Bare, is_chunked};
use super::upgrade::{CONNECT, ClientUpgrade, is_connect};
use super::{CODEC_HEADERS, Message, answer, idle};
use crate::detect::Prefixed;
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front};
use crate::process::Gauged;
use crate::woken::when_woken;
use crate::worker::Worker;

/// Serves one HTTP/1.x connection to its end.
pub async fn serve<S>(worker: &Rc<Worker>, front: &Rc<Front>, stream: Prefixed<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = front.settings(worker);
    let head_limit = settings.max_header_bytes as usize;
    let is_little = worker.process.overload.little().is_some();
    let mut strict = Noting::new(stream, Side::Requests, head_limit, Arc::clone(&front.notes))
        .within(&worker.process.budget);
    let is_partial = || front.notes.heard.load(Relaxed);
    let (idle, head) = (settings.client_idle_timeout, settings.header_timeout);
    let expired = pin!(idle::expired(worker, front, idle, Some(head), is_partial));
    let mut expired = pin!(when_woken(expired));
    let draining = pin!(worker.process.draining.cancelled());
    let mut draining = pin!(when_woken(draining));
    let parting = pin!(worker.process.parted());
    let mut parting = pin!(when_woken(parting));
    front.leaving.set(worker.process.draining.is_cancelled());
    let mut is_parting = false;
    // Where memory is little, a connection has a codec only as long as it has something to do.
    let mut rests = is_little;
    let ended = loop {
        while rests {
            tokio::select! {
                biased;
                is_wanted = rest(worker, front, &mut strict) => match is_wanted {
                    true => rests = false,
                    false => return,
                },
                () = draining.as_mut(), if !front.leaving.get() => front.leaving.set(true),
                () = parting.as_mut(), if !is_parting => {
                    is_parting = true;
                    if strict.heard().is_empty() {
                        return;
                    }
                }
                () = expired.as_mut() => return note_late(worker, front),
            }
        }
        front.quiet.set(false);
        let service = service_fn(|request| begin(worker, front, request));
        let serving = codec(&settings).serve_connection(TokioIo::new(strict), service).with_upgrades();
        // Boxed: nothing of it is to be kept while the connection rests.
        let mut serving = Box::pin(serving);
        let ended = loop {
            tokio::select! {
                biased;
                ended = until_rest(is_little, front, serving.as_mut()) => break ended,
                () = draining.as_mut(), if !front.leaving.get() => front.leaving.set(true),
                () = parting.as_mut(), if !is_parting => {
                    is_parting = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = expired.as_mut() => return note_late(worker, front),
            }
        };
        if let Some(ended) = ended {
            break ended;
        }
        let Some(parts) = Pin::into_inner(serving).into_parts() else { return };
        // A codec that asks for more has used what it had. Bytes that were not would be taken for a request.
        if is_parting || !parts.read_buf.is_empty() {
            return;
        }
        strict = parts.io.into_inner();
        strict.rest();
        rests = true;
    };
    if let Err(error) = ended {
        note_refused(worker, front, &error);
    }
    // What it became counts as a connection, and a drain waits for it.
    front.tunnels.close();
    front.tunnels.wait().await;
}

/// A request's head has come. Boxed: hyper keeps room for what is inline as long as the connection lasts, and moves it
/// twice.
fn begin(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    mut request: Request<HyperBody>,
) -> Pin<Box<impl Future<Output = Result<Response<Bare>, Infallible>> + use<>>> {
    front.notes.heard.store(false, Relaxed);
    if front.notes.about_server.load(Relaxed) {
        ask_server(&mut request);
    }
    let (worker, front) = (Rc::clone(worker), Rc::clone(front));
    Box::pin(async move {
        let knows_chunks = request.version() == Version::HTTP_11;
        let response = exchange(&worker, &front, request).await;
        let has_place = knows_chunks && is_chunked(response.headers(), response.body());
        let notes = has_place.then(|| Arc::clone(&front.notes));
        Ok(response.map(|body| Bare::new(body, notes)))
    })
}

/// `OPTIONS http://host` as its last proxy has to say it: `OPTIONS *` to this host (RFC 9112 section 3.2.4).
fn ask_server(request: &mut Request<HyperBody>) {
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.path_and_query = Some(PathAndQuery::from_static("*"));
    // Not reached otherwise: it has a scheme and a host.
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
}

/// The codec. What it reads of a head, and what it has of an answer that the client does not take, are bounded alike.
fn codec(settings: &MeshSettings) -> Builder {
    let head_limit = settings.max_header_bytes as usize;
    let mut builder = Builder::new();
    builder
        .half_close(true)
        .header_read_timeout(None)
        .max_header_size(head_limit)
        .max_buf_size(head_limit.max(MIN_BUFFER));
    if settings.max_headers != CODEC_HEADERS {
        builder.max_headers(settings.max_headers as usize);
    }
    builder
}

/// Waits without a codec until the client says something, and where memory is little until there is room for it.
/// False: the connection is to end.
async fn rest<S>(worker: &Rc<Worker>, front: &Rc<Front>, strict: &mut Noting<Prefixed<S>>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let resting = Gauged::new(&worker.process.counters.resting);
    if !strict.listen().await.unwrap_or(false) {
        return false;
    }
    drop(resting);
    let line = &worker.line;
    let is_full = line.pass(&worker.process).await.is_err();
    if worker.process.overload.little().is_some() && line.is_late() && front.client() != OtherEnd::Here {
        worker.process.counters.limit_gone.inc();
        return false;
    }
    front.crowded.set(is_full);
    // To say so takes room as well, for a moment; a head that is still on its way would take it for longer.
    !is_full || strict.heard().windows(4).any(|bytes| bytes == b"\r\n\r\n")
}

/// Goes on until the connection ends (`Some`), or has nothing to do and may rest (`None`).
async fn until_rest<T>(
    is_little: bool,
    front: &Front,
    mut serving: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|cx| {
        if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        let may_rest = is_little || front.quiet.get();
        match may_rest && front.in_flight.get() == 0 && front.notes.rests.load(Relaxed) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    })
    .await
}

fn note_late(worker: &Rc<Worker>, front: &Rc<Front>) {
    if front.notes.heard.load(Relaxed) {
        worker.process.counters.limit_header_timeout.inc();
    }
}

/// A head that the codec refused, and answered itself, is seen like any other refused request.
fn note_refused(worker: &Rc<Worker>, front: &Rc<Front>, error: &hyper::Error) {
    tracing::debug!("HTTP/1 connection from {}: {error}", front.remote);
    if !error.is_parse() {
        return;
    }
    let (status, why) = match front.notes.refused() {
        refused if error.is_parse_too_large() => {
            worker.process.counters.limit_headers.inc();
            match refused {
                Some(Refusal::LongTarget) => (StatusCode::URI_TOO_LONG, Refusal::LongTarget.to_string()),
                _ => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too large".to_owned()),
            }
        }
        Some(refusal) => (StatusCode::BAD_REQUEST, refusal.to_string()),
        None => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    crate::outbound::note_refused(worker, front, status, &ProxyError::unprocessed(Kind::BadRequest, why));
}

/// hyper's smallest buffer.
const MIN_BUFFER: usize = 8192;

async fn exchange(worker: &Rc<Worker>, front: &Rc<Front>, mut request: Request<HyperBody>) -> Response<Body> {
    let version = request.version();
    if *request.method() == Method::CONNECT {
        let mut response = Box::pin(tunnel(worker, front, request)).await;
        fit(version, &mut response);
        return response;
    }
    let is_empty = http_body::Body::is_end_stream(request.body());
    if version == Version::HTTP_10 {
        // It did not know what it expects (RFC 9110 section 10.1.1).
        request.headers_mut().remove(EXPECT);
    }
    let gate = match judge(worker, front, &request) {
        Ok(gate) => gate,
        Err(error) => {
            front.notes.decide(false);
            let mut response = crate::outbound::refuse_request(worker, front, &request, &error);
            fit(version, &mut response);
            return response;
        }
    };
    // An upgrade with a body of its own is left to be an ordinary request, as RFC 9110 section 7.8 allows.
    let asks = is_empty && request.headers().contains_key(UPGRADE);
    let token = if asks { upgrade_token(request.version(), request.headers()) } else { None };
    let Some(token) = token else {
        let (head, body) = request.into_parts();
        let body = if is_empty { Body::Empty } else { Body::H1(body) };
        let mut message = Message::new(head, body, None);
        if let Some(gate) = &gate {
            // hyper says 100 when the body is read for the first time.
            message.head.extensions.insert(gate.clone());
        }
        let mut response = answer(worker, front, &mut message).await;
        if asks {
            front.notes.decide(false);
        }
        // Whose body nobody wanted may send it or not: what comes next on this connection is nobody's request.
        let is_unsure = gate.is_some_and(|gate| !gate.is_open());
        if is_unsure || front.leaving.get() || front.crowded.get() || worker.process.overload.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        fit(version, &mut response);
        return response;
    };
    let (client, body) = ClientUpgrade::new(hyper::upgrade::on(&mut request));
    let mut message = Message::new(request.into_parts().0, body, Some(token));
    let mut response = answer(worker, front, &mut message).await;
    let switched = response.headers_mut().remove(super::upgrade::BYRNIE_UPGRADE);
    let switched = switched.filter(|token| !is_connect(Some(token)));
    front.notes.decide(switched.is_some());
    match switched {
        Some(token) => client.accept(&front.tunnels, response, token),
        None => response,
    }
}

/// As which version it came from upstream says nothing about this connection; hyper would think so. Of an answer of
/// HTTP/1.1 it says `keep-alive` to a client of HTTP/1.0 that asked for it, whatever else the answer says, and of one
/// of HTTP/1.0 nothing: so that is one that ends the connection.
fn fit(version: Version, response: &mut Response<Body>) {
    let is_last = version == Version::HTTP_10 && ends_connection(response);
    *response.version_mut() = if is_last { Version::HTTP_10 } else { Version::HTTP_11 };
}

/// Whether the connection ends with this answer to a client of HTTP/1.0: it says so, or only the end can tell where
/// its body ends.
fn ends_connection(response: &Response<Body>) -> bool {
    let headers = response.headers();
    headers.get(CONNECTION).is_some_and(|value| value == "close")
        || (http_body::Body::size_hint(response.body()).exact().is_none()
            && !headers.contains_key(CONTENT_LENGTH))
}

/// The answer to CONNECT.
async fn tunnel(worker: &Rc<Worker>, front: &Rc<Front>, request: Request<HyperBody>) -> Response<Body> {
    let is_proxy = front.entrance == Entrance::HttpProxy;
    let mut response = if let Err(error) = crate::route::check_host(request.version(), request.headers()) {
        crate::outbound::refuse_request(worker, front, &request, &error)
    } else if !is_proxy && !front.settings(worker).allow_connect {
        crate::outbound::refuse_connect(worker, front, &request)
    } else if !http_body::Body::is_end_stream(request.body()) {
        let error = ProxyError::unprocessed(Kind::BadRequest, "a CONNECT with a body");
        crate::outbound::refuse_request(worker, front, &request, &error)
    } else if is_proxy {
        crate::capture::connect(worker, front, request).await
    } else {
        connect(worker, front, request).await
    };
    let is_switched = response.status().is_success();
    if !is_switched {
        // What follows may be meant for the tunnel that there is none of: it must not be read as a request (RFC 9931
        // section 8).
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    front.notes.decide(is_switched);
    response
}

/// What is refused before anything else is looked at; else how the request waits with its body.
fn judge(worker: &Worker, front: &Front, request: &Request<HyperBody>) -> Result<Option<Gate>, ProxyError> {
    crate::route::check_scheme(worker, front, request.uri())?;
    match http_body::Body::is_end_stream(request.body()) {
        true => Ok(None),
        false => Gate::wanted(request.headers()),
    }
}

/// CONNECT where it is allowed: an upgrade that follows routes by its host.
async fn connect(worker: &Rc<Worker>, front: &Rc<Front>, mut request: Request<HyperBody>) -> Response<Body> {
    let (client, body) = ClientUpgrade::new(hyper::upgrade::on(&mut request));
    let mut head = request.into_parts().0;
    if let Err(error) = super::to_connect(&mut head) {
        return crate::outbound::refuse_request(worker, front, &Request::from_parts(head, ()), &error);
    }
    let upgrade = Some(HeaderValue::from_static(CONNECT));
    let mut message = Message::new(head, body, upgrade);
    let mut response = answer(worker, front, &mut message).await;
    match response.headers_mut().remove(super::upgrade::BYRNIE_UPGRADE) {
        Some(token) => client.accept(&front.tunnels, response, token),
        None => {
            if response.status().is_success() {
                // Without a tunnel behind it a success would be a lie.
                *response.status_mut() = StatusCode::BAD_GATEWAY;
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use bytes::Bytes;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tcp::tests::mesh::Mesh;

    const PIECE: usize = 4_096;

    /// With the task of a connection, what one of HTTP/1 keeps while it rests.
    #[tokio::test]
    async fn a_resting_connection_is_small() {
        let worker = Mesh::new().proxy("web");
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
        let front = Front::new(Entrance::Gateway(80), None, address);
        let (_client, stream) = tokio::io::duplex(1_024);
        let serving = serve(&worker, &front, Prefixed::new(stream));
        assert!(size_of_val(&serving) <= 1_664, "{} bytes", size_of_val(&serving));
        assert!(size_of_val(&*front) <= 512, "{} bytes", size_of_val(&*front));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_stops_the_answer_and_is_counted() {
        let process = Arc::clone(&Mesh::new().proxy("web").process);
        let (mut client, server) = tokio::io::duplex(1_024);
        let strict = Noting::new(server, Side::Requests, 65_536, Arc::default()).within(&process.budget);
        let given = Rc::new(Cell::new(0));
        let count = Rc::clone(&given);
        let service = service_fn(move |_| {
            let count = Rc::clone(&count);
            let pieces = stream::repeat_with(move || {
                count.set(count.get() + PIECE);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; PIECE])))
            });
            std::future::ready(Ok::<_, Infallible>(Response::new(StreamBody::new(pieces))))
        });
        let connection = codec(&MeshSettings::default()).serve_connection(TokioIo::new(strict), service);
        let mut connection = Box::pin(connection);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let turns = async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = connection.as_mut() => panic!("it ended"),
            () = turns => {}
        }
        // The limit of heads, and the piece that reached it.
        let most = 65_536 + PIECE;
        assert!(given.get() > most / 2 && given.get() <= most, "{} bytes were taken", given.get());
        let held = usize::try_from(process.budget.held()).unwrap();
        assert!(held > given.get() - 2_048 && held < given.get() + 1_024, "{held} bytes count");
        // While it reads, there is more.
        let mut much = vec![0; 10 * most];
        tokio::select! {
            _ = connection.as_mut() => panic!("it ended"),
            read = client.read_exact(&mut much) => assert_eq!(read.unwrap(), much.len()),
        }
        assert!(given.get() > 9 * most && given.get() <= 11 * most);
        drop(connection);
        assert_eq!(process.budget.held(), 0);
    }
}
