//! The keys, certificates and roots that are in force, as rustls wants them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use byrnie_identity::{ClientAuth, ClientTls, ExpectedPeer, IdentityError, Svid, server_config};
use byrnie_plan::{TrustBundle, WorkloadIdentity};
use foldhash::HashMap;
use parking_lot::Mutex;
use rustls::{ClientConfig, ServerConfig};

/// Requests as HTTP/2 streams.
pub const ALPN_BYRNIE: &[u8] = b"byrnie/1";
/// Bytes in CONNECT streams.
pub const ALPN_BYRNIE_TCP: &[u8] = b"byrnie-tcp/1";
/// HBONE.
pub const ALPN_HBONE: &[u8] = b"h2";

static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

/// What one certificate and one bundle make possible. Replaced as a whole when either changes; connections that are
/// open keep what they began with.
pub struct TlsState {
    /// Unique in this process.
    pub generation: u64,
    /// The certificate.
    pub svid: Arc<Svid>,
    /// The roots.
    pub bundle: Arc<TrustBundle>,
    /// For the mesh port: all dialects.
    pub server: Arc<ServerConfig>,
    requests: Client,
    bytes: Client,
    hbone: Client,
}

/// Client configurations of one dialect, one per expected peer.
struct Client {
    tls: ClientTls,
    peers: Mutex<HashMap<WorkloadIdentity, Arc<ClientConfig>>>,
}

/// Which ALPN a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// [`ALPN_BYRNIE`].
    Requests,
    /// [`ALPN_BYRNIE_TCP`].
    Bytes,
    /// [`ALPN_HBONE`].
    Hbone,
}

impl TlsState {
    /// Prepares everything.
    pub fn new(svid: Arc<Svid>, bundle: Arc<TrustBundle>) -> Result<Self, IdentityError> {
        let client = |alpn| {
            Ok::<_, IdentityError>(Client {
                tls: ClientTls::new(Some(&svid), &bundle, &[alpn])?,
                peers: Mutex::default(),
            })
        };
        Ok(Self {
            generation: NEXT_GENERATION.fetch_add(1, Relaxed),
            server: server_config(
                &svid,
                &bundle,
                &[ALPN_BYRNIE, ALPN_BYRNIE_TCP, ALPN_HBONE],
                ClientAuth::Required,
            )?,
            requests: client(ALPN_BYRNIE)?,
            bytes: client(ALPN_BYRNIE_TCP)?,
            hbone: client(ALPN_HBONE)?,
            svid,
            bundle,
        })
    }

    /// The configuration for calling exactly this peer.
    pub fn client(&self, alpn: Alpn, peer: &WorkloadIdentity) -> Result<Arc<ClientConfig>, IdentityError> {
        let client = match alpn {
            Alpn::Requests => &self.requests,
            Alpn::Bytes => &self.bytes,
            Alpn::Hbone => &self.hbone,
        };
        let mut peers = client.peers.lock();
        if let Some(known) = peers.get(peer) {
            return Ok(Arc::clone(known));
        }
        let config = client.tls.config(ExpectedPeer::from(peer))?;
        peers.insert(peer.clone(), Arc::clone(&config));
        Ok(config)
    }
}
