//! Sessions: who began with an endpoint stays there, at a Gateway, within the mesh and over a hop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use byrnie_decide::Time;
use byrnie_plan::{AppProtocol, HttpTable, ObjectName, SessionCarrier, SessionPersistence, TrafficSettings};
use http::Request;
use hyper::body::Incoming;

use super::client::{Answer, ask};
use super::kit::{cluster_of, everything, obey, origin, routed, rule, text, under};
use crate::config::Endpoint;
use crate::front::Entrance;
use crate::tcp::tests::mesh::{Accepts, Mesh, listen, meshed, run, until};
use byrnie_plan::{Dialect, Hop};

async fn app(name: &'static str) -> SocketAddr {
    origin(move |_: Request<Incoming>| async move { text(name) }).await
}

fn endpoint(address: SocketAddr, uid: &str, hop: Hop) -> Arc<Endpoint> {
    let plan = byrnie_plan::Endpoint {
        workload: ObjectName::new("shop", uid),
        address,
        app_port: crate::tcp::tests::mesh::PORT,
        hop,
        weight: 1,
        locality: String::new(),
        labels: Vec::new(),
        uid: uid.to_owned(),
    };
    Arc::new(Endpoint::new(plan, Time::ZERO))
}

fn settings(carrier: SessionCarrier) -> TrafficSettings {
    let session = SessionPersistence {
        name: "sid".to_owned(),
        carrier,
        absolute_timeout: Some(Duration::from_secs(3600)),
        idle_timeout: None,
    };
    TrafficSettings { session: Some(session), ..TrafficSettings::default() }
}

/// What a client sends back that got this answer.
fn said(answer: &Answer) -> String {
    match answer.header("set-cookie").split_once(';') {
        Some((pair, _)) => format!("cookie: {pair}\r\n"),
        None => format!("sid: {}\r\n", answer.header("sid")),
    }
}

async fn get(address: SocketAddr, session: &str) -> Answer {
    ask(address, format!("GET / HTTP/1.1\r\nhost: a\r\n{session}\r\n")).await
}

#[test]
fn a_client_stays_until_its_endpoint_goes() {
    for carrier in [SessionCarrier::Cookie, SessionCarrier::Header] {
        run(async move {
            let apps = [app("a").await, app("b").await, app("c").await];
            let endpoint = |index: usize| endpoint(apps[index], ["u-a", "u-b", "u-c"][index], Hop::Plaintext);
            let all = vec![endpoint(0), endpoint(1), endpoint(2)];
            let cluster = cluster_of("web", AppProtocol::Http1, settings(carrier), all);
            let (worker, address) = routed(&everything(), &[Arc::clone(&cluster)]).await;
            let gateway = listen(&worker, Entrance::Gateway(8000)).await;
            for address in [address, gateway] {
                let first = get(address, "").await;
                let session = said(&first);
                for _ in 0..20 {
                    let answer = get(address, &session).await;
                    assert_eq!(answer.text(), first.text());
                    assert_eq!(
                        (answer.header("set-cookie"), answer.header("sid")),
                        ("", ""),
                        "it is no news"
                    );
                }
                // Another one goes: nothing changes. Its own goes: another session.
                let own = ["a", "b", "c"].iter().position(|name| *name == first.text()).unwrap();
                let other = (own + 1) % 3;
                cluster.set_endpoints(vec![endpoint(own), endpoint(other)]);
                assert_eq!(get(address, &session).await.text(), first.text());
                cluster.set_endpoints(vec![endpoint(other)]);
                let moved = get(address, &session).await;
                assert_ne!(moved.text(), first.text());
                let anew = said(&moved);
                assert_ne!(anew, session);
                cluster.set_endpoints(vec![endpoint(0), endpoint(1), endpoint(2)]);
                for _ in 0..20 {
                    assert_eq!(get(address, &anew).await.text(), moved.text());
                }
            }
        });
    }
}

#[test]
fn what_a_client_makes_up_is_a_new_session() {
    run(async {
        let (a, b) = (app("a").await, app("b").await);
        let all = vec![endpoint(a, "u-a", Hop::Plaintext), endpoint(b, "u-b", Hop::Plaintext)];
        let cluster = cluster_of("web", AppProtocol::Http1, settings(SessionCarrier::Cookie), all);
        let (_worker, address) = routed(&everything(), &[cluster]).await;
        for cookie in ["", "u-a", "127.0.0.1:80", "....", "AAAAAAAAAAAAAAAA", "%00"] {
            let answer = get(address, &format!("cookie: sid={cookie}\r\n")).await;
            assert_eq!(answer.status, 200);
            assert!(answer.header("set-cookie").starts_with("sid="), "{cookie}");
        }
    });
}

#[test]
fn sessions_hold_over_the_hop() {
    run(async {
        let mesh = Mesh::new();
        let mut endpoints = Vec::new();
        for (name, uid) in [("a", "u-a"), ("b", "u-b"), ("c", "u-c")] {
            let server = mesh.proxy("web");
            let accepts = Accepts { protocol: AppProtocol::Http1, ..Accepts::new(app(name).await) };
            accepts.put_in_force(&server);
            let proxy = listen(&server, Entrance::Mesh).await;
            let plan = meshed(proxy, "web", Dialect::Byrnie).plan.hop.clone();
            endpoints.push(endpoint(proxy, uid, plan));
        }
        let client = mesh.proxy("front");
        let cluster = cluster_of("web", AppProtocol::Http1, settings(SessionCarrier::Cookie), endpoints);
        obey(&client, &everything(), &[cluster]);
        let address = listen(&client, Entrance::Upstream(crate::tcp::tests::mesh::web())).await;
        let first = get(address, "").await;
        assert_eq!(first.status, 200, "{}", first.text());
        for _ in 0..20 {
            assert_eq!(get(address, &said(&first)).await.text(), first.text());
        }
    });
}

#[test]
fn a_session_stays_with_its_backend_when_the_weights_change() {
    run(async {
        let (old, new) = (app("old").await, app("new").await);
        let cluster = |name: &str, address, uid: &str| {
            let endpoints = vec![endpoint(address, uid, Hop::Plaintext)];
            cluster_of(name, AppProtocol::Http1, settings(SessionCarrier::Cookie), endpoints)
        };
        let clusters = [cluster("old", old, "u-old"), cluster("new", new, "u-new")];
        let table = |weights: [u32; 2]| HttpTable {
            matches: vec![under("/", 0)],
            rules: vec![rule(&[("old", weights[0]), ("new", weights[1])])],
            scopes: Vec::new(),
        };
        let (worker, address) = routed(&table([1, 0]), &clusters).await;
        let first = get(address, "").await;
        assert_eq!(first.text(), "old");
        obey(&worker, &table([0, 1]), &clusters);
        until("who comes without a session goes to the new one", || true).await;
        assert_eq!(get(address, "").await.text(), "new");
        for _ in 0..10 {
            assert_eq!(get(address, &said(&first)).await.text(), "old");
        }
    });
}
