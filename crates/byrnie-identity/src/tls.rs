//! rustls configurations: TLS 1.3 only, post-quantum hybrid key exchange first, both sides verified by SPIFFE
//! ID, nothing resumed.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use byrnie_plan::TrustBundle;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, PeerIncompatible,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::IdentityError;
use crate::peer::{ExpectedPeer, PeerError, PeerFault, PeerRole};
use crate::svid::Svid;
use crate::verify::ChainVerifier;

/// The one provider of every configuration here. AES-128 first: it is as strong as the P-256 keys around it and
/// cheaper than AES-256. Plain X25519 stays for peers of other meshes that know no hybrid.
pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..rustls::crypto::aws_lc_rs::default_provider()
    })
});

/// Whether a server insists on a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// A peer without a valid certificate is refused in the handshake.
    Required,
    /// A peer may come without one (the control plane's port, where a proxy gets its first); one that is
    /// presented must still be valid. Whoever uses this checks `peer_identity` before everything else.
    Optional,
}

/// For a server: `alpn` is what it speaks, best first. A client is any identity of the bundle's trust domain.
pub fn server_config(
    svid: &Svid,
    bundle: &TrustBundle,
    alpn: &[&[u8]],
    client_auth: ClientAuth,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let chain = ChainVerifier::new(bundle, PROVIDER.signature_verification_algorithms)?;
    let verifier = Arc::new(AnyMember { chain, required: client_auth == ClientAuth::Required });
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(svid.certified_key()?)));
    config.alpn_protocols = owned(alpn);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// For a client that calls `expected` and nobody else. Who calls many makes one [`ClientTls`] and keeps what it
/// gives.
pub fn client_config(
    svid: &Svid,
    bundle: &TrustBundle,
    expected: ExpectedPeer,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, IdentityError> {
    ClientTls::new(Some(svid), bundle, alpn)?.config(expected)
}

/// For a client that has no certificate yet and asks the control plane for its first.
pub fn bootstrap_client_config(
    bundle: &TrustBundle,
    expected: ExpectedPeer,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, IdentityError> {
    ClientTls::new(None, bundle, alpn)?.config(expected)
}

/// The name to give to rustls for a connection: it asks for one, no verifier here looks at it and no SNI is sent.
pub fn unused_server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
}

/// What all client configurations of one certificate and bundle share: parsed key and roots. A configuration
/// for one more peer costs a few allocations; keep it per (this, peer).
#[derive(Debug)]
pub struct ClientTls {
    chain: Arc<ChainVerifier>,
    key: Option<Arc<SingleCertAndKey>>,
    alpn: Vec<Vec<u8>>,
}

impl ClientTls {
    /// Without `svid` no certificate is presented.
    pub fn new(svid: Option<&Svid>, bundle: &TrustBundle, alpn: &[&[u8]]) -> Result<Self, IdentityError> {
        let key = match svid {
            Some(svid) => Some(Arc::new(SingleCertAndKey::from(svid.certified_key()?))),
            None => None,
        };
        let chain = Arc::new(ChainVerifier::new(bundle, PROVIDER.signature_verification_algorithms)?);
        Ok(Self { chain, key, alpn: owned(alpn) })
    }

    /// A configuration that accepts `expected` only.
    pub fn config(&self, expected: ExpectedPeer) -> Result<Arc<ClientConfig>, IdentityError> {
        let verifier = Arc::new(ExpectedServer { chain: self.chain.clone(), expected });
        let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous() // rustls' word for a verifier of one's own
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.key {
            Some(key) => builder.with_client_cert_resolver(key.clone()),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.clone();
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}

/// The server's side: any member of the trust domain. What it may do is decided per request.
#[derive(Debug)]
struct AnyMember {
    chain: ChainVerifier,
    required: bool,
}

/// The client's side: exactly whom it called.
#[derive(Debug)]
struct ExpectedServer {
    chain: Arc<ChainVerifier>,
    expected: ExpectedPeer,
}

fn refused(peer: PeerRole, fault: PeerFault) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(PeerError { peer, fault }))).into()
}

fn no_tls12() -> rustls::Error {
    PeerIncompatible::ServerDoesNotSupportTls12Or13.into()
}

impl ClientCertVerifier for AnyMember {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[] // a proxy has one certificate: hints would only make handshakes longer
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.chain
            .verify(end_entity, intermediates, now, PeerRole::Client)
            .map_err(|fault| refused(PeerRole::Client, fault))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, self.chain.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.algorithms().supported_schemes()
    }
}

impl ServerCertVerifier for ExpectedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = self
            .chain
            .verify(end_entity, intermediates, now, PeerRole::Server)
            .map_err(|fault| refused(PeerRole::Server, fault))?;
        if !self.expected.allows(&found) {
            let expected = self.expected.clone();
            return Err(refused(PeerRole::Server, PeerFault::Unexpected { found, expected }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, self.chain.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.algorithms().supported_schemes()
    }
}

#[cfg(test)]
pub(crate) mod tests;
