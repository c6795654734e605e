//! The resolvers that know the rest of the world: those of the host. Asked in order, each with a share of the time.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant as Deadline, timeout_at};

use super::flight::{Flights, Ticket};
use super::message::{HEAD, question};

/// Where the host says who resolves names.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// As many as the C library asks.
const MAX_SERVERS: usize = 3;

/// The port of DNS.
pub const PORT: u16 = 53;

/// How often it is looked whether the file has changed.
const LOOK: Duration = Duration::from_secs(5);

/// How long a server that turned out to be ourselves is not asked.
const LOOPS: Duration = Duration::from_secs(60);

/// Largest answer by UDP: more than any client of ours is told.
const MAX_ANSWER: usize = 4096;

/// Packets that are no answer to a question, before a server is given up: somebody is guessing.
const MAX_STRANGERS: usize = 16;

/// Longest time for one server, so that the next one has a chance.
const TRY: Duration = Duration::from_secs(2);

/// The servers.
pub struct Upstreams {
    path: PathBuf,
    /// Theirs.
    port: u16,
    looked: Option<Instant>,
    modified: Option<SystemTime>,
    servers: Vec<SocketAddr>,
    /// Servers that are ourselves, and until when that is believed.
    selves: Vec<(SocketAddr, Instant)>,
    /// Where we listen.
    own: Vec<SocketAddr>,
}

impl Upstreams {
    /// Those that a file names, without ourselves.
    pub fn new(path: PathBuf, port: u16, own: Vec<SocketAddr>) -> Self {
        Self { path, port, looked: None, modified: None, servers: Vec::new(), selves: Vec::new(), own }
    }

    /// Whom to ask, in order.
    pub fn servers(&mut self, now: Instant) -> Vec<SocketAddr> {
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK) {
            self.looked = Some(now);
            self.look();
        }
        self.selves.retain(|(_, until)| *until > now);
        let is_self = |server: &SocketAddr| self.selves.iter().any(|(address, _)| address == server);
        self.servers.iter().filter(|server| !is_self(server)).copied().collect()
    }

    /// A question came back to us: this server is ourselves, whatever its address is.
    pub fn is_self(&mut self, server: SocketAddr, now: Instant) {
        if !self.selves.iter().any(|(address, _)| *address == server) {
            tracing::warn!(%server, "BYR0280: a resolver of {} is this proxy itself", self.path.display());
            self.selves.push((server, now + LOOPS));
        }
    }

    fn look(&mut self) {
        let modified = fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        if modified.is_some() && modified == self.modified {
            return;
        }
        self.modified = modified;
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                self.servers = parse(&text, self.port);
                self.servers.retain(|server| !self.own.contains(server));
            }
            // What was known stays.
            Err(error) => tracing::warn!(%error, "{} cannot be read", self.path.display()),
        }
    }
}

/// The servers that such a file names; the local one if it names none (resolv.conf(5)).
pub fn parse(text: &str, port: u16) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some("nameserver")
            && let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok())
            && !servers.contains(&SocketAddr::new(address, port))
        {
            servers.push(SocketAddr::new(address, port));
        }
    }
    servers.truncate(MAX_SERVERS);
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    servers
}

/// Asks one after the other until one has an answer that is no failure of its own. `None`: nobody answered in time.
pub async fn ask(
    servers: &[SocketAddr],
    query: &[u8],
    by_tcp: bool,
    limit: Duration,
    flights: &Flights,
) -> Option<Vec<u8>> {
    let end = Deadline::now() + limit;
    let mut last = None;
    // Twice around: a packet may be lost.
    for server in servers.iter().chain(servers) {
        let now = Deadline::now();
        if now >= end {
            break;
        }
        // Dropped with the try: an answer that comes later is a stranger's.
        let ticket = flights.begin(query, *server)?;
        let sent = ticket.stamp(query);
        let asked = async {
            match by_tcp {
                true => tcp(*server, &sent).await,
                false => udp(*server, &sent, &ticket).await,
            }
        };
        match timeout_at(end.min(now + TRY), asked).await {
            Ok(Ok(mut answer)) => {
                answer[..2].copy_from_slice(&query[..2]);
                if !is_failure(&answer) {
                    return Some(answer);
                }
                last = Some(answer);
            }
            Ok(Err(error)) => tracing::debug!(%server, %error, "a resolver does not answer"),
            Err(_) => tracing::debug!(%server, "a resolver does not answer in time"),
        }
        if last.is_some() && servers.len() == 1 {
            break;
        }
    }
    last
}

/// SERVFAIL, NOTIMP and REFUSED: another one may know more.
fn is_failure(answer: &[u8]) -> bool {
    matches!(answer.get(3).map(|flags| flags & 0x0f), Some(2 | 4 | 5))
}

/// A socket of its own for each question: an answer must guess its port and its number.
async fn udp(server: SocketAddr, query: &[u8], ticket: &Ticket<'_>) -> io::Result<Vec<u8>> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut answer = vec![0; MAX_ANSWER];
    for _ in 0..MAX_STRANGERS {
        let length = socket.recv(&mut answer).await?;
        if ticket.is_answer(answer.get(..length).unwrap_or_default(), query) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
    Err(io::Error::other("too many packets that are no answer"))
}

async fn tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    match answer.len() >= HEAD && answer[..2] == query[..2] && same_question(&answer, query) {
        true => Ok(answer),
        false => Err(io::Error::other("an answer to another question")),
    }
}

/// Whether a packet answers a question: the case of letters may differ, nothing else.
pub fn same_question(answer: &[u8], query: &[u8]) -> bool {
    match (question(answer), question(query)) {
        (Some(answered), Some(asked)) => answered.eq_ignore_ascii_case(asked),
        // A server that fails may leave the question out.
        (None, Some(_)) => answer.len() == HEAD && is_failure(answer),
        _ => false,
    }
}
