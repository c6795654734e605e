//! What happens with a connection that came in, by where it came in.

use std::net::SocketAddr;
use std::rc::Rc;

use byrnie_plan::{AppProtocol, ListenerProtocol};
use tokio::net::TcpStream;

use crate::detect::{self, Prefixed};
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front, Target};
use crate::tcp::Duplex;
use crate::worker::Worker;
use crate::{hop, http, proxy_protocol, tcp, transparent};

/// Serves one connection, which is tuned, to its end.
pub async fn serve(worker: &Rc<Worker>, mut stream: TcpStream, remote: SocketAddr, entrance: Entrance) {
    match entrance {
        Entrance::Mesh => Box::pin(hop::serve::serve(worker, stream, remote)).await,
        Entrance::HttpProxy => {
            Box::pin(http::serve(worker, &Front::plain(entrance, &stream, remote), stream)).await;
        }
        Entrance::Outbound => Box::pin(transparent::outbound::serve(worker, stream, remote)).await,
        Entrance::Inbound => Box::pin(transparent::inbound::serve(worker, stream, remote)).await,
        Entrance::Upstream(_) | Entrance::Gateway(_) | Entrance::Endpoint(_) => {
            let mut front = Front::plain(entrance, &stream, remote);
            if front.listener_port().is_some() && front.settings(worker).accept_proxy_protocol {
                // Boxed: it must not be kept for as long as the connection lasts.
                let client = Box::pin(introduced(worker, &front, &mut stream)).await;
                let Some(client) = client else { return };
                front = Front::plain(front.entrance.clone(), &stream, client);
            }
            serve_stream(worker, &front, stream).await;
        }
    }
}

/// Who the client is by the PROXY protocol; `None`: nobody who is served.
async fn introduced(worker: &Rc<Worker>, front: &Front, stream: &mut TcpStream) -> Option<SocketAddr> {
    let (remote, limit) = (front.remote, front.settings(worker).header_timeout);
    let read = tokio::select! {
        biased;
        read = proxy_protocol::read(stream, limit) => read,
        // It has not asked for anything yet, and need not be waited for.
        () = worker.process.parted() => return None,
    };
    match read {
        Ok(client) => return Some(client.unwrap_or(remote)),
        Err(proxy_protocol::Refusal::Gone(error)) => {
            tracing::debug!("{remote} went away before its PROXY header: {error}");
        }
        Err(refusal) => {
            worker.process.counters.limit_proxy_protocol.inc();
            let error = ProxyError::unprocessed(Kind::BadRequest, refusal.to_string());
            tcp::outbound::refuse_unread(worker, stream, remote, &error);
        }
    }
    None
}

/// Serves what comes to a service's address or a Gateway's listener, whatever carries it. Boxed is what only one kind
/// of connection needs: the others must not keep room for it.
pub async fn serve_stream<S: Duplex>(worker: &Rc<Worker>, front: &Rc<Front>, stream: S) {
    // Nothing is known about where it came in: the listener is about to go, or has just come.
    let Some(target) = front.target(worker) else { return };
    match speaks(&target) {
        Speaks::Http => Box::pin(http::serve(worker, front, stream)).await,
        Speaks::Bytes => {
            Box::pin(tcp::outbound::serve(worker, front, Prefixed::new(stream), target)).await;
        }
        Speaks::Unknown => {
            match Box::pin(detect::detect(&target.undeclared(&worker.process), stream)).await {
                Ok((stream, spoken)) if spoken.is_http() => {
                    Box::pin(http::serve(worker, front, stream)).await
                }
                Ok((stream, spoken)) => {
                    Box::pin(tcp::outbound::serve_detected(worker, front, stream, spoken, target)).await;
                }
                Err(error) => tracing::debug!("{} went away before it said anything: {error}", front.remote),
            }
        }
    }
}

/// What is known about a connection's protocol before its first byte.
enum Speaks {
    Http,
    Bytes,
    Unknown,
}

fn speaks(target: &Target) -> Speaks {
    match target {
        Target::Gateway(listener) => match listener.protocol {
            ListenerProtocol::Http => Speaks::Http,
            ListenerProtocol::Tcp | ListenerProtocol::TlsPassthrough => Speaks::Bytes,
        },
        // Routes for requests say that the port speaks HTTP.
        Target::Service(service) if service.http.is_some() => Speaks::Http,
        Target::Service(service) => match service.protocol {
            AppProtocol::Http1 | AppProtocol::Http2 | AppProtocol::Grpc => Speaks::Http,
            AppProtocol::Tcp | AppProtocol::Tls => Speaks::Bytes,
            AppProtocol::Detect => Speaks::Unknown,
        },
    }
}
