//! Connecting to an endpoint: TCP, then mTLS where the hop says so.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use byrnie_identity::{peer_error, unused_server_name};
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

/// An mTLS connection to the endpoint's proxy, which proves exactly the identity of the plan.
pub async fn tls(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    alpn: Alpn,
) -> Result<TlsStream<TcpStream>, ProxyError> {
    let Hop::Mesh { identity, .. } = &endpoint.plan.hop else {
        return Err(ProxyError::unprocessed(Kind::Internal, "a plaintext endpoint has no TLS"));
    };
    let config = client_config(worker, alpn, identity)?;
    let stream = tcp(worker, endpoint, None).await?;
    let connecting = TlsConnector::from(config).connect(unused_server_name(), stream);
    connecting.await.map_err(|error| {
        let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let text = match reason.and_then(peer_error) {
            Some(ours) => ours.to_string(),
            None => error.to_string(),
        };
        let context = format!("{} at {}: {text}", endpoint.plan.workload, endpoint.plan.address);
        ProxyError::unprocessed(Kind::TlsFailed, context)
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
