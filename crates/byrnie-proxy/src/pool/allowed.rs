//! How many streams a peer allows on a connection (RFC 9113 section 5.1.2): what is begun beyond that waits in the
//! codec until another one ends, however long that takes.

use std::cell::Cell;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// What the codec is to say of a peer whose settings have not come: more than any setting can, and less than what it
/// says of those that set no limit.
pub const UNSAID: usize = usize::MAX - 1;

/// What one connection's peer allows.
pub struct Allowed {
    streams: Cell<usize>,
    opened: Instant,
}

impl Allowed {
    /// Of a connection that has just been opened; `said`: on the one before it.
    pub fn new(said: usize) -> Self {
        Self { streams: Cell::new(said), opened: Instant::now() }
    }

    /// The peer's word.
    pub fn hear(&self, streams: usize) {
        self.streams.set(streams);
    }

    /// Whether it allows nothing for now.
    pub fn is_nothing(&self) -> bool {
        self.streams.get() == 0
    }

    /// Until when the peer's word is waited for. `None`: it has come, or is late.
    pub fn awaited(&self, patience: Duration) -> Option<Instant> {
        let until = (self.streams.get() == UNSAID).then(|| self.opened + patience)?;
        (Instant::now() < until).then_some(until)
    }

    /// Whether one more is allowed beside these. As long as the peer's word is waited for, one goes ahead.
    pub fn has_room(&self, streams: u32, patience: Duration) -> bool {
        match self.awaited(patience) {
            Some(_) => streams == 0,
            None => (streams as usize) < self.streams.get(),
        }
    }
}

/// Moves a connection's frames to its end, and tells what its peer allows when that becomes another number.
pub async fn drive<S>(mut connection: Connection<S, Bytes>, tell: impl Fn(usize)) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut told = UNSAID;
    std::future::poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        let allowed = connection.max_concurrent_send_streams();
        if allowed != told {
            told = allowed;
            tell(allowed);
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_goes_ahead_of_the_peers_word() {
        let patience = Duration::from_millis(200);
        let allowed = Allowed::new(UNSAID);
        assert!(allowed.has_room(0, patience) && !allowed.has_room(1, patience));
        tokio::time::advance(patience).await;
        assert!(allowed.awaited(patience).is_none() && allowed.has_room(1_000, patience), "it is late");
        for (said, most) in [(3, 3), (1, 1), (usize::MAX, 1_000)] {
            allowed.hear(said);
            assert!(allowed.has_room(most - 1, patience));
            assert_eq!(allowed.has_room(most, patience), said == usize::MAX);
        }
        allowed.hear(0);
        assert!(allowed.is_nothing() && !allowed.has_room(0, patience));
        assert!(!Allowed::new(1).has_room(1, patience), "as on the connection before");
    }
}
