//! `Expect: 100-continue` from end to end: the client's body is read, and 100 said to it, when the application has said
//! that it wants it. An application that answers at once never gets the body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::{Body as _, Frame};
use tokio::time::Sleep;

use super::body::{Body, BodyError};
use crate::error::{Kind, ProxyError};

/// How long an application may say nothing before it gets the body all the same: it may not know of 100, as HTTP/1.0
/// did not, and wait for the body. Clients begin by themselves after a second or so (curl).
const SILENCE: Duration = Duration::from_secs(5);

/// Whether the application wants the body of a request. Travels with the request, and survives its tries.
#[derive(Clone, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    open: AtomicBool,
    body: AtomicWaker,
    server: AtomicWaker,
}

impl Gate {
    /// One for a request that has a body and waits with it. What else it expects nobody here can promise: whoever waits
    /// for more than a 100, or for another word, is told so (RFC 9110 section 10.1.1).
    pub fn wanted(headers: &HeaderMap) -> Result<Option<Self>, ProxyError> {
        // A list of nothing expects nothing.
        let mut lines = headers.get_all(EXPECT).iter().filter(|line| !line.is_empty()).peekable();
        if lines.peek().is_none() {
            return Ok(None);
        }
        match lines.all(|line| line.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            true => Ok(Some(Self::default())),
            false => Err(ProxyError::unprocessed(Kind::Expectation, "an Expect other than 100-continue")),
        }
    }

    /// The application wants the body.
    pub fn open(&self) {
        self.0.open.store(true, Release);
        self.0.body.wake();
        self.0.server.wake();
    }

    /// Whether it does.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Acquire)
    }

    /// For the server's side: wakes it when there is a 100 to say.
    pub fn poll_open(&self, cx: &Context<'_>) -> bool {
        self.0.server.register(cx.waker());
        self.is_open()
    }
}

/// A body that is not read before its gate is open.
pub struct Gated {
    inner: Body,
    gate: Gate,
    silence: Pin<Box<Sleep>>,
}

impl Gated {
    /// Behind this gate.
    pub fn new(inner: Body, gate: Gate) -> Self {
        Self { inner, gate, silence: Box::pin(tokio::time::sleep(SILENCE)) }
    }

    /// The body itself.
    pub(super) fn inner(&self) -> &Body {
        &self.inner
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.gate.is_open() {
            self.gate.0.body.register(cx.waker());
            // Opened in between: nobody would wake us any more.
            if !self.gate.is_open() {
                ready!(self.silence.as_mut().poll(cx));
                self.gate.open();
            }
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }
}
