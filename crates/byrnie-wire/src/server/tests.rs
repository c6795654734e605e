//! The server's state machine, message by message.

use std::collections::HashMap;

use byrnie_plan::{Key, ObjectName};

use super::*;
use crate::generated as pb;
use crate::limits::{MAX_IN_FLIGHT, MAX_KEYS_PER_MESSAGE, MAX_SUBSCRIPTIONS, SERVER_BATCH};
use pb::resource_update::State;

fn key(n: usize) -> Key {
    Key::Service(ObjectName::new("shop", format!("s{n:05}")))
}

const NOTHING: Current = Current { stamp: 0, encoded: None };

/// A control plane's table and one stream.
struct Bench {
    table: HashMap<Key, Current>,
    session: Session,
    /// What the proxy answered last, by key: the stamp, and whether it refused.
    settled: HashMap<Key, (u64, bool)>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { table: HashMap::new(), session: Session::new(), settled: HashMap::new() };
        let hello = pb::Node { workload: "shop/web-1".into(), role: 1, ..pb::Node::default() };
        bench.hear(pb::ClientMessage { hello: Some(hello), ..Default::default() }).unwrap();
        assert!(matches!(bench.said().as_slice(), [Incoming::Hello(node)] if node.workload.name == "web-1"));
        bench
    }

    fn hear(&mut self, message: pb::ClientMessage) -> Result<(), ProtocolError> {
        self.session.on_message(message)
    }

    fn said(&mut self) -> Vec<Incoming> {
        let said: Vec<_> = std::iter::from_fn(|| self.session.poll_incoming()).collect();
        for incoming in &said {
            match incoming {
                Incoming::Settled { key, stamp, rejected, .. } => {
                    self.settled.insert(key.clone(), (*stamp, rejected.is_some()));
                }
                Incoming::Subscribed(key) | Incoming::Unsubscribed(key) => drop(self.settled.remove(key)),
                _ => {}
            }
        }
        said
    }

    fn subscribe(&mut self, keys: std::ops::Range<usize>, known: Option<Version>) {
        let known = known.map(|version| version.as_bytes().to_vec()).unwrap_or_default();
        let subscribe =
            keys.map(|n| pb::Subscription { key: key(n).to_string(), known: known.clone() }).collect();
        self.hear(pb::ClientMessage { subscribe, ..Default::default() }).unwrap();
        self.said();
    }

    /// A new content of `len` bytes, told to the stream.
    fn publish(&mut self, n: usize, stamp: u64, len: usize) -> Version {
        let bytes = vec![u8::try_from(stamp % 251).unwrap(); len];
        let encoded = Encoded { version: Version::of(&bytes), bytes: bytes.into() };
        let version = encoded.version;
        self.table.insert(key(n), Current { stamp, encoded: Some(encoded) });
        self.session.on_change([&key(n)]);
        version
    }

    fn send(&mut self) -> Option<pb::ServerMessage> {
        let Self { table, session, .. } = self;
        session.poll_send(|key| table.get(key).cloned().unwrap_or(NOTHING))
    }

    fn answer(&mut self, nonce: u64, rejected: &[usize]) -> Result<(), ProtocolError> {
        let rejected = rejected.iter().map(|n| pb::Rejection {
            key: key(*n).to_string(),
            code: "BYR0999".into(),
            reason: "no".into(),
        });
        let outcomes = vec![pb::Outcome { nonce, rejected: rejected.collect() }];
        self.hear(pb::ClientMessage { outcomes, ..Default::default() })
    }

    /// How the control plane sees this proxy and a key.
    fn sync(&mut self, n: usize) -> &'static str {
        self.said();
        let now = self.table.get(&key(n)).unwrap_or(&NOTHING).stamp;
        match self.settled.get(&key(n)) {
            Some((stamp, false)) if *stamp == now => "synced",
            Some((stamp, true)) if *stamp == now => "rejected",
            _ => "stale",
        }
    }
}

/// The keys of a message and what is said of them.
fn short(message: &pb::ServerMessage) -> Vec<(&str, &'static str)> {
    let state = |update: &pb::ResourceUpdate| match update.state {
        Some(State::Content(_)) => "content",
        Some(State::Absent(_)) => "absent",
        Some(State::Unchanged(_)) => "unchanged",
        None => "nothing",
    };
    message.resources.iter().map(|update| (update.key.as_str(), state(update))).collect()
}

#[test]
fn a_subscription_is_answered_also_with_nothing() {
    let mut bench = Bench::new();
    bench.publish(0, 1, 10);
    bench.subscribe(0..2, None);
    assert_eq!(bench.sync(0), "stale");
    let message = bench.send().unwrap();
    assert_eq!(short(&message), [("Service/shop/s00000", "content"), ("Service/shop/s00001", "absent")]);
    assert_eq!(message.nonce, 1);
    assert_eq!(bench.send(), None);
    bench.answer(1, &[]).unwrap();
    let settled = bench.said();
    assert!(settled.iter().any(|one| matches!(one, Incoming::Settled { stamp: 1, rejected: None, .. })));
    assert!(settled.iter().any(|one| matches!(one, Incoming::Settled { version: Version::ABSENT, .. })));
    assert_eq!((bench.sync(0), bench.sync(1), bench.sync(2)), ("synced", "synced", "stale"));
}

#[test]
fn a_known_version_is_not_sent_again() {
    let mut bench = Bench::new();
    let version = bench.publish(0, 1, 10);
    bench.publish(1, 2, 10);
    bench.subscribe(0..3, Some(version));
    let message = bench.send().unwrap();
    let said: Vec<_> = short(&message).into_iter().map(|(_, state)| state).collect();
    assert_eq!(said, ["unchanged", "content", "absent"]);
    bench.answer(1, &[]).unwrap();
    // Once only: the same content after another one is content.
    bench.publish(0, 3, 11);
    assert_eq!(short(&bench.send().unwrap()), [("Service/shop/s00000", "content")]);
    bench.publish(0, 252, 10);
    assert_eq!(bench.table[&key(0)].encoded.as_ref().unwrap().version, version);
    assert_eq!(short(&bench.send().unwrap()), [("Service/shop/s00000", "content")]);
}

#[test]
fn one_of_many_is_refused() {
    let mut bench = Bench::new();
    bench.subscribe(0..3, None);
    for n in 0..3 {
        bench.publish(n, 1, 10);
    }
    bench.send().unwrap();
    bench.answer(1, &[1]).unwrap();
    assert_eq!([0, 1, 2].map(|n| bench.sync(n)), ["synced", "rejected", "synced"]);
    // It stays so until the next state.
    bench.publish(1, 2, 10);
    assert_eq!(bench.sync(1), "stale");
    bench.send().unwrap();
    bench.answer(2, &[]).unwrap();
    assert_eq!(bench.sync(1), "synced");
}

#[test]
fn a_slow_proxy_gets_the_latest_state() {
    let mut bench = Bench::new();
    bench.subscribe(0..2, None);
    bench.send().unwrap();
    let mut last = Version::ABSENT;
    for stamp in 1..=100 {
        last = bench.publish(0, stamp, 10);
    }
    let message = bench.send().unwrap();
    let [pb::ResourceUpdate { state: Some(State::Content(content)), .. }] = message.resources.as_slice()
    else {
        panic!("{message:?}")
    };
    assert_eq!(content.version, last.as_bytes());
    bench.answer(2, &[]).unwrap();
    assert_eq!(bench.sync(0), "synced");
    bench.table.remove(&key(0));
    bench.session.on_change([&key(0), &key(7)]);
    assert_eq!(short(&bench.send().unwrap()), [("Service/shop/s00000", "absent")]);
}

#[test]
fn a_proxy_that_does_not_answer_is_waited_for() {
    let mut bench = Bench::new();
    bench.subscribe(0..1, None);
    for stamp in 1..=100 {
        bench.publish(0, stamp, 10);
        let sent = bench.send();
        assert_eq!(sent.is_some(), stamp <= MAX_IN_FLIGHT as u64);
    }
    // Taps are not held up.
    bench.session.tap_stop(4);
    assert_eq!(bench.send().unwrap().tap_stop, [4]);
    bench.answer(5, &[]).unwrap();
    let message = bench.send().unwrap();
    assert_eq!((message.nonce, message.resources.len()), (MAX_IN_FLIGHT as u64 + 1, 1));
    assert_eq!(bench.sync(0), "stale");
    // An older answer does not undo a newer one.
    bench.answer(MAX_IN_FLIGHT as u64 + 1, &[]).unwrap();
    assert_eq!(bench.sync(0), "synced");
    bench.answer(4, &[0]).unwrap();
    assert_eq!(bench.sync(0), "synced");
    assert_eq!(bench.said(), []);
}

#[test]
fn messages_are_bounded() {
    let mut bench = Bench::new();
    for n in 0..4 {
        bench.publish(n, 1, SERVER_BATCH / 2 - 100);
    }
    bench.publish(4, 1, SERVER_BATCH + 1);
    bench.publish(5, 1, 10);
    bench.subscribe(0..6, None);
    let sizes: Vec<_> = std::iter::from_fn(|| bench.send()).map(|message| message.resources.len()).collect();
    assert_eq!(sizes, [2, 2, 1, 1], "a large one travels alone");
    let mut bench = Bench::new();
    (0..3).for_each(|part| bench.subscribe(part * 700..(part + 1) * 700, None));
    let sizes: Vec<_> = std::iter::from_fn(|| bench.send()).map(|message| message.resources.len()).collect();
    assert_eq!(sizes, [MAX_KEYS_PER_MESSAGE, MAX_KEYS_PER_MESSAGE, 100]);
}

#[test]
fn a_resource_too_large_to_send_is_refused_for_the_proxy() {
    let mut bench = Bench::new();
    let version = bench.publish(0, 9, crate::MAX_RESOURCE_BYTES + 1);
    bench.subscribe(0..1, None);
    assert_eq!(bench.send(), None);
    let said = bench.said();
    let [Incoming::Settled { stamp: 9, version: at, rejected: Some(why), .. }] = said.as_slice() else {
        panic!()
    };
    assert_eq!((*at, why.code.as_str()), (version, "BYR0360"));
}

#[test]
fn a_subscription_that_ended_is_over() {
    let mut bench = Bench::new();
    bench.subscribe(0..2, None);
    bench.send().unwrap();
    let unsubscribe = vec![key(0).to_string(), key(9).to_string()];
    let again = vec![pb::Subscription { key: key(0).to_string(), known: Vec::new() }];
    bench.hear(pb::ClientMessage { unsubscribe, subscribe: again, ..Default::default() }).unwrap();
    assert_eq!(bench.said(), [Incoming::Unsubscribed(key(0)), Incoming::Subscribed(key(0))]);
    // The answer to the first subscription says nothing about the second.
    bench.answer(1, &[]).unwrap();
    assert_eq!((bench.sync(0), bench.sync(1)), ("stale", "synced"));
    assert_eq!(short(&bench.send().unwrap()), [("Service/shop/s00000", "absent")]);
    let unsubscribe = vec![key(0).to_string()];
    bench.hear(pb::ClientMessage { unsubscribe, ..Default::default() }).unwrap();
    bench.publish(0, 1, 10);
    assert_eq!(bench.send(), None);
}

#[test]
fn a_proxy_that_breaks_the_protocol_is_refused() {
    let code = |message: pb::ClientMessage| {
        let mut bench = Bench::new();
        bench.subscribe(0..1, None);
        bench.send().unwrap();
        bench.hear(message).unwrap_err().code()
    };
    let subscription = |key: &str, known: Vec<u8>| pb::Subscription { key: key.into(), known };
    let subscribe = |subscribe| pb::ClientMessage { subscribe, ..Default::default() };
    let outcomes = |outcomes| pb::ClientMessage { outcomes, ..Default::default() };
    let rejected = |key: &str| pb::Rejection { key: key.into(), ..Default::default() };
    let hello = pb::ClientMessage { hello: Some(pb::Node::default()), ..Default::default() };
    assert_eq!(code(hello), "BYR0361");
    assert_eq!(code(subscribe(vec![subscription("Novelty/a/b", vec![])])), "BYR0354");
    assert_eq!(code(subscribe(vec![subscription("Service/a/b", vec![1])])), "BYR0354");
    assert_eq!(code(subscribe(vec![subscription("Service/a/b", vec![]); 2])), "BYR0362");
    assert_eq!(code(subscribe(vec![subscription("Service/a/b", vec![]); 1_001])), "BYR0355");
    assert_eq!(code(subscribe(vec![subscription(&"x".repeat(2_000), vec![])])), "BYR0355");
    assert_eq!(code(pb::ClientMessage { unsubscribe: vec!["x".into()], ..Default::default() }), "BYR0354");
    assert_eq!(code(outcomes(vec![pb::Outcome { nonce: 2, rejected: vec![] }])), "BYR0362");
    assert_eq!(code(outcomes(vec![pb::Outcome { nonce: 1, rejected: vec![] }; 2])), "BYR0362");
    let stranger = vec![rejected("Service/shop/s00009")];
    assert_eq!(code(outcomes(vec![pb::Outcome { nonce: 1, rejected: stranger }])), "BYR0362");
    let twice = vec![rejected("Service/shop/s00000"); 2];
    assert_eq!(code(outcomes(vec![pb::Outcome { nonce: 1, rejected: twice }])), "BYR0362");
    let mut long = rejected("Service/shop/s00000");
    long.reason = "x".repeat(2_000);
    assert_eq!(code(outcomes(vec![pb::Outcome { nonce: 1, rejected: vec![long] }])), "BYR0355");
    let tap_events = vec![pb::TapEvent::default(); 1_001];
    assert_eq!(code(pb::ClientMessage { tap_events, ..Default::default() }), "BYR0355");
}

#[test]
fn who_speaks_must_be_said_first() {
    let first = |hello| Session::new().on_message(pb::ClientMessage { hello, ..Default::default() });
    assert_eq!(first(None), Err(ProtocolError::NoHello));
    let node = pb::Node { workload: "shop/web-1".into(), role: 9, ..Default::default() };
    assert_eq!(first(Some(node.clone())).unwrap_err().code(), "BYR0352");
    assert_eq!(
        first(Some(pb::Node { role: 1, workload: "x".into(), ..node })).unwrap_err().code(),
        "BYR0354"
    );
}

#[test]
fn subscriptions_are_bounded() {
    let mut bench = Bench::new();
    for part in 0..MAX_SUBSCRIPTIONS / 1_000 {
        bench.subscribe(part * 1_000..(part + 1) * 1_000, None);
    }
    let one = vec![pb::Subscription { key: "TrustBundle".into(), known: Vec::new() }];
    let error = bench.hear(pb::ClientMessage { subscribe: one, ..Default::default() }).unwrap_err();
    assert_eq!(error, ProtocolError::TooManySubscriptions(MAX_SUBSCRIPTIONS));
}

#[test]
fn telemetry_that_cannot_be_read_does_not_end_the_stream() {
    let mut bench = Bench::new();
    let status = Some(pb::NodeStatus { admin: "nowhere".into(), ..Default::default() });
    let report = Some(pb::Report { pools: vec![pb::Pool::default()], ..Default::default() });
    let tap_events = vec![pb::TapEvent::default()];
    bench.hear(pb::ClientMessage { status, report, tap_events, ..Default::default() }).unwrap();
    let paths: Vec<_> = bench
        .said()
        .into_iter()
        .map(|incoming| match incoming {
            Incoming::Unreadable(error) => error.path,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(paths, ["status.admin", "report.pools[0].service", "tap_events.what"]);
}
