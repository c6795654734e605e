//! The proxy's end of the discovery stream.
//!
//! [`client`] gives a [`Handle`] (commands: never blocks, callable from any thread), an [`Events`]
//! receiver, and a [`Driver`] to spawn on the admin runtime. What to say and what has been said is kept by
//! a state machine without I/O (`session`); the driver only moves its messages.

mod backoff;
mod driver;
mod session;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use byrnie_plan::{Key, Resource};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};

use crate::error::DecodeError;
use crate::node::{NodeInfo, NodeStatus};
use crate::report::{Report, TapEvent, TapRequest};
use crate::version::Version;

pub use backoff::Backoff;
pub use driver::Driver;
pub(crate) use driver::{channel, explain};
use session::Session;

/// Events that wait for the caller before the driver stops reading from the network.
const EVENT_QUEUE: usize = 1_024;

/// A connected, encrypted stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// What a [`Connector`] is working on.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send>>;

/// Connects to the control plane: TCP, then mTLS with ALPN `h2`, the control plane's identity verified.
/// Called for each attempt, so that it takes the newest certificate and trust bundle.
pub type Connector = Arc<dyn Fn() -> Connecting + Send + Sync>;

/// What a client needs.
pub struct ClientOptions {
    /// Who is speaking.
    pub node: NodeInfo,
    /// How to reach the control plane.
    pub connector: Connector,
    /// Pauses between attempts.
    pub backoff: Backoff,
}

/// What the control plane says, and how the connection is.
#[derive(Debug)]
pub enum Event {
    /// A stream is established.
    Connected,
    /// It ended or could not be established. What is in force stays in force.
    Disconnected {
        /// For logs and `proxy-status`; starts with a code where there is one.
        reason: String,
    },
    /// A subscribed key has this state now. To be answered with [`Handle::ack`] or [`Handle::nack`], naming
    /// `version`; an `Err` is refused already and is told for the log only.
    Update {
        /// The key.
        key: Key,
        /// [`Version::ABSENT`] when there is nothing.
        version: Version,
        /// `None`: there is nothing under this key (any more).
        resource: Result<Option<Resource>, DecodeError>,
    },
    /// The version that the proxy holds is the current one.
    Unchanged(Key),
    /// Every subscribed key has been answered on this stream. Again after each later growth of the
    /// subscriptions.
    Synced,
    /// To be answered with [`Handle::answer`].
    Query {
        /// Goes back with the answer.
        id: u64,
        /// What is asked for.
        what: String,
    },
    /// Show requests.
    TapRequest(TapRequest),
    /// Stop showing them; also sent for each tap when the stream ends.
    TapStop(u64),
}

/// The events of one client, in order.
pub type Events = mpsc::Receiver<Event>;

/// Makes a client. Nothing happens until the [`Driver`] runs.
pub fn client(options: ClientOptions) -> (Handle, Events, Driver) {
    let shared = Arc::new(Shared { session: Mutex::new(Session::new(options.node)), wake: Notify::new() });
    let (events, receiver) = mpsc::channel(EVENT_QUEUE);
    let driver = Driver::new(shared.clone(), options.connector, options.backoff, events);
    (Handle { shared }, receiver, driver)
}

struct Shared {
    session: Mutex<Session>,
    /// There may be something to send.
    wake: Notify,
}

/// Commands to a client. Each returns at once: the state machine is changed, and the driver sends what
/// differs.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Subscribes; with each key the version that the proxy holds and obeys already, for example from a
    /// snapshot. A key that is subscribed stays as it is.
    ///
    /// Returns how many keys were left out because the client has its most subscriptions
    /// ([`crate::MAX_SUBSCRIPTIONS`]).
    pub fn subscribe(&self, keys: impl IntoIterator<Item = (Key, Option<Version>)>) -> usize {
        self.change(|session| keys.into_iter().filter(|(key, known)| !session.subscribe(key, *known)).count())
    }

    /// Ends subscriptions.
    pub fn unsubscribe<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        self.change(|session| keys.into_iter().for_each(|key| session.unsubscribe(key)));
    }

    /// The update is in force.
    pub fn ack(&self, key: &Key, version: Version) {
        self.change(|session| session.ack(key, version));
    }

    /// The update cannot be applied; what was in force stays.
    pub fn nack(&self, key: &Key, version: Version, code: &str, reason: &str) {
        self.change(|session| session.nack(key, version, code, reason));
    }

    /// Deltas to send. While the stream is slow or away they are added up; what exceeds the limit is
    /// dropped and counted in [`Report::dropped_cells`].
    pub fn report(&self, report: Report) {
        self.change(|session| session.report(report));
    }

    /// The proxy's state, sent now and at the start of each stream.
    pub fn status(&self, status: NodeStatus) {
        self.change(|session| session.status(status));
    }

    /// Tap events; those beyond what may wait are dropped. Returns how many.
    pub fn tap(&self, events: impl IntoIterator<Item = TapEvent>) -> usize {
        self.change(|session| events.into_iter().filter_map(|event| session.tap(event).err()).count())
    }

    /// The answer to a query, a JSON document. Lost with the stream; one that is too long is cut off.
    pub fn answer(&self, id: u64, document: &[u8]) {
        self.change(|session| session.answer_query(id, document));
    }

    /// The version in force of a subscribed key, as acknowledged.
    pub fn held(&self, key: &Key) -> Option<Version> {
        self.shared.session.lock().held(key)
    }

    /// Ends the driver once what was reported is sent; without a stream at once.
    pub fn close(&self) {
        self.change(Session::close);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        let out = change(&mut self.shared.session.lock());
        self.shared.wake.notify_one();
        out
    }
}
