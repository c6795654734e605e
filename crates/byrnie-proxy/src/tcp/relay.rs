//! Moving bytes in both directions at once, in one task.
//!
//! A connection on which nothing moves holds no buffer: reading goes into space that all connections of a worker
//! share, and what was read stays there as long as it takes to pass it on. Bytes from a tunnel are passed on where
//! they lie. Either direction ends by itself (half-close); a failure of one side ends all, and the caller resets both.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use tokio::io::AsyncReadExt;

use super::duplex::Duplex;
use super::observe::Meter;
use super::waiting::{PIECES, Waiting};
use crate::admit::Refusal;
use crate::hop::tunnel::Tunnel;

/// Most bytes that are read at once.
const READ: usize = 64 * 1024;

/// The shared space is renewed in blocks of this size.
const BLOCK: usize = 4 * READ;

/// Reads below this size are copied out: a slow receiver of a few bytes must not hold on to a block.
const SMALL: usize = 4096;

thread_local! {
    /// Where connections of this worker read into. Never filled across an await.
    static SPACE: RefCell<BytesMut> = RefCell::default();
}

/// Why a relay ended before both sides were done.
pub(super) enum Broken {
    /// The client's side failed.
    Client(io::Error),
    /// The server's side failed.
    Server(io::Error),
    /// Nothing moved for as long as the service allows.
    Idle,
    /// A policy that came into force refuses it.
    Refused(Box<Refusal>),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    FromClient,
    ToClient,
}

/// Relays between two sockets (or what looks like one).
pub(super) async fn sockets<C: Duplex, S: Duplex>(
    client: &mut C,
    server: &mut S,
    meter: &Meter,
) -> Result<(), Broken> {
    let (client, server) = (Io::new(client, Broken::Client), Io::new(server, Broken::Server));
    let up = pin!(copy(&client, &server, |bytes| meter.count(Flow::FromClient, bytes)));
    let down = pin!(copy(&server, &client, |bytes| meter.count(Flow::ToClient, bytes)));
    both(up, down, meter).await
}

/// Relays between a client's socket and a tunnel to the server.
pub(super) async fn to_tunnel<C: Duplex>(
    client: &mut C,
    tunnel: &mut Tunnel,
    meter: &Meter,
) -> Result<(), Broken> {
    let client = Io::new(client, Broken::Client);
    let Tunnel { send, receive, early, .. } = tunnel;
    let blame: Blame = Broken::Server;
    let up = pin!(send_all(&client, send, blame, |bytes| meter.count(Flow::FromClient, bytes)));
    let down = pin!(receive_all(early, receive, &client, blame, |bytes| meter.count(Flow::ToClient, bytes)));
    both(up, down, meter).await
}

/// Relays between a tunnel from the client and the server's socket.
pub(super) async fn from_tunnel<S: Duplex>(
    tunnel: &mut Tunnel,
    server: &mut S,
    meter: &Meter,
) -> Result<(), Broken> {
    let server = Io::new(server, Broken::Server);
    let Tunnel { send, receive, early, .. } = tunnel;
    let blame: Blame = Broken::Client;
    let up = pin!(receive_all(early, receive, &server, blame, |bytes| meter.count(Flow::FromClient, bytes)));
    let down = pin!(send_all(&server, send, blame, |bytes| meter.count(Flow::ToClient, bytes)));
    both(up, down, meter).await
}

/// Both directions at once. They are pinned where they were made: each move of a future would make the task larger.
async fn both(
    up: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    down: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    meter: &Meter,
) -> Result<(), Broken> {
    tokio::select! {
        ended = futures_util::future::try_join(up, down) => ended.map(|_| ()),
        () = meter.idle() => Err(Broken::Idle),
    }
}

/// Which side an error is of.
type Blame = fn(io::Error) -> Broken;

/// A socket whose two directions are polled from one task: borrowed for the time of one poll only.
struct Io<'a, S> {
    socket: RefCell<&'a mut S>,
    blame: Blame,
}

impl<'a, S: Duplex> Io<'a, S> {
    fn new(socket: &'a mut S, blame: Blame) -> Self {
        Self { socket: RefCell::new(socket), blame }
    }

    /// The next bytes; none: the end.
    fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Broken>> {
        let mut socket = self.socket.borrow_mut();
        SPACE.with_borrow_mut(|space| {
            // Behind what others still use; or from the start again when nobody does.
            if space.capacity() < READ && !space.try_reclaim(READ) {
                *space = BytesMut::with_capacity(BLOCK);
            }
            let mut target = (&mut *space).limit(READ);
            let read = ready!(pin!(socket.read_buf(&mut target)).poll(cx));
            Poll::Ready(match read.map_err(self.blame)? {
                small if small < SMALL => {
                    let chunk = Bytes::copy_from_slice(space);
                    space.clear();
                    Ok(chunk)
                }
                _ => Ok(space.split().freeze()),
            })
        })
    }

    /// Writes what it takes of what waits.
    fn poll_write(&self, cx: &mut Context<'_>, waiting: &Waiting) -> Poll<Result<usize, Broken>> {
        let mut space = [IoSlice::new(&[]); PIECES];
        let count = waiting.slices(&mut space);
        let socket = &mut **self.socket.borrow_mut();
        let pieces = space.get(..count).unwrap_or_default();
        let written = ready!(Pin::new(socket).poll_write_vectored(cx, pieces)).map_err(self.blame)?;
        match written {
            0 => Poll::Ready(Err((self.blame)(io::ErrorKind::WriteZero.into()))),
            written => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let socket = &mut **self.socket.borrow_mut();
        Pin::new(socket).poll_flush(cx).map_err(self.blame)
    }

    /// Tells the other end that nothing more comes.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let socket = &mut **self.socket.borrow_mut();
        match ready!(Pin::new(socket).poll_shutdown(cx)) {
            // It is gone already: whether that is a failure, the other direction knows.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            ended => Poll::Ready(ended.map_err(self.blame)),
        }
    }

    async fn chunk(&self) -> Result<Bytes, Broken> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }
}

/// Socket to socket.
async fn copy<A: Duplex, B: Duplex>(
    from: &Io<'_, A>,
    to: &Io<'_, B>,
    count: impl Fn(usize),
) -> Result<(), Broken> {
    loop {
        let chunk = from.chunk().await?;
        if chunk.is_empty() {
            return std::future::poll_fn(|cx| to.poll_shutdown(cx)).await;
        }
        count(chunk.len());
        let mut waiting = Waiting::default();
        waiting.push(chunk);
        while !waiting.is_empty() {
            let written = std::future::poll_fn(|cx| to.poll_write(cx, &waiting)).await?;
            waiting.advance(written);
        }
        std::future::poll_fn(|cx| to.poll_flush(cx)).await?;
    }
}

/// Socket to tunnel. Reads first and asks for room then: room that is asked for in advance would be taken from the
/// connection's other streams, and a few idle ones would stop the busy ones.
async fn send_all<S: Duplex>(
    from: &Io<'_, S>,
    send: &mut SendStream<Bytes>,
    blame: Blame,
    count: impl Fn(usize),
) -> Result<(), Broken> {
    let blamed = |error: h2::Error| blame(into_io(error));
    loop {
        let mut chunk = std::future::poll_fn(|cx| match send.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => Poll::Ready(Err(blamed(reason.into()))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(blamed(error))),
            Poll::Pending => from.poll_chunk(cx),
        })
        .await?;
        if chunk.is_empty() {
            return send.send_data(chunk, true).map_err(blamed);
        }
        count(chunk.len());
        while !chunk.is_empty() {
            let room = room(send, chunk.len()).await.map_err(blamed)?;
            send.send_data(chunk.split_to(room.min(chunk.len())), false).map_err(blamed)?;
        }
    }
}

/// Waits until the stream takes some of `wanted` bytes.
async fn room(send: &mut SendStream<Bytes>, wanted: usize) -> Result<usize, h2::Error> {
    send.reserve_capacity(wanted);
    std::future::poll_fn(|cx| {
        loop {
            match send.capacity() {
                0 => match ready!(send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Err(h2::Reason::CANCEL.into())),
                },
                room => return Poll::Ready(Ok(room)),
            }
        }
    })
    .await
}

/// Tunnel to socket. Takes what has come even while the socket takes nothing: frames that lie within h2 count against
/// the connection as a whole, and many small ones of one slow receiver would end it for all. The stream's window,
/// opened only for what was written, bounds what waits here.
async fn receive_all<S: Duplex>(
    early: &mut Bytes,
    receive: &mut RecvStream,
    to: &Io<'_, S>,
    blame: Blame,
    count: impl Fn(usize),
) -> Result<(), Broken> {
    let (mut waiting, mut ended) = (Waiting::default(), false);
    count(early.len());
    waiting.push(std::mem::take(early));
    std::future::poll_fn(|cx| {
        while !ended {
            match receive.poll_data(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    count(chunk.len());
                    waiting.push(chunk);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(blame(into_io(error)))),
                Poll::Ready(None) => ended = true,
                Poll::Pending => break,
            }
        }
        while !waiting.is_empty() {
            let written = ready!(to.poll_write(cx, &waiting))?;
            waiting.advance(written);
            // Refused only when the stream is over, and then it does not matter.
            let _ = receive.flow_control().release_capacity(written);
        }
        ready!(to.poll_flush(cx))?;
        if ended { to.poll_shutdown(cx) } else { Poll::Pending }
    })
    .await
}

/// h2's errors as those of a connection: a stream that was reset is a connection that was reset.
fn into_io(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()),
        false => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}
