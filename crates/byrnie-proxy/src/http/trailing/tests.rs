//! Trailers among what a codec writes, however little of it is taken at a time.

use std::task::Waker;

use http::{HeaderName, HeaderValue};

use super::*;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Takes so many bytes at a time, and every other time none.
struct Slow {
    piece: usize,
    is_ready: bool,
    taken: Vec<u8>,
}

impl Slow {
    fn new(piece: usize) -> Self {
        Self { piece, is_ready: false, taken: Vec::new() }
    }
}

impl AsyncWrite for Slow {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_ready = !self.is_ready;
        if !self.is_ready {
            return Poll::Pending;
        }
        let before = self.taken.len();
        let piece = self.piece;
        self.taken.extend(bufs.iter().flat_map(|buf| buf.iter().copied()).take(piece));
        Poll::Ready(Ok(self.taken.len() - before))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A codec: what it has to write, each piece by itself.
#[derive(Default)]
struct Codec(Vec<Bytes>);

impl Codec {
    fn has(&mut self, pieces: &[&[u8]]) {
        self.0.extend(pieces.iter().map(|piece| Bytes::copy_from_slice(piece)));
    }

    /// Writes once.
    fn write(&mut self, trailing: &Trailing, stream: &mut Slow) {
        let bufs: Vec<_> = self.0.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(written) = trailing.poll_write(stream, &mut cx, &bufs) else { return };
        let mut written = written.unwrap();
        assert!(written > 0, "codecs take that for the end");
        for piece in &mut self.0 {
            let part = written.min(piece.len());
            piece.advance(part);
            written -= part;
        }
        assert_eq!(written, 0, "more than there was");
        self.0.retain(|piece| !piece.is_empty());
    }

    fn write_all(&mut self, trailing: &Trailing, stream: &mut Slow) {
        while !self.0.is_empty() {
            self.write(trailing, stream);
        }
        assert!(!trailing.is_some() && trailing.len() == 0);
    }
}

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

#[test]
fn trailers_stand_before_the_last_line_in_pieces_of_any_size() {
    // Data that looks like an end is none.
    let data: &[&[u8]] = &[HEAD, b"A\r\n", b"0\r\n\r\n0\r\n\r\n", b"\r\n", b"0\r\n\r\n"];
    let one = [data.concat().strip_suffix(b"\r\n").unwrap(), b"x-a: 1\r\nx-a: 2\r\nx-b: \r\n\r\n"].concat();
    let whole = [one.clone(), data.concat(), one].concat();
    for piece in 1..=whole.len() {
        for is_joined in [false, true] {
            let (trailing, mut stream, mut codec) = (Trailing::default(), Slow::new(piece), Codec::default());
            for trailers in [&map(&[("x-a", "1"), ("x-a", "2"), ("x-b", "")]), &map(&[])] {
                match is_joined {
                    true => codec.has(&[&data.concat()]),
                    false => codec.has(data),
                }
                trailing.add(trailers);
                codec.write_all(&trailing, &mut stream);
            }
            // Part of it has left before the body ends.
            let (last, rest) = data.split_last().unwrap();
            codec.has(rest);
            codec.write(&trailing, &mut stream);
            codec.write(&trailing, &mut stream);
            codec.has(&[last]);
            trailing.add(&map(&[("x-a", "1"), ("x-a", "2"), ("x-b", "")]));
            codec.write_all(&trailing, &mut stream);
            assert!(stream.taken == whole, "{piece}: {}", String::from_utf8_lossy(&stream.taken));
        }
    }
}

#[test]
fn the_next_message_may_come_before_the_last_one_has_left() {
    for piece in 1..200 {
        let (trailing, mut stream, mut codec) = (Trailing::default(), Slow::new(piece), Codec::default());
        codec.has(&[HEAD, LAST_CHUNK]);
        trailing.add(&map(&[("x-a", "1")]));
        codec.write(&trailing, &mut stream);
        codec.has(&[HEAD, b"2\r\nab\r\n", LAST_CHUNK]);
        trailing.add(&map(&[("x-b", "2")]));
        codec.write(&trailing, &mut stream);
        codec.has(&[HEAD, LAST_CHUNK]);
        codec.write_all(&trailing, &mut stream);
        let first = [HEAD, b"0\r\nx-a: 1\r\n\r\n"].concat();
        let second = [HEAD, b"2\r\nab\r\n0\r\nx-b: 2\r\n\r\n"].concat();
        let whole = [first, second, [HEAD, LAST_CHUNK].concat()].concat();
        assert!(stream.taken == whole, "{piece}: {}", String::from_utf8_lossy(&stream.taken));
    }
}

#[test]
fn a_message_that_ends_otherwise_stays_as_it_is() {
    let (trailing, mut stream, mut codec) = (Trailing::default(), Slow::new(7), Codec::default());
    codec.has(&[b"HTTP/1.0 200 OK\r\n\r\n", b"until the end"]);
    trailing.add(&map(&[("x-a", "1")]));
    codec.write_all(&trailing, &mut stream);
    assert_eq!(stream.taken, b"HTTP/1.0 200 OK\r\n\r\nuntil the end");
}

#[test]
fn a_stream_that_takes_nothing_is_an_error() {
    let (trailing, mut stream) = (Trailing::default(), Slow::new(0));
    trailing.add(&map(&[("x-a", "1")]));
    let mut cx = Context::from_waker(Waker::noop());
    let mut write = |buf: &[u8]| trailing.poll_write(&mut stream, &mut cx, &[IoSlice::new(buf)]);
    // As much as it takes of what comes before.
    assert!(matches!(write(LAST_CHUNK), Poll::Ready(Ok(0)) | Poll::Pending));
    stream.piece = 3;
    let mut write = |buf: &[u8]| trailing.poll_write(&mut stream, &mut cx, &[IoSlice::new(buf)]);
    assert!(write(LAST_CHUNK).is_pending());
    assert!(matches!(write(LAST_CHUNK), Poll::Ready(Ok(3))));
    stream.piece = 0;
    let mut write = || trailing.poll_write(&mut stream, &mut cx, &[IoSlice::new(EMPTY_LINE)]);
    assert!(write().is_pending());
    let Poll::Ready(Err(error)) = write() else { panic!("it goes on") };
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}
