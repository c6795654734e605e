//! Trailers of HTTP/1 on their way out. hyper 1.12 writes only those that `Trailer` in the head announces, and to
//! clients only when the request has `TE: trailers`; all others it loses. Who sends a message need do neither (RFC
//! 9110 sections 6.6.2 and 10.1.4), and who passes it on cannot make up for it: what trailers there are shows at the
//! end. So the codec gets none at all: a body leaves them here, and the connection's stream writes them where the
//! codec ends the message.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;

use super::body::{Body, BodyError};
use super::noting::Notes;

/// What the codec writes when a body of chunks has ended.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The end of it, before which trailers go.
const EMPTY_LINE: &[u8] = b"\r\n";

/// Whether the codec sends it in chunks, in HTTP/1.1: a message of known length has no place for trailers.
pub fn is_chunked(headers: &HeaderMap, body: &Body) -> bool {
    body.size_hint().exact().is_none() && !headers.contains_key(CONTENT_LENGTH)
}

/// Trailers that wait to be written on one connection.
#[derive(Debug, Default)]
pub struct Trailing {
    /// There are some. Every write looks at it.
    some: AtomicBool,
    ends: Mutex<Ends>,
}

#[derive(Debug, Default)]
struct Ends {
    /// Those of the message that has just ended: the codec has not written its end.
    new: Bytes,
    /// Those whose place is known. One message's, unless the codec goes on with the next before this one has left.
    placed: Vec<End>,
}

/// The end of a message.
#[derive(Debug)]
struct End {
    /// So many bytes of the codec come before it, and behind the end before.
    before: usize,
    /// What is left to be written: the trailers, with the empty line that the codec has as well.
    lines: Bytes,
}

impl Trailing {
    /// Whether there are any.
    pub fn is_some(&self) -> bool {
        self.some.load(Relaxed)
    }

    /// Bytes that are left.
    pub fn len(&self) -> usize {
        let ends = self.ends.lock();
        ends.new.len() + ends.placed.iter().map(|end| end.lines.len()).sum::<usize>()
    }

    /// A body in chunks ends with these.
    fn add(&self, trailers: &HeaderMap) {
        if !trailers.is_empty() {
            self.ends.lock().new = lines(trailers);
            self.some.store(true, Relaxed);
        }
    }

    /// Writes of what the codec has, and trailers at their place: the codec's empty line is taken when they have left.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.ends.lock();
        ends.place(bufs);
        let Some(end) = ends.placed.first_mut() else {
            self.some.store(false, Relaxed);
            return Pin::new(stream).poll_write_vectored(cx, bufs);
        };
        if end.before > 0 {
            let written = ready!(Pin::new(stream).poll_write_vectored(cx, &first(bufs, end.before)))?;
            end.before -= written;
            return Poll::Ready(Ok(written));
        }
        while !end.lines.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &end.lines))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => end.lines.advance(written),
            }
        }
        ends.placed.remove(0);
        self.some.store(!ends.placed.is_empty(), Relaxed);
        Poll::Ready(Ok(EMPTY_LINE.len()))
    }
}

impl Ends {
    /// Finds the place of the new ones. hyper 1.12 writes at once when a body has ended, and offers all that it has:
    /// the last of it is the end of this message, whatever the data may look like.
    fn place(&mut self, bufs: &[IoSlice<'_>]) {
        let lines = std::mem::take(&mut self.new);
        if lines.is_empty() {
            return;
        }
        let last = bufs.iter().rfind(|buf| !buf.is_empty());
        if !last.is_some_and(|buf| buf.ends_with(LAST_CHUNK)) {
            return tracing::debug!("a message with trailers does not end with a chunk");
        }
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        let earlier: usize = self.placed.iter().map(|end| end.before + EMPTY_LINE.len()).sum();
        self.placed.push(End { before: total.saturating_sub(earlier + EMPTY_LINE.len()), lines });
    }
}

/// The first bytes, at most so many.
fn first<'a>(bufs: &'a [IoSlice<'_>], mut most: usize) -> Vec<IoSlice<'a>> {
    let mut pieces = Vec::with_capacity(bufs.len());
    for buf in bufs {
        let piece = buf.get(..most).unwrap_or(buf);
        most -= piece.len();
        if !piece.is_empty() {
            pieces.push(IoSlice::new(piece));
        }
    }
    pieces
}

/// A trailer section (RFC 9112 section 7.1.2).
fn lines(trailers: &HeaderMap) -> Bytes {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), EMPTY_LINE] {
            lines.extend_from_slice(part);
        }
    }
    lines.extend_from_slice(EMPTY_LINE);
    lines.into()
}

/// A body as the codec gets it: without its trailers.
pub struct Bare {
    body: Body,
    /// Where they go; `None`: the message has no place for them.
    notes: Option<Arc<Notes>>,
}

impl Bare {
    /// On its way to the codec of the connection that has these notes.
    pub fn new(body: Body, notes: Option<Arc<Notes>>) -> Self {
        Self { body, notes }
    }

    /// It did not get there.
    pub fn take(&mut self) -> Body {
        std::mem::replace(&mut self.body, Body::Empty)
    }
}

impl HttpBody for Bare {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(trailers) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref()) else {
            return Poll::Ready(frame);
        };
        if let Some(notes) = &self.notes {
            notes.trailing.add(trailers);
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
