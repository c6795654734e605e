//! Who connections lead to: endpoints of many services may stand behind one address and one identity, and share them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use byrnie_plan::Hop;
use foldhash::HashMap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The far end of connections that carry many requests or tunnels at a time. What a request is for is said by its
/// hop header, never by the connection.
pub struct Peer {
    /// Unique in this process: the key of what workers keep for it.
    pub id: u64,
    /// HTTP/2 connections of all workers that carry requests.
    pub connections: AtomicU32,
    /// Requests of all workers that wait for one.
    pub waiting: AtomicU32,
    /// Connections that end because others wait for their place.
    pub yielding: AtomicU32,
    /// A connection was closed: somebody who waits may open one.
    pub freed: Notify,
    /// Somebody waits: a worker that has a connection gives it up after a while.
    pub wanted: Notify,
    /// Cancelled when its last endpoint has left: nothing new begins, streams in flight end by themselves.
    pub gone: CancellationToken,
    /// Endpoints that stand behind it.
    endpoints: AtomicU32,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            connections: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            yielding: AtomicU32::new(0),
            freed: Notify::new(),
            wanted: Notify::new(),
            gone: CancellationToken::new(),
            endpoints: AtomicU32::new(0),
        }
    }
}

impl Peer {
    pub(super) fn join(&self) {
        self.endpoints.fetch_add(1, Relaxed);
    }

    pub(super) fn leave(&self) {
        if self.endpoints.fetch_sub(1, Relaxed) == 1 {
            self.gone.cancel();
        }
    }
}

/// The peers that endpoints stand behind now. Of the control thread, as are the endpoints' coming and going.
#[derive(Default)]
pub(super) struct Peers(HashMap<(SocketAddr, Hop), Weak<Peer>>);

impl Peers {
    /// The one at this address with this identity.
    pub(super) fn get(&mut self, address: SocketAddr, hop: &Hop) -> Arc<Peer> {
        let known = self.0.entry((address, hop.clone())).or_default();
        match known.upgrade().filter(|peer| !peer.gone.is_cancelled()) {
            Some(peer) => peer,
            None => {
                let peer = Arc::new(Peer::default());
                *known = Arc::downgrade(&peer);
                peer
            }
        }
    }

    /// Forgets those that nobody holds any more.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|_, peer| peer.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_gone_with_its_last_endpoint_and_comes_back_as_another() {
        let mut peers = Peers::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 15008));
        let first = peers.get(address, &Hop::Plaintext);
        first.join();
        let second = peers.get(address, &Hop::Plaintext);
        second.join();
        assert!(Arc::ptr_eq(&first, &second), "one address and one identity are one peer");
        first.leave();
        assert!(!second.gone.is_cancelled(), "another endpoint stands behind it");
        second.leave();
        assert!(second.gone.is_cancelled());
        let third = peers.get(address, &Hop::Plaintext);
        assert_ne!(third.id, first.id, "nothing that was kept for the old one is used for the new one");
        drop((first, second, third));
        peers.sweep();
        assert!(peers.0.is_empty());
    }
}
