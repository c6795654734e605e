//! Limits: each is reached, refuses what is beyond, and is counted.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_plan::{AppProtocol, ConnectionLimits, Hop, MeshSettings, ServicePortRef, TrafficSettings};
use http::Request;
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::client::{Client, Client2, ask, get, post};
use super::kit::{Roads, as_seen, direct, origin, text};
use crate::config::{Config, Destination, Listener};
use crate::front::Entrance;
use crate::tcp::tests::mesh::{Mesh, application, call, endpoint, listen, run, until, web};
use crate::worker::Worker;

/// A proxy whose service `web` has this one HTTP/2 endpoint.
pub(super) async fn direct2(settings: TrafficSettings, app: SocketAddr) -> (Rc<Worker>, SocketAddr) {
    let worker = Mesh::new().proxy("front");
    call(&worker, AppProtocol::Http2, settings, vec![endpoint(app, Hop::Plaintext)]);
    let address = listen(&worker, Entrance::Upstream(web())).await;
    (worker, address)
}

/// An application that answers when it is allowed to, and how many wait for that.
pub(super) async fn gated() -> (SocketAddr, Rc<Semaphore>, Rc<Cell<usize>>) {
    let (gate, waiting) = (Rc::new(Semaphore::new(0)), Rc::new(Cell::new(0)));
    let (open, count) = (Rc::clone(&gate), Rc::clone(&waiting));
    let address = origin(move |_: Request<Incoming>| {
        let (open, count) = (Rc::clone(&open), Rc::clone(&count));
        async move {
            count.set(count.get() + 1);
            open.acquire().await.unwrap().forget();
            count.set(count.get() - 1);
            text("ok")
        }
    })
    .await;
    (address, gate, waiting)
}

pub(super) fn limits(max_connections: u32, max_pending: u32, max_in_flight: u32) -> TrafficSettings {
    let limits = ConnectionLimits { max_connections, max_pending, max_in_flight };
    TrafficSettings { limits, ..TrafficSettings::default() }
}

#[test]
fn connections_to_an_endpoint_are_limited_and_the_others_wait() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (worker, address) = direct(limits(2, 3, 100), &[app]).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            let mut client = Client::to(address).await;
            client.say(get("/")).await;
            clients.push(client);
        }
        let pending = || {
            worker.config().destinations[&web()].cluster.pending.load(std::sync::atomic::Ordering::Relaxed)
        };
        until("two are served, three wait", || waiting.get() == 2 && pending() == 3).await;
        let answer = ask(address, get("/")).await;
        assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0209"));
        assert!(answer.text().contains("maxPending"), "{}", answer.text());
        assert_eq!(worker.process.counters.limit_pending.get(), 1);
        assert_eq!(worker.process.counters.upstream.get(), 2);
        gate.add_permits(5);
        for client in &mut clients {
            assert_eq!(client.answer().await.text(), "ok");
        }
        assert_eq!((worker.process.counters.upstream.get(), pending()), (2, 0));
    });
}

#[test]
fn who_waits_for_a_connection_and_goes_away_takes_nobodys_place() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (worker, address) = direct(limits(1, 3, 100), &[app]).await;
        let mut first = Client2::to(address).await;
        let serving = tokio::task::spawn_local(async move { first.get("/").await.text() });
        until("one is served", || waiting.get() == 1).await;
        for _ in 0..5 {
            let mut gone = Client2::to(address).await;
            let _ = tokio::time::timeout(Duration::from_millis(10), gone.get("/")).await;
        }
        let pending = || {
            worker.config().destinations[&web()].cluster.pending.load(std::sync::atomic::Ordering::Relaxed)
        };
        until("who went away does not wait", || pending() == 0).await;
        gate.add_permits(2);
        assert_eq!(serving.await.unwrap(), "ok");
        assert_eq!(ask(address, get("/")).await.text(), "ok");
    });
}

#[test]
fn requests_in_flight_are_limited_on_every_wire() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (plain, plain_address) = direct(limits(100, 100, 2), &[app]).await;
        let pair = super::kit::pair(app, AppProtocol::Http1).await;
        call(&pair.client, AppProtocol::Http1, limits(100, 100, 2), vec![Arc::clone(&pair.endpoint)]);
        for (worker, address) in [(&plain, plain_address), (&pair.client, pair.address)] {
            let mut clients = [Client::to(address).await, Client::to(address).await];
            for client in &mut clients {
                client.say(get("/")).await;
            }
            until("two are served", || waiting.get() == 2).await;
            let answer = ask(address, post("/", "x")).await;
            assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0209"));
            assert_eq!(worker.process.counters.limit_in_flight.get(), 1);
            gate.add_permits(2);
            for client in &mut clients {
                assert_eq!(client.answer().await.text(), "ok");
            }
            gate.add_permits(1);
            assert_eq!(ask(address, get("/")).await.text(), "ok");
        }
    });
}

/// Puts settings into force, at every entrance.
pub(super) fn with(worker: &Worker, settings: MeshSettings) {
    let (before, settings) = (worker.config(), Arc::new(settings));
    let destination = |(name, old): (&ServicePortRef, &Arc<Destination>)| {
        let new = Destination {
            name: old.name.clone(),
            protocol: old.protocol,
            http: old.http.clone(),
            tcp: old.tcp.clone(),
            cluster: Arc::clone(&old.cluster),
            overrides: old.overrides.clone(),
            settings: Arc::clone(&settings),
        };
        (name.clone(), Arc::new(new))
    };
    let listener = |(port, old): (&u16, &Arc<Listener>)| {
        let new = Listener {
            name: old.name.clone(),
            port: *port,
            protocol: old.protocol,
            http: Arc::clone(&old.http),
            tcp: old.tcp.clone(),
            settings: Arc::clone(&settings),
        };
        (*port, Arc::new(new))
    };
    let config = Config {
        generation: before.generation + 1,
        settings: Arc::clone(&settings),
        destinations: before.destinations.iter().map(destination).collect(),
        listeners: before.listeners.iter().map(listener).collect(),
        inbound: before.inbound.clone(),
        names: Arc::clone(&before.names),
    };
    drop(before);
    worker.process.config.store(Arc::new(config));
}

#[test]
fn a_head_that_comes_too_slowly_ends_its_connection() {
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        let worker = &roads.pair.client;
        with(worker, MeshSettings { header_timeout: Duration::from_millis(200), ..MeshSettings::default() });
        for before in ["", &get("/")] {
            let mut client = Client::to(roads.mesh).await;
            if !before.is_empty() {
                client.ask(before).await;
            }
            let began = Instant::now();
            let mut drip = "GET / HTTP/1.1\r\nhost: a\r\nx: ".bytes().chain(std::iter::repeat(b'x'));
            loop {
                let byte = drip.next().unwrap();
                if tokio::io::AsyncWriteExt::write_all(&mut client.stream, &[byte]).await.is_err() {
                    break;
                }
                let read = tokio::time::timeout(Duration::from_millis(20), client.rest()).await;
                if read.is_ok() {
                    break;
                }
                assert!(began.elapsed() < Duration::from_secs(3), "slowly, and for ever");
            }
            assert!(began.elapsed() >= Duration::from_millis(150));
        }
        assert_eq!(worker.process.counters.limit_header_timeout.get(), 2);
    });
}

#[test]
fn header_lists_that_never_end_share_a_bound() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    run(async {
        let roads = Roads::new(origin(as_seen).await, AppProtocol::Http1).await;
        let budget = &roads.pair.client.process.budget;
        let (each, refused) = (8 * 65_536, "byrnie_limit_rejections_total{limit=\"buffers\"} 1");
        budget.set(Some(each * 10), 25);
        let begin = async || {
            let mut stream = tokio::net::TcpStream::connect(roads.mesh).await.unwrap();
            // Preface, settings, and three fields of a request whose list goes on.
            let said =
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x01\0\0\0\x01\x82\x86\x84";
            stream.write_all(said).await.unwrap();
            stream
        };
        let held = (begin().await, begin().await);
        until("two have their room", || budget.held() == each * 2).await;
        let mut third = begin().await;
        let _ = third.read_to_end(&mut Vec::new()).await;
        let metrics = roads.pair.client.process.metrics.render_classic(Instant::now());
        assert!(metrics.contains(refused), "the third one has none");
        // What comes at once needs no room.
        assert_eq!(Client2::to(roads.mesh).await.get("/").await.status, 200);
        drop(held);
        until("it is free again", || budget.held() == 0).await;
    });
}

#[test]
fn only_a_connection_that_does_nothing_is_idle() {
    run(async {
        let app = application(async |mut stream: tokio::net::TcpStream| {
            use tokio::io::AsyncWriteExt;
            while let Some(head) = super::kit::read_head(&mut stream).await {
                let body: &[u8] = if head.starts_with("POST") { b"5\r\nhello\r\n" } else { b"" };
                if !body.is_empty() {
                    let mut space = [0; 4];
                    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut space).await.unwrap();
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                for _ in 0..8 {
                    let _ = stream.write_all(b"1\r\nx\r\n").await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let _ = stream.write_all(b"0\r\n\r\n").await;
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        let settings = MeshSettings {
            client_idle_timeout: Duration::from_millis(400),
            header_timeout: Duration::from_millis(200),
            ..MeshSettings::default()
        };
        with(&roads.pair.client, settings);
        let mut client = Client::to(roads.mesh).await;
        assert_eq!(client.ask(get("/")).await.text(), "xxxxxxxx", "a slow answer is no idleness");
        let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody";
        assert_eq!(client.ask(post).await.text(), "xxxxxxxx");
        let began = Instant::now();
        assert!(client.rest().await.is_empty());
        // The body that was read is not the beginning of another head: that would end it after 200 ms.
        let took = began.elapsed();
        assert!(took > Duration::from_millis(300) && took < Duration::from_millis(900), "{took:?}");
        assert_eq!(roads.pair.client.process.counters.limit_header_timeout.get(), 0);
    });
}

#[test]
fn streams_of_a_connection_are_limited() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (worker, address) = direct(TrafficSettings::default(), &[app]).await;
        with(&worker, MeshSettings { max_concurrent_streams: 3, ..MeshSettings::default() });
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::task::spawn_local(connection);
        let mut sender = sender.ready().await.unwrap();
        let mut answers = Vec::new();
        // Until the settings have come a client does not know the limit.
        let request = Request::get("http://web.shop/").body(()).unwrap();
        let (first, _): (_, h2::SendStream<bytes::Bytes>) = sender.send_request(request, true).unwrap();
        gate.add_permits(1);
        assert_eq!(first.await.unwrap().status(), 200);
        for _ in 0..10 {
            let request = Request::get("http://web.shop/").body(()).unwrap();
            let (answer, _): (_, h2::SendStream<bytes::Bytes>) = sender.send_request(request, true).unwrap();
            answers.push(answer);
        }
        until("three are served", || waiting.get() == 3).await;
        gate.add_permits(10);
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), 200);
            assert!(waiting.get() <= 3);
        }
    });
}

#[test]
fn connections_of_http2_are_limited_for_all_workers_together() {
    for limit in [1, 2] {
        run(async move {
            let (open, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (first, address) = direct2(limits(limit, 100, 100), counting2(&open, &most).await).await;
            let mut addresses = vec![address];
            for index in 1..3 {
                let worker = Worker::new(index, Arc::clone(&first.process));
                addresses.push(listen(&worker, Entrance::Upstream(web())).await);
            }
            let clients = (0..12).map(|number| {
                let address = addresses[number % 3];
                async move {
                    let mut client = Client::to(address).await;
                    for _ in 0..20 {
                        assert_eq!(client.ask(get("/")).await.text(), "ok");
                    }
                }
            });
            futures_util::future::join_all(clients).await;
            assert!((1..=limit).contains(&most.get()), "{} of {limit}", most.get());
            let peer = &first.config().destinations[&web()].cluster.endpoints.load().endpoints[0].peer;
            let relaxed = std::sync::atomic::Ordering::Relaxed;
            assert_eq!((peer.waiting.load(relaxed), first.process.counters.limit_pending.get()), (0, 0));
        });
    }
}

/// An HTTP/2 application that counts its connections, and how many there were at most.
async fn counting2(open: &Rc<Cell<u32>>, most: &Rc<Cell<u32>>) -> SocketAddr {
    let (open, most) = (Rc::clone(open), Rc::clone(most));
    application(move |stream: tokio::net::TcpStream| {
        let (open, most) = (Rc::clone(&open), Rc::clone(&most));
        async move {
            open.set(open.get() + 1);
            most.set(most.get().max(open.get()));
            let service = hyper::service::service_fn(|_: Request<Incoming>| async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, std::convert::Infallible>(text("ok"))
            });
            let builder = hyper::server::conn::http2::Builder::new(super::kit::Local);
            let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
            open.set(open.get() - 1);
        }
    })
    .await
}

#[test]
fn who_waits_for_another_workers_connection_is_limited_too() {
    run(async {
        let app = super::kit::origin2(|_: Request<Incoming>| async {
            std::future::pending::<()>().await;
            text("never")
        })
        .await;
        let (first, address) = direct2(limits(1, 1, 100), app).await;
        let second = Worker::new(1, Arc::clone(&first.process));
        let other = listen(&second, Entrance::Upstream(web())).await;
        let mut holder = Client::to(address).await;
        holder.say(get("/")).await;
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        let peer =
            Arc::clone(&first.config().destinations[&web()].cluster.endpoints.load().endpoints[0].peer);
        until("it is open", || peer.connections.load(relaxed) == 1).await;
        let mut waits = Client::to(other).await;
        waits.say(get("/")).await;
        until("one waits", || peer.waiting.load(relaxed) == 1).await;
        let answer = ask(other, get("/")).await;
        assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0209"));
        assert_eq!((peer.connections.load(relaxed), first.process.counters.limit_pending.get()), (1, 1));
    });
}

#[test]
fn three_workers_have_one_limit_of_requests_in_flight_and_one_of_those_that_wait() {
    run(async {
        let (app, gate, waiting) = gated().await;
        for (settings, answered) in [(limits(100, 100, 2), 2), (limits(1, 2, 100), 3)] {
            let (first, address) = direct(settings, &[app]).await;
            let mut addresses = vec![address];
            for index in 1..3 {
                let worker = Worker::new(index, Arc::clone(&first.process));
                addresses.push(listen(&worker, Entrance::Upstream(web())).await);
            }
            let mut clients = Vec::new();
            for number in 0..answered {
                let mut client = Client::to(addresses[number % 3]).await;
                client.say(get("/")).await;
                clients.push(client);
            }
            let cluster = Arc::clone(&first.config().destinations[&web()].cluster);
            let set = cluster.endpoints.load_full();
            until("all are there", || set.endpoints[0].load.in_flight() as usize == answered).await;
            let pending = || cluster.pending.load(std::sync::atomic::Ordering::Relaxed) as usize;
            until("those who must wait do", || waiting.get() + pending() == answered).await;
            for address in &addresses {
                let answer = ask(*address, get("/")).await;
                assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0209"));
            }
            gate.add_permits(answered);
            for client in &mut clients {
                assert_eq!(client.answer().await.text(), "ok");
            }
        }
    });
}
