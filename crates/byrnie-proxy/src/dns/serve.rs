//! The resolver's sockets: packets in, decided about, answers out; everything bounded and counted.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_telemetry::{Counter, names};
use hickory_proto::op::{Message, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::Sockets;
use super::decide::{Alias, Client, Decision, Outcome, decide, failed};
use super::flight::Flights;
use super::message::{Limit, MAX_QUERY, encode, fit};
use super::upstream::{Upstreams, ask};
use crate::process::Process;

/// Connections at once; one more closes nobody's, it is not taken.
const MAX_CONNECTIONS: usize = 64;

/// How long a connection may be silent between questions (RFC 7766 section 6.2.3).
const IDLE: Duration = Duration::from_secs(10);

/// How long a question may take to arrive, and an answer to be taken.
const SLOW: Duration = Duration::from_secs(5);

/// Pause after an error of a socket that says nothing about one packet or connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers questions.
pub struct Resolver {
    process: Arc<Process>,
    upstreams: RefCell<Upstreams>,
    flights: Flights,
    connections: Cell<usize>,
    /// Questions that wait for somebody else.
    asking: Rc<Cell<u32>>,
    counters: Counters,
}

/// One for each way in which a question ends.
struct Counters {
    answered: Arc<Counter>,
    nodata: Arc<Counter>,
    nxdomain: Arc<Counter>,
    refused: Arc<Counter>,
    malformed: Arc<Counter>,
    ignored: Arc<Counter>,
    forwarded: Arc<Counter>,
    failed: Arc<Counter>,
    looped: Arc<Counter>,
    limit_queries: Arc<Counter>,
    limit_connections: Arc<Counter>,
}

impl Resolver {
    /// Listens nowhere yet. `resolv_conf` names the resolvers for everything else, which listen at this port.
    pub fn new(process: Arc<Process>, resolv_conf: PathBuf, port: u16, sockets: &Sockets) -> Rc<Self> {
        let udp = sockets.udp.iter().map(StdUdpSocket::local_addr);
        let own =
            udp.chain(sockets.tcp.iter().map(StdTcpListener::local_addr)).filter_map(Result::ok).collect();
        let result = |result: &str| process.metrics.counter(&names::DNS_QUERIES, &[result]);
        let limit = |limit: &str| process.metrics.counter(&names::LIMIT_REJECTIONS, &[limit]);
        let counters = Counters {
            answered: result("answered"),
            nodata: result("nodata"),
            nxdomain: result("nxdomain"),
            refused: result("refused"),
            malformed: result("malformed"),
            ignored: result("ignored"),
            forwarded: result("forwarded"),
            failed: result("failed"),
            looped: result("looped"),
            limit_queries: limit("dns_queries"),
            limit_connections: limit("dns_connections"),
        };
        Rc::new(Self {
            process,
            upstreams: RefCell::new(Upstreams::new(resolv_conf, port, own)),
            flights: Flights::default(),
            connections: Cell::new(0),
            asking: Rc::default(),
            counters,
        })
    }

    /// Answers for ever.
    pub async fn serve(self: &Rc<Self>, sockets: Sockets) {
        for socket in sockets.udp {
            match UdpSocket::from_std(socket) {
                Ok(socket) => drop(spawn_local(Rc::clone(self).udp(Rc::new(socket)))),
                Err(error) => tracing::error!(%error, "BYR0281: the resolver's UDP socket cannot be used"),
            }
        }
        for listener in sockets.tcp {
            match TcpListener::from_std(listener) {
                Ok(listener) => drop(spawn_local(Rc::clone(self).tcp(listener))),
                Err(error) => tracing::error!(%error, "BYR0281: the resolver's TCP socket cannot be used"),
            }
        }
        std::future::pending().await
    }

    async fn udp(self: Rc<Self>, socket: Rc<UdpSocket>) {
        // One byte more than what is looked at: what is larger must be seen to be.
        let mut packet = vec![0; MAX_QUERY + 1];
        loop {
            let (length, client) = match socket.recv_from(&mut packet).await {
                Ok(received) => received,
                // An answer of ours that nobody wanted (ICMP) comes back as an error of the next call.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => {
                    tracing::warn!(%error, "the resolver's UDP socket");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let query = packet.get(..length).unwrap_or_default();
            match self.decide(query, false) {
                Step::Nothing => {}
                Step::Answer(answer) => drop(socket.try_send_to(&answer, client)),
                Step::Ask(asking) => {
                    let (this, socket, query) = (Rc::clone(&self), Rc::clone(&socket), query.to_vec());
                    spawn_local(async move {
                        if let Some(answer) = this.ask(&query, asking, false).await {
                            // Whoever asked may be gone; nothing of ours depends on it.
                            let _ = socket.try_send_to(&answer, client);
                        }
                    });
                }
            }
        }
    }

    async fn tcp(self: Rc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, client)) if self.connections.get() < MAX_CONNECTIONS => {
                    self.connections.set(self.connections.get() + 1);
                    let this = Rc::clone(&self);
                    spawn_local(async move {
                        let process = Arc::clone(&this.process);
                        process.survive(this.connection(stream, client)).await;
                        this.connections.set(this.connections.get() - 1);
                    });
                }
                Ok(_) => self.counters.limit_connections.inc(),
                Err(error) => {
                    tracing::debug!(%error, "the resolver's TCP socket");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Questions one after the other, until the client is done, silent, slow, or sends what is none.
    async fn connection(&self, mut stream: TcpStream, client: SocketAddr) {
        loop {
            let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await else { return };
            if usize::from(length) > MAX_QUERY {
                self.counters.malformed.inc();
                return tracing::debug!(%client, length, "a question that is too large to be one");
            }
            let mut query = vec![0; usize::from(length)];
            let Ok(Ok(_)) = timeout(SLOW, stream.read_exact(&mut query)).await else { return };
            let answer = match self.decide(&query, true) {
                Step::Nothing => return,
                Step::Answer(answer) => Some(answer),
                Step::Ask(asking) => self.ask(&query, asking, true).await,
            };
            let Some(answer) = answer else { return };
            let Ok(length) = u16::try_from(answer.len()) else { return };
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            if !matches!(timeout(SLOW, stream.write_all(&framed)).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

/// What is to be done for a question.
enum Step {
    Nothing,
    Answer(Vec<u8>),
    /// Somebody else must be asked first.
    Ask(Asking),
}

struct Asking {
    what: What,
    _place: Place,
}

enum What {
    Same(Limit),
    Alias(Box<Alias>),
}

/// One of the questions that may wait at once; given back when dropped.
struct Place(Rc<Cell<u32>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Resolver {
    fn decide(&self, query: &[u8], by_tcp: bool) -> Step {
        let config = self.process.config.load();
        if let Some(server) = self.flights.came_back(query) {
            self.counters.looped.inc();
            self.upstreams.borrow_mut().is_self(server, Instant::now());
            return failed(query).map_or(Step::Nothing, Step::Answer);
        }
        let dns = &config.settings.dns;
        let client = Client { namespace: &self.process.workload.namespace, ttl: dns.ttl, by_tcp };
        let what = match decide(query, &config.names, &client) {
            Decision::Ignore => {
                self.counters.ignored.inc();
                return Step::Nothing;
            }
            Decision::Answer(answer, outcome) => {
                self.count(outcome);
                return Step::Answer(answer);
            }
            Decision::Forward(limit) => What::Same(limit),
            Decision::Alias(alias) => What::Alias(alias),
        };
        if self.asking.get() >= dns.max_queries {
            self.counters.limit_queries.inc();
            return failed(query).map_or(Step::Nothing, Step::Answer);
        }
        self.asking.set(self.asking.get() + 1);
        Step::Ask(Asking { what, _place: Place(Rc::clone(&self.asking)) })
    }

    fn count(&self, outcome: Outcome) {
        let counters = &self.counters;
        match outcome {
            Outcome::Answered => counters.answered.inc(),
            Outcome::NoData => counters.nodata.inc(),
            Outcome::NxDomain => counters.nxdomain.inc(),
            Outcome::Refused => counters.refused.inc(),
            Outcome::Malformed => counters.malformed.inc(),
            Outcome::Failed => counters.failed.inc(),
        }
    }

    /// The answer of somebody else, or that there is none.
    async fn ask(&self, query: &[u8], asking: Asking, by_tcp: bool) -> Option<Vec<u8>> {
        let answer = match asking.what {
            What::Same(limit) => self.others(query, by_tcp).await.map(|answer| fit(answer, query, limit)),
            What::Alias(alias) => self.alias(*alias, by_tcp).await,
        };
        match answer {
            Some(answer) => {
                self.counters.forwarded.inc();
                Some(answer)
            }
            None => {
                self.counters.failed.inc();
                failed(query)
            }
        }
    }

    async fn others(&self, query: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        let limit = self.process.config.load().settings.dns.timeout;
        let servers = self.upstreams.borrow_mut().servers(Instant::now());
        ask(&servers, query, by_tcp, limit, &self.flights).await
    }

    /// What the alias stands for, behind the alias.
    async fn alias(&self, alias: Alias, by_tcp: bool) -> Option<Vec<u8>> {
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(alias.target, alias.kind));
        let found = self.others(&query.to_vec().ok()?, by_tcp).await?;
        let found = Message::from_vec(&found).ok()?;
        let mut answer = alias.answer;
        answer.metadata.authoritative = false;
        answer.metadata.response_code = found.metadata.response_code;
        answer.metadata.truncation = found.metadata.truncation;
        if found.metadata.response_code == ResponseCode::ServFail {
            return None;
        }
        answer.answers.extend(found.answers);
        answer.authorities.extend(found.authorities);
        encode(answer, alias.limit)
    }
}
