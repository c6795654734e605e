//! One body type for everything that flows through a worker, whichever codec it came from.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use tokio::time::Instant;

use super::expect::Gated;
use super::headers::strip_trailers;
use super::upgrade::Tunnel;
use crate::budget::Held;
use crate::mirror::{Hearing, Overheard};
use crate::observe::Exchange;
use crate::reply::{GRPC_MESSAGE, GRPC_STATUS};

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The HTTP/1 side failed.
    #[error("HTTP/1 body: {0}")]
    Http1(#[from] hyper::Error),
    /// The HTTP/2 side failed.
    #[error("HTTP/2 body: {0}")]
    Http2(#[from] h2::Error),
    /// The time for the request ran out while its body was on the way.
    #[error("the request's time ran out")]
    TimedOut,
    /// Nothing moved for as long as the service allows.
    #[error("nothing moved for {0:?}")]
    Idle(Duration),
    /// The request that this one is a copy of broke off, or the copy was too slow.
    #[error("the mirrored request ended")]
    CopyEnded,
    /// The bytes after an upgrade broke off.
    #[error("upgraded connection: {0}")]
    Upgraded(#[from] std::io::Error),
}

impl BodyError {
    /// How a gRPC call ends that we cut off (DEADLINE_EXCEEDED), or whose application went away (UNAVAILABLE). `None`:
    /// somebody else said how.
    fn grpc_status(&self) -> Option<HeaderMap> {
        let (code, message) = match self {
            Self::TimedOut => ("4", "the%20call's%20time%20ran%20out"),
            Self::Idle(_) => ("4", "nothing%20moved%20for%20as%20long%20as%20is%20allowed"),
            Self::Http2(error) if !error.is_reset() => {
                ("14", "the%20connection%20was%20lost%20during%20the%20call")
            }
            _ => return None,
        };
        let mut status = HeaderMap::with_capacity(2);
        status.insert(GRPC_STATUS, HeaderValue::from_static(code));
        status.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
        Some(status)
    }

    /// What a stream is reset with whose body broke off: what the other side said, where that means something beyond
    /// its own connection. That nothing was processed, or that all is well, would not be true any more.
    pub fn reset_reason(&self, sends: Sends) -> Reason {
        const PASSED: [Reason; 5] = [
            Reason::CANCEL,
            Reason::INTERNAL_ERROR,
            Reason::ENHANCE_YOUR_CALM,
            Reason::CONNECT_ERROR,
            Reason::INADEQUATE_SECURITY,
        ];
        let broken = match sends {
            Sends::Request => Reason::CANCEL,
            Sends::Response => Reason::INTERNAL_ERROR,
        };
        let Self::Http2(error) = self else { return broken };
        let reason = error.reason().filter(|_| error.is_reset() && error.is_remote());
        reason.filter(|reason| PASSED.contains(reason)).unwrap_or(broken)
    }
}

/// Whose body goes into a stream: who breaks off a request does not want its answer, an answer that breaks off is an
/// error.
#[derive(Clone, Copy, Debug)]
pub enum Sends {
    /// To an application, or another proxy.
    Request,
    /// To the caller.
    Response,
}

/// A message body.
pub enum Body {
    /// Nothing.
    Empty,
    /// All of it, once.
    Full(Bytes),
    /// From an HTTP/1 connection.
    H1(Incoming),
    /// From an HTTP/2 stream.
    H2(H2Body),
    /// A request's body that can be read again for another try.
    Replay(ReplayBody),
    /// A body whose end is told to somebody.
    Watched(Box<Watched>),
    /// The bytes of one direction after an upgrade.
    Tunnel(Box<Tunnel>),
    /// A request's body that is counted.
    Counted(Box<(Body, Rc<Upload>)>),
    /// A request's body that a mirrored copy hears, too.
    Overheard(Box<Overheard>),
    /// A request's body that waits until the application wants it.
    Gated(Box<Gated>),
    /// The copy's body.
    Copy(Box<Hearing>),
}

/// What is known of a request's body while it is on its way.
#[derive(Default)]
pub struct Upload {
    /// Bytes that came.
    pub bytes: Cell<u64>,
    /// The caller broke off.
    pub broken: Cell<bool>,
}

/// A body whose end is the end of an exchange.
pub struct Watched {
    /// The body itself.
    pub inner: Body,
    /// Counts what passes; says what happened when the body ends, or is dropped before.
    pub exchange: Exchange,
    /// When the request's time is over. The body counts, too.
    pub deadline: Option<Pin<Box<tokio::time::Sleep>>>,
    /// How long nothing may move, neither here nor in the request's body.
    pub idle: Option<Box<IdleTimer>>,
    /// What it broke off with. A codec that hears of an error drops what it has not written, perhaps with the head: so
    /// it hears of it when it has had a turn to write.
    pub broken: Option<BodyError>,
}

/// Ends a response in which nothing moves.
pub struct IdleTimer {
    limit: Duration,
    timer: Pin<Box<tokio::time::Sleep>>,
    /// When something moved last, as far as was seen.
    moved: Instant,
    /// Bytes of the request's body at that time.
    uploaded: u64,
}

impl IdleTimer {
    /// From now on.
    pub fn new(limit: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(limit));
        Self { limit, timer, moved: Instant::now(), uploaded: 0 }
    }

    /// Ready when nothing has moved for as long as is allowed.
    fn poll(&mut self, cx: &mut Context<'_>, uploaded: u64) -> Poll<Duration> {
        if uploaded != self.uploaded {
            self.uploaded = uploaded;
            self.moved = Instant::now();
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let due = self.moved + self.limit;
            if due <= Instant::now() {
                return Poll::Ready(self.limit);
            }
            self.timer.as_mut().reset(due);
        }
    }
}

impl Body {
    /// Whether there is nothing (more) to read.
    pub fn is_finished(&self) -> bool {
        self.is_end_stream()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::H1(body) => {
                let mut frame =
                    ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(BodyError::Http1));
                if let Some(Ok(frame)) = &mut frame
                    && let Some(trailers) = frame.trailers_mut()
                {
                    strip_trailers(trailers);
                }
                Poll::Ready(frame)
            }
            Self::H2(body) => body.poll_frame(cx),
            Self::Replay(body) => body.poll_frame(cx),
            Self::Watched(body) => body.poll_frame(cx),
            Self::Tunnel(body) => body.poll_frame(cx),
            Self::Counted(counted) => {
                let (body, upload) = &mut **counted;
                let frame = ready!(Pin::new(body).poll_frame(cx));
                match &frame {
                    Some(Ok(frame)) => {
                        let more = frame.data_ref().map_or(0, Bytes::len);
                        upload.bytes.set(upload.bytes.get() + more as u64);
                    }
                    Some(Err(_)) => upload.broken.set(true),
                    None => {}
                }
                Poll::Ready(frame)
            }
            Self::Overheard(body) => body.poll_frame(cx),
            Self::Gated(body) => body.poll_frame(cx),
            Self::Copy(heard) => heard.poll_heard(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::H1(body) => body.is_end_stream(),
            Self::H2(body) => body.is_end_stream(),
            Self::Replay(body) => body.is_end_stream(),
            Self::Watched(body) => body.inner.is_end_stream(),
            Self::Tunnel(_) | Self::Copy(_) => false,
            Self::Counted(counted) => counted.0.is_end_stream(),
            Self::Overheard(body) => body.is_end_stream(),
            Self::Gated(body) => body.inner().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::H1(body) => body.size_hint(),
            Self::H2(body) if body.is_end_stream() => SizeHint::with_exact(0),
            Self::Counted(counted) => counted.0.size_hint(),
            Self::H2(_) | Self::Replay(_) | Self::Tunnel(_) | Self::Overheard(_) | Self::Copy(_) => {
                SizeHint::default()
            }
            Self::Gated(body) => body.inner().size_hint(),
            Self::Watched(body) => body.inner.size_hint(),
        }
    }
}

impl Watched {
    /// Ready when the response must not go on.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(BodyError::TimedOut);
        }
        let Some(idle) = &mut self.idle else { return Poll::Pending };
        let uploaded = self.exchange.upload.as_ref().map_or(0, |upload| upload.bytes.get());
        idle.poll(cx, uploaded).map(BodyError::Idle)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match self.broken.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => {
                    self.broken = Some(error);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                polled => polled,
            },
        };
        let frame = match polled {
            Poll::Ready(frame) => {
                if let Some(idle) = &mut self.idle {
                    idle.moved = Instant::now();
                }
                frame
            }
            Poll::Pending => Some(Err(ready!(self.poll_limits(cx)))),
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.exchange.on_data(data.len());
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.exchange.on_trailers(trailers);
                }
                // Codecs stop polling once a body says that it is at its end.
                if self.inner.is_end_stream() {
                    self.exchange.end(None);
                }
            }
            Some(Err(error)) => {
                self.exchange.end(Some(error));
                if let Some(status) = error.grpc_status().filter(|_| self.exchange.is_grpc) {
                    // A call is told in its own words; what the application would still say is given up.
                    self.inner = Body::Empty;
                    return Poll::Ready(Some(Ok(Frame::trailers(status))));
                }
            }
            None => self.exchange.end(None),
        }
        Poll::Ready(frame)
    }
}

/// The receiving half of an HTTP/2 stream as a body. Capacity goes back to the peer as frames are handed on, so
/// that a slow reader slows the sender.
pub struct H2Body {
    stream: RecvStream,
    data_done: bool,
    /// Bytes that are still to come, where that was said.
    left: Option<u64>,
    /// Whether its end may be a reset with NO_ERROR.
    may_be_reset: bool,
}

impl H2Body {
    /// A request's body.
    pub fn of_request(stream: RecvStream) -> Self {
        Self { stream, data_done: false, left: None, may_be_reset: false }
    }

    /// A response's body. `length`: what its head says of it. `is_asked`: the request was sent to its end with its
    /// head.
    ///
    /// A server that has answered and wants no more of a request resets the stream with NO_ERROR (RFC 9113 section
    /// 8.1). h2 lets go of what it knew of the stream when that comes, so the end of the answer, right before it, is
    /// not seen. Who has the whole request has no such reason: then the answer is cut off.
    pub fn of_response(stream: RecvStream, length: Option<u64>, is_asked: bool) -> Self {
        Self { stream, data_done: false, left: length, may_be_reset: !is_asked }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// Whether an answer that is complete as far as can be told ended with this.
    fn is_end(&self, error: &h2::Error) -> bool {
        self.may_be_reset
            && error.reason() == Some(Reason::NO_ERROR)
            && self.left.is_none_or(|left| left == 0)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.data_done {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Fails only when the stream is closed already: then nobody needs the capacity.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) if self.is_end(&error) => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => self.data_done = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(Some(mut trailers)) => {
                strip_trailers(&mut trailers);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Ok(None) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }
}

/// Largest request body that is kept for another try (Linkerd's 64 KiB).
pub const REPLAY_LIMIT_BYTES: usize = 64 * 1024;

/// A request's body that several tries read one after the other. What was read is kept up to [`REPLAY_LIMIT_BYTES`],
/// as long as the process has room for it; past that, or when the caller's side broke, there is no other try.
#[derive(Clone)]
pub struct ReplayBody {
    shared: Rc<RefCell<Replay>>,
    next: usize,
}

struct Replay {
    source: Body,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    spoiled: bool,
    held: Held,
}

impl ReplayBody {
    /// Starts with a body of which nothing has been read.
    pub fn new(source: Body, held: Held) -> Self {
        let (kept, trailers) = (Vec::new(), None);
        let shared = Replay { source, kept, kept_bytes: 0, trailers, ended: false, spoiled: false, held };
        Self { shared: Rc::new(RefCell::new(shared)), next: 0 }
    }

    /// The same body from its start. `None` when that is no longer possible.
    pub fn rewind(&self) -> Option<Self> {
        (!self.shared.borrow().spoiled).then(|| Self { shared: self.shared.clone(), next: 0 })
    }

    /// Whether the caller's side broke off.
    pub fn is_spoiled(&self) -> bool {
        self.shared.borrow().spoiled
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.shared.borrow();
        self.next >= shared.kept.len()
            && shared.trailers.is_none()
            && (shared.ended || (self.next == shared.kept.len() && shared.source.is_end_stream()))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(data) = shared.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if shared.ended {
            if self.next == shared.kept.len()
                && let Some(trailers) = shared.trailers.clone()
            {
                self.next += 1;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut shared.source).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    shared.kept_bytes += data.len();
                    let fits = shared.kept_bytes <= REPLAY_LIMIT_BYTES && !shared.spoiled;
                    if !fits || !shared.held.add(data.len()) {
                        shared.spoiled = true;
                        shared.kept.clear();
                        shared.held.give_back();
                        self.next = 0;
                    } else {
                        shared.kept.push(data.clone());
                        self.next += 1;
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    shared.trailers = Some(trailers.clone());
                    shared.ended = true;
                    self.next = shared.kept.len() + 1;
                }
            }
            Some(Err(_)) => {
                shared.ended = true;
                shared.spoiled = true;
            }
            None => shared.ended = true,
        }
        Poll::Ready(frame)
    }
}

/// Writes a body into an HTTP/2 stream, at the pace of the peer's window.
///
/// Ends early when the peer resets the stream. A body that breaks off resets the stream, so that the peer never
/// takes half a message for a whole one.
pub async fn send_body(mut body: Body, mut stream: SendStream<Bytes>, sends: Sends) -> Result<(), BodyError> {
    loop {
        let frame = std::future::poll_fn(|cx| {
            // Errors here mean that the stream is gone: seen by the next write.
            if let Poll::Ready(Ok(reason)) = stream.poll_reset(cx) {
                return Poll::Ready(Err(BodyError::Http2(reason.into())));
            }
            Pin::new(&mut body).poll_frame(cx).map(Ok)
        })
        .await?;
        match frame {
            None => return Ok(stream.send_data(Bytes::new(), true)?),
            Some(Err(error)) => {
                stream.send_reset(error.reset_reason(sends));
                return Err(error);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let last = body.is_end_stream();
                    send_data(&mut stream, data, last).await?;
                    if last {
                        return Ok(());
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        // Without an end, whoever waits for the message would wait for ever.
                        return stream.send_trailers(trailers).map_err(|error| {
                            stream.send_reset(Reason::INTERNAL_ERROR);
                            error.into()
                        });
                    }
                }
            },
        }
    }
}

/// Writes one piece of data, waiting for the window as often as needed.
pub async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, last: bool) -> Result<(), h2::Error> {
    loop {
        if data.is_empty() {
            return if last { stream.send_data(data, true) } else { Ok(()) };
        }
        stream.reserve_capacity(data.len());
        let granted = if stream.capacity() > 0 {
            stream.capacity()
        } else {
            match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(granted) => granted?,
                None => return Err(Reason::CANCEL.into()),
            }
        };
        if granted >= data.len() {
            return stream.send_data(data, last);
        }
        let part = data.split_to(granted);
        stream.send_data(part, false)?;
    }
}
