//! When a request is tried again, and when it must not be.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use byrnie_plan::{AppProtocol, Hop, HttpTable, Retry, RetryBudget, RetryOn, Timeouts, TrafficSettings};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, Client2, ask, get, post, whole};
use super::kit::{
    Reply, Roads, as_seen, cluster_of, counted, direct, origin, read_head, routed, rule, status, text, under,
};
use crate::tcp::tests::mesh::{application, endpoint, run};

/// Answers `ok` once, then closes at the moment at which something else comes: what an idle connection's end looks
/// like to who just wrote into it.
async fn once_per_connection() -> (SocketAddr, Rc<Cell<u32>>) {
    let connections = Rc::new(Cell::new(0));
    let counter = Rc::clone(&connections);
    let address = application(move |mut stream: TcpStream| {
        counter.set(counter.get() + 1);
        async move {
            if read_head(&mut stream).await.is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                let _ = stream.read_u8().await;
            }
        }
    })
    .await;
    (address, connections)
}

#[test]
fn an_idle_connection_that_was_closed_does_not_show() {
    run(async {
        let (app, connections) = once_per_connection().await;
        let roads = Roads::new(app, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            assert_eq!(client.ask(get("/")).await.status, 200, "{road}");
            let before = connections.get();
            for method in ["GET", "OPTIONS"] {
                let answer = client.ask(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
                assert_eq!(answer.status, 200, "{road}: {method}");
            }
            client.say("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(client.head().await.status, 200, "{road}");
            assert_eq!(connections.get(), before + 3, "{road}");
            assert_eq!(client.ask(get("/")).await.status, 200, "{road}");
            // It may have been processed.
            assert_eq!(client.ask(post("/", "x")).await.status, 502, "{road}");
            assert_eq!(client.ask(get("/")).await.status, 200, "{road}");
        }
    });
}

fn quiet(settings: Retry) -> TrafficSettings {
    let budget = RetryBudget { percent: 100, min_per_second: 100 };
    let backoff = Duration::from_millis(1);
    TrafficSettings { retry: Retry { budget, backoff, ..settings }, ..TrafficSettings::default() }
}

async fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_refused_connection_leads_to_another_endpoint() {
    run(async {
        let app = origin(as_seen).await;
        let (worker, address) = direct(quiet(Retry::default()), &[closed().await, closed().await, app]).await;
        let mut client = Client::to(address).await;
        for _ in 0..50 {
            let answer = client.ask(post("/", "body")).await;
            assert!(answer.status == 200 && answer.text().ends_with("\n\nbody"), "{answer:?}");
        }
        assert!(counted(&worker).iter().any(|delta| delta.tally.retries > 0));
        let (_worker, address) = direct(quiet(Retry::default()), &[closed().await]).await;
        let answer = ask(address, get("/")).await;
        assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0204"));
    });
}

#[test]
fn a_servers_proxy_that_cannot_reach_its_application_says_so_at_once() {
    run(async {
        let roads = Roads::new(closed().await, AppProtocol::Http1).await;
        let answer = ask(roads.mesh, post("/", "body")).await;
        assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0204"));
        assert!(!answer.headers.contains_key("byrnie-unprocessed"));
        let tries = counted(&roads.pair.server);
        assert_eq!(
            (tries[0].tally.count(), tries[0].tally.retries),
            (3, 0),
            "the caller's proxy tries, not the other"
        );
    });
}

/// An application that answers so many requests with a status, and what bodies it got.
async fn failing(code: u16, times: usize) -> (SocketAddr, Rc<RefCell<Vec<String>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let bodies = Rc::clone(&seen);
    let address = origin(move |request: Request<Incoming>| {
        let bodies = Rc::clone(&bodies);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            bodies.borrow_mut().push(String::from_utf8_lossy(&body).into_owned());
            if bodies.borrow().len() <= times { status(code) } else { text("ok") }
        }
    })
    .await;
    (address, seen)
}

fn on(statuses: &[u16]) -> RetryOn {
    RetryOn { statuses: statuses.to_vec(), ..RetryOn::default() }
}

#[test]
fn configured_statuses_are_tried_again_with_the_whole_body() {
    run(async {
        for (on, method, body, fails, answered, tries) in [
            (on(&[503]), "PUT", "hello".to_owned(), 2, 200, 3),
            (on(&[503]), "PUT", "x".repeat(60_000), 1, 200, 2),
            (on(&[503]), "PUT", "x".repeat(70_000), 1, 503, 1),
            (on(&[503]), "PUT", "hello".to_owned(), 3, 503, 3),
            (on(&[503]), "POST", "hello".to_owned(), 1, 503, 1),
            (RetryOn { unsafe_methods: true, ..on(&[503]) }, "POST", "hello".to_owned(), 1, 200, 2),
            (on(&[500]), "PUT", "hello".to_owned(), 1, 503, 1),
            (on(&[503]), "GET", String::new(), 1, 200, 2),
        ] {
            let (app, seen) = failing(503, fails).await;
            let (worker, address) = direct(quiet(Retry { on, ..Retry::default() }), &[app]).await;
            let head = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
            assert_eq!(
                ask(address, format!("{head}{body}")).await.status,
                answered,
                "{method} {}",
                body.len()
            );
            assert_eq!(seen.borrow().len(), tries);
            assert!(seen.borrow().iter().all(|seen| *seen == body));
            let delta = counted(&worker).remove(0);
            assert_eq!((delta.tally.retries as usize, delta.outcome.status), (tries - 1, answered));
        }
    });
}

#[test]
fn a_body_that_came_in_pieces_is_replayed_over_the_mesh() {
    run(async {
        let (app, seen) = failing(503, 1).await;
        let pair = super::kit::pair(app, AppProtocol::Http1).await;
        let settings = quiet(Retry { on: on(&[503]), ..Retry::default() });
        crate::tcp::tests::mesh::call(
            &pair.client,
            AppProtocol::Http1,
            settings,
            vec![pair.endpoint.clone()],
        );
        let mut client = Client::to(pair.address).await;
        client.say("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        tokio::task::yield_now().await;
        client.say("3\r\ndef\r\n0\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 200);
        assert_eq!(*seen.borrow(), ["abcdef", "abcdef"]);
        let request = Request::put("http://web.shop/").body(whole("again")).unwrap();
        assert_eq!(Client2::to(pair.address).await.ask(request).await.text(), "ok");
    });
}

#[test]
fn the_budget_holds_for_all() {
    run(async {
        let (app, seen) = failing(503, usize::MAX).await;
        let retry = Retry {
            on: on(&[503]),
            budget: RetryBudget { percent: 20, min_per_second: 1 },
            backoff: Duration::from_millis(1),
            ..Retry::default()
        };
        let (worker, address) = direct(TrafficSettings { retry, ..TrafficSettings::default() }, &[app]).await;
        let mut client = Client::to(address).await;
        for _ in 0..100 {
            assert_eq!(client.ask(get("/")).await.status, 503);
        }
        let retries = seen.borrow().len() - 100;
        assert_eq!(retries, 30, "a fifth of a hundred requests, and one for each of ten seconds");
        assert!(worker.process.counters.limit_retry_budget.get() > 0);
    });
}

async fn hanging() -> SocketAddr {
    origin(async |_: Request<Incoming>| std::future::pending::<Reply>().await).await
}

#[test]
fn tries_and_requests_have_their_time() {
    run(async {
        let ms = Duration::from_millis;
        let app = hanging().await;
        let good = origin(as_seen).await;
        for (timeouts, per_try, more, status, at_least, tries) in [
            (Timeouts { request: Some(ms(100)), backend_request: None }, None, None, 504, 100, 1),
            (Timeouts { request: Some(ms(150)), backend_request: Some(ms(60)) }, None, None, 504, 120, 0),
            (Timeouts { request: None, backend_request: None }, Some(ms(50)), None, 504, 150, 3),
            (Timeouts { request: None, backend_request: Some(ms(50)) }, None, Some(good), 200, 0, 0),
        ] {
            let retry = Retry { on: on(&[504]), per_try_timeout: per_try, ..Retry::default() };
            let endpoints =
                [Some(app), more].into_iter().flatten().map(|at| endpoint(at, Hop::Plaintext)).collect();
            let cluster = cluster_of("web", AppProtocol::Http1, quiet(retry), endpoints);
            let mut rule = rule(&[("web", 1)]);
            rule.timeouts = timeouts;
            let table = HttpTable { matches: vec![under("/", 0)], rules: vec![rule], scopes: Vec::new() };
            let (worker, address) = routed(&table, &[cluster]).await;
            for _ in 0..3 {
                let began = Instant::now();
                assert_eq!(ask(address, get("/")).await.status, status, "{timeouts:?}");
                let took = began.elapsed();
                assert!(took >= ms(at_least) && took < ms(at_least + 3000), "{timeouts:?}: {took:?}");
                let delta = counted(&worker).remove(0);
                assert!(tries == 0 || delta.tally.retries == tries - 1, "{delta:?}");
            }
        }
    });
}

#[test]
fn the_time_of_a_request_ends_within_its_body_too() {
    run(async {
        let app = application(async |mut stream: TcpStream| {
            let _ = read_head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome").await;
            let _ = stream.read_u8().await;
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        let settings = TrafficSettings {
            request_timeout: Some(Duration::from_millis(200)),
            ..TrafficSettings::default()
        };
        let endpoints = vec![roads.pair.endpoint.clone()];
        crate::tcp::tests::mesh::call(&roads.pair.client, AppProtocol::Http1, settings, endpoints);
        let mut client = Client::to(roads.mesh).await;
        client.say(get("/")).await;
        assert_eq!(client.head().await.status, 200);
        assert_eq!(client.rest().await, b"some");
        let delta = counted(&roads.pair.client).remove(0);
        assert_eq!((delta.outcome.status, delta.outcome.error.as_str()), (200, "BYR0208"));
    });
}

/// An HTTP/2 application that treats the first stream of its first connection so.
async fn rude(first: impl Fn(&mut h2::server::SendResponse<bytes::Bytes>) + 'static) -> SocketAddr {
    let first = Rc::new(RefCell::new(Some(first)));
    application(move |stream: TcpStream| {
        let first = Rc::clone(&first);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                match first.take() {
                    Some(first) => first(&mut respond),
                    None => drop(respond.send_response(http::Response::new(()), true)),
                }
            }
        }
    })
    .await
}

#[test]
fn a_stream_that_was_refused_is_tried_again_whatever_it_carries() {
    run(async {
        let app = rude(|respond| respond.send_reset(h2::Reason::REFUSED_STREAM)).await;
        let (worker, address) = super::limits::direct2(quiet(Retry::default()), app).await;
        assert_eq!(ask(address, post("/", "body")).await.status, 200);
        assert_eq!(counted(&worker).remove(0).tally.retries, 1);
        let app = rude(|respond| respond.send_reset(h2::Reason::INTERNAL_ERROR)).await;
        let (_worker, address) = super::limits::direct2(quiet(Retry::default()), app).await;
        assert_eq!(ask(address, post("/", "body")).await.status, 502);
    });
}

#[test]
fn an_application_that_goes_away_politely_loses_no_request() {
    run(async {
        // Each connection takes three requests, then says GOAWAY.
        let app = application(async |stream: TcpStream| {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut served = 0;
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                served += 1;
                if served == 3 {
                    connection.graceful_shutdown();
                }
                tokio::task::spawn_local(async move {
                    tokio::task::yield_now().await;
                    let _: Result<h2::SendStream<bytes::Bytes>, _> =
                        respond.send_response(http::Response::new(()), true);
                });
            }
        });
        let (_worker, address) = super::limits::direct2(quiet(Retry::default()), app.await).await;
        let clients = (0..10).map(|_| async {
            let mut client = Client::to(address).await;
            for _ in 0..20 {
                assert_eq!(client.ask(post("/", "body")).await.status, 200);
            }
        });
        futures_util::future::join_all(clients).await;
    });
}
