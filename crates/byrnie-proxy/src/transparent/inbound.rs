//! Connections that came to the workload's own address without mTLS.
//!
//! Peers' proxies come to the mesh port. What comes to an application's port came past the mesh: where it is strict,
//! it is refused; else it is served as bytes of a caller without identity, and policies judge it as that.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::error::{Kind, ProxyError};
use crate::tcp;
use crate::worker::Worker;

/// Serves a connection that was to go to the application, to its end.
pub async fn serve(worker: &Rc<Worker>, stream: TcpStream, remote: SocketAddr) {
    let Some(captured) = &worker.process.captured else { return };
    let to = match byrnie_net::socket::original_destination(&stream) {
        Ok(to) => to,
        Err(error) => return tracing::warn!("where {remote} wanted to go is not known: {error}"),
    };
    if worker.config().settings.accept_plaintext {
        captured.counters.plaintext.inc();
        return Box::pin(tcp::plaintext::serve(worker, stream, remote, to.port())).await;
    }
    captured.counters.plaintext_refused.inc();
    let what =
        format!("{remote} came to port {} without mTLS, and the Mesh's spec.mtls is strict", to.port());
    let error = ProxyError::unprocessed(Kind::PlaintextRefused, what);
    tcp::plaintext::refuse(worker, stream, remote, &error);
}
