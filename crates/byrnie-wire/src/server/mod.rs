//! The control plane's end of the discovery stream.
//!
//! [`Session`] is the state machine of one stream, without I/O: what the proxy subscribed to, what it was
//! sent, what it acknowledged. [`serve`] moves its messages over gRPC. What stands under a key, who may see
//! it, and who hears of changes is the [`Subscriber`]'s.

mod driver;
mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use byrnie_plan::Key;
use tonic::transport::Server;

use crate::convert::Encoded;
use crate::error::{DecodeError, ProtocolError};
use crate::generated::discovery_server::{Discovery, DiscoveryServer};
use crate::limits::{MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE};
use crate::node::{NodeInfo, NodeStatus};
use crate::report::{Report, TapEvent, TapRequest};
use crate::version::Version;

pub use driver::serve;
pub use session::Session;

/// HTTP/2 pings to proxies.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may stay unanswered before a proxy counts as gone.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What stands under a key now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The subscriber's own number of this state; comes back in [`Incoming::Settled`].
    pub stamp: u64,
    /// `None`: nothing stands there.
    pub encoded: Option<Encoded>,
}

/// What a proxy says, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// Who is speaking; first of all, once.
    Hello(NodeInfo),
    /// A key it wants to hear of from now on.
    Subscribed(Key),
    /// A key it does not want any more.
    Unsubscribed(Key),
    /// It answered a state that it was sent.
    Settled {
        /// The key.
        key: Key,
        /// [`Current::stamp`] of that state.
        stamp: u64,
        /// Its version; [`Version::ABSENT`] when there was nothing.
        version: Version,
        /// `None`: it is in force.
        rejected: Option<Rejection>,
    },
    /// How it is.
    Status(NodeStatus),
    /// What it measured.
    Report(Report),
    /// What a tap shows.
    Tap(TapEvent),
    /// A part of the answer to a query.
    Answer {
        /// The query's.
        id: u64,
        /// Bytes of a JSON document.
        part: Vec<u8>,
        /// Nothing follows.
        last: bool,
    },
    /// A status, report or tap event that cannot be read, of a proxy of another version perhaps. To be
    /// counted and logged; the stream goes on, because routes and endpoints matter more.
    Unreadable(DecodeError),
}

/// Why a proxy refused a state and keeps what it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `BYR0351` and the like.
    pub code: String,
    /// The proxy's own words.
    pub reason: String,
}

/// What a stream is told from the control plane's side.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// These keys may have changed.
    Changed(Vec<Key>),
    /// Ask the proxy about itself.
    Query(u64, String),
    /// Show requests.
    TapStart(TapRequest),
    /// Stop showing them.
    TapStop(u64),
    /// End the stream, for this reason.
    Close(String),
}

/// The control plane, as one stream sees it.
pub trait Subscriber: Send + 'static {
    /// Takes what the proxy says. An error ends the stream: [`ProtocolError::Refused`] for a node or key
    /// that is not this peer's to name.
    fn on(&mut self, incoming: Incoming) -> Result<(), ProtocolError>;

    /// What stands under a subscribed key.
    fn see(&self, key: &Key) -> Current;

    /// Waits for the next order. Dropped and called again at any time, so nothing may be lost by that.
    fn next_order(&mut self) -> impl Future<Output = Order> + Send;
}

/// The gRPC service with this protocol's limits.
pub fn service<D: Discovery>(discovery: D) -> DiscoveryServer<D> {
    DiscoveryServer::new(discovery)
        .max_decoding_message_size(MAX_CLIENT_MESSAGE)
        .max_encoding_message_size(MAX_SERVER_MESSAGE)
}

/// A gRPC server that notices dead proxies and gives each connection few streams.
pub fn transport() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_concurrent_streams(16)
}
