//! Who a workload is, and how it proves it.
//!
//! Owns: the embedded certificate authority ([`CertificateAuthority`]), one-time credentials that attest a
//! process ([`CredentialStore`]), the proxy's own key and certificate ([`KeyPair`], [`Svid`]), trust bundles
//! and the rustls configurations in which both sides verify each other by SPIFFE ID ([`server_config`],
//! [`ClientTls`]). The type of an identity is [`byrnie_plan::WorkloadIdentity`], of a bundle
//! [`byrnie_plan::TrustBundle`].
//!
//! Must never know: HTTP, gRPC, resources, who asks. It reads no clock but the one that rustls asks for the
//! time of a handshake; everything else takes `now`.
//!
//! **Invariants.** A certificate is rebuilt from the attested identity; nothing but the public key is taken
//! from a request. A peer is its one URI SAN, never a DNS name or an address. No session is ever resumed:
//! a resumed one would outlive a change of trust. A private key is in no `Debug`, no log, no file but the
//! authority's own.

mod attest;
mod bundle;
mod ca;
mod csr;
mod describe;
mod error;
mod peer;
mod svid;
mod svid_codec;
mod tls;
mod verify;

pub use attest::{Credential, CredentialError, CredentialStore, MAX_OUTSTANDING_CREDENTIALS};
pub use bundle::{bundle_from_pem, bundle_to_pem};
pub use ca::{CLOCK_SKEW, CertificateAuthority, ROOT_LIFETIME, SignedSvid};
pub use describe::{Described, describe_roots};
pub use error::IdentityError;
pub use peer::{ExpectedPeer, PeerError, PeerFault, PeerRole, peer_error};
pub use svid::{KeyPair, Svid};
pub use tls::{
    ClientAuth, ClientTls, bootstrap_client_config, client_config, server_config, unused_server_name,
};
pub use verify::{MAX_CHAIN, peer_identity, peer_not_after};

#[cfg(test)]
mod testing;
