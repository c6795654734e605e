//! Peers that allow few streams on a connection, or fewer than before.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use byrnie_plan::{AppProtocol, MeshSettings, TrafficSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::client::{Client, get};
use super::kit::pair;
use super::lifecycle::workers;
use super::limits::{direct2, gated, limits, with};
use crate::tcp::tests::mesh::{application, run, until, web};

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

/// An application of HTTP/2 that says what a test wants said.
#[derive(Clone, Default)]
pub(super) struct Origin(Rc<Said>);

#[derive(Default)]
struct Said {
    /// What it allows on a new connection.
    allows: Cell<u32>,
    connections: RefCell<Vec<UnboundedSender<Vec<u8>>>>,
    /// Connection and stream of each request.
    asked: RefCell<Vec<(usize, u32)>>,
    acknowledged: Cell<usize>,
}

fn settings(allows: u32) -> Vec<u8> {
    [&[0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 3][..], &allows.to_be_bytes()].concat()
}

impl Origin {
    pub(super) async fn allowing(allows: u32) -> (Self, SocketAddr) {
        let origin = Self::default();
        origin.0.allows.set(allows);
        let serving = origin.clone();
        let address = application(move |stream| serving.clone().serve(stream)).await;
        (origin, address)
    }

    async fn serve(self, stream: TcpStream) {
        let (mut read, mut write) = stream.into_split();
        let (say, mut said) = unbounded_channel::<Vec<u8>>();
        say.send(settings(self.0.allows.get())).unwrap();
        let index = self.connections();
        self.0.connections.borrow_mut().push(say.clone());
        tokio::task::spawn_local(async move {
            while let Some(words) = said.recv().await {
                let _ = write.write_all(&words).await;
            }
        });
        // The preface.
        let _ = read.read_exact(&mut [0; 24]).await;
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let mut rest = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            read.read_exact(&mut rest).await.unwrap();
            match (head[3], head[4]) {
                (HEADERS, _) => {
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    self.0.asked.borrow_mut().push((index, stream));
                }
                (SETTINGS, 0) => say.send(vec![0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]).unwrap(),
                (SETTINGS, _) => self.0.acknowledged.set(self.0.acknowledged.get() + 1),
                _ => {}
            }
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.0.connections.borrow().len()
    }

    /// On which connection each request came.
    pub(super) fn asked(&self) -> Vec<usize> {
        self.0.asked.borrow().iter().map(|(connection, _)| *connection).collect()
    }

    /// Answers this request.
    pub(super) fn answer(&self, request: usize) {
        let (connection, stream) = self.0.asked.borrow()[request];
        // Status 200 (RFC 7541 appendix A), no body.
        let answer = [&[0, 0, 1, HEADERS, 5][..], &stream.to_be_bytes(), &[0x88]].concat();
        self.0.connections.borrow()[connection].send(answer).unwrap();
    }

    /// Allows another number on this connection.
    async fn allow(&self, connection: usize, allows: u32) {
        let before = self.0.acknowledged.get();
        self.0.connections.borrow()[connection].send(settings(allows)).unwrap();
        until("it is heard", || self.0.acknowledged.get() > before).await;
    }
}

pub(super) async fn asking(address: SocketAddr) -> Client {
    let mut client = Client::to(address).await;
    client.say(get("/")).await;
    client
}

#[test]
fn a_peer_that_allows_one_stream_gets_a_connection_for_each() {
    run(async {
        let (origin, app) = Origin::allowing(1).await;
        let (worker, address) = direct2(TrafficSettings::default(), app).await;
        let mut clients = Vec::new();
        for _ in 0..30 {
            clients.push(asking(address).await);
        }
        until("all are asked at once", || origin.asked().len() == 30).await;
        assert_eq!(origin.asked(), (0..30).collect::<Vec<_>>(), "each on a connection of its own");
        (0..30).for_each(|request| origin.answer(request));
        for client in &mut clients {
            assert_eq!(client.head().await.status, 200);
        }
        let _next = asking(address).await;
        until("it is asked", || origin.asked().len() == 31).await;
        assert_eq!((origin.connections(), worker.process.counters.upstream.get()), (30, 30));
    });
}

#[test]
fn a_peer_may_allow_fewer_streams_than_before() {
    run(async {
        let (origin, app) = Origin::allowing(100).await;
        let (_worker, address) = direct2(TrafficSettings::default(), app).await;
        let mut clients = vec![asking(address).await];
        until("one is asked", || origin.asked() == [0]).await;
        clients.push(asking(address).await);
        until("two are asked", || origin.asked() == [0, 0]).await;
        origin.allow(0, 2).await;
        clients.push(asking(address).await);
        until("the third has another connection", || origin.asked() == [0, 0, 1]).await;
        origin.allow(0, 3).await;
        // Both have room now; the first stays with less to do than it may have.
        origin.answer(0);
        origin.answer(1);
        for client in &mut clients[..2] {
            assert_eq!(client.head().await.status, 200);
        }
        clients.push(asking(address).await);
        until("what is open is used again", || origin.asked() == [0, 0, 1, 0]).await;
    });
}

#[test]
fn a_peer_that_allows_nothing_is_waited_for_on_what_is_open() {
    run(async {
        let (origin, app) = Origin::allowing(10).await;
        let (worker, address) = direct2(TrafficSettings::default(), app).await;
        let mut first = asking(address).await;
        until("it is asked", || origin.asked() == [0]).await;
        origin.answer(0);
        assert_eq!(first.head().await.status, 200);
        origin.allow(0, 0).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(asking(address).await);
        }
        until("all wait", || worker.process.overload.requests() == 5).await;
        assert_eq!(origin.asked(), [0]);
        origin.allow(0, 5).await;
        until("all are asked", || origin.asked() == [0; 6]).await;
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn who_waits_for_a_stream_gets_the_first_that_ends() {
    run(async {
        let (origin, app) = Origin::allowing(1).await;
        let (worker, address) = direct2(limits(2, 10, 100), app).await;
        let _first = asking(address).await;
        until("one is asked", || origin.asked() == [0]).await;
        let mut second = asking(address).await;
        until("two are asked", || origin.asked() == [0, 1]).await;
        let _third = asking(address).await;
        let pending = || worker.config().destinations[&web()].cluster.pending.load(Relaxed);
        until("it waits", || pending() == 1).await;
        origin.answer(1);
        assert_eq!(second.head().await.status, 200);
        until("it is asked", || origin.asked() == [0, 1, 1]).await;
        assert_eq!((origin.connections(), pending()), (2, 0));
    });
}

#[test]
fn proxies_heed_each_others_limits() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let pair = pair(app, AppProtocol::Http1).await;
        with(&pair.server, MeshSettings { max_concurrent_streams: 1, ..MeshSettings::default() });
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(asking(pair.address).await);
        }
        until("all are served at once", || waiting.get() == 3).await;
        assert_eq!(pair.endpoint.peer.connections.load(Relaxed), 3);
        gate.add_permits(3);
        for client in &mut clients {
            assert_eq!(client.answer().await.text(), "ok");
        }
    });
}

#[test]
fn a_worker_that_is_full_for_a_moment_does_not_cost_the_other_its_connection() {
    run(async {
        let (origin, app) = Origin::allowing(1).await;
        let (worker, _) = direct2(limits(2, 100, 100), app).await;
        let process = Arc::clone(&worker.process);
        let (workers, address) = workers(&process, 2);
        let mut clients = [asking(address).await, asking(address).await];
        until("each worker has its connection", || origin.asked().len() == 2).await;
        let mut third = asking(address).await;
        // Much longer than a connection is kept that others wait for.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        origin.answer(0);
        origin.answer(1);
        for client in &mut clients {
            assert_eq!(client.answer().await.status, 200);
        }
        until("the third has its turn", || origin.asked().len() == 3).await;
        origin.answer(2);
        assert_eq!(third.answer().await.status, 200);
        for (index, client) in clients.iter_mut().enumerate() {
            client.say(get("/")).await;
            until("it is asked", || origin.asked().len() == 4 + index).await;
            origin.answer(3 + index);
            assert_eq!(client.answer().await.status, 200);
        }
        assert_eq!(origin.connections(), 2, "none was given up");
        process.closing.cancel();
        tokio::task::spawn_blocking(|| workers.join()).await.unwrap();
    });
}
