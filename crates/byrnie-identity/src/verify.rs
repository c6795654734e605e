//! Who a peer is: its chain against the bundle, then the rules of X509-SVID for its leaf.

use std::time::{Duration, SystemTime};

use byrnie_plan::{TrustBundle, WorkloadIdentity};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::error::IdentityError;
use crate::peer::{PeerError, PeerFault, PeerRole};

/// Longest chain that is looked at, leaf included. The embedded authority's are one long; an external issuer
/// has an intermediate or two.
pub const MAX_CHAIN: usize = 4;
/// Largest certificate that is looked at, in bytes.
pub(crate) const MAX_CERTIFICATE: usize = 16 * 1024;

/// The identity of a peer whose handshake is complete (`peer_certificates()` of the connection).
pub fn peer_identity(
    certificates: Option<&[CertificateDer<'_>]>,
    peer: PeerRole,
) -> Result<WorkloadIdentity, PeerError> {
    let leaf = certificates.and_then(<[_]>::first);
    let leaf = leaf.ok_or(PeerFault::Missing).and_then(|leaf| Leaf::parse(leaf));
    leaf.map(|leaf| leaf.identity).map_err(|fault| PeerError { peer, fault })
}

/// When a peer's certificate ends, for connections that must not outlive it. `None`: there is none that can be read.
pub fn peer_not_after(certificates: Option<&[CertificateDer<'_>]>) -> Option<SystemTime> {
    let leaf = Leaf::parse(certificates?.first()?).ok()?;
    Some(leaf.not_after)
}

/// What a leaf says, after the rules of X509-SVID section 4 and 5.2 hold for it.
pub(crate) struct Leaf {
    pub identity: WorkloadIdentity,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    pub public_key: Vec<u8>,
    server_auth: bool,
    client_auth: bool,
}

impl Leaf {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, PeerFault> {
        let (rest, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|_| PeerFault::NotSvid("it cannot be read"))?;
        if !rest.is_empty() {
            return Err(PeerFault::NotSvid("bytes follow it"));
        }
        refuse_signers(&certificate)?;
        let usage = certificate
            .extended_key_usage()
            .map_err(|_| PeerFault::NotSvid("its extended key usage cannot be read"))?
            .ok_or(PeerFault::NotSvid("it has no extended key usage"))?
            .value;
        Ok(Self {
            identity: only_uri(&certificate)?,
            not_before: system_time(certificate.validity().not_before.timestamp()),
            not_after: system_time(certificate.validity().not_after.timestamp()),
            public_key: certificate.public_key().subject_public_key.data.to_vec(),
            server_auth: usage.server_auth,
            client_auth: usage.client_auth,
        })
    }

    fn allows(&self, role: PeerRole) -> bool {
        match role {
            PeerRole::Server => self.server_auth,
            PeerRole::Client => self.client_auth,
        }
    }
}

fn system_time(timestamp: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or(0))
}

/// A leaf must sign handshakes and nothing else.
fn refuse_signers(certificate: &X509Certificate<'_>) -> Result<(), PeerFault> {
    let constraints = certificate
        .basic_constraints()
        .map_err(|_| PeerFault::NotSvid("its basic constraints cannot be read"))?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(PeerFault::NotSvid("it is an authority's"));
    }
    let usage = certificate
        .key_usage()
        .map_err(|_| PeerFault::NotSvid("its key usage cannot be read"))?
        .ok_or(PeerFault::NotSvid("it has no key usage"))?
        .value;
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(PeerFault::NotSvid("its key may sign certificates"));
    }
    if !usage.digital_signature() {
        return Err(PeerFault::NotSvid("its key may not sign a handshake"));
    }
    Ok(())
}

fn only_uri(certificate: &X509Certificate<'_>) -> Result<WorkloadIdentity, PeerFault> {
    let san = certificate
        .subject_alternative_name()
        .map_err(|_| PeerFault::NotSvid("its subject alternative names cannot be read"))?
        .ok_or(PeerFault::NotSvid("it names nobody"))?
        .value;
    let mut uris = san.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next().ok_or(PeerFault::NotSvid("it has no URI name"))?;
    if uris.next().is_some() {
        return Err(PeerFault::NotSvid("it has more than one URI name"));
    }
    uri.parse().map_err(|()| PeerFault::NotSvid("its URI name is no SPIFFE ID of a workload"))
}

/// Verifies chains against one bundle; shared by every configuration made from it.
#[derive(Debug)]
pub(crate) struct ChainVerifier {
    anchors: Vec<TrustAnchor<'static>>,
    trust_domain: String,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ChainVerifier {
    pub(crate) fn new(
        bundle: &TrustBundle,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, IdentityError> {
        let mut anchors = Vec::new();
        for root in &bundle.roots_der {
            let root = CertificateDer::from(root.as_slice());
            let anchor = webpki::anchor_from_trusted_cert(&root)
                .map_err(|_| IdentityError::Bundle("a root certificate cannot be read"))?;
            anchors.push(anchor.to_owned());
        }
        if anchors.is_empty() {
            return Err(IdentityError::Bundle("no root certificate in it"));
        }
        Ok(Self { anchors, trust_domain: bundle.trust_domain.clone(), algorithms })
    }

    pub(crate) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    /// The peer's identity, if every rule holds. Size first: what a stranger sends must cost us little.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        peer: PeerRole,
    ) -> Result<WorkloadIdentity, PeerFault> {
        let length = 1 + intermediates.len();
        let too_large = intermediates.iter().chain([leaf]).any(|der| der.len() > MAX_CERTIFICATE);
        if length > MAX_CHAIN || too_large {
            return Err(PeerFault::TooLong(length));
        }
        let usage = match peer {
            PeerRole::Server => webpki::KeyUsage::server_auth(),
            PeerRole::Client => webpki::KeyUsage::client_auth(),
        };
        webpki::EndEntityCert::try_from(leaf)
            .and_then(|end_entity| {
                let (all, anchors) = (self.algorithms.all, self.anchors.as_slice());
                end_entity.verify_for_usage(all, anchors, intermediates, now, usage, None, None).map(|_| ())
            })
            .map_err(chain_fault)?;
        let leaf = Leaf::parse(leaf)?;
        if !leaf.allows(peer) {
            return Err(PeerFault::WrongUsage);
        }
        if leaf.identity.trust_domain != self.trust_domain {
            let (found, ours) = (leaf.identity.trust_domain, self.trust_domain.clone());
            return Err(PeerFault::TrustDomain { found, ours });
        }
        Ok(leaf.identity)
    }
}

fn chain_fault(error: webpki::Error) -> PeerFault {
    match error {
        webpki::Error::CertExpired { .. } => PeerFault::Expired,
        webpki::Error::CertNotValidYet { .. } => PeerFault::NotValidYet,
        webpki::Error::RequiredEkuNotFoundContext(_) => PeerFault::WrongUsage,
        webpki::Error::CaUsedAsEndEntity => PeerFault::NotSvid("it is an authority's"),
        other => PeerFault::Untrusted(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests;
