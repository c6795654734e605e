//! Whether bytes have come: what codecs know and do not tell.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Messages up to this size are written in one piece.
const JOINED: usize = 1024;

/// A stream that sets a flag with every read, so that its user can tell whether bytes have come since it cleared it.
pub struct Noting<S> {
    stream: S,
    read: Arc<AtomicBool>,
}

impl<S> Noting<S> {
    /// Sets `read` whenever bytes are read.
    pub fn new(stream: S, read: Arc<AtomicBool>) -> Self {
        Self { stream, read }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.read.store(true, Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Small messages in several pieces (head and body) are joined first: one `send` of one piece is less work for the
    /// kernel than a `writev`, and the copy is of a few hundred bytes.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs {
            return Pin::new(&mut self.stream).poll_write(cx, only);
        }
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total > JOINED {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        }
        let mut joined = [0; JOINED];
        let mut end = 0;
        for buf in bufs {
            if let Some(place) = joined.get_mut(end..end + buf.len()) {
                place.copy_from_slice(buf);
            }
            end += buf.len();
        }
        Pin::new(&mut self.stream).poll_write(cx, joined.get(..end).unwrap_or_default())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
