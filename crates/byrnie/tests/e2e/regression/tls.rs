//! Members of the mesh and strangers at the mesh port, and hellos written by hand.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use byrnie_identity::{CertificateAuthority, ClientTls, ExpectedPeer, KeyPair, Svid, unused_server_name};
use byrnie_plan::WorkloadIdentity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::site::connect;
use crate::harness::Mesh;

/// Somebody with a certificate.
pub struct Member {
    config: Arc<ClientConfig>,
}

fn identity(account: &str) -> WorkloadIdentity {
    format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap()
}

impl Member {
    /// A workload of the mesh, with a certificate of its authority.
    pub fn of(mesh: &Mesh, account: &str) -> Self {
        let dir = mesh.data_dir().join("identity");
        let authority =
            CertificateAuthority::load_or_create(&dir, "cluster.local", SystemTime::now()).unwrap();
        let roots = authority.bundle().clone();
        Self::signed(&authority, account, &roots)
    }

    /// Somebody else's root as a client's certificate, and the same again as often as said: each link could be the
    /// issuer of each other.
    pub fn of_stranger(links: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        CertificateAuthority::load_or_create(dir.path(), "cluster.local", SystemTime::now()).unwrap();
        let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let pem = std::fs::read(file).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
        let root = CertificateDer::from_pem_slice(&pem).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_client_auth_cert(vec![root; links + 1], key)
            .unwrap();
        config.alpn_protocols = vec![b"byrnie/1".to_vec()];
        Self { config: Arc::new(config) }
    }

    fn signed(authority: &CertificateAuthority, account: &str, roots: &byrnie_plan::TrustBundle) -> Self {
        let (key, now) = (KeyPair::generate().unwrap(), SystemTime::now());
        let csr = key.csr_der().unwrap();
        let signed = authority.sign(&csr, &identity(account), Duration::from_secs(600), now).unwrap();
        let svid = Svid::new(key, signed.chain_der, now).unwrap();
        let tls = ClientTls::new(Some(&svid), roots, &[b"byrnie/1"]).unwrap();
        let expected = ExpectedPeer::from(&identity("web"));
        Self { config: tls.config(expected).unwrap() }
    }

    /// A session whose handshake is done, and its socket.
    pub fn connect(&self, address: &str) -> io::Result<(ClientConnection, TcpStream)> {
        let mut session = ClientConnection::new(Arc::clone(&self.config), unused_server_name())
            .map_err(io::Error::other)?;
        let mut stream = connect(address);
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok((session, stream))
    }

    /// A whole handshake, and one byte more: what a server thinks of a client comes after it.
    pub fn handshake(&self, address: &str) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let connection = ClientConnection::new(Arc::clone(&self.config), unused_server_name())
            .map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, connect(address));
        // The server's settings, or its refusal.
        io::Read::read_exact(&mut stream, &mut [0; 9])?;
        Ok(stream)
    }
}

/// Takes any server's certificate: what is tested is what the server thinks of the client's.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A ClientHello with this server name.
pub fn hello(name: Option<&[u8]>) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let extension = |number: u16, body: &[u8]| [&number.to_be_bytes()[..], &sized(body)].concat();
    let mut extensions = Vec::new();
    if let Some(name) = name {
        extensions.extend(extension(0, &sized(&[&[0][..], &sized(name)].concat())));
    }
    extensions.extend(extension(43, &[2, 3, 4]));
    extensions.extend(extension(10, &sized(&[0, 29])));
    extensions.extend(extension(13, &sized(&[4, 3])));
    extensions.extend(extension(51, &sized(&[&[0, 29][..], &sized(&[9; 32])].concat())));
    let body = [&[3, 3][..], &[7; 32], &[0], &sized(&[0x13, 1]), &[1, 0], &sized(&extensions)].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let handshake = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &sized(&handshake)].concat()
}
