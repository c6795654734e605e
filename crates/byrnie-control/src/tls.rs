//! The TCP side of the proxies' port: accept, TLS handshake, and who the peer proved to be.

use std::io;
use std::net::TcpListener as StdListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use byrnie_identity::{PeerRole, peer_identity, peer_not_after};
use byrnie_plan::WorkloadIdentity;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

/// Time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at once; what comes beyond waits in the listener's backlog. 5,000 reconnects settle in seconds.
const HANDSHAKES: usize = 256;

/// Connections at once, handshakes included; what comes beyond waits in the listener's backlog.
const CONNECTIONS: usize = 20_000;
/// How long a connection without certificate may last: long enough to redeem a credential.
const UNPROVEN_LIFETIME: Duration = Duration::from_secs(30);
/// No connection lasts longer, whatever its certificate says.
const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Time to tell the peer that its certificate is over, before the connection ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection whose handshake is done.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// Ends the connection: of a peer that proved nothing soon, of another one with its certificate.
    end: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What its certificate says; `None`: it showed none, so it may only redeem a credential.
    identity: Option<WorkloadIdentity>,
    /// When its certificate ends, or when it must have redeemed its credential.
    pub until: Instant,
}

impl Peer {
    /// What its certificate says, while it is valid.
    pub fn proven(&self) -> Option<WorkloadIdentity> {
        self.identity.clone().filter(|_| Instant::now() < self.until)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.as_mut().poll(cx).is_ready() {
            // As if the peer had closed.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where the present TLS configuration comes from: the certificate is renewed, roots rotate.
pub type CurrentConfig = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// Accepts until stopped. Handshakes run beside each other; one that fails or stalls costs nobody else anything.
pub fn incoming(
    listener: StdListener,
    config: CurrentConfig,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> io::Result<impl Stream<Item = io::Result<Connection>> + use<>> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (done, accepted) = mpsc::channel(HANDSHAKES);
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept(listener, config, done, Places::new(CONNECTIONS)) => {}
        }
    });
    Ok(tokio_stream::wrappers::ReceiverStream::new(accepted))
}

/// How many may be there at once, and how long a handshake may take.
#[derive(Clone)]
struct Places {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    time: Duration,
}

impl Places {
    fn new(connections: usize) -> Self {
        let of = |places| Arc::new(Semaphore::new(places));
        Self { connections: of(connections), handshakes: of(HANDSHAKES), time: HANDSHAKE_TIMEOUT }
    }
}

async fn accept(
    listener: TcpListener,
    config: CurrentConfig,
    done: mpsc::Sender<io::Result<Connection>>,
    places: Places,
) {
    loop {
        if places.connections.available_permits() == 0 {
            tracing::warn!("BYR0450: already {CONNECTIONS} proxies' connections at once; further ones wait");
        }
        let Ok(connection) = Arc::clone(&places.connections).acquire_owned().await else { return };
        let Ok(permit) = Arc::clone(&places.handshakes).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(cause) => {
                // Out of descriptors, most likely: give others the time to close some.
                tracing::warn!(%cause, "cannot accept a proxy's connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (config, done, time) = (config(), done.clone(), places.time);
        tokio::spawn(async move {
            match tokio::time::timeout(time, handshake(stream, config, connection)).await {
                Ok(Ok(connection)) => drop(done.send(Ok(connection)).await),
                Ok(Err(cause)) => tracing::info!(%cause, "BYR0342: a handshake on the proxies' port failed"),
                Err(_) => tracing::info!("BYR0342: a handshake on the proxies' port took too long"),
            }
            drop(permit);
        });
    }
}

async fn handshake(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    permit: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    // The verifier has accepted the chain; this only reads the identity from its leaf.
    let identity = match stream.get_ref().1.peer_certificates() {
        None => None,
        Some(chain) => Some(peer_identity(Some(chain), PeerRole::Client).map_err(io::Error::other)?),
    };
    let not_after = peer_not_after(stream.get_ref().1.peer_certificates());
    let lifetime = not_after.map_or(UNPROVEN_LIFETIME, |end| {
        end.duration_since(SystemTime::now()).unwrap_or_default().min(MAX_LIFETIME)
    });
    let until = Instant::now() + lifetime;
    let end = Box::pin(tokio::time::sleep_until(until + LAST_WORDS));
    Ok(Connection { stream, peer: Peer { identity, until }, end, _permit: permit })
}

#[cfg(test)]
mod tests;
