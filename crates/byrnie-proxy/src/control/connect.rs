//! Connections to the control plane. Each attempt takes the newest certificate and roots.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use byrnie_identity::{ExpectedPeer, bootstrap_client_config, bundle_from_pem, unused_server_name};
use byrnie_plan::{SYSTEM_NAMESPACE, TrustBundle, WorkloadIdentity};
use byrnie_wire::client::{ByteStream, Connector};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::process::Process;
use crate::tls::{ALPN_HBONE, Alpn};

/// gRPC's ALPN is plain HTTP/2, as HBONE's.
const GRPC: (Alpn, &[u8]) = (Alpn::Hbone, ALPN_HBONE);

/// Who the control plane must prove to be.
fn control_plane(bundle: &TrustBundle) -> WorkloadIdentity {
    WorkloadIdentity {
        trust_domain: bundle.trust_domain.clone(),
        namespace: SYSTEM_NAMESPACE.to_owned(),
        service_account: "control-plane".to_owned(),
    }
}

/// With this proxy's certificate.
pub fn mutual(process: &Arc<Process>, address: &Arc<str>) -> Connector {
    let (process, address) = (Arc::clone(process), Arc::clone(address));
    Arc::new(move || {
        let (process, address) = (Arc::clone(&process), Arc::clone(&address));
        Box::pin(async move {
            let tls = process.tls.load_full();
            let tls = tls.ok_or_else(|| io::Error::other("this proxy has no certificate yet"))?;
            let config = tls.client(GRPC.0, &control_plane(&tls.bundle)).map_err(io::Error::other)?;
            connect(&address, config).await
        })
    })
}

/// Without a certificate, for the first one. The roots are read from their file each time: they may rotate while this
/// proxy waits.
pub fn bootstrap(trust_bundle: PathBuf, address: &Arc<str>) -> Connector {
    let address = Arc::clone(address);
    Arc::new(move || {
        let (path, address) = (trust_bundle.clone(), Arc::clone(&address));
        Box::pin(async move {
            let pem = tokio::fs::read(&path).await;
            let pem = pem.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
            let bundle = bundle_from_pem(&pem).map_err(io::Error::other)?;
            let expected = ExpectedPeer::from(&control_plane(&bundle));
            let config = bootstrap_client_config(&bundle, expected, &[GRPC.1]).map_err(io::Error::other)?;
            connect(&address, config).await
        })
    })
}

async fn connect(address: &str, config: Arc<ClientConfig>) -> io::Result<Box<dyn ByteStream>> {
    let stream = TcpStream::connect(address).await?;
    byrnie_net::socket::tune(&stream, byrnie_net::socket::DEFAULT_PEER_TIMEOUT)?;
    let tls = TlsConnector::from(config).connect(unused_server_name(), stream).await?;
    Ok(Box::new(tls))
}
