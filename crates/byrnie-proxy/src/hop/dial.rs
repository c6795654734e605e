//! Connecting to an endpoint: TCP, then mTLS where the hop says so.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_identity::{PeerFault, peer_error, unused_server_name};
use byrnie_plan::{Hop, ProxyHeader, WorkloadIdentity};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Endpoint;
use crate::error::{Kind, ProxyError};
use crate::proxy_protocol;
use crate::tls::Alpn;
use crate::transparent::Side;
use crate::worker::Worker;

/// A plain connection to an endpoint's address. `shown`: whose address the application is to see instead of ours.
pub async fn tcp(
    worker: &Worker,
    endpoint: &Endpoint,
    shown: Option<SocketAddr>,
) -> Result<TcpStream, ProxyError> {
    let address = endpoint.plan.address;
    let failed = |error: std::io::Error| {
        ProxyError::unprocessed(
            Kind::ConnectFailed,
            format!("{} at {address}: {error}", endpoint.plan.workload),
        )
    };
    let stream = match &worker.process.captured {
        None => TcpStream::connect(address).await,
        Some(captured) => captured.dial(address, side(worker, endpoint), shown).await,
    };
    let stream = stream.map_err(failed)?;
    byrnie_net::socket::tune(&stream, worker.config().settings.peer_timeout).map_err(failed)?;
    Ok(stream)
}

/// A plain connection to an application, which begins as it wants. `shown`: as for [`tcp`]; `client`: for whom,
/// if for one.
pub async fn application(
    worker: &Worker,
    begins_with: ProxyHeader,
    endpoint: &Endpoint,
    shown: Option<SocketAddr>,
    client: Option<SocketAddr>,
) -> Result<TcpStream, ProxyError> {
    let mut stream = tcp(worker, endpoint, shown).await?;
    proxy_protocol::write(&mut stream, begins_with, client).await.map_err(|error| {
        let context = format!("{} at {}: {error}", endpoint.plan.workload, endpoint.plan.address);
        ProxyError::unprocessed(Kind::ConnectFailed, context)
    })?;
    Ok(stream)
}

/// Without mTLS the workload itself is only reached by its own proxy.
fn side(worker: &Worker, endpoint: &Endpoint) -> Side {
    let own = !endpoint.is_secured() && endpoint.plan.workload == worker.process.workload;
    if own { Side::Workload } else { Side::Anywhere }
}

/// How long the only endpoint of a service may have another identity than it should: one of the two proxies has not
/// heard yet that the workload got a new one, or has no certificate for it yet.
const ANOTHER: Duration = Duration::from_millis(800);
/// Between two looks at that.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An mTLS connection to the endpoint's proxy, which proves exactly the identity of the plan. `alone`: there is no
/// other endpoint to go to, so one that proves another identity is asked again for a moment, while the plan stays.
pub async fn tls(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    alpn: Alpn,
    alone: bool,
) -> Result<TlsStream<TcpStream>, ProxyError> {
    let begun = Instant::now();
    loop {
        match handshake(worker, endpoint, alpn).await {
            Err((true, error)) if alone && begun.elapsed() < ANOTHER => tokio::select! {
                () = endpoint.peer.gone.cancelled() => return Err(error),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            },
            done => return done.map_err(|(_, error)| error),
        }
    }
}

/// One attempt. Of a failure whether it is a good certificate of somebody else.
async fn handshake(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    alpn: Alpn,
) -> Result<TlsStream<TcpStream>, (bool, ProxyError)> {
    let other = |error| (false, error);
    let Hop::Mesh { identity, .. } = &endpoint.plan.hop else {
        return Err(other(ProxyError::unprocessed(Kind::Internal, "a plaintext endpoint has no TLS")));
    };
    let config = client_config(worker, alpn, identity).map_err(other)?;
    let stream = tcp(worker, endpoint, None).await.map_err(other)?;
    let connecting = TlsConnector::from(config).connect(unused_server_name(), stream);
    connecting.await.map_err(|error| {
        let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let ours = reason.and_then(peer_error);
        let text = ours.map_or_else(|| error.to_string(), ToString::to_string);
        let context = format!("{} at {}: {text}", endpoint.plan.workload, endpoint.plan.address);
        let is_another = ours.is_some_and(|ours| matches!(ours.fault, PeerFault::Unexpected { .. }));
        (is_another, ProxyError::unprocessed(Kind::TlsFailed, context))
    })
}

fn client_config(
    worker: &Rc<Worker>,
    alpn: Alpn,
    identity: &WorkloadIdentity,
) -> Result<Arc<rustls::ClientConfig>, ProxyError> {
    let tls = worker.process.tls.load();
    let tls = tls.as_ref().ok_or_else(|| {
        ProxyError::unprocessed(Kind::NotReady, "this proxy has no certificate yet; is the control plane up?")
    })?;
    tls.client(alpn, identity).map_err(|error| ProxyError::unprocessed(Kind::TlsFailed, error.to_string()))
}

/// Bounds connecting by the service's limit.
pub async fn within<T>(
    limit: Duration,
    endpoint: &Endpoint,
    connecting: impl Future<Output = Result<T, ProxyError>>,
) -> Result<T, ProxyError> {
    match tokio::time::timeout(limit, connecting).await {
        Ok(result) => result,
        Err(_) => Err(ProxyError::unprocessed(
            Kind::ConnectFailed,
            format!(
                "{} at {}: no connection within {limit:?}",
                endpoint.plan.workload, endpoint.plan.address
            ),
        )),
    }
}
