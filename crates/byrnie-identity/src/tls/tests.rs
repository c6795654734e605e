use byrnie_plan::WorkloadIdentity;
use rustls::{ClientConnection, NamedGroup, ServerConnection};

use super::*;
use crate::ca::CertificateAuthority;
use crate::peer::peer_error;
use crate::svid::KeyPair;
use crate::testing::{TestRoot, identity, web};
use crate::verify::peer_identity;

const ALPN: &[&[u8]] = &[b"byrnie/1"];

/// Moves bytes between the two until neither has more to say; the first error ends it.
pub(crate) fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(client, unused_server_name())?;
    let mut server = ServerConnection::new(server)?;
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn admin() -> WorkloadIdentity {
    identity("spiffe://cluster.local/ns/shop/sa/admin")
}

fn code(result: Result<(ClientConnection, ServerConnection), rustls::Error>) -> String {
    let error = result.map(|_| ()).unwrap_err();
    peer_error(&error).map_or_else(|| error.to_string(), |error| error.fault.code().to_owned())
}

#[test]
fn two_members_meet() {
    let root = TestRoot::new();
    let (server_svid, client_svid) = (root.svid(&web()), root.svid(&admin()));
    let server = server_config(&server_svid, &root.bundle(), ALPN, ClientAuth::Required).unwrap();
    let client = client_config(&client_svid, &root.bundle(), (&web()).into(), ALPN).unwrap();
    let (client, server) = handshake(client, server).unwrap();
    assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(client.alpn_protocol(), Some(b"byrnie/1".as_slice()));
    assert_eq!(server.server_name(), None, "no SNI is sent");
    assert_eq!(peer_identity(client.peer_certificates(), PeerRole::Server).unwrap(), web());
    assert_eq!(peer_identity(server.peer_certificates(), PeerRole::Client).unwrap(), admin());
}

#[test]
fn who_is_not_expected_is_refused() {
    let (root, other) = (TestRoot::new(), TestRoot::new());
    let server = server_config(&root.svid(&web()), &root.bundle(), ALPN, ClientAuth::Required).unwrap();
    let svid = root.svid(&admin());
    let client = ClientTls::new(Some(&svid), &root.bundle(), ALPN).unwrap();
    let try_as = |expected| code(handshake(client.config(expected).unwrap(), server.clone()));
    assert_eq!(try_as((&admin()).into()), "BYR0337");
    assert_eq!(try_as(ExpectedPeer::any_of([])), "BYR0337");
    let several = client.config(ExpectedPeer::any_of([admin(), web()])).unwrap();
    handshake(several, server.clone()).unwrap();

    let stranger = client_config(&other.svid(&admin()), &root.bundle(), (&web()).into(), ALPN).unwrap();
    assert_eq!(code(handshake(stranger, server.clone())), "BYR0331");
    let foreign = identity("spiffe://other.local/ns/shop/sa/web");
    let foreign = client_config(&root.svid(&foreign), &root.bundle(), (&web()).into(), ALPN).unwrap();
    assert_eq!(code(handshake(foreign, server.clone())), "BYR0336");
    let trusting_other = client_config(&svid, &other.bundle(), (&web()).into(), ALPN).unwrap();
    assert_eq!(code(handshake(trusting_other, server)), "BYR0331");
}

#[test]
fn a_client_without_certificate_only_where_it_may() {
    let root = TestRoot::new();
    let server = |auth| server_config(&root.svid(&web()), &root.bundle(), ALPN, auth).unwrap();
    let bootstrap = || bootstrap_client_config(&root.bundle(), (&web()).into(), ALPN).unwrap();
    let error = handshake(bootstrap(), server(ClientAuth::Required)).map(|_| ()).unwrap_err();
    assert_eq!(error, rustls::Error::NoCertificatesPresented);
    let (_, accepted) = handshake(bootstrap(), server(ClientAuth::Optional)).unwrap();
    let nobody = peer_identity(accepted.peer_certificates(), PeerRole::Client).unwrap_err();
    assert_eq!(nobody.fault, PeerFault::Missing);
    let stranger = TestRoot::new().svid(&admin());
    let stranger = client_config(&stranger, &root.bundle(), (&web()).into(), ALPN).unwrap();
    assert_eq!(code(handshake(stranger, server(ClientAuth::Optional))), "BYR0331");
}

#[test]
fn tls_1_2_is_refused_on_both_sides() {
    let root = TestRoot::new();
    let svid = root.svid(&web());
    let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = ChainVerifier::new(&root.bundle(), PROVIDER.signature_verification_algorithms).unwrap();
    let verifier = ExpectedServer { chain: Arc::new(chain), expected: (&web()).into() };
    let old_client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let server = server_config(&svid, &root.bundle(), &[], ClientAuth::Optional).unwrap();
    let error = handshake(Arc::new(old_client), server).map(|_| ()).unwrap_err();
    assert!(matches!(error, rustls::Error::PeerIncompatible(_)), "{error:?}");

    let old_server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(svid.certified_key().unwrap())));
    let client = client_config(&svid, &root.bundle(), (&web()).into(), &[]).unwrap();
    let error = handshake(client, Arc::new(old_server)).map(|_| ()).unwrap_err();
    assert!(matches!(error, rustls::Error::PeerIncompatible(_)), "{error:?}");
}

#[test]
fn another_dialect_is_refused() {
    let root = TestRoot::new();
    let svid = root.svid(&web());
    let server = server_config(&svid, &root.bundle(), ALPN, ClientAuth::Required).unwrap();
    let client = client_config(&svid, &root.bundle(), (&web()).into(), &[b"byrnie/9"]).unwrap();
    assert_eq!(handshake(client, server).map(|_| ()).unwrap_err(), rustls::Error::NoApplicationProtocol);
}

#[test]
fn nothing_is_resumed() {
    let root = TestRoot::new();
    let svid = root.svid(&web());
    let server = server_config(&svid, &root.bundle(), ALPN, ClientAuth::Required).unwrap();
    let client = client_config(&svid, &root.bundle(), (&web()).into(), ALPN).unwrap();
    for _ in 0..2 {
        let (client, server) = handshake(client.clone(), server.clone()).unwrap();
        assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(server.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}

#[test]
fn two_rotations_in_a_row_fail_no_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now();
    let authority = CertificateAuthority::load_or_create(dir.path(), "cluster.local", now).unwrap();
    let bundle = authority.bundle();
    let next = || {
        let key = KeyPair::generate().unwrap();
        let lifetime = std::time::Duration::from_secs(10);
        let signed = authority.sign(&key.csr_der().unwrap(), &web(), lifetime, now).unwrap();
        Svid::new(key, signed.chain_der, now).unwrap()
    };
    let generations = [next(), next(), next()];
    for client in &generations {
        for server in &generations {
            let client = client_config(client, bundle, (&web()).into(), ALPN).unwrap();
            let server = server_config(server, bundle, ALPN, ClientAuth::Required).unwrap();
            handshake(client, server).unwrap();
        }
    }
}
