//! What a tunnels' connection needs beside its streams: its frames moved, its peer asked whether it lives, its end in
//! time.

use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::budget::Windows;

use super::{Connection, Doubt, forget};
use crate::config::Endpoint;
use crate::process::Gauged;
use crate::worker::Worker;

/// A connection without streams is closed after between one and two of these.
const IDLE: Duration = Duration::from_secs(60);

/// How often the peer is asked whether it lives. Source: ztunnel's.
const PING: Duration = Duration::from_secs(10);

/// How long it may take to answer. Longer than a busy proxy ever pauses.
const PONG: Duration = Duration::from_secs(10);

/// Whose connection it is.
pub(super) struct Driven {
    pub(super) worker: Rc<Worker>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) doubt: Rc<Doubt>,
    /// What the connection may send us, as long as it lives.
    pub(super) windows: Windows,
    /// It itself.
    pub(super) counted: Gauged,
}

impl Driven {
    /// Moves the connection's frames until it is closed, or its peer is dead. Takes it out of its group when nothing
    /// new may go over it.
    pub(super) async fn run<S>(
        self,
        mut driver: h2::client::Connection<S, Bytes>,
        connection: Weak<Connection>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (process, _promised, _counted) = (&self.worker.process, &self.windows, &self.counted);
        let mut dead = std::pin::pin!(is_dead(driver.ping_pong(), &self.doubt));
        let mut driver = std::pin::pin!(driver);
        let retire = async {
            tokio::select! {
                () = self.endpoint.peer.gone.cancelled() => {}
                () = process.draining.cancelled() => {}
                () = unused(|| was_used(&connection)) => {}
            }
        };
        let mut ended = tokio::select! {
            ended = driver.as_mut() => Some(ended.map_err(|error| error.to_string())),
            () = dead.as_mut() => Some(Err("the peer does not answer".to_owned())),
            () = process.closing.cancelled() => Some(Ok(())),
            () = retire => None,
        };
        if let Some(connection) = connection.upgrade() {
            forget(self.endpoint.peer.id, &connection);
        }
        if ended.is_none() {
            ended = tokio::select! {
                ended = driver => Some(ended.map_err(|error| error.to_string())),
                () = dead => Some(Err("the peer does not answer".to_owned())),
                () = process.closing.cancelled() => None,
            };
        }
        if let Some(Err(error)) = ended {
            let plan = &self.endpoint.plan;
            tracing::debug!("the tunnels to {} at {}: {error}", plan.workload, plan.address);
        }
    }
}

/// Returns when no stream was opened or open between two looks.
async fn unused(mut was_used: impl FnMut() -> bool) {
    loop {
        tokio::time::sleep(IDLE).await;
        if !was_used() {
            return;
        }
    }
}

/// Whether a stream is open, or was opened since the last look.
fn was_used(connection: &Weak<Connection>) -> bool {
    connection
        .upgrade()
        .is_some_and(|connection| connection.used.replace(false) || connection.streams.get() > 0)
}

/// Returns when the peer does not answer a ping. Asks from time to time, and at once when somebody has doubts.
async fn is_dead(pings: Option<PingPong>, doubt: &Doubt) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        let _ = tokio::time::timeout(PING, doubt.raised.notified()).await;
        match tokio::time::timeout(PONG, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => doubt.is_there.set(false),
            // The connection itself has ended, and says more about it.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_streams_ends_at_the_second_look_at_the_latest() {
        let start = tokio::time::Instant::now();
        unused(|| false).await;
        assert_eq!(start.elapsed(), IDLE, "opened just after a look, and never used");
        // In use at the first look, or just before it: it stays until the next one that finds it idle.
        let mut looks = [true, true, false].into_iter();
        unused(|| looks.next().unwrap()).await;
        assert_eq!(start.elapsed(), IDLE * 4);
        assert!(!was_used(&Weak::new()), "nothing is left to hold");
    }
}
