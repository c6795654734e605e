//! A connection of HTTP/1 as its codec uses it: strict about what is read ([`Guard`]), and with notes on what codecs
//! know and do not tell.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::budget::{Budget, Held};
use crate::detect::Prefixed;

use super::strict::{Asked, Guard, Refusal, Side};
use super::trailing::Trailing;

/// Messages up to this size are written in one piece.
const JOINED: usize = 1024;

/// How long a client may go on with a message after its connection was closed for it. A socket that is closed with
/// something unread resets the connection, and with it the answer that the client has not read.
const LINGER: Duration = Duration::from_secs(1);

/// What a head may have without asking: the codec's first buffer, which every connection has.
const FREE: usize = 8 * 1024;

/// What every version of the codec refuses with 400, wherever in a head it comes.
const POISON: &[u8] = b"\0\r\n\r\n";

/// How the codec answers a head that is too large (hyper 1.12).
const TOO_LARGE: &[u8; 44] = b"HTTP/1.1 431 Request Header Fields Too Large";

/// What it says instead where it is its target (RFC 9112 section 3): as many bytes, so that a part of them is the same
/// part.
const TOO_LONG: &[u8; 44] = b"HTTP/1.1 414 Request Target Beyond the Limit";

const UNDECIDED: u8 = 0;
const SWITCHED: u8 = 1;
const NOT_SWITCHED: u8 = 2;

/// What is noted on a connection, shared by its stream and those who use it.
#[derive(Debug, Default)]
pub struct Notes {
    /// Set by every read, so that its user can tell whether bytes have come since it cleared it.
    pub heard: AtomicBool,
    /// The same of writes.
    pub said: AtomicBool,
    /// The codec has something of a request's body that it has not sent.
    pub sends: AtomicBool,
    /// Something is held back from the codec until what it has said has left.
    pub holds: AtomicBool,
    /// Nothing is on its way: the codec asks for another message, none has begun, and what was written has left.
    pub rests: AtomicBool,
    /// Trailers that are not the codec's to write.
    pub trailing: Trailing,
    /// The last request's head is about its host, which its URI does not tell from one for the path `/`.
    pub about_server: AtomicBool,
    switch: AtomicU8,
    refused: AtomicU8,
    asked: AtomicU8,
}

impl Notes {
    /// Why the other side's bytes were refused.
    pub fn refused(&self) -> Option<Refusal> {
        Refusal::from_number(self.refused.load(Relaxed))
    }

    /// Whether the protocol is switched that the last request, which has no body, asked for.
    pub fn decide(&self, switched: bool) {
        self.switch.store(if switched { SWITCHED } else { NOT_SWITCHED }, Relaxed);
    }

    /// To an application: a request is about to be sent.
    pub fn ask(&self, method: &Method) {
        let asked = match *method {
            Method::HEAD => 2,
            Method::CONNECT => 3,
            _ => 1,
        };
        self.asked.store(asked, Relaxed);
    }

    fn asked(&self) -> Asked {
        match self.asked.load(Relaxed) {
            0 => Asked::Nothing,
            1 => Asked::Request,
            2 => Asked::Head,
            _ => Asked::Connect,
        }
    }
}

/// A strict stream.
pub struct Noting<S> {
    stream: S,
    notes: Arc<Notes>,
    guard: Guard,
    side: Side,
    /// What came behind a request, and was not looked at yet.
    held: BytesMut,
    /// The codec asked for another message, and none has begun. That it asks says that it has used all that it has
    /// read, bodies that nobody wants as well; what was read from the socket does not say so.
    asks: bool,
    /// All that was written has left.
    flushed: bool,
    /// What is left to say to the codec of a head that is refused.
    poison: &'static [u8],
    /// Waits for the decision, or until all has left.
    waker: Option<Waker>,
    linger: Option<Pin<Box<Sleep>>>,
    /// Bytes that have come of a head that took more than one read.
    head: usize,
    /// The buffer that they need.
    room: Option<Held>,
    /// What the codec has and the other side does not take.
    unsent: Option<Held>,
}

impl<S> Noting<S> {
    /// `limit` bounds a line, in bytes.
    pub fn new(stream: S, side: Side, limit: usize, notes: Arc<Notes>) -> Self {
        let guard = Guard::new(side, limit);
        Self {
            stream,
            notes,
            guard,
            side,
            held: BytesMut::new(),
            asks: false,
            flushed: true,
            poison: POISON,
            waker: None,
            linger: None,
            head: 0,
            room: None,
            unsent: None,
        }
    }

    /// Large heads, and what the other side does not take, count as what this process holds for others.
    pub fn within(mut self, budget: &Arc<Budget>) -> Self {
        (self.room, self.unsent) = (Some(budget.holder()), Some(budget.holder()));
        self
    }

    /// Counts what is left of so many bytes that the codec would write: they are all it has.
    fn note(&mut self, offered: usize, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (&written, &mut self.unsent) {
            (Poll::Pending, Some(unsent)) => unsent.hold(offered as u64),
            (Poll::Ready(Ok(taken)), Some(unsent)) if *taken == offered => unsent.give_back(),
            _ => {}
        }
        written
    }

    /// What the codec would write, in better words: it does not tell a target from other parts of a head.
    fn reword(&self, buf: &[u8]) -> Option<Vec<u8>> {
        let (Refusal::LongTarget, _) = self.guard.refused()? else { return None };
        let rest = buf.strip_prefix(TOO_LARGE)?;
        Some([TOO_LONG, rest].concat())
    }

    /// The codec may read again.
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn say(&mut self) {
        self.notes.said.store(true, Relaxed);
        self.notes.rests.store(false, Relaxed);
        self.flushed = false;
    }

    fn ask(&mut self, asks: bool) {
        self.asks = asks;
        self.notes.rests.store(asks && self.flushed, Relaxed);
    }

    /// There is no codec any more.
    pub fn rest(&mut self) {
        self.asks = false;
        self.head = 0;
        // What was read last was the end of a message, not the beginning of one.
        self.notes.heard.store(false, Relaxed);
        if let Some(room) = &mut self.room {
            room.give_back();
        }
    }

    /// Whether there is room for `more` bytes that have just come, and for what is held. `begins`: they are not of a
    /// head that had begun. What a head took is counted until something else comes: the codec keeps it as long.
    fn has_room(&mut self, begins: bool, more: usize) -> bool {
        let Some(room) = &mut self.room else { return true };
        if begins {
            self.head = 0;
            room.give_back();
        }
        if !begins || self.guard.is_within_head() {
            self.head += more;
        }
        let needed = self.head + self.held.len();
        needed <= FREE || room.reach(needed.next_power_of_two() as u64)
    }

    /// Whether the codec must wait for what comes next: it would put what it says to a head that it refuses before what
    /// it has not written yet of the last answer (hyper 1.12). So it sees of a message nothing before that has left.
    fn is_early(&self) -> bool {
        self.side == Side::Requests && !self.flushed && self.guard.is_at_start()
    }

    /// Looks at what is held; else at what was just read behind `before`, and takes back what is not to be seen, or not
    /// yet.
    fn judge(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let notes = &self.notes;
        let (asked, answered) = (|| notes.asked(), || notes.asked.store(0, Relaxed));
        if self.held.is_empty() {
            let new = buf.filled().get(before..).unwrap_or_default();
            let taken = self.guard.take(new, asked, answered);
            if taken < new.len() {
                if self.guard.refused().is_none() {
                    self.held.extend_from_slice(new.get(taken..).unwrap_or_default());
                    notes.holds.store(true, Relaxed);
                }
                buf.set_filled(before + taken);
            }
        } else {
            let next = self.held.len().min(buf.remaining());
            let taken = self.guard.take(self.held.get(..next).unwrap_or_default(), asked, answered);
            buf.put_slice(&self.held.split_to(taken));
            if self.held.is_empty() || self.guard.refused().is_some() {
                self.held = BytesMut::new(); // Gives the memory back.
                notes.holds.store(false, Relaxed);
            }
        }
        notes.about_server.store(self.guard.is_about_server(), Relaxed);
        match self.guard.refused() {
            Some((why, _)) => notes.refused.store(why as u8, Relaxed),
            None if self.guard.is_held() => notes.switch.store(UNDECIDED, Relaxed),
            None => {}
        }
    }

    /// What the codec is told of bytes that are refused: of a client's head something that it answers with 400 itself,
    /// else an error.
    fn tell_refusal(&mut self, why: Refusal, in_head: bool, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        match (why, self.side) {
            (Refusal::Premature, _) => Ok(()),
            (_, Side::Requests) if in_head => {
                let (now, later) = self.poison.split_at(self.poison.len().min(buf.remaining()));
                buf.put_slice(now);
                self.poison = later;
                Ok(())
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, why.to_string())),
        }
    }
}

impl<S: AsyncRead + Unpin> Noting<Prefixed<S>> {
    /// Waits until there is something for a codec to read: one that is made only then need not be kept meanwhile.
    /// False: the other side has ended.
    pub async fn listen(&mut self) -> io::Result<bool> {
        let is_heard = self.stream.listen().await?;
        self.notes.heard.store(is_heard, Relaxed);
        Ok(is_heard)
    }

    /// What was heard for a codec that is still to be made.
    pub fn heard(&self) -> &[u8] {
        self.stream.prefix()
    }
}

impl<S: AsyncRead + Unpin> Noting<S> {
    /// The answer to a request to switch protocols is about to be written: what has come by now came before the client
    /// could know, and belongs to the new protocol or to nobody.
    fn settle(&mut self, cx: &mut Context<'_>) {
        match self.notes.switch.swap(UNDECIDED, Relaxed) {
            SWITCHED => self.guard.release(),
            NOT_SWITCHED => {
                let mut space = [0; 1];
                let mut more = ReadBuf::new(&mut space);
                let read = Pin::new(&mut self.stream).poll_read(cx, &mut more);
                if self.held.is_empty() && (read.is_pending() || more.filled().is_empty()) {
                    self.guard.go_on();
                } else {
                    self.notes.refused.store(Refusal::Premature as u8, Relaxed);
                    self.guard.refuse_premature();
                }
            }
            _ => return,
        }
        self.wake();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.guard.is_held() {
            this.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some((why, in_head)) = this.guard.refused() {
            return Poll::Ready(this.tell_refusal(why, in_head, buf));
        }
        if this.is_early() {
            this.ask(false);
            this.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if this.held.is_empty() {
            let read = Pin::new(&mut this.stream).poll_read(cx, buf);
            this.ask(read.is_pending() && this.guard.is_at_start());
            ready!(read)?;
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
        } else {
            this.ask(false);
        }
        this.notes.heard.store(true, Relaxed);
        if this.guard.is_free() && this.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let begins = !this.guard.is_within_head();
        this.judge(buf, before);
        if !this.has_room(begins, buf.filled().len() - before) {
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, "no room for the head")));
        }
        match this.guard.refused() {
            Some((why, in_head)) if buf.filled().len() == before => {
                Poll::Ready(this.tell_refusal(why, in_head, buf))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> Noting<S> {
    fn write_with_trailers(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.notes.trailing.poll_write(&mut self.stream, cx, bufs);
        let offered: usize = bufs.iter().map(|buf| buf.len()).sum();
        self.note(offered + self.notes.trailing.len(), written)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.say();
        if self.guard.is_held() {
            self.settle(cx);
        }
        if self.notes.trailing.is_some() {
            return self.write_with_trailers(cx, &[io::IoSlice::new(buf)]);
        }
        let reworded = self.reword(buf);
        let written = Pin::new(&mut self.stream).poll_write(cx, reworded.as_deref().unwrap_or(buf));
        self.note(buf.len(), written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Codecs flush when they have written all that they have.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.flushed = true;
        self.notes.rests.store(self.asks, Relaxed);
        if !self.guard.is_held() {
            self.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.notes.rests.store(false, Relaxed);
        let linger = match &mut this.linger {
            Some(linger) => linger,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                let is_heard_out = !this.guard.is_within_message() && this.held.is_empty();
                if this.side == Side::Responses || is_heard_out {
                    return Poll::Ready(Ok(()));
                }
                this.linger.insert(Box::pin(tokio::time::sleep(LINGER)))
            }
        };
        let mut space = [0; 4096];
        while linger.as_mut().poll(cx).is_pending() {
            let mut sink = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut sink)) {
                Ok(()) if !sink.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Small messages in several pieces (head and body) are joined first: one `send` of one piece is less work for the
    /// kernel than a `writev`, and the copy is of a few hundred bytes.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        self.say();
        if self.guard.is_held() {
            self.settle(cx);
        }
        if self.notes.trailing.is_some() {
            return self.write_with_trailers(cx, bufs);
        }
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total > JOINED {
            let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
            return self.note(total, written);
        }
        let mut joined = [0; JOINED];
        let mut end = 0;
        for buf in bufs {
            if let Some(place) = joined.get_mut(end..end + buf.len()) {
                place.copy_from_slice(buf);
            }
            end += buf.len();
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, joined.get(..end).unwrap_or_default());
        self.note(total, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
