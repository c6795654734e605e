//! Upgraded connections (WebSocket and whatever else): after the switch, each direction is a body. So an upgrade
//! crosses the mesh as an ordinary stream, and every rule about bodies (pace, limits, counting) holds for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as _, Frame};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio_util::io::poll_read_buf;
use tokio_util::task::TaskTracker;

use super::body::{Body, BodyError};
use super::headers::{has_mesh_headers, strip_mesh_headers};

/// Between proxies: which protocol the client wants to switch to; in the response: that it was switched to.
pub const BYRNIE_UPGRADE: HeaderName = HeaderName::from_static("byrnie-upgrade");

/// What stands there for CONNECT: no token that a client could ask for by `Upgrade` or `:protocol`.
pub const CONNECT: &str = ":connect";

/// Whether a switch is CONNECT's.
pub fn is_connect(token: Option<&HeaderValue>) -> bool {
    token.is_some_and(|token| token == CONNECT)
}

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

type Io = TokioIo<Upgraded>;

/// One direction of an upgraded HTTP/1 connection, as a body. It begins when the switch is done.
pub struct Tunnel {
    state: State,
    buffer: BytesMut,
}

enum State {
    Waiting(oneshot::Receiver<ReadHalf<Io>>),
    Reading(ReadHalf<Io>),
    Ended,
}

impl Tunnel {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.state {
                State::Waiting(half) => match ready!(Pin::new(half).poll(cx)) {
                    Ok(half) => self.state = State::Reading(half),
                    // The switch did not happen.
                    Err(_) => self.state = State::Ended,
                },
                State::Reading(half) => {
                    self.buffer.reserve(CHUNK);
                    return Poll::Ready(match ready!(poll_read_buf(Pin::new(half), cx, &mut self.buffer)) {
                        Ok(0) => {
                            self.state = State::Ended;
                            None
                        }
                        Ok(_) => Some(Ok(Frame::data(self.buffer.split().freeze()))),
                        Err(error) => Some(Err(error.into())),
                    });
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

/// What comes from a connection after its switch. The sender ends the wait.
fn tunnel() -> (oneshot::Sender<ReadHalf<Io>>, Body) {
    let (sender, receiver) = oneshot::channel();
    let tunnel = Tunnel { state: State::Waiting(receiver), buffer: BytesMut::new() };
    (sender, Body::Tunnel(Box::new(tunnel)))
}

/// The client's side of an upgrade that was asked for on an HTTP/1 connection.
pub struct ClientUpgrade {
    /// Resolves when hyper has written the 101.
    on_upgrade: OnUpgrade,
    from_client: oneshot::Sender<ReadHalf<Io>>,
}

impl ClientUpgrade {
    /// Gives the body that carries the client's bytes once the switch is done.
    pub fn new(on_upgrade: OnUpgrade) -> (Self, Body) {
        let (from_client, body) = tunnel();
        (Self { on_upgrade, from_client }, body)
    }

    /// Turns the mesh's answer into a 101, or CONNECT's 200, and lets the bytes flow.
    pub fn accept(self, tunnels: &TaskTracker, answer: Response<Body>, token: HeaderValue) -> Response<Body> {
        let (mut head, body) = answer.into_parts();
        if token == CONNECT {
            // RFC 9110 section 9.3.6: such an answer has no body, so nothing may say how long one is.
            head.headers.remove(CONTENT_LENGTH);
            head.headers.remove(TRANSFER_ENCODING);
        } else {
            head.status = StatusCode::SWITCHING_PROTOCOLS;
            head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.insert(UPGRADE, token);
        }
        tokio::task::spawn_local(tunnels.track_future(async move {
            match self.on_upgrade.await {
                Ok(upgraded) => join(upgraded, self.from_client, body).await,
                Err(error) => tracing::debug!("a client went away while it was upgraded: {error}"),
            }
        }));
        Response::from_parts(head, Body::Empty)
    }
}

/// Whether an application's 101 names the protocol that was asked for, and no other (RFC 9110 section 7.8).
pub fn is_to(answer: &HeaderMap, asked: &HeaderValue) -> bool {
    let mut tokens = answer.get_all(UPGRADE).iter();
    let is_asked = |token: &HeaderValue| token.as_bytes().eq_ignore_ascii_case(asked.as_bytes());
    tokens.next().is_some_and(is_asked) && tokens.next().is_none()
}

/// The application's side: after its 101 to what was asked for, or its success to CONNECT, `from_client` is written to
/// it, and what it writes is the answer's body.
pub fn accept_from_application(
    response: Response<hyper::body::Incoming>,
    from_client: Body,
    asked: HeaderValue,
) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    head.headers.remove(UPGRADE);
    if is_connect(Some(&asked)) {
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(TRANSFER_ENCODING);
    }
    head.headers.remove(CONNECTION);
    head.status = StatusCode::OK;
    head.headers.insert(BYRNIE_UPGRADE, asked);
    let on_upgrade = head.extensions.remove::<OnUpgrade>();
    drop(body);
    let (sender, answer) = tunnel();
    if let Some(on_upgrade) = on_upgrade {
        tokio::task::spawn_local(async move {
            match on_upgrade.await {
                Ok(upgraded) => join(upgraded, sender, from_client).await,
                Err(error) => tracing::debug!("an application went away while it was upgraded: {error}"),
            }
        });
    }
    Response::from_parts(head, answer)
}

/// Removes what only proxies of the mesh may say, but for the word that the switch was made.
pub fn strip_mesh_headers_but_switch(headers: &mut HeaderMap) {
    if !has_mesh_headers(headers) {
        return;
    }
    let switched = headers.remove(BYRNIE_UPGRADE);
    strip_mesh_headers(headers);
    if let Some(token) = switched {
        headers.insert(BYRNIE_UPGRADE, token);
    }
}

/// Hands on the reading half, writes `body` into the other one.
async fn join(upgraded: Upgraded, reader: oneshot::Sender<ReadHalf<Io>>, body: Body) {
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    // Nobody waits any more: then the body below breaks off, too.
    let _ = reader.send(read);
    if let Err(error) = write_all(write, body).await {
        tracing::debug!("an upgraded connection ended early: {error}");
    }
}

async fn write_all(mut io: WriteHalf<Io>, mut body: Body) -> io::Result<()> {
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(io::Error::other)?;
        if let Ok(mut data) = frame.into_data() {
            io.write_all_buf(&mut data).await?;
        }
    }
    io.shutdown().await
}
