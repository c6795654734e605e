//! The client's side of the protocol, without I/O: what is wanted, held, offered, and still to be said.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use byrnie_plan::Key;

use super::Event;
use super::stream::{Response, Stream, read, rejection, take};
use crate::error::{DecodeError, Problem, ProtocolError};
use crate::generated as pb;
use crate::limits::{MAX_ANSWER, MAX_IN_FLIGHT, MAX_KEY, MAX_SUBSCRIPTIONS, MAX_TAPS, cut};
use crate::node::{NodeInfo, NodeStatus};
use crate::report::{Report, TapEvent, tap_event_to_proto, tap_request_from_proto};
use crate::version::Version;
use pb::resource_update::State;

/// Tap events that wait for the stream.
const TAP_QUEUE: usize = 1_000;
/// Queries in one message, and answers that wait.
const MAX_QUERIES: usize = 64;
/// Bytes of an answer in one message.
const ANSWER_PART: usize = 256 * 1024;
/// Events whose room is kept when all are told.
const EVENTS_KEPT: usize = 64;
/// Tap events in one message.
const TAP_BATCH: usize = 200;

pub(super) struct Session {
    node: NodeInfo,
    subscriptions: BTreeMap<Key, Subscription>,
    unanswered: usize,
    /// `Synced` was told, and nothing was subscribed since.
    synced: bool,
    status: Option<NodeStatus>,
    report: Option<Report>,
    taps: VecDeque<TapEvent>,
    active_taps: BTreeSet<u64>,
    answers: VecDeque<pb::Answer>,
    events: VecDeque<Event>,
    closed: bool,
    stream: Option<Stream>,
}

#[derive(Default)]
struct Subscription {
    /// Acknowledged: in force.
    held: Option<Version>,
    /// Boxed: most of the time there is none, and there are thousands of these.
    offered: Option<Box<Offered>>,
    /// On this stream.
    answered: bool,
}

/// Given to the caller, not answered yet.
struct Offered {
    version: Version,
    /// The response of the current stream that brought it.
    nonce: Option<u64>,
}

impl Session {
    pub(super) fn new(node: NodeInfo) -> Self {
        Self {
            node,
            subscriptions: BTreeMap::new(),
            unanswered: 0,
            synced: false,
            status: None,
            report: None,
            taps: VecDeque::new(),
            active_taps: BTreeSet::new(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            closed: false,
            stream: None,
        }
    }

    /// False when there are too many.
    pub(super) fn subscribe(&mut self, key: &Key, known: Option<Version>) -> bool {
        if self.subscriptions.contains_key(key) {
            return true;
        }
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return false;
        }
        let held = known.filter(|version| *version != Version::ABSENT);
        self.subscriptions.insert(key.clone(), Subscription { held, ..Subscription::default() });
        self.unanswered += 1;
        self.synced = false;
        if let Some(stream) = &mut self.stream {
            stream.subscribe.insert(key.clone());
        }
        true
    }

    pub(super) fn unsubscribe(&mut self, key: &Key) {
        let Some(gone) = self.subscriptions.remove(key) else {
            return;
        };
        if !gone.answered {
            self.unanswered -= 1;
            self.tell_when_synced();
        }
        let Some(stream) = &mut self.stream else { return };
        if !stream.subscribe.remove(key) {
            stream.unsubscribe.insert(key.clone());
        }
        if let Some(nonce) = gone.offered.and_then(|offered| offered.nonce) {
            stream.settle(nonce, key, None);
        }
    }

    pub(super) fn ack(&mut self, key: &Key, version: Version) {
        if self.answer(key, version, None)
            && let Some(subscription) = self.subscriptions.get_mut(key)
        {
            subscription.held = Some(version).filter(|version| *version != Version::ABSENT);
        }
    }

    pub(super) fn nack(&mut self, key: &Key, version: Version, code: &str, reason: &str) {
        self.answer(key, version, Some(rejection(key.to_string(), code, reason)));
    }

    pub(super) fn report(&mut self, report: Report) {
        match &mut self.report {
            Some(waiting) => waiting.merge(report),
            None => self.report = Some(report),
        }
    }

    pub(super) fn status(&mut self, status: NodeStatus) {
        self.status = Some(status);
        if let Some(stream) = &mut self.stream {
            stream.status_sent = false;
        }
    }

    pub(super) fn tap(&mut self, event: TapEvent) -> Result<(), ()> {
        if self.taps.len() >= TAP_QUEUE || !self.active_taps.contains(&event.tap) {
            return Err(());
        }
        self.taps.push_back(event);
        Ok(())
    }

    /// In parts that fit messages.
    pub(super) fn answer_query(&mut self, id: u64, document: &[u8]) {
        if self.stream.is_none() || self.answers.len() > MAX_QUERIES {
            return;
        }
        let document = &document[..document.len().min(MAX_ANSWER)];
        let parts =
            document.chunks(ANSWER_PART).map(|part| pb::Answer { id, part: part.to_vec(), last: false });
        self.answers.extend(parts);
        match self.answers.back_mut() {
            Some(last) if last.id == id => last.last = true,
            _ => self.answers.push_back(pb::Answer { id, part: Vec::new(), last: true }),
        }
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.report.is_none() && self.answers.is_empty()
    }

    pub(super) fn held(&self, key: &Key) -> Option<Version> {
        self.subscriptions.get(key)?.held
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// A stream is there: everything is said anew, with the versions in force.
    pub(super) fn on_connected(&mut self) {
        for subscription in self.subscriptions.values_mut() {
            subscription.answered = false;
        }
        self.unanswered = self.subscriptions.len();
        self.synced = false;
        self.stream = Some(Stream {
            hello_sent: false,
            status_sent: false,
            subscribe: self.subscriptions.keys().cloned().collect(),
            unsubscribe: BTreeSet::new(),
            last_nonce: 0,
            responses: BTreeMap::new(),
        });
        self.events.push_back(Event::Connected);
        self.tell_when_synced();
    }

    /// What was offered may still be acknowledged: it is then in force, whatever became of the stream.
    pub(super) fn on_disconnected(&mut self, reason: String) {
        self.stream = None;
        for subscription in self.subscriptions.values_mut() {
            if let Some(offered) = &mut subscription.offered {
                offered.nonce = None;
            }
        }
        self.taps.clear();
        self.answers.clear();
        let taps = std::mem::take(&mut self.active_taps);
        self.events.extend(taps.into_iter().map(Event::TapStop));
        self.events.push_back(Event::Disconnected { reason });
    }

    pub(super) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            // The first answers of a large mesh must not take their room for ever.
            self.events.shrink_to(EVENTS_KEPT);
        }
        event
    }

    /// One message from the control plane. An error ends the stream; a resource that cannot be read does not.
    pub(super) fn on_message(&mut self, message: pb::ServerMessage) -> Result<(), ProtocolError> {
        self.on_resources(message.nonce, message.resources)?;
        for tap in message.tap_start {
            match tap_request_from_proto(tap) {
                Ok(tap) if self.active_taps.len() < MAX_TAPS => {
                    self.active_taps.insert(tap.id);
                    self.events.push_back(Event::TapRequest(tap));
                }
                Ok(tap) => tracing::warn!(id = tap.id, "too many taps, this one is not served"),
                Err(error) => tracing::warn!(%error, "a tap request cannot be read"),
            }
        }
        for query in message.queries.into_iter().take(MAX_QUERIES) {
            self.events.push_back(Event::Query { id: query.id, what: cut(&query.what, MAX_KEY).to_owned() });
        }
        for id in message.tap_stop {
            if self.active_taps.remove(&id) {
                self.events.push_back(Event::TapStop(id));
            }
        }
        Ok(())
    }

    fn on_resources(&mut self, nonce: u64, resources: Vec<pb::ResourceUpdate>) -> Result<(), ProtocolError> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        if resources.is_empty() {
            return if nonce == 0 { Ok(()) } else { Err(ProtocolError::BadNonce(nonce)) };
        }
        if nonce != stream.last_nonce + 1 || stream.responses.len() >= MAX_IN_FLIGHT {
            return Err(ProtocolError::BadNonce(nonce));
        }
        let mut keys = BTreeSet::new();
        if let Some(twice) = resources.iter().find(|update| !keys.insert(update.key.as_str())) {
            return Err(ProtocolError::UnexpectedKey(cut(&twice.key, MAX_KEY).to_owned()));
        }
        stream.last_nonce = nonce;
        stream.responses.insert(nonce, Response::default());
        for update in resources {
            self.on_resource(nonce, update);
        }
        self.tell_when_synced();
        Ok(())
    }

    fn on_resource(&mut self, nonce: u64, update: pb::ResourceUpdate) {
        let Some(stream) = &mut self.stream else { return };
        let Ok(key) = update.key.parse::<Key>() else {
            let error = DecodeError::new(Problem::Invalid("a key that this version knows"));
            stream.reject(nonce, rejection(update.key, error.code(), &error.to_string()));
            return;
        };
        // The text of the one that was subscribed to is shared by all who have it.
        let known = self.subscriptions.get_key_value(&key).map(|(known, _)| known.clone());
        let key = known.unwrap_or(key);
        // Nobody asks for it any more: counts as acknowledged.
        let Some(subscription) = self.subscriptions.get_mut(&key) else {
            return;
        };
        let repeated = std::mem::replace(&mut subscription.answered, true);
        if !repeated {
            self.unanswered -= 1;
        }
        let (version, resource) = match update.state {
            Some(State::Unchanged(_)) if !repeated && subscription.held.is_some() => {
                self.events.push_back(Event::Unchanged(key));
                return;
            }
            state => read(&key, state),
        };
        if let Err(error) = &resource {
            stream.reject(nonce, rejection(key.to_string(), error.code(), &error.to_string()));
            self.events.push_back(Event::Update { key, version, resource });
            return;
        }
        let before = subscription.offered.replace(Box::new(Offered { version, nonce: Some(nonce) }));
        if let Some(superseded) = before.as_ref().and_then(|before| before.nonce) {
            stream.settle(superseded, &key, None);
        }
        if let Some(response) = stream.responses.get_mut(&nonce) {
            response.unsettled.insert(key.clone());
        }
        // The caller has this very version in hands since before a reconnect: it will answer once.
        if before.is_none_or(|before| before.version != version) {
            self.events.push_back(Event::Update { key, version, resource });
        }
    }

    /// Whether `version` was what was offered.
    fn answer(&mut self, key: &Key, version: Version, rejected: Option<pb::Rejection>) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return false;
        };
        match subscription.offered.take_if(|offered| offered.version == version) {
            Some(offered) => {
                if let (Some(stream), Some(nonce)) = (&mut self.stream, offered.nonce) {
                    stream.settle(nonce, key, rejected);
                }
                true
            }
            _ => false,
        }
    }

    fn tell_when_synced(&mut self) {
        if self.unanswered == 0 && self.stream.is_some() && !self.synced {
            self.synced = true;
            // Keys that came in order leave a tree half empty.
            self.subscriptions = std::mem::take(&mut self.subscriptions).into_iter().collect();
            self.events.push_back(Event::Synced);
        }
    }

    /// The next message to send, built as late as possible from the latest state.
    pub(super) fn poll_send(&mut self) -> Option<pb::ClientMessage> {
        let stream = self.stream.as_mut()?;
        let mut message = pb::ClientMessage::default();
        if !stream.hello_sent {
            stream.hello_sent = true;
            message.hello = Some(self.node.to_proto());
        }
        message.unsubscribe = take(&mut stream.unsubscribe).iter().map(Key::to_string).collect();
        // A key that is taken up again must not overtake the end of its first subscription.
        if stream.unsubscribe.is_empty() {
            message.subscribe = take(&mut stream.subscribe)
                .into_iter()
                .map(|key| {
                    let known = self.subscriptions.get(&key).and_then(|subscription| subscription.held);
                    let known = known.map(|version| version.as_bytes().to_vec()).unwrap_or_default();
                    pb::Subscription { key: key.to_string(), known }
                })
                .collect();
        }
        if message != pb::ClientMessage::default() {
            return Some(message);
        }
        message.outcomes = stream.take_outcomes();
        if !stream.status_sent {
            stream.status_sent = true;
            message.status = self.status.as_ref().map(NodeStatus::to_proto);
        }
        if message != pb::ClientMessage::default() {
            return Some(message);
        }
        self.poll_telemetry()
    }

    fn poll_telemetry(&mut self) -> Option<pb::ClientMessage> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(pb::ClientMessage { answers: vec![answer], ..Default::default() });
        }
        if !self.taps.is_empty() {
            let batch = self.taps.len().min(TAP_BATCH);
            let tap_events = self.taps.drain(..batch).map(|event| tap_event_to_proto(&event)).collect();
            return Some(pb::ClientMessage { tap_events, ..Default::default() });
        }
        let report = self.report.take()?;
        let (report, rest) = report.into_message();
        self.report = rest;
        Some(pb::ClientMessage { report: Some(report), ..Default::default() })
    }
}
