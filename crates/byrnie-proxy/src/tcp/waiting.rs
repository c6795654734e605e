//! Bytes that came and could not be passed on yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Chunks below this size are copied together when they have to wait: each would otherwise hold on to the whole buffer
/// that it was cut from, and a peer that sends byte by byte would cost a hundred times what it sends.
const SMALL: usize = 2048;

/// Pieces that are written at once.
pub(super) const PIECES: usize = 16;

/// A queue of bytes. What is in it is bounded by the window of its stream.
#[derive(Default)]
pub(super) struct Waiting {
    /// What comes next. Usually all there is: then nothing is allocated.
    first: Bytes,
    more: VecDeque<Bytes>,
    /// What is behind them.
    tail: BytesMut,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        if self.is_empty() {
            self.first = chunk;
        } else if chunk.len() < SMALL {
            self.tail.extend_from_slice(&chunk);
        } else {
            if !self.tail.is_empty() {
                self.more.push_back(self.tail.split().freeze());
            }
            self.more.push_back(chunk);
        }
    }

    /// What comes next, as it lies in memory.
    pub(super) fn slices<'a>(&'a self, space: &mut [IoSlice<'a>; PIECES]) -> usize {
        let more = self.more.iter().map(|chunk| &**chunk);
        // With a single piece the system call is a plain write.
        let tail = (!self.tail.is_empty()).then_some(&*self.tail);
        let pieces = std::iter::once(&*self.first).chain(more).chain(tail);
        let mut count = 0;
        for (place, piece) in space.iter_mut().zip(pieces) {
            *place = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// So many bytes were passed on.
    pub(super) fn advance(&mut self, mut count: usize) {
        while count >= self.first.len() {
            count -= self.first.len();
            match self.more.pop_front() {
                Some(next) => self.first = next,
                None if self.tail.is_empty() => {
                    *self = Self::default(); // An idle connection holds no memory.
                    return;
                }
                None => self.first = self.tail.split().freeze(),
            }
        }
        self.first.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(waiting: &Waiting) -> Vec<u8> {
        let mut space = [IoSlice::new(&[]); PIECES];
        let count = waiting.slices(&mut space);
        space[..count].iter().flat_map(|piece| piece.iter().copied()).collect()
    }

    #[test]
    fn bytes_stay_in_order_and_small_ones_are_joined() {
        let mut waiting = Waiting::default();
        waiting.push(Bytes::from_static(b"ab"));
        for _ in 0..100 {
            waiting.push(Bytes::from_static(b"c"));
        }
        assert_eq!((waiting.more.len(), waiting.tail.len()), (0, 100));
        let large = vec![b'd'; SMALL];
        waiting.push(Bytes::from(large.clone()));
        waiting.push(Bytes::from_static(b"e"));
        let expected = [b"ab".as_slice(), &[b'c'; 100], &large, b"e"].concat();
        assert_eq!(contents(&waiting), expected);
        for cut in [1, 1, 50, 60, 2, SMALL - 20] {
            let before = contents(&waiting);
            waiting.advance(cut);
            assert_eq!(contents(&waiting), before[cut..]);
        }
        let left = contents(&waiting).len();
        waiting.advance(left);
        assert!(waiting.is_empty());
        assert_eq!(waiting.more.capacity(), 0);
    }
}
