//! HTTP/2 as its codec reads it: header lists count as what this process holds for others.
//!
//! The codec bounds each list, and how many frames it comes in (CVE-2024-30255), but not those of all connections
//! together, and not their time. So the heads of frames are looked at as they pass: a list that its frame does not
//! end takes the most that the codec would hold of it, and has as long as a head of HTTP/1; one that is complete, and
//! large, counts for as long as its stream lasts.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::budget::Held;
use crate::process::Process;

/// What the codec holds at most of a list that is not complete, in its limits: each line takes several times of what it
/// counts, and a line that is not complete waits beside those that are.
const MOST: u64 = 8;

/// What a list may have, as it is sent, without being counted: as a head of HTTP/1.
const FREE: usize = 8 * 1024;

/// Streams whose lists are counted before anybody takes them over. The codec refuses some itself and tells nobody: the
/// oldest are those.
const WAITING: usize = 256;

/// The client's preface, before the first frame (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// The head of a frame.
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Complete lists that are large, until their streams are taken over: stream and place.
pub type Large = Rc<RefCell<Vec<(u32, Held)>>>;

/// A connection of HTTP/2 with a client.
pub struct Lists<S> {
    stream: S,
    process: Arc<Process>,
    /// Bytes until the next frame begins.
    skip: usize,
    /// The beginning of a frame's head that came in pieces.
    begun: Vec<u8>,
    /// The newest stream.
    newest: u32,
    /// The list that is not complete. Boxed: hardly a connection ever has one.
    open: Option<Box<Open>>,
    large: Large,
    bounds: Bounds,
}

/// How much a connection's lists may take.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// The codec's limit of a list, in bytes.
    pub list: u32,
    /// How long one may take to be complete.
    pub time: Duration,
    /// Whether the connection ends when there is no room: one of a peer's proxy carries the requests of others.
    pub ends: bool,
}

struct Open {
    /// `None`: trailers.
    stream: Option<u32>,
    bytes: usize,
    _held: Held,
    late: Pin<Box<Sleep>>,
}

impl<S> Lists<S> {
    /// Nothing was read yet.
    pub fn new(stream: S, process: &Arc<Process>, bounds: Bounds) -> Self {
        Self {
            stream,
            process: Arc::clone(process),
            skip: PREFACE,
            begun: Vec::new(),
            newest: 0,
            open: None,
            large: Large::default(),
            bounds,
        }
    }

    /// For whoever takes the streams over.
    pub fn large(&self) -> Large {
        Rc::clone(&self.large)
    }

    /// Looks at what was read. False: there is no room for it.
    fn look(&mut self, mut new: &[u8]) -> bool {
        while new.len() > self.skip {
            let (_, next) = new.split_at(self.skip);
            self.skip = 0;
            let (fits, rest) = match next.split_first_chunk() {
                Some((head, rest)) if self.begun.is_empty() => (self.frame(head), rest),
                _ => self.piece(next),
            };
            if !fits {
                return false;
            }
            new = rest;
        }
        self.skip -= new.len();
        true
    }

    /// A part of a frame's head, and what is behind it.
    #[cold]
    fn piece<'a>(&mut self, new: &'a [u8]) -> (bool, &'a [u8]) {
        let (part, rest) = new.split_at(new.len().min(HEAD - self.begun.len()));
        self.begun.extend_from_slice(part);
        let Some(head) = self.begun.first_chunk().copied() else { return (true, rest) };
        self.begun.clear();
        (self.frame(&head), rest)
    }

    /// A frame begins. False: there is no room for what it begins.
    fn frame(&mut self, head: &[u8; HEAD]) -> bool {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
        self.skip = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if kind != HEADERS {
            return kind != CONTINUATION || self.go_on(flags);
        }
        let id = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        let stream = (id > self.newest).then_some(id);
        self.newest = self.newest.max(id);
        if flags & END_HEADERS == 0 {
            return self.begin(stream);
        }
        if self.skip > FREE {
            self.complete(stream, self.skip);
        }
        true
    }

    /// A list goes on. Without one before it, that is an error: the codec's.
    #[cold]
    fn go_on(&mut self, flags: u8) -> bool {
        if let Some(mut open) = self.open.take() {
            open.bytes += self.skip;
            if flags & END_HEADERS == 0 {
                self.open = Some(open);
            } else {
                self.complete(open.stream, open.bytes);
            }
        }
        true
    }

    #[cold]
    fn begin(&mut self, stream: Option<u32>) -> bool {
        let mut held = self.process.budget.holder();
        let most = u64::from(self.bounds.list) * MOST;
        if self.bounds.ends && !held.reach(most) {
            return false;
        }
        held.hold(most);
        let late = Box::pin(tokio::time::sleep(self.bounds.time));
        self.open = Some(Box::new(Open { stream, bytes: self.skip, _held: held, late }));
        true
    }

    #[cold]
    fn complete(&self, stream: Option<u32>, bytes: usize) {
        if let Some(stream) = stream.filter(|_| bytes > FREE) {
            let mut held = self.process.budget.holder();
            held.hold(bytes as u64);
            let mut large = self.large.borrow_mut();
            if large.len() == WAITING {
                large.remove(0);
            }
            large.push((stream, held));
        }
    }
}

/// The place of this stream's list, if it is a large one. Those of earlier streams were reset before anybody saw them.
pub fn take(large: &Large, stream: impl FnOnce() -> u32) -> Option<Held> {
    if large.borrow().is_empty() {
        return None;
    }
    let (stream, mut large) = (stream(), large.borrow_mut());
    large.retain(|(other, _)| *other >= stream);
    let at = large.iter().position(|(other, _)| *other == stream)?;
    Some(large.swap_remove(at).1)
}

impl<S: AsyncRead + Unpin> AsyncRead for Lists<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(open) = &mut this.open
            && open.late.as_mut().poll(cx).is_ready()
        {
            this.process.counters.limit_header_timeout.inc();
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "a header list takes too long")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if this.look(buf.filled().get(before..).unwrap_or_default()) {
            return Poll::Ready(Ok(()));
        }
        buf.set_filled(before);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, "no room for the header list")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lists<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
