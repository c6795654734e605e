//! Peers that do not keep to the protocol, both ways: refused, never a panic, and the next one is served.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use byrnie_plan::{Key, Resource, TrustBundle};
use byrnie_wire::client::{Connector, Event};
use byrnie_wire::generated as pb;
use byrnie_wire::generated::discovery_server::{Discovery, DiscoveryServer};
use byrnie_wire::generated::resource_update::State;
use byrnie_wire::server::Incoming;
use byrnie_wire::{encode, server};
use futures_util::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::plane::{Plane, disconnected, key, next, pipes, resource, start, tcp};

async fn channel(connector: Connector) -> Channel {
    let service = tower::service_fn(move |_: tonic::transport::Uri| {
        let connecting = connector();
        async move { connecting.await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://test").connect_with_connector(service).await.unwrap()
}

/// Sends messages of any type to the discovery service; gives the status that ends the stream.
async fn say<M: prost::Message + 'static>(channel: Channel, messages: Vec<M>) -> Status {
    let mut client = tonic::client::Grpc::new(channel).max_encoding_message_size(usize::MAX);
    client.ready().await.unwrap();
    // The stream stays open: only the server may end it.
    let messages = futures_util::stream::iter(messages).chain(futures_util::stream::pending());
    let path = "/byrnie.v1.Discovery/Stream".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<M, pb::ServerMessage>::default();
    let mut answers = match client.streaming(Request::new(messages), path, codec).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status,
    };
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a status"),
            Err(status) => return status,
        }
    }
}

fn hello() -> pb::ClientMessage {
    let node = pb::Node { workload: "shop/web-1".into(), role: 1, ..Default::default() };
    pb::ClientMessage { hello: Some(node), ..Default::default() }
}

/// An ordinary proxy is served.
async fn assert_serves(plane: &Plane, connector: Connector) {
    let version = plane.publish(&resource(0, 1));
    let (handle, mut events) = start(connector);
    handle.subscribe([(key(0), None)]);
    assert!(matches!(next(&mut events).await, Event::Update { version: at, .. } if at == version));
}

#[tokio::test]
async fn proxies_that_break_the_protocol_are_refused() {
    let (plane, _said) = Plane::new();
    let connector = plane.pipes();
    let subscription = |key: &str| pb::Subscription { key: key.into(), known: Vec::new() };
    let subscribe = |keys: &[&str]| pb::ClientMessage {
        subscribe: keys.iter().map(|key| subscription(key)).collect(),
        ..Default::default()
    };
    let outcome = pb::Outcome { nonce: 99, rejected: Vec::new() };
    let cases = [
        (vec![pb::ClientMessage::default()], "BYR0361"),
        (vec![hello(), hello()], "BYR0361"),
        (vec![hello(), subscribe(&["Novelty/a/b"])], "BYR0354"),
        (vec![hello(), subscribe(&["TrustBundle", "TrustBundle"])], "BYR0362"),
        (vec![hello(), pb::ClientMessage { outcomes: vec![outcome], ..Default::default() }], "BYR0362"),
    ];
    for (messages, code) in cases {
        let status = say(channel(connector.clone()).await, messages).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().starts_with(code), "{status:?}");
    }
    // Another type altogether: field 1 is a number there.
    let alien = pb::Report { interval_ms: 7, ..Default::default() };
    assert_eq!(say(channel(connector.clone()).await, vec![alien]).await.code(), Code::Internal);
    assert_serves(&plane, connector).await;
}

#[tokio::test]
async fn a_hundred_megabytes_from_a_proxy_are_refused_by_their_length() {
    let (plane, _said) = Plane::new();
    let (address, _server) = plane.listen().await;
    let report = pb::Report { names: vec!["x".repeat(100 * 1024 * 1024)], ..Default::default() };
    let huge = pb::ClientMessage { report: Some(report), ..hello() };
    let status = say(channel(tcp(address)).await, vec![huge]).await;
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert_serves(&plane, tcp(address)).await;
}

#[tokio::test]
async fn telemetry_of_another_version_does_not_end_the_stream() {
    let (plane, mut said) = Plane::new();
    let report = pb::Report { requests: vec![pb::RequestCell::default()], ..Default::default() };
    let odd = pb::ClientMessage { report: Some(report), ..Default::default() };
    let end = pb::ClientMessage { outcomes: vec![pb::Outcome::default()], ..Default::default() };
    let status = say(channel(plane.pipes()).await, vec![hello(), odd, end]).await;
    assert!(status.message().starts_with("BYR0362"), "{status:?}");
    assert!(matches!(said.recv().await.unwrap(), Incoming::Hello(_)));
    assert!(matches!(said.recv().await.unwrap(), Incoming::Unreadable(error) if error.code() == "BYR0351"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_proxy_is_sent_away() {
    let (plane, _said) = Plane::new();
    let began = tokio::time::Instant::now();
    let status = say(channel(plane.pipes()).await, Vec::<pb::ClientMessage>::new()).await;
    assert!(status.message().starts_with("BYR0361"), "{status:?}");
    assert_eq!(began.elapsed().as_secs(), 10);
}

type Script = Vec<pb::ServerMessage>;

/// A control plane that says one script to each stream, the last one again and again.
#[derive(Clone)]
struct Scripted(Arc<Mutex<Vec<Script>>>);

#[tonic::async_trait]
impl Discovery for Scripted {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<pb::ServerMessage, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<pb::ClientMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let script = {
            let mut scripts = self.0.lock().unwrap();
            if scripts.len() > 1 { scripts.remove(0) } else { scripts[0].clone() }
        };
        let mut incoming = request.into_inner();
        let after_hello = async move {
            let _ = incoming.message().await;
            // Held, so that the proxy's stream is not reset.
            futures_util::stream::iter(script.into_iter().map(Ok)).chain(hold(incoming))
        };
        Ok(Response::new(Box::pin(futures_util::stream::once(after_hello).flatten())))
    }
}

/// Never yields; keeps the incoming stream alive.
fn hold(incoming: Streaming<pb::ClientMessage>) -> impl Stream<Item = Result<pb::ServerMessage, Status>> {
    incoming.filter_map(|_| async { None })
}

fn scripted(scripts: Vec<Script>) -> Connector {
    let service = DiscoveryServer::new(Scripted(Arc::new(Mutex::new(scripts))));
    pipes(server::transport().add_service(service))
}

fn message(nonce: u64, resources: Vec<pb::ResourceUpdate>) -> pb::ServerMessage {
    pb::ServerMessage { nonce, resources, ..Default::default() }
}

fn update(key: &Key, state: Option<State>) -> pb::ResourceUpdate {
    pb::ResourceUpdate { key: key.to_string(), state }
}

fn bundle(roots: usize) -> pb::ResourceUpdate {
    let bundle = TrustBundle { trust_domain: "a".into(), roots_der: vec![vec![1]; roots] };
    let encoded = encode(&Resource::TrustBundle(bundle));
    let content = pb::Content { version: encoded.version.as_bytes().to_vec(), resource: encoded.bytes };
    update(&Key::TrustBundle, Some(State::Content(content)))
}

#[tokio::test]
async fn control_planes_that_break_the_protocol_are_left() {
    let huge = pb::Content { version: vec![0; 16], resource: vec![0; 100 * 1024 * 1024].into() };
    let huge = update(&Key::TrustBundle, Some(State::Content(huge)));
    let connector = scripted(vec![
        vec![message(1, vec![bundle(1), bundle(2)])],
        vec![message(7, vec![bundle(1)])],
        vec![message(1, vec![bundle(1)]), message(1, vec![bundle(2)])],
        vec![message(1, vec![])],
        vec![message(1, vec![huge])],
        // At last one that keeps to it, but for the resources themselves: those are refused one by one.
        vec![message(1, vec![bundle(65), update(&Key::MeshSettings, None)]), message(2, vec![bundle(3)])],
    ]);
    let (handle, mut events) = start(connector);
    handle.subscribe([(Key::TrustBundle, None), (Key::MeshSettings, None)]);
    for expected in ["BYR0362", "BYR0362", "BYR0362", "BYR0362", "BYR0368"] {
        let reason = disconnected(&mut events).await;
        assert!(reason.starts_with(expected), "{reason}");
    }
    let mut codes = Vec::new();
    let good = loop {
        match next(&mut events).await {
            Event::Update { resource: Err(error), .. } => codes.push(error.code()),
            Event::Update { resource: Ok(resource), .. } => break resource,
            _ => {}
        }
    };
    assert_eq!(codes, ["BYR0355", "BYR0351"]);
    assert!(matches!(good, Some(Resource::TrustBundle(bundle)) if bundle.roots_der.len() == 3));
}
