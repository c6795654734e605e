//! Whom we expect, and what may be wrong with a peer: BYR0330–BYR0339.

use std::sync::Arc;

use byrnie_plan::WorkloadIdentity;

/// Which side of the connection the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerRole {
    /// The peer serves, we called it.
    Server,
    /// The peer called us.
    Client,
}

/// What is wrong with a peer's certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// Refused before any signature was checked.
    #[error(
        "BYR0330: sent a chain of {0} certificates, at most 4 of 16 KiB each are allowed; shorten the issuer's chain"
    )]
    TooLong(usize),
    /// No chain to one of our roots.
    #[error(
        "BYR0331: sent a certificate that none of our roots has signed ({0}); compare the trust bundles of both sides"
    )]
    Untrusted(String),
    /// Over.
    #[error(
        "BYR0332: sent an expired certificate; see whether its proxy reaches the control plane, and both clocks"
    )]
    Expired,
    /// Not begun.
    #[error("BYR0333: sent a certificate that is not valid yet; compare the clocks of both sides")]
    NotValidYet,
    /// Not for this direction.
    #[error("BYR0334: sent a certificate whose extended key usage does not allow this side of a connection")]
    WrongUsage,
    /// Not an X.509-SVID.
    #[error("BYR0335: sent a certificate that is no X.509-SVID: {0}")]
    NotSvid(&'static str),
    /// From another mesh.
    #[error("BYR0336: belongs to trust domain {found:?}, ours is {ours:?}")]
    TrustDomain {
        /// The peer's domain.
        found: String,
        /// The bundle's domain.
        ours: String,
    },
    /// A good certificate of somebody else.
    #[error(
        "BYR0337: is {found}, expected {expected}; the address may have been taken over by another workload"
    )]
    Unexpected {
        /// Who it is.
        found: WorkloadIdentity,
        /// Whom we called.
        expected: ExpectedPeer,
    },
    /// Nothing was sent.
    #[error("BYR0338: sent no certificate; only meshed workloads may connect here")]
    Missing,
}

impl PeerFault {
    /// The stable code, also the metric label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "BYR0330",
            Self::Untrusted(_) => "BYR0331",
            Self::Expired => "BYR0332",
            Self::NotValidYet => "BYR0333",
            Self::WrongUsage => "BYR0334",
            Self::NotSvid(_) => "BYR0335",
            Self::TrustDomain { .. } => "BYR0336",
            Self::Unexpected { .. } => "BYR0337",
            Self::Missing => "BYR0338",
        }
    }
}

/// A refused peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {} {fault}", match .peer { PeerRole::Server => "server", PeerRole::Client => "client" })]
pub struct PeerError {
    /// Which side it is.
    pub peer: PeerRole,
    /// What is wrong.
    pub fault: PeerFault,
}

/// Whom a client is ready to talk to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExpectedPeer(Arc<[WorkloadIdentity]>);

impl ExpectedPeer {
    /// Any of several.
    pub fn any_of(identities: impl IntoIterator<Item = WorkloadIdentity>) -> Self {
        Self(identities.into_iter().collect())
    }

    /// Whether `identity` is one of them.
    pub fn allows(&self, identity: &WorkloadIdentity) -> bool {
        self.0.contains(identity)
    }
}

impl From<&WorkloadIdentity> for ExpectedPeer {
    fn from(identity: &WorkloadIdentity) -> Self {
        Self::any_of([identity.clone()])
    }
}

impl std::fmt::Display for ExpectedPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, identity) in self.0.iter().enumerate() {
            write!(f, "{}{identity}", if i == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// Our own reason inside a rustls error, if the handshake failed for one.
pub fn peer_error(error: &rustls::Error) -> Option<&PeerError> {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => other.0.downcast_ref(),
        _ => None,
    }
}
