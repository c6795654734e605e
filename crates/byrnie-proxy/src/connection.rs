//! What happens with a connection that came in, by where it came in.

use std::net::SocketAddr;
use std::rc::Rc;

use byrnie_plan::{AppProtocol, ListenerProtocol};
use tokio::net::TcpStream;

use crate::detect::{self, Prefixed};
use crate::front::{Entrance, Front, Target};
use crate::tcp::Duplex;
use crate::worker::Worker;
use crate::{hop, http, tcp, transparent};

/// Serves one connection to its end.
pub async fn serve(worker: &Rc<Worker>, stream: TcpStream, remote: SocketAddr, entrance: Entrance) {
    if byrnie_net::socket::tune(&stream, worker.config().settings.peer_timeout).is_err() {
        return; // It is gone already.
    }
    match entrance {
        Entrance::Mesh => Box::pin(hop::serve::serve(worker, stream, remote)).await,
        Entrance::HttpProxy => {
            Box::pin(http::serve(worker, &Front::plain(entrance, &stream, remote), stream)).await
        }
        Entrance::Outbound => Box::pin(transparent::outbound::serve(worker, stream, remote)).await,
        Entrance::Inbound => Box::pin(transparent::inbound::serve(worker, stream, remote)).await,
        Entrance::Upstream(_) | Entrance::Gateway(_) | Entrance::Endpoint(_) => {
            serve_stream(worker, &Front::plain(entrance, &stream, remote), stream).await;
        }
    }
}

/// Serves what comes to a service's address or a Gateway's listener, whatever carries it.
pub async fn serve_stream<S: Duplex>(worker: &Rc<Worker>, front: &Rc<Front>, stream: S) {
    // Nothing is known about where it came in: the listener is about to go, or has just come.
    let Some(target) = front.target(worker) else { return };
    let (port, speaks) = speaks(&target);
    match speaks {
        // Boxed: a connection of bytes must not keep room for what HTTP needs.
        Speaks::Http => Box::pin(http::serve(worker, front, stream)).await,
        Speaks::Bytes => tcp::outbound::serve(worker, front, Prefixed::new(stream), target).await,
        Speaks::Unknown => match detect::detect(&worker.process, port, stream).await {
            Ok((stream, spoken)) if spoken.is_http() => Box::pin(http::serve(worker, front, stream)).await,
            Ok((stream, spoken)) => {
                tcp::outbound::serve_detected(worker, front, stream, spoken, target).await
            }
            Err(error) => tracing::debug!("{} went away before it said anything: {error}", front.remote),
        },
    }
}

/// What is known about a connection's protocol before its first byte.
enum Speaks {
    Http,
    Bytes,
    Unknown,
}

fn speaks(target: &Target) -> (u16, Speaks) {
    match target {
        Target::Gateway(listener) => match listener.protocol {
            ListenerProtocol::Http => (listener.port, Speaks::Http),
            ListenerProtocol::Tcp | ListenerProtocol::TlsPassthrough => (listener.port, Speaks::Bytes),
        },
        // Routes for requests say that the port speaks HTTP.
        Target::Service(service) if service.http.is_some() => (service.name.port, Speaks::Http),
        Target::Service(service) => match service.protocol {
            AppProtocol::Http1 | AppProtocol::Http2 | AppProtocol::Grpc => (service.name.port, Speaks::Http),
            AppProtocol::Tcp | AppProtocol::Tls => (service.name.port, Speaks::Bytes),
            AppProtocol::Detect => (service.name.port, Speaks::Unknown),
        },
    }
}
