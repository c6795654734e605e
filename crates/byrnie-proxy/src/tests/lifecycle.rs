//! Draining, several workers, and tasks that panic.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use byrnie_plan::{AppProtocol, Retry, RetryBudget, RetryOn, TrafficSettings};
use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::client::{Client, ask, get};
use super::kit::{Roads, as_seen, direct, origin, read_head, status, text};
use crate::accept::{Entrance, Workers};
use crate::process::Process;
use crate::tcp::tests::mesh::{application, run, until, web};

/// Real worker threads that accept for the service `web`.
pub(super) fn workers(process: &Arc<Process>, count: usize) -> (Workers, std::net::SocketAddr) {
    let workers = Workers::start(process, count).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    workers.listen(listener, Entrance::Upstream(web()));
    (workers, address)
}

#[test]
fn a_drain_ends_what_is_idle_and_waits_for_what_is_not() {
    run(async {
        let gate = Rc::new(Semaphore::new(0));
        let open = Rc::clone(&gate);
        let app = origin(move |request: Request<Incoming>| {
            let open = Rc::clone(&open);
            async move {
                if request.uri().path() == "/slow" {
                    open.acquire().await.unwrap().forget();
                }
                text("ok")
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        let (mut idle, mut silent) = (Client::to(roads.mesh).await, Client::to(roads.mesh).await);
        idle.ask(get("/")).await;
        let mut busy = Client::to(roads.mesh).await;
        busy.say(get("/slow")).await;
        let stream = TcpStream::connect(roads.mesh).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let mut sender = sender.ready().await.unwrap();
        let request = Request::get("http://web.shop/slow").body(()).unwrap();
        let (answer, _): (_, h2::SendStream<bytes::Bytes>) = sender.send_request(request, true).unwrap();
        until("both are on their way", || roads.pair.endpoint.load.in_flight() == 2).await;
        let mut last = Client::to(roads.mesh).await;
        last.ask(get("/")).await;
        roads.pair.client.process.draining.cancel();
        // Whoever asks is served, and told that it was the last time.
        assert_eq!(last.ask(get("/")).await.header("connection"), "close");
        assert!(last.rest().await.is_empty());
        let mut late = Client::to(roads.mesh).await;
        assert_eq!(late.ask(get("/")).await.header("connection"), "close");
        roads.pair.client.process.parting.cancel();
        assert!(idle.rest().await.is_empty());
        assert!(silent.rest().await.is_empty());
        // GOAWAY: nothing new on this connection.
        while std::future::poll_fn(|cx| sender.poll_ready(cx)).await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        let last = busy.answer().await;
        assert_eq!((last.text().as_str(), last.header("connection")), ("ok", "close"));
        assert!(busy.rest().await.is_empty());
        assert_eq!(answer.await.unwrap().status(), 200);
        drop(sender);
        connection.await.unwrap().unwrap();
    });
}

#[test]
fn who_comes_while_a_process_leaves_is_served_and_told() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        let process = &roads.pair.client.process;
        process.draining.cancel();
        process.parting.cancel();
        let mut silent = Client::to(roads.mesh).await;
        let mut late = Client::to(roads.mesh).await;
        // Whoever was accepted before this one has been looked at.
        assert_eq!(ask(roads.mesh, get("/")).await.header("connection"), "close");
        assert_eq!(late.ask(get("/")).await.header("connection"), "close");
        assert!(late.rest().await.is_empty());
        let stream = TcpStream::connect(roads.mesh).await.unwrap();
        let (sender, mut connection) = h2::client::handshake(stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let connection = tokio::task::spawn_local(connection);
        // What the proxy says first has been heard.
        pings.ping(h2::Ping::opaque()).await.unwrap();
        let mut sender = sender.ready().await.unwrap();
        let request = Request::get("http://web.shop/").body(()).unwrap();
        let (answer, _): (_, h2::SendStream<bytes::Bytes>) = sender.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
        // GOAWAY.
        while std::future::poll_fn(|cx| sender.poll_ready(cx)).await.is_ok() {
            tokio::task::yield_now().await;
        }
        drop((sender, pings));
        connection.await.unwrap().unwrap();
        assert!(silent.rest().await.is_empty(), "nobody waits for who says nothing");
    });
}

#[test]
fn a_servers_proxy_that_drains_loses_no_request() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        let mut client = Client::to(roads.mesh).await;
        for round in 0..50 {
            if round == 20 {
                roads.pair.server.process.draining.cancel();
            }
            assert_eq!(client.ask(super::client::post("/", "x")).await.status, 200, "{round}");
        }
    });
}

#[test]
fn an_upgraded_connection_is_open_until_it_ends() {
    run(async {
        let app = application(async |mut stream: TcpStream| {
            let _ = read_head(&mut stream).await;
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: any\r\n\r\n";
            let _ = stream.write_all(answer).await;
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let (worker, _) = direct(TrafficSettings::default(), &[app.await]).await;
        let process = Arc::clone(&worker.process);
        let workers = Workers::start(&process, 1).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = workers.listen(listener, Entrance::Upstream(web()));
        let mut client = Client::to(address).await;
        client.say("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: any\r\n\r\n").await;
        assert_eq!(client.head().await.status, 101);
        assert_eq!((process.open.load(Relaxed), process.connections.len()), (1, 1));
        stop.cancel();
        process.draining.cancel();
        client.say("still").await;
        assert_eq!(client.take(5).await, b"still");
        assert_eq!(process.connections.len(), 1, "a drain waits for it");
        client.stream.shutdown().await.unwrap();
        assert!(client.rest().await.is_empty());
        until("its place is free", || process.open.load(Relaxed) == 0 && process.connections.is_empty())
            .await;
        tokio::task::spawn_blocking(|| workers.join()).await.unwrap();
    });
}

#[test]
fn numbers_mean_the_process_and_not_a_worker() {
    run(async {
        let app = origin(async |_: Request<Incoming>| status(503)).await;
        let retry = Retry {
            on: RetryOn { statuses: vec![503], ..RetryOn::default() },
            budget: RetryBudget { percent: 20, min_per_second: 1 },
            backoff: std::time::Duration::from_millis(1),
            ..Retry::default()
        };
        for count in [1, 3] {
            let (worker, _) =
                direct(TrafficSettings { retry: retry.clone(), ..TrafficSettings::default() }, &[app]).await;
            let process = Arc::clone(&worker.process);
            let (workers, address) = workers(&process, count);
            let clients = (0..6).map(|_| async {
                let mut client = Client::to(address).await;
                for _ in 0..20 {
                    assert_eq!(client.ask(get("/")).await.status, 503);
                }
            });
            futures_util::future::join_all(clients).await;
            let retries: u64 = super::kit::counted(&worker).iter().map(|delta| delta.tally.retries).sum();
            assert_eq!(retries, 120 / 5 + 10, "{count} workers");
            process.closing.cancel();
            tokio::task::spawn_blocking(|| workers.join()).await.unwrap();
        }
    });
}

#[test]
fn one_connection_to_an_endpoint_serves_all_workers_in_turn() {
    run(async {
        let open = Rc::new(std::cell::Cell::new(0));
        let most = Rc::new(std::cell::Cell::new(0));
        let (now, peak) = (Rc::clone(&open), Rc::clone(&most));
        let app = application(move |mut stream: TcpStream| {
            let (now, peak) = (Rc::clone(&now), Rc::clone(&peak));
            async move {
                now.set(now.get() + 1);
                peak.set(peak.get().max(now.get()));
                while read_head(&mut stream).await.is_some() {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                now.set(now.get() - 1);
            }
        })
        .await;
        let limits = byrnie_plan::ConnectionLimits { max_connections: 1, ..Default::default() };
        let (worker, _) = direct(TrafficSettings { limits, ..TrafficSettings::default() }, &[app]).await;
        let process = Arc::clone(&worker.process);
        let (workers, address) = workers(&process, 3);
        // One after the other: each worker's idle connection would be in the way of the next one.
        let mut clients = [Client::to(address).await, Client::to(address).await, Client::to(address).await];
        for _ in 0..3 {
            for client in &mut clients {
                assert_eq!(client.ask(get("/")).await.status, 200);
            }
        }
        // All at once: nobody waits for ever.
        let clients = clients.iter_mut().map(|client| async {
            for _ in 0..200 {
                assert_eq!(client.ask(get("/")).await.status, 200);
            }
        });
        futures_util::future::join_all(clients).await;
        // What was closed may not have been seen here when the next one comes.
        assert!(most.get() <= 2, "{}", most.get());
        process.closing.cancel();
        tokio::task::spawn_blocking(|| workers.join()).await.unwrap();
    });
}

#[test]
fn connections_beyond_the_limit_are_closed_and_counted() {
    run(async {
        let app = origin(as_seen).await;
        let (worker, _) = direct(TrafficSettings::default(), &[app]).await;
        let process = Arc::clone(&worker.process);
        let before = worker.config();
        let mut settings = (*before.settings).clone();
        settings.max_connections = 2;
        let config = crate::config::Config {
            generation: before.generation + 1,
            settings: Arc::new(settings),
            destinations: before.destinations.clone(),
            ..Default::default()
        };
        process.config.store(Arc::new(config));
        let (workers, address) = workers(&process, 3);
        let mut clients = [Client::to(address).await, Client::to(address).await];
        for client in &mut clients {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        let ended = third.read(&mut [0]).await;
        assert!(matches!(ended, Ok(0) | Err(_)));
        assert_eq!(process.counters.limit_connections.get(), 1);
        drop(clients);
        until("their places are free", || process.open.load(Relaxed) == 0).await;
        assert_eq!(ask(address, get("/")).await.status, 200);
        process.closing.cancel();
        tokio::task::spawn_blocking(|| workers.join()).await.unwrap();
    });
}

#[test]
fn a_task_that_panics_is_counted_and_the_others_go_on() {
    run(async {
        let (worker, address) = direct(TrafficSettings::default(), &[origin(as_seen).await]).await;
        let process = Arc::clone(&worker.process);
        tokio::task::spawn_local(async move { process.survive(async { panic!("on purpose") }).await })
            .await
            .unwrap();
        assert_eq!(worker.process.counters.panics.get(), 1);
        assert_eq!(ask(address, get("/")).await.status, 200);
    });
}

#[test]
fn a_limit_below_the_number_of_workers_fails_no_request_over_the_mesh() {
    run(async {
        let pair = super::kit::pair(origin(as_seen).await, AppProtocol::Http1).await;
        let limits = byrnie_plan::ConnectionLimits { max_connections: 1, ..Default::default() };
        let settings = TrafficSettings { limits, ..TrafficSettings::default() };
        let endpoints = vec![Arc::clone(&pair.endpoint)];
        crate::tcp::tests::mesh::call(&pair.client, AppProtocol::Http1, settings, endpoints);
        let process = Arc::clone(&pair.client.process);
        let (workers, address) = workers(&process, 3);
        let mut clients = [Client::to(address).await, Client::to(address).await, Client::to(address).await];
        for _ in 0..5 {
            for client in &mut clients {
                assert_eq!(client.ask(get("/")).await.status, 200);
            }
        }
        assert!(process.counters.upstream.get() <= 3);
        process.closing.cancel();
        tokio::task::spawn_blocking(|| workers.join()).await.unwrap();
    });
}
