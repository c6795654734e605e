//! What must not get through, and what is said about it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::{
    Action, AppProtocol, AuthorizationPolicy, AuthorizationRule, ConnectionLimits, Dialect, Hop, ObjectName,
    Operation, ServicePortRef, Source, TextMatch, TrafficSettings,
};
use byrnie_telemetry::TcpDelta;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::mesh::{
    Accepts, Mesh, Pair, application, call, counted, echo, endpoint, identity, listen, meshed, run, until,
    web,
};
use crate::front::Entrance;

async fn is_reset(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(b"hello").await;
    assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

async fn is_served(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    stream
}

/// The one kind of connection that was counted, and its error.
fn only(deltas: &[TcpDelta]) -> (&TcpDelta, &str) {
    assert_eq!(deltas.len(), 1, "{deltas:?}");
    (&deltas[0], &deltas[0].outcome.error)
}

fn deny(operation: Operation) -> AuthorizationPolicy {
    let who =
        Source { identities: vec![TextMatch::Exact(identity("front").to_string())], ..Source::default() };
    AuthorizationPolicy {
        name: "shop/no-front".to_owned(),
        action: Action::Deny,
        rules: vec![AuthorizationRule { from: vec![who], to: vec![operation] }],
        dry_run: false,
    }
}

#[test]
fn a_service_that_does_not_lead_here_is_refused() {
    run(async {
        let other = ServicePortRef { service: ObjectName::new("shop", "other"), port: 80 };
        let accepts = Accepts { services: vec![other], ..Accepts::new(application(echo).await) };
        let pair = Pair::with(accepts, AppProtocol::Tcp, TrafficSettings::default(), Dialect::Byrnie).await;
        is_reset(pair.address).await;
        let outbound = counted(&pair.client);
        let (delta, error) = only(&outbound);
        assert_eq!((error, delta.tally.opened, delta.tally.closed), ("BYR0211", 1, 1));
        assert_eq!(delta.labels.destination, Some(pair.endpoint.plan.workload.clone()));
        let inbound = counted(&pair.server);
        let (delta, error) = only(&inbound);
        assert_eq!(
            (error, &delta.labels.service),
            ("BYR0211", &None),
            "a name that a peer made up is no label"
        );
    });
}

#[test]
fn a_policy_refuses_and_is_named() {
    run(async {
        for (dialect, operation) in [
            (Dialect::Byrnie, Operation::default()),
            // What names paths refuses bytes: they may be anything.
            (Dialect::Byrnie, Operation { paths: vec![TextMatch::Present], ..Operation::default() }),
            (Dialect::Hbone, Operation { methods: vec!["GET".to_owned()], ..Operation::default() }),
        ] {
            let accepts =
                Accepts { policies: vec![deny(operation)], ..Accepts::new(application(echo).await) };
            let pair = Pair::with(accepts, AppProtocol::Tcp, TrafficSettings::default(), dialect).await;
            is_reset(pair.address).await;
            assert_eq!(only(&counted(&pair.client)).1, "BYR0210");
            let inbound = counted(&pair.server);
            let (delta, error) = only(&inbound);
            assert_eq!((error, delta.outcome.policy.as_str()), ("BYR0210", "shop/no-front"));
        }
    });
}

#[test]
fn a_policy_that_comes_later_ends_what_it_refuses_and_nothing_else() {
    run(async {
        let server = application(echo).await;
        let pair = Pair::new(server).await;
        let mut open = is_served(pair.address).await;
        Accepts::new(server).put_in_force(&pair.server);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        open.write_all(b"still").await.unwrap();
        open.read_exact(&mut [0; 5]).await.unwrap();
        let policies = vec![deny(Operation::default())];
        Accepts { policies, ..Accepts::new(server) }.put_in_force(&pair.server);
        assert_eq!(open.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_peer_with_another_identity_gets_nothing() {
    run(async {
        let mesh = Mesh::new();
        let (client, server) = (mesh.proxy("front"), mesh.proxy("impostor"));
        Accepts::new(application(echo).await).put_in_force(&server);
        let proxy = listen(&server, Entrance::Mesh).await;
        call(
            &client,
            AppProtocol::Tcp,
            TrafficSettings::default(),
            vec![meshed(proxy, "web", Dialect::Byrnie)],
        );
        is_reset(listen(&client, Entrance::Upstream(web())).await).await;
        assert_eq!(only(&counted(&client)).1, "BYR0205");
        assert!(counted(&server).is_empty());
    });
}

#[test]
fn without_a_certificate_nothing_goes_out_or_in() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        pair.client.process.tls.store(None);
        is_reset(pair.address).await;
        assert_eq!(only(&counted(&pair.client)).1, "BYR0215");
        pair.mesh.certify(&pair.client.process, "front");
        pair.server.process.tls.store(None);
        is_reset(pair.address).await;
    });
}

#[test]
fn connections_beyond_the_limit_are_reset_and_counted() {
    run(async {
        let limits = ConnectionLimits { max_connections: 2, ..ConnectionLimits::default() };
        let settings = TrafficSettings { limits, ..TrafficSettings::default() };
        let accepts = Accepts::new(application(echo).await);
        let pair = Pair::with(accepts, AppProtocol::Tcp, settings, Dialect::Byrnie).await;
        let (first, _second) = (is_served(pair.address).await, is_served(pair.address).await);
        is_reset(pair.address).await;
        assert!(pair.client.process.counters.limit_upstream_connections.get() >= 1);
        drop(first);
        until("a place is free", || {
            pair.endpoint.connections.load(std::sync::atomic::Ordering::Relaxed) == 1
        })
        .await;
        is_served(pair.address).await;
    });
}

#[test]
fn another_endpoint_is_tried_when_one_cannot_be_reached() {
    run(async {
        let server = application(echo).await;
        let mesh = Mesh::new();
        let (client, proxy) = (mesh.proxy("front"), mesh.proxy("web"));
        Accepts::new(server).put_in_force(&proxy);
        let proxy = listen(&proxy, Entrance::Mesh).await;
        // A port that nobody listens on, a proxy whose application is gone, a plain application.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let crippled = mesh.proxy("web");
        Accepts::new(nobody).put_in_force(&crippled);
        let crippled = listen(&crippled, Entrance::Mesh).await;
        for good in [endpoint(server, Hop::Plaintext), meshed(proxy, "web", Dialect::Byrnie)] {
            let bad = [meshed(nobody, "web", Dialect::Byrnie), meshed(crippled, "web", Dialect::Byrnie)];
            for bad in bad {
                call(&client, AppProtocol::Tcp, TrafficSettings::default(), vec![bad, Arc::clone(&good)]);
                let address = listen(&client, Entrance::Upstream(web())).await;
                for _ in 0..5 {
                    is_served(address).await;
                }
            }
        }
        assert!(counted(&client).iter().all(|delta| delta.outcome.error.is_empty()));
    });
}

#[test]
fn what_is_silent_for_too_long_is_closed() {
    run(async {
        let idle_timeout = Some(Duration::from_millis(100));
        let settings = TrafficSettings { idle_timeout, ..TrafficSettings::default() };
        let accepts = Accepts::new(application(echo).await);
        let pair = Pair::with(accepts, AppProtocol::Tcp, settings, Dialect::Byrnie).await;
        let mut stream = is_served(pair.address).await;
        assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}
