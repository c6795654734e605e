//! The server's side of the protocol, without I/O.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use byrnie_plan::Key;
use prost::Message;

use super::{Current, Incoming, Rejection};
use crate::convert::MAX_RESOURCE_BYTES;
use crate::convert::field::{at, invalid, text};
use crate::error::{DecodeError, Problem, ProtocolError};
use crate::generated as pb;
use crate::limits::{
    MAX_IN_FLIGHT, MAX_KEY, MAX_KEYS_PER_MESSAGE, MAX_REASON, MAX_SUBSCRIPTIONS, SERVER_BATCH,
};
use crate::node::{NodeInfo, NodeStatus};
use crate::report::{Report, TapRequest, tap_event_from_proto, tap_request_to_proto};
use crate::version::Version;
use pb::resource_update::State;

/// One stream. Memory is bounded: at most [`MAX_SUBSCRIPTIONS`] keys, each queued at most once, and
/// [`MAX_IN_FLIGHT`] responses; no resource is kept.
#[derive(Default)]
pub struct Session {
    greeted: bool,
    subscriptions: HashMap<Key, Subscription>,
    /// Keys to look at, oldest first.
    queue: BTreeMap<u64, Key>,
    next_place: u64,
    last_nonce: u64,
    in_flight: BTreeMap<u64, Vec<Sent>>,
    taps: VecDeque<Tap>,
    queries: Vec<pb::Query>,
    incoming: VecDeque<Incoming>,
}

enum Tap {
    Start(pb::TapRequest),
    Stop(u64),
}

struct Subscription {
    /// The version that the proxy named and that was not compared yet.
    known: Option<Version>,
    /// The last state sent.
    sent: Option<(Version, u64)>,
    /// Its place in the queue.
    place: Option<u64>,
    /// Responses up to this one belong to an earlier subscription of the key.
    after_nonce: u64,
    /// The newest response that holds the key and was answered.
    settled_nonce: u64,
}

/// One resource of a response.
struct Sent {
    key: Key,
    version: Version,
    stamp: u64,
}

impl Session {
    /// A stream on which nothing was said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a message from the proxy. What it says is then had from [`Session::poll_incoming`].
    ///
    /// # Errors
    /// A proxy that breaks the protocol; the stream must end.
    pub fn on_message(&mut self, message: pb::ClientMessage) -> Result<(), ProtocolError> {
        self.on_hello(message.hello)?;
        bounded("unsubscribe", message.unsubscribe.len(), MAX_KEYS_PER_MESSAGE)?;
        bounded("subscribe", message.subscribe.len(), MAX_KEYS_PER_MESSAGE)?;
        bounded("outcomes", message.outcomes.len(), MAX_IN_FLIGHT)?;
        for key in &message.unsubscribe {
            self.on_unsubscribe(key)?;
        }
        self.on_subscribe(message.subscribe)?;
        for outcome in message.outcomes {
            self.on_outcome(outcome)?;
        }
        if let Some(status) = message.status {
            self.told(at("status", NodeStatus::from_proto(status)).map(Incoming::Status));
        }
        if let Some(report) = message.report {
            self.told(at("report", Report::from_proto(report)).map(Incoming::Report));
        }
        bounded("tap_events", message.tap_events.len(), MAX_KEYS_PER_MESSAGE)?;
        for event in message.tap_events {
            self.told(at("tap_events", tap_event_from_proto(event)).map(Incoming::Tap));
        }
        for answer in message.answers {
            self.incoming.push_back(Incoming::Answer { id: answer.id, part: answer.part, last: answer.last });
        }
        Ok(())
    }

    /// What the proxy said, oldest first. To be emptied after each [`Session::on_message`] and
    /// [`Session::poll_send`].
    pub fn poll_incoming(&mut self) -> Option<Incoming> {
        self.incoming.pop_front()
    }

    /// These keys may have changed. Keys that nobody subscribed to on this stream are passed over.
    pub fn on_change<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            self.enqueue(key);
        }
    }

    /// Asks the proxy to show requests.
    pub fn tap_start(&mut self, tap: &TapRequest) {
        self.taps.push_back(Tap::Start(tap_request_to_proto(tap)));
    }

    /// Asks the proxy about itself.
    pub fn query(&mut self, id: u64, what: String) {
        self.queries.push(pb::Query { id, what });
    }

    /// Asks it to stop.
    pub fn tap_stop(&mut self, id: u64) {
        self.taps.push_back(Tap::Stop(id));
    }

    /// The next message to send, from the state of this moment; to be called when the stream can take it.
    pub fn poll_send(&mut self, see: impl Fn(&Key) -> Current) -> Option<pb::ServerMessage> {
        let queries = std::mem::take(&mut self.queries);
        let mut message = pb::ServerMessage { queries, ..Default::default() };
        for tap in self.taps.drain(..) {
            match tap {
                Tap::Start(tap) => message.tap_start.push(tap),
                Tap::Stop(id) => message.tap_stop.push(id),
            }
        }
        if self.in_flight.len() < MAX_IN_FLIGHT {
            let (resources, sent) = self.next_resources(see);
            if !resources.is_empty() {
                self.last_nonce += 1;
                message.nonce = self.last_nonce;
                message.resources = resources;
                self.in_flight.insert(self.last_nonce, sent);
            }
        }
        (message != pb::ServerMessage::default()).then_some(message)
    }

    fn told(&mut self, incoming: Result<Incoming, DecodeError>) {
        self.incoming.push_back(incoming.unwrap_or_else(Incoming::Unreadable));
    }

    fn on_hello(&mut self, hello: Option<pb::Node>) -> Result<(), ProtocolError> {
        match hello {
            Some(_) if self.greeted => Err(ProtocolError::SecondHello),
            None if !self.greeted => Err(ProtocolError::NoHello),
            None => Ok(()),
            Some(node) => {
                self.greeted = true;
                self.incoming.push_back(Incoming::Hello(at("hello", NodeInfo::from_proto(node))?));
                Ok(())
            }
        }
    }

    fn on_unsubscribe(&mut self, key: &str) -> Result<(), ProtocolError> {
        let key = at("unsubscribe", read_key(key))?;
        if let Some(gone) = self.subscriptions.remove(&key) {
            if let Some(place) = gone.place {
                self.queue.remove(&place);
            }
            self.incoming.push_back(Incoming::Unsubscribed(key));
        }
        Ok(())
    }

    fn on_subscribe(&mut self, subscribe: Vec<pb::Subscription>) -> Result<(), ProtocolError> {
        let mut keys = HashSet::new();
        for wanted in subscribe {
            let key = at("subscribe", read_key(&wanted.key))?;
            let known = match wanted.known.as_slice() {
                [] => None,
                bytes => Some(at("subscribe.known", Version::from_bytes(bytes))?),
            };
            if !keys.insert(key.clone()) {
                return Err(ProtocolError::UnexpectedKey(key.to_string()));
            }
            let place = self.subscriptions.get(&key).and_then(|before| before.place);
            let after_nonce = self.last_nonce;
            self.subscriptions.insert(key.clone(), Subscription::new(known, place, after_nonce));
            if self.subscriptions.len() > MAX_SUBSCRIPTIONS {
                return Err(ProtocolError::TooManySubscriptions(MAX_SUBSCRIPTIONS));
            }
            self.enqueue(&key);
            self.incoming.push_back(Incoming::Subscribed(key));
        }
        Ok(())
    }

    fn enqueue(&mut self, key: &Key) {
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return;
        };
        if subscription.place.is_none() {
            subscription.place = Some(self.next_place);
            self.queue.insert(self.next_place, key.clone());
            self.next_place += 1;
        }
    }

    fn on_outcome(&mut self, outcome: pb::Outcome) -> Result<(), ProtocolError> {
        let nonce = outcome.nonce;
        let sent = self.in_flight.remove(&nonce).ok_or(ProtocolError::BadNonce(nonce))?;
        bounded("outcomes.rejected", outcome.rejected.len(), MAX_KEYS_PER_MESSAGE)?;
        let mut rejected = HashMap::new();
        for rejection in outcome.rejected {
            let key = at("outcomes.rejected.key", read_key(&rejection.key))?;
            let why = Rejection {
                code: at("outcomes.rejected.code", text(rejection.code, MAX_REASON))?,
                reason: at("outcomes.rejected.reason", text(rejection.reason, MAX_REASON))?,
            };
            if rejected.insert(key, why).is_some() {
                return Err(ProtocolError::UnexpectedKey(rejection.key));
            }
        }
        for sent in sent {
            let why = rejected.remove(&sent.key);
            self.settle(nonce, sent, why);
        }
        match rejected.into_keys().next() {
            Some(key) => Err(ProtocolError::UnexpectedKey(key.to_string())),
            None => Ok(()),
        }
    }

    fn settle(&mut self, nonce: u64, sent: Sent, rejected: Option<Rejection>) {
        let Sent { key, version, stamp } = sent;
        let Some(subscription) = self.subscriptions.get_mut(&key) else {
            return;
        };
        // Answers may come out of order: the newest counts.
        if nonce <= subscription.after_nonce || nonce <= subscription.settled_nonce {
            return;
        }
        subscription.settled_nonce = nonce;
        self.incoming.push_back(Incoming::Settled { key, stamp, version, rejected });
    }

    /// As many queued keys as one message takes.
    fn next_resources(&mut self, see: impl Fn(&Key) -> Current) -> (Vec<pb::ResourceUpdate>, Vec<Sent>) {
        let (mut resources, mut sent, mut size) = (Vec::new(), Vec::new(), 0);
        while resources.len() < MAX_KEYS_PER_MESSAGE
            && let Some((place, key)) = self.queue.pop_first()
        {
            let current = see(&key);
            let len = current.encoded.as_ref().map_or(0, |encoded| encoded.bytes.len());
            if !resources.is_empty() && size + len > SERVER_BATCH {
                self.queue.insert(place, key);
                break;
            }
            let Some(subscription) = self.subscriptions.get_mut(&key) else {
                continue;
            };
            subscription.place = None;
            let version = current.encoded.as_ref().map_or(Version::ABSENT, |encoded| encoded.version);
            let state = (version, current.stamp);
            if subscription.sent.replace(state) == Some(state) {
                continue;
            }
            if len > MAX_RESOURCE_BYTES {
                self.too_large(key, current.stamp, version, len);
                continue;
            }
            let update = subscription.update(&key, current, version);
            size += update.encoded_len();
            resources.push(update);
            sent.push(Sent { key, version, stamp: state.1 });
        }
        (resources, sent)
    }

    /// A resource that fits no message is refused on the proxy's behalf: it keeps what it has.
    fn too_large(&mut self, key: Key, stamp: u64, version: Version, len: usize) {
        let reason = format!("{len} bytes are more than the {MAX_RESOURCE_BYTES} that a proxy accepts");
        let rejection = Rejection { code: "BYR0360".to_owned(), reason };
        self.incoming.push_back(Incoming::Settled { key, stamp, version, rejected: Some(rejection) });
    }
}

impl Subscription {
    fn new(known: Option<Version>, place: Option<u64>, after_nonce: u64) -> Self {
        Self { known, sent: None, place, after_nonce, settled_nonce: 0 }
    }

    fn update(&mut self, key: &Key, current: Current, version: Version) -> pb::ResourceUpdate {
        let known = self.known.take();
        let state = match current.encoded {
            None => State::Absent(pb::Nothing {}),
            Some(_) if known == Some(version) => State::Unchanged(pb::Nothing {}),
            Some(encoded) => {
                State::Content(pb::Content { version: version.as_bytes().to_vec(), resource: encoded.bytes })
            }
        };
        pb::ResourceUpdate { key: key.to_string(), state: Some(state) }
    }
}

fn bounded(field: &str, len: usize, max: usize) -> Result<(), DecodeError> {
    match len > max {
        true => Err(DecodeError::new(Problem::TooLong { len, max }).within(field)),
        false => Ok(()),
    }
}

fn read_key(key: &str) -> Result<Key, DecodeError> {
    bounded("key", key.len(), MAX_KEY)?;
    key.parse().map_err(|()| invalid("a key of a compiled resource").within("key"))
}
