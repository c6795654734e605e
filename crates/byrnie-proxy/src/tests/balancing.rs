//! Who gets how much.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_plan::{AppProtocol, Balancer, HashSource, Hop, HttpTable, TrafficSettings};
use http::Request;
use hyper::body::Incoming;

use super::client::{Client, get};
use super::kit::{Reply, direct, origin, plain, routed, rule, status, text, under};
use crate::config::Endpoint;
use crate::front::Entrance;
use crate::tcp::tests::mesh::{self, Mesh, call, listen, run, until, web};
use crate::worker::Worker;

async fn endpoint<F: Future<Output = Reply> + 'static>(
    answer: impl Fn() -> F + Clone + 'static,
) -> (SocketAddr, Rc<Cell<u32>>) {
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    let address = origin(move |_: Request<Incoming>| {
        counter.set(counter.get() + 1);
        answer()
    })
    .await;
    (address, count)
}

async fn after(millis: u64) -> Reply {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    text("ok")
}

/// Many clients at once, one request after the other each; gives the endpoints' counts.
async fn load(address: SocketAddr, requests: u32) {
    let clients = (0..20).map(|_| async {
        let mut client = Client::to(address).await;
        for _ in 0..requests / 20 {
            client.ask(get("/")).await;
        }
    });
    futures_util::future::join_all(clients).await;
}

#[test]
fn an_endpoint_that_is_ten_times_slower_gets_little() {
    // Long enough that what the machine does beside does not blur the difference.
    run(async {
        let endpoints =
            [endpoint(|| after(20)).await, endpoint(|| after(20)).await, endpoint(|| after(200)).await];
        let (_worker, address) = direct(TrafficSettings::default(), &endpoints.each_ref().map(|e| e.0)).await;
        load(address, 1500).await;
        let [a, b, slow] = endpoints.map(|e| e.1.get());
        assert!(slow <= 150, "{a} {b} {slow}");
        assert!(a.abs_diff(b) < 400, "{a} {b} {slow}");
    });
}

#[test]
fn an_endpoint_that_fails_at_once_gets_next_to_nothing() {
    run(async {
        let failing = || async { status(503) };
        let endpoints = [endpoint(|| after(5)).await, endpoint(|| after(5)).await, endpoint(failing).await];
        let (_worker, address) = direct(TrafficSettings::default(), &endpoints.each_ref().map(|e| e.0)).await;
        load(address, 3000).await;
        let [a, b, failing] = endpoints.map(|e| e.1.get());
        assert!(failing <= 60, "{a} {b} {failing}");
    });
}

#[test]
fn the_same_holds_for_grpc_statuses() {
    run(async {
        let unavailable = || async {
            let mut reply = Reply::default();
            reply.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            reply.headers_mut().insert("grpc-status", "14".parse().unwrap());
            reply
        };
        let endpoints =
            [endpoint(|| after(5)).await, endpoint(|| after(5)).await, endpoint(unavailable).await];
        let (_worker, address) = direct(TrafficSettings::default(), &endpoints.each_ref().map(|e| e.0)).await;
        let clients = (0..20).map(|_| async {
            let mut client = Client::to(address).await;
            for _ in 0..50 {
                let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n";
                client.ask(head).await;
            }
        });
        futures_util::future::join_all(clients).await;
        let [a, b, failing] = endpoints.map(|e| e.1.get());
        assert!(failing <= 50, "{a} {b} {failing}");
    });
}

#[test]
fn a_request_is_load_until_its_body_ends() {
    run(async {
        let endpoints = [endpoint(|| async { text("x".repeat(20 << 20)) }).await];
        let (worker, address) = direct(TrafficSettings::default(), &[endpoints[0].0]).await;
        let mut client = Client::to(address).await;
        client.say(get("/")).await;
        client.head().await;
        let config = worker.config();
        let set = config.destinations[&crate::tcp::tests::mesh::web()].cluster.endpoints.load();
        assert_eq!(set.endpoints[0].load.in_flight(), 1);
        client.take(20 << 20).await;
        until("it is over", || set.endpoints[0].load.in_flight() == 0).await;
    });
}

#[test]
fn a_routes_weights_hold_within_a_point_over_ten_thousand_requests() {
    for count in [1, 3] {
        run(async move {
            let endpoints =
                [endpoint(|| after(0)).await, endpoint(|| after(0)).await, endpoint(|| after(0)).await];
            let names = ["a", "b", "c"];
            let clusters: Vec<_> = names.iter().zip(&endpoints).map(|(name, e)| plain(name, e.0)).collect();
            let table = HttpTable {
                matches: vec![under("/", 0)],
                rules: vec![rule(&[("a", 900), ("b", 75), ("c", 25)])],
                scopes: Vec::new(),
            };
            let (worker, first) = routed(&table, &clusters).await;
            let mut addresses = vec![first];
            for index in 1..count {
                let other = Worker::new(index, Arc::clone(&worker.process));
                addresses.push(listen(&other, Entrance::Upstream(web())).await);
            }
            let each = 10_000 / addresses.len() as u32;
            let loads = addresses.iter().map(|address| load(*address, each));
            futures_util::future::join_all(loads).await;
            let counts = endpoints.each_ref().map(|e| f64::from(e.1.get()));
            let total: f64 = counts.iter().sum();
            for (count, percent) in counts.iter().zip([90.0, 7.5, 2.5]) {
                assert!((count / total * 100.0 - percent).abs() < 1.0, "{counts:?}");
            }
        });
    }
}

#[test]
fn a_new_endpoints_share_grows_linearly() {
    run(async {
        let (old, new) = (endpoint(|| after(0)).await, endpoint(|| after(0)).await);
        let window = Duration::from_secs(3);
        let settings = TrafficSettings {
            balancer: Balancer::Random,
            slow_start: Some(window),
            ..TrafficSettings::default()
        };
        let worker = Mesh::new().proxy("front");
        let plan = mesh::endpoint(new.0, Hop::Plaintext).plan.clone();
        // It is there since the process began.
        let age = || worker.time(Instant::now()).since(byrnie_decide::Time::ZERO);
        until("the old one is old", || age() > window).await;
        let began = Instant::now();
        let fresh = Arc::new(Endpoint::new(plan, worker.time(began)));
        call(&worker, AppProtocol::Http1, settings, vec![mesh::endpoint(old.0, Hop::Plaintext), fresh]);
        let address = listen(&worker, Entrance::Upstream(web())).await;
        let mut client = Client::to(address).await;
        // What it should get, by the time at which each request was made.
        let (mut expected, mut halves, mut requests) = (0.0, [(0.0, 0); 2], 0.0);
        while began.elapsed() < window {
            let before = new.1.get();
            let part = began.elapsed().as_secs_f64() / window.as_secs_f64();
            client.ask(get("/")).await;
            let half = &mut halves[usize::from(part >= 0.5)];
            half.0 += part / 2.0;
            half.1 += new.1.get() - before;
            expected += part / 2.0;
            requests += 1.0;
        }
        assert!(requests > 100.0, "{requests} requests say nothing");
        for (expected, got) in halves.into_iter().chain([(expected, new.1.get())]) {
            let off = (f64::from(got) - expected).abs();
            assert!(off < 0.1 * requests / 2.0, "{got} instead of {expected} of {requests}");
        }
    });
}

/// Keys stay where they are; when one of five endpoints goes, hardly more than its own keys move.
#[test]
fn a_hash_of_the_request_finds_its_endpoint_again() {
    const KEYS: usize = 200;
    run(async {
        let mut addresses = Vec::new();
        for index in 0..5 {
            addresses.push(endpoint(move || async move { text(index.to_string()) }).await.0);
        }
        let by = |name: &str| name.to_owned();
        let sources =
            [HashSource::Header(by("x-key")), HashSource::Cookie(by("key")), HashSource::Query(by("key"))];
        for source in sources {
            for balancer in [Balancer::RingHash(source.clone()), Balancer::Maglev(source.clone())] {
                let settings = TrafficSettings { balancer: balancer.clone(), ..TrafficSettings::default() };
                let (worker, address) = direct(settings.clone(), &addresses).await;
                let before = asked(address, KEYS).await;
                assert_eq!(asked(address, KEYS).await, before, "{balancer:?}");
                assert!((0..5).all(|index| before.contains(&index.to_string())), "{balancer:?}: {before:?}");
                let left = addresses[1..].iter().map(|left| mesh::endpoint(*left, Hop::Plaintext)).collect();
                call(&worker, AppProtocol::Http1, settings, left);
                let after = asked(address, KEYS).await;
                let moved = before.iter().zip(&after).filter(|(b, a)| *b != "0" && a != b).count();
                assert!(
                    moved * 25 <= KEYS,
                    "{balancer:?}: {moved} of {KEYS} moved whose endpoint is still there"
                );
            }
        }
        let balancer = Balancer::RingHash(HashSource::SourceAddress);
        let (_worker, address) =
            direct(TrafficSettings { balancer, ..TrafficSettings::default() }, &addresses).await;
        let answers = asked(address, 20).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    });
}

/// Who answers the requests of each key, which stands in a header, a cookie and the query.
async fn asked(address: SocketAddr, keys: usize) -> Vec<String> {
    let mut client = Client::to(address).await;
    let mut answers = Vec::new();
    for key in 0..keys {
        let request = format!(
            "GET /?a=b&key={key} HTTP/1.1\r\nhost: web\r\nx-key: {key}\r\ncookie: other=1; key={key}\r\n\r\n"
        );
        answers.push(client.ask(request).await.text());
    }
    answers
}
