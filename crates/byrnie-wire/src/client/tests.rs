//! The client's state machine, message by message, and its pauses.

use std::time::Duration;

use byrnie_plan::{Key, ObjectName, Resource, Upstreams};

use super::session::Session;
use super::*;
use crate::convert::{Encoded, encode};
use crate::error::ProtocolError;
use crate::generated as pb;
use crate::limits::{MAX_IN_FLIGHT, MAX_KEYS_PER_MESSAGE, MAX_SUBSCRIPTIONS};
use crate::node::Role;
use crate::report::{Direction, Histogram, Peers, RequestCell, TapFilter, TapRequest, tap_request_to_proto};
use pb::resource_update::State;

fn session() -> Session {
    let mut session = Session::new(NodeInfo {
        workload: ObjectName::new("shop", "web-1"),
        role: Role::Sidecar,
        version: "0.1.0".into(),
        run: "r".into(),
        pid: 1,
        generation: 1,
        retiring: false,
    });
    session.on_connected();
    assert!(session.poll_send().unwrap().hello.is_some());
    events(&mut session);
    session
}

fn key(n: usize) -> Key {
    Key::Upstreams(ObjectName::new("shop", format!("w{n}")))
}

fn resource(n: usize, http_proxy: bool) -> Encoded {
    let workload = ObjectName::new("shop", format!("w{n}"));
    encode(&Resource::Upstreams(Upstreams {
        workload,
        upstreams: Vec::new(),
        http_proxy,
        overrides: Vec::new(),
    }))
}

fn content(n: usize, encoded: &Encoded) -> pb::ResourceUpdate {
    let content =
        pb::Content { version: encoded.version.as_bytes().to_vec(), resource: encoded.bytes.clone() };
    pb::ResourceUpdate { key: key(n).to_string(), state: Some(State::Content(content)) }
}

fn absent(n: usize) -> pb::ResourceUpdate {
    pb::ResourceUpdate { key: key(n).to_string(), state: Some(State::Absent(pb::Nothing {})) }
}

fn unchanged(n: usize) -> pb::ResourceUpdate {
    pb::ResourceUpdate { key: key(n).to_string(), state: Some(State::Unchanged(pb::Nothing {})) }
}

fn response(nonce: u64, resources: Vec<pb::ResourceUpdate>) -> pb::ServerMessage {
    pb::ServerMessage { nonce, resources, ..pb::ServerMessage::default() }
}

/// The events so far, in short.
fn events(session: &mut Session) -> Vec<String> {
    let short = |event| match event {
        Event::Connected => "connected".to_owned(),
        Event::Disconnected { reason } => format!("disconnected {reason}"),
        Event::Update { key, resource: Ok(Some(_)), .. } => format!("update {key}"),
        Event::Update { key, resource: Ok(None), .. } => format!("absent {key}"),
        Event::Update { key, resource: Err(error), .. } => format!("refused {key} {}", error.code()),
        Event::Unchanged(key) => format!("unchanged {key}"),
        Event::Synced => "synced".to_owned(),
        Event::TapRequest(tap) => format!("tap {}", tap.id),
        Event::TapStop(id) => format!("untap {id}"),
        Event::Query { id, what } => format!("query {id} {what}"),
    };
    std::iter::from_fn(|| session.poll_event()).map(short).collect()
}

fn subscribed(session: &mut Session, keys: std::ops::Range<usize>) {
    for n in keys {
        assert!(session.subscribe(&key(n), None));
    }
    while session.poll_send().is_some() {}
}

/// Each nonce with the keys that were refused and their codes.
type Outcomes = Vec<(u64, Vec<(String, String)>)>;

fn outcomes(session: &mut Session) -> Outcomes {
    let messages = std::iter::from_fn(|| session.poll_send());
    let outcomes = messages.flat_map(|message| message.outcomes);
    let keys = |rejected: Vec<pb::Rejection>| rejected.into_iter().map(|one| (one.key, one.code)).collect();
    outcomes.map(|outcome| (outcome.nonce, keys(outcome.rejected))).collect()
}

#[test]
fn an_outcome_is_told_when_all_of_a_response_is_settled() {
    let mut session = session();
    subscribed(&mut session, 0..3);
    let new = [resource(0, true), resource(1, true)];
    let all = vec![content(0, &new[0]), content(1, &new[1]), absent(2)];
    session.on_message(response(1, all)).unwrap();
    let told = events(&mut session);
    assert_eq!(
        told,
        ["update Upstreams/shop/w0", "update Upstreams/shop/w1", "absent Upstreams/shop/w2", "synced"]
    );
    session.ack(&key(0), new[0].version);
    session.ack(&key(2), Version::ABSENT);
    assert_eq!(outcomes(&mut session), []);
    session.nack(&key(1), new[1].version, "BYR0999", "no such thing");
    let refused = vec![("Upstreams/shop/w1".to_owned(), "BYR0999".to_owned())];
    assert_eq!(outcomes(&mut session), [(1, refused)]);
    assert_eq!(session.held(&key(0)), Some(new[0].version));
    assert_eq!(session.held(&key(1)), None);
    assert_eq!(outcomes(&mut session), [], "each outcome once");
}

#[test]
fn what_cannot_be_read_is_refused_alone() {
    let mut session = session();
    subscribed(&mut session, 0..5);
    let good = resource(0, true);
    let other = content(1, &resource(7, true));
    let empty = pb::ResourceUpdate { key: key(2).to_string(), state: None };
    let unknown = pb::ResourceUpdate { key: "Novelty/a/b".into(), state: None };
    let short = pb::Content { version: vec![1; 3], resource: good.bytes.clone() };
    let short = pb::ResourceUpdate { key: key(3).to_string(), state: Some(State::Content(short)) };
    let all = vec![content(0, &good), other, empty, unknown, short, unchanged(4)];
    session.on_message(response(1, all)).unwrap();
    session.ack(&key(0), good.version);
    let refused: Vec<_> = [(key(1).to_string(), "BYR0357"), (key(2).to_string(), "BYR0351")]
        .into_iter()
        .chain([("Novelty/a/b".to_owned(), "BYR0354"), (key(3).to_string(), "BYR0354")])
        .chain([(key(4).to_string(), "BYR0354")])
        .map(|(key, code)| (key, code.to_owned()))
        .collect();
    assert_eq!(outcomes(&mut session), [(1, refused)]);
    assert_eq!(events(&mut session).iter().filter(|event| event.starts_with("refused")).count(), 4);
    assert_eq!(session.held(&key(0)), Some(good.version));
}

#[test]
fn a_newer_state_settles_the_older_one() {
    let mut session = session();
    subscribed(&mut session, 0..1);
    let (old, new) = (resource(0, true), resource(0, false));
    session.on_message(response(1, vec![content(0, &old)])).unwrap();
    session.on_message(response(2, vec![content(0, &new)])).unwrap();
    assert_eq!(outcomes(&mut session), [(1, Vec::new())]);
    session.ack(&key(0), old.version);
    assert_eq!(session.held(&key(0)), None, "the old one was superseded");
    session.ack(&key(0), new.version);
    assert_eq!(outcomes(&mut session), [(2, Vec::new())]);
    assert_eq!(session.held(&key(0)), Some(new.version));
}

#[test]
fn a_new_stream_resumes_with_what_is_in_force() {
    let mut session = session();
    let kept = resource(1, true).version;
    subscribed(&mut session, 0..1);
    session.subscribe(&key(1), Some(kept));
    session.subscribe(&key(2), Some(Version::ABSENT));
    session.poll_send();
    let (first, second) = (resource(0, true), resource(0, false));
    session.on_message(response(1, vec![content(0, &first)])).unwrap();
    session.ack(&key(0), first.version);
    session.on_message(response(2, vec![content(0, &second)])).unwrap();
    session.on_disconnected("gone".into());
    assert_eq!(session.poll_send(), None);
    // The caller applies it only now: it is in force although its stream is gone.
    session.ack(&key(0), second.version);
    events(&mut session);
    session.on_connected();
    let hello = session.poll_send().unwrap();
    assert!(hello.hello.is_some() && hello.outcomes.is_empty());
    let known: Vec<_> = hello.subscribe.iter().map(|one| one.known.as_slice()).collect();
    assert_eq!(known, [second.version.as_bytes(), kept.as_bytes(), &[]]);
    session.on_message(response(1, vec![unchanged(0), unchanged(1)])).unwrap();
    assert_eq!(outcomes(&mut session), [(1, Vec::new())], "what is unchanged needs no answer of the caller");
    let told = ["connected", "unchanged Upstreams/shop/w0", "unchanged Upstreams/shop/w1"];
    assert_eq!(events(&mut session), told);
    session.on_message(response(2, vec![absent(2)])).unwrap();
    assert_eq!(events(&mut session), ["absent Upstreams/shop/w2", "synced"]);
}

#[test]
fn what_the_caller_has_in_hands_is_not_told_twice() {
    let mut session = session();
    subscribed(&mut session, 0..1);
    let new = resource(0, true);
    session.on_message(response(1, vec![content(0, &new)])).unwrap();
    session.on_disconnected("gone".into());
    session.on_connected();
    session.poll_send();
    events(&mut session);
    session.on_message(response(1, vec![content(0, &new)])).unwrap();
    assert_eq!(events(&mut session), ["synced"]);
    session.ack(&key(0), new.version);
    assert_eq!(outcomes(&mut session), [(1, Vec::new())]);
}

#[test]
fn subscriptions_come_and_go() {
    let mut session = session();
    subscribed(&mut session, 0..2);
    session.unsubscribe(&key(0));
    session.subscribe(&key(0), None);
    session.subscribe(&key(5), None);
    session.unsubscribe(&key(5));
    session.unsubscribe(&key(9));
    let message = session.poll_send().unwrap();
    assert_eq!(message.unsubscribe, [key(0).to_string()]);
    assert_eq!(message.subscribe.iter().map(|one| &one.key).collect::<Vec<_>>(), [&key(0).to_string()]);
    assert_eq!(session.poll_send(), None);
    // Nobody wants it any more: acknowledged without asking.
    session.unsubscribe(&key(1));
    session.on_message(response(1, vec![content(1, &resource(1, true))])).unwrap();
    assert_eq!(outcomes(&mut session), [(1, Vec::new())]);
    // Ended while its answer was awaited.
    session.on_message(response(2, vec![content(0, &resource(0, true))])).unwrap();
    session.unsubscribe(&key(0));
    assert_eq!(outcomes(&mut session), [(2, Vec::new())]);
}

#[test]
fn subscriptions_are_bounded_and_split() {
    let mut session = session();
    for n in 0..MAX_SUBSCRIPTIONS {
        assert!(session.subscribe(&key(n), None));
    }
    assert!(!session.subscribe(&key(MAX_SUBSCRIPTIONS), None));
    assert!(session.subscribe(&key(0), None), "it is there already");
    let sizes: Vec<_> =
        std::iter::from_fn(|| session.poll_send()).map(|message| message.subscribe.len()).collect();
    assert_eq!(sizes, vec![MAX_KEYS_PER_MESSAGE; MAX_SUBSCRIPTIONS / MAX_KEYS_PER_MESSAGE]);
}

#[test]
fn a_control_plane_that_breaks_the_protocol_is_refused() {
    let one = |n: usize| content(n, &resource(n, true));
    let refused = |messages: Vec<pb::ServerMessage>| {
        let mut session = session();
        subscribed(&mut session, 0..2);
        messages.into_iter().find_map(|message| session.on_message(message).err()).unwrap()
    };
    assert_eq!(refused(vec![response(2, vec![one(0)])]), ProtocolError::BadNonce(2));
    assert_eq!(refused(vec![response(0, vec![one(0)])]), ProtocolError::BadNonce(0));
    assert_eq!(
        refused(vec![response(1, vec![one(0)]), response(1, vec![one(1)])]),
        ProtocolError::BadNonce(1)
    );
    assert_eq!(refused(vec![response(1, vec![])]), ProtocolError::BadNonce(1));
    let twice = refused(vec![response(1, vec![one(0), absent(0)])]);
    assert_eq!(twice, ProtocolError::UnexpectedKey("Upstreams/shop/w0".into()));
    // More than may be in flight: alternating states, so that no response is settled by itself.
    let mut session = session();
    subscribed(&mut session, 0..MAX_IN_FLIGHT + 1);
    for n in 0..MAX_IN_FLIGHT {
        session.on_message(response(n as u64 + 1, vec![one(n)])).unwrap();
    }
    let last = MAX_IN_FLIGHT as u64 + 1;
    assert_eq!(
        session.on_message(response(last, vec![one(MAX_IN_FLIGHT)])),
        Err(ProtocolError::BadNonce(last))
    );
}

#[test]
fn synced_is_told_again_only_after_growth() {
    let mut session = session();
    subscribed(&mut session, 0..1);
    session.on_message(response(1, vec![absent(0)])).unwrap();
    session.on_message(response(2, vec![absent(0)])).unwrap();
    assert_eq!(events(&mut session).iter().filter(|event| *event == "synced").count(), 1);
    subscribed(&mut session, 1..2);
    session.unsubscribe(&key(1));
    assert_eq!(events(&mut session), ["synced"]);
}

fn report(cells: usize, name: &str) -> Report {
    let peers = |n| Peers {
        direction: Direction::Inbound,
        service: None,
        route: None,
        source: None,
        destination: None,
        peer_identity: None,
        self_identity: None,
        secured: false,
        why: format!("{n}{name}"),
        error: String::new(),
        policy: String::new(),
    };
    let cell = |n| RequestCell {
        peers: peers(n),
        status: 200,
        grpc_status: None,
        count: 1,
        retries: 0,
        request_bytes: 0,
        response_bytes: 0,
        latency: Histogram::default(),
    };
    Report { interval_ms: 10, requests: (0..cells).map(cell).collect(), ..Report::default() }
}

#[test]
fn reports_wait_as_one_and_travel_in_parts() {
    let mut session = session();
    session.report(report(1_500, ""));
    session.report(report(1_500, ""));
    let parts: Vec<_> =
        std::iter::from_fn(|| session.poll_send()).filter_map(|message| message.report).collect();
    let sizes: Vec<_> = parts.iter().map(|part| (part.interval_ms, part.requests.len())).collect();
    assert_eq!(sizes, [(20, 1_000), (0, 500)]);
    assert!(parts.iter().flat_map(|part| &part.requests).all(|cell| cell.count == 2));
    // Long names: every part still fits.
    session.report(report(1_000, &"x".repeat(1_000)));
    let parts: Vec<_> = std::iter::from_fn(|| session.poll_send()).collect();
    assert!(parts.len() > 1);
    assert!(parts.iter().all(|part| prost::Message::encoded_len(part) < crate::limits::MAX_CLIENT_MESSAGE));
}

#[test]
fn taps_end_with_the_stream() {
    let mut session = session();
    let tap = TapRequest { id: 5, filter: TapFilter::default(), limit: 10 };
    let unreadable = pb::TapRequest { direction: 99, ..tap_request_to_proto(&tap) };
    let tap_start = vec![tap_request_to_proto(&tap), unreadable];
    session.on_message(pb::ServerMessage { tap_start, ..Default::default() }).unwrap();
    let event = |tap| {
        let end = crate::report::TapEnd {
            since_start_us: 1,
            response_bytes: 1,
            grpc_status: None,
            error: String::new(),
            delayed_us: 0,
        };
        crate::report::TapEvent { tap, request: 1, at_ms: 1, what: crate::report::TapWhat::End(end) }
    };
    assert_eq!(session.tap(event(5)), Ok(()));
    assert_eq!(session.tap(event(6)), Err(()), "nobody asked");
    assert_eq!(session.poll_send().unwrap().tap_events.len(), 1);
    while session.tap(event(5)).is_ok() {}
    assert_eq!(session.poll_send().unwrap().tap_events.len(), 200);
    session.on_disconnected("gone".into());
    assert_eq!(events(&mut session), ["tap 5", "untap 5", "disconnected gone"]);
}

#[test]
fn the_status_is_told_on_change_and_on_each_stream() {
    let mut session = session();
    let status = NodeStatus {
        unhealthy: String::new(),
        pid: 1,
        admin: None,
        mesh: Some("127.0.0.1:9".parse().unwrap()),
        http_proxy: None,
        address: None,
        rules_restored: 0,
        version: "v".into(),
        not_after: Some(7),
        upstreams: Vec::new(),
        draining: false,
        run: "r".into(),
    };
    session.status(status.clone());
    let told = session.poll_send().unwrap().status.unwrap();
    assert_eq!(NodeStatus::from_proto(told), Ok(status));
    assert_eq!(session.poll_send(), None);
    session.on_disconnected("gone".into());
    session.on_connected();
    assert!(session.poll_send().unwrap().hello.is_some());
    assert!(session.poll_send().unwrap().status.is_some());
}

#[test]
fn pauses_grow_are_jittered_and_start_over_after_a_stable_time() {
    let mut backoff = Backoff::default();
    let mut step = Duration::from_millis(10);
    for _ in 0..20 {
        let pause = backoff.next_pause();
        assert!(pause >= step / 2 && pause <= step, "{pause:?} for {step:?}");
        step = (step * 2).min(Duration::from_secs(15));
    }
    backoff.ended_after(Duration::from_secs(14));
    assert!(backoff.next_pause() > Duration::from_secs(7));
    backoff.ended_after(Duration::from_secs(15));
    assert!(backoff.next_pause() <= Duration::from_millis(10));
    let pauses: std::collections::BTreeSet<_> = (0..100).map(|_| Backoff::default().next_pause()).collect();
    assert!(pauses.len() > 90, "a herd spreads");
}

/// A thousand proxies lose their control plane at one moment: time passes in the test only.
#[tokio::test(start_paused = true)]
async fn a_herd_comes_back_spread_out() {
    let began = tokio::time::Instant::now();
    let (attempts, mut log) = mpsc::unbounded_channel();
    let mut handles = Vec::new();
    for _ in 0..1_000 {
        let attempts = attempts.clone();
        let connector: Connector = Arc::new(move || {
            let _ = attempts.send(began.elapsed());
            Box::pin(async { Err(io::Error::other("nobody there")) })
        });
        let node = session_node();
        let (handle, mut events, driver) =
            client(ClientOptions { node, connector, backoff: Backoff::default() });
        tokio::spawn(driver.run());
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        handles.push(handle);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    handles.iter().for_each(Handle::close);
    let mut at: Vec<Duration> = std::iter::from_fn(|| log.try_recv().ok()).collect();
    at.retain(|at| *at > Duration::from_secs(30));
    let mut per_tenth = std::collections::HashMap::new();
    at.iter().for_each(|at| *per_tenth.entry(at.as_millis() / 100).or_insert(0) += 1);
    let busiest = per_tenth.values().max().copied().unwrap_or(0);
    assert!(at.len() > 2_000, "each tries on: {}", at.len());
    assert!(busiest < 60, "{busiest} attempts within 0.1 s; evenly spread were 9");
}

fn session_node() -> NodeInfo {
    let workload = ObjectName::new("shop", "web-1");
    NodeInfo {
        workload,
        role: Role::Gateway,
        version: String::new(),
        run: String::new(),
        pid: 1,
        generation: 1,
        retiring: false,
    }
}

/// However long the reasons are, an outcome must fit what the control plane accepts.
#[test]
fn a_message_of_refusals_stays_below_the_limit() {
    let mut session = session();
    let long = |n: usize| Key::Upstreams(ObjectName::new("n".repeat(63), format!("{n:0>253}")));
    let keys: Vec<Key> = (0..MAX_KEYS_PER_MESSAGE).map(long).collect();
    assert!(keys.iter().all(|key| session.subscribe(key, None)));
    let subscribe = session.poll_send().unwrap();
    assert!(prost::Message::encoded_len(&subscribe) < crate::limits::MAX_CLIENT_MESSAGE);
    for nonce in 1..=3 {
        let nothing = |key: &Key| pb::ResourceUpdate {
            key: key.to_string(),
            state: Some(State::Absent(pb::Nothing {})),
        };
        session.on_message(response(nonce, keys.iter().map(nothing).collect())).unwrap();
        keys.iter().for_each(|key| session.nack(key, Version::ABSENT, &"c".repeat(99), &"ü".repeat(9_999)));
    }
    let messages: Vec<_> = std::iter::from_fn(|| session.poll_send()).collect();
    assert_eq!(messages.iter().map(|message| message.outcomes.len()).collect::<Vec<_>>(), [1, 1, 1]);
    assert!(
        messages
            .iter()
            .all(|message| prost::Message::encoded_len(message) < crate::limits::MAX_CLIENT_MESSAGE)
    );
}
