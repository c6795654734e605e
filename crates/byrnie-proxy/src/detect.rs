//! What a client speaks, found out from its first bytes.
//!
//! A partial match waits for more bytes, within bounds of size and time; what matches nothing is bytes. A client that
//! says nothing at all may speak a protocol whose server begins: after [`SILENCE`] the caller may dial, and goes on
//! listening with [`Prefixed::first_words`] until one of the two sides has spoken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use byrnie_plan::ServicePortRef;
use byrnie_telemetry::names;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::process::Process;

mod sniff;
mod warnings;

use sniff::Sniffed;
pub use warnings::Warnings;

/// How long a client may stay silent before it is worth dialing: long enough for any client that speaks first on a
/// local connection, short enough for a server's banner to be there within 200 ms.
pub const SILENCE: Duration = Duration::from_millis(50);

/// Most bytes that are taken at once.
const CHUNK: usize = 2048;

/// What a client speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// A request line of HTTP/1.x.
    Http1,
    /// The preface of HTTP/2.
    Http2,
    /// A TLS ClientHello.
    Tls {
        /// The server name that it asks for, in lower case.
        sni: Option<String>,
    },
    /// Anything else.
    Bytes,
    /// Nothing within [`SILENCE`].
    Silent,
}

impl Spoken {
    /// Whether it is HTTP of any version.
    pub fn is_http(&self) -> bool {
        matches!(self, Self::Http1 | Self::Http2)
    }
}

/// A port whose protocol nobody declares, or of which only the client knows what follows.
pub struct Undeclared<'a> {
    /// Who counts.
    pub process: &'a Process,
    /// Where a declaration would help; `None`: nowhere.
    pub service: Option<&'a ServicePortRef>,
    /// The port, for metrics.
    pub port: u16,
    /// How long a client may take to make clear what it speaks: `detectTimeout`.
    pub limit: Duration,
}

impl Undeclared<'_> {
    /// Counts a client whose protocol was not clear in time, and says now and then what would help.
    pub fn count_timeout(&self) {
        self.process.metrics.counter(&names::DETECT_TIMEOUTS, &[&self.port.to_string()]).inc();
        let Some(service) = self.service else { return };
        if let Some(count) = self.process.undetected.count(service, std::time::Instant::now()) {
            tracing::warn!("{}", warnings::sentence(service, count, self.limit));
        }
    }
}

/// Finds out what a client of a port without declared protocol speaks. Takes at most [`SILENCE`] when it says nothing,
/// and the port's `detectTimeout` when it begins something and does not go on; that is then counted and treated as
/// bytes. A client that closes without a word is one of bytes, too.
pub async fn detect<S>(port: &Undeclared<'_>, stream: S) -> io::Result<(Prefixed<S>, Spoken)>
where
    S: AsyncRead + Unpin,
{
    let mut stream = Prefixed::new(stream);
    let until = Instant::now() + SILENCE;
    match timeout_at(until, stream.more()).await {
        Err(_) => Ok((stream, Spoken::Silent)),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) => {
            let spoken = stream.first_words(port).await?;
            Ok((stream, spoken))
        }
    }
}

/// Tells HTTP/2 with prior knowledge from HTTP/1.x where one of them is known to be spoken. `limit` bounds the wait for
/// the first byte, and for the rest of the preface.
pub async fn detect_http<S>(stream: S, limit: Duration) -> io::Result<(Prefixed<S>, Spoken)>
where
    S: AsyncRead + Unpin,
{
    let mut stream = Prefixed::new(stream);
    let until = Instant::now() + limit;
    loop {
        if timeout_at(until, stream.more()).await?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match sniff::preface(&stream.prefix) {
            Some(true) => return Ok((stream, Spoken::Http2)),
            Some(false) => return Ok((stream, Spoken::Http1)),
            None => {}
        }
    }
}

/// A stream of which the first bytes were read already: they come first.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: BytesMut,
    stream: S,
}

impl<S> Prefixed<S> {
    /// Nothing was read yet.
    pub fn new(stream: S) -> Self {
        Self { prefix: BytesMut::new(), stream }
    }

    /// What was read and not taken yet.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The stream below. Reading from it skips what was read already.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead + Unpin> Prefixed<S> {
    /// Waits for the client to speak, without limit, and then for its words to become clear, at most as long as the
    /// port's `detectTimeout`. Never [`Spoken::Silent`]. Dropping it loses nothing: what was read stays in the prefix.
    pub async fn first_words(&mut self, port: &Undeclared<'_>) -> io::Result<Spoken> {
        if self.prefix.is_empty() && self.more().await? == 0 {
            return Ok(Spoken::Bytes);
        }
        let until = Instant::now() + port.limit;
        loop {
            match sniff::sniff(&self.prefix) {
                Sniffed::Is(spoken) => return Ok(spoken),
                Sniffed::More => match timeout_at(until, self.more()).await {
                    Ok(read) => {
                        if read? == 0 {
                            return Ok(Spoken::Bytes);
                        }
                    }
                    Err(_) => {
                        port.count_timeout();
                        return Ok(Spoken::Bytes);
                    }
                },
            }
        }
    }

    /// Waits until there is something to take. False: the stream has ended.
    pub async fn listen(&mut self) -> io::Result<bool> {
        Ok(!self.prefix.is_empty() || self.more().await? > 0)
    }

    /// Reads once and keeps it. 0: the stream has ended. No memory is held while it waits.
    async fn more(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| {
            let mut space = [0; CHUNK];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.prefix.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
        .await
    }
}

/// What bytes are, as far as that is clear.
#[cfg(test)]
pub fn look(bytes: &[u8]) -> Option<Spoken> {
    match sniff::sniff(bytes) {
        Sniffed::Is(spoken) => Some(spoken),
        Sniffed::More => None,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let taken = self.prefix.len().min(buf.remaining());
        buf.put_slice(self.prefix.get(..taken).unwrap_or_default());
        self.prefix.advance(taken);
        if self.prefix.is_empty() {
            self.prefix = BytesMut::new(); // Gives the memory back: the connection may live long.
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
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
