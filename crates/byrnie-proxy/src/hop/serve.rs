//! The mesh port: mTLS from a peer's proxy, then the dialect that ALPN names.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use byrnie_identity::{PeerRole, peer_identity};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::front::{Entrance, Front, Peer};
use crate::tls::{ALPN_BYRNIE, ALPN_BYRNIE_TCP, ALPN_HBONE};
use crate::worker::Worker;
use crate::{http, tcp};

/// Time for a peer to complete its handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Serves a connection at the mesh port to its end.
pub async fn serve(worker: &Rc<Worker>, stream: TcpStream, remote: SocketAddr) {
    // Without an identity nothing is served: fail closed.
    let Some(tls) = worker.process.tls.load_full() else { return };
    let Ok(entering) = worker.line.pass(&worker.process).await else { return };
    // Boxed, as what follows it: it must not be kept for as long as the connection lasts.
    let accepting = Box::pin(TlsAcceptor::from(Arc::clone(&tls.server)).accept(stream));
    let stream = match tokio::time::timeout(HANDSHAKE, accepting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!("a peer at {remote} was refused: {error}"),
        Err(_) => {
            return tracing::debug!("a peer at {remote} did not complete its handshake within {HANDSHAKE:?}");
        }
    };
    drop(entering);
    let (_, session) = stream.get_ref();
    let peer = match peer_identity(session.peer_certificates(), PeerRole::Client) {
        Ok(identity) => Arc::new(Peer::new(identity)),
        Err(error) => return tracing::debug!("a peer at {remote} was refused: {error}"),
    };
    match session.alpn_protocol() {
        Some(ALPN_BYRNIE) => {
            let front = Front::new(Entrance::Mesh, Some(peer), remote);
            Box::pin(http::serve2(worker, &front, stream)).await;
        }
        Some(ALPN_BYRNIE_TCP) => Box::pin(tcp::inbound::serve(worker, peer, remote, stream)).await,
        Some(ALPN_HBONE) => Box::pin(tcp::inbound::serve_hbone(worker, peer, remote, stream)).await,
        _ => tracing::debug!("a peer at {remote} named no dialect"),
    }
}
