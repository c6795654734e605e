//! What can be wrong on our own side: authority, requests, own certificates, set-up. BYR0301–BYR0319.
//! A peer's faults are [`crate::PeerError`], a credential's [`crate::CredentialError`].

use std::io;
use std::path::PathBuf;

/// A failure on our own side. The text begins with the stable code and ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the authority cannot be read or written.
    #[error(
        "BYR0301: certificate authority: cannot use {}: check that the data directory is ours and writable",
        path.display()
    )]
    Storage {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read the key, or replace the directory's files.
    #[error(
        "BYR0302: certificate authority: {} has mode {mode:04o}, others could take the signing key; \
         if nobody has, run `chmod {wanted:04o} {}`, else delete it: a new authority is made at the next start",
        path.display(), path.display()
    )]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits it should have.
        wanted: u32,
    },
    /// The mesh was given another trust domain than its authority was made for.
    #[error(
        "BYR0303: certificate authority: {} was made for trust domain {found:?}, the mesh is now {wanted:?}; \
         set Mesh.spec.trustDomain back, or use another data directory for the new mesh",
        path.display()
    )]
    TrustDomainChanged {
        /// The authority's file.
        path: PathBuf,
        /// The domain in its certificate.
        found: String,
        /// The domain that was asked for.
        wanted: String,
    },
    /// The authority's file does not hold what it should.
    #[error(
        "BYR0304: certificate authority: {} is damaged ({what}); restore it from a backup, or delete it",
        path.display()
    )]
    Damaged {
        /// The authority's file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The root is at its end.
    #[error("BYR0305: certificate authority: the root certificate has expired; make a new authority")]
    RootExpired,
    /// The request is no certificate signing request.
    #[error("BYR0306: certificate request from a proxy: not a PKCS#10 request of at most 16 KiB")]
    RequestMalformed,
    /// The request's key is of another kind.
    #[error("BYR0307: certificate request from a proxy: only ECDSA P-256 keys with SHA-256 are signed")]
    RequestKey,
    /// The requester does not have the private key.
    #[error("BYR0308: certificate request from a proxy: its signature does not match its public key")]
    RequestSignature,
    /// The identity is not one that this authority may certify.
    #[error("BYR0309: {identity:?} is no SPIFFE ID of trust domain {trust_domain:?}")]
    ForeignIdentity {
        /// What was asked for.
        identity: String,
        /// Our domain.
        trust_domain: String,
    },
    /// A lifetime of nothing.
    #[error("BYR0310: certificate lifetimes must be at least one second; see Mesh.spec.certificates")]
    Lifetime,
    /// The cryptographic library failed.
    #[error("BYR0311: cryptographic library: {0}")]
    Crypto(String),
    /// Our own certificate or what holds it cannot be read.
    #[error("BYR0312: own certificate: {0}; a new one is needed from the control plane")]
    SvidMalformed(&'static str),
    /// Our own certificate is over.
    #[error("BYR0313: own certificate of {identity} has expired; a new one is needed from the control plane")]
    SvidExpired {
        /// Whose it was.
        identity: String,
    },
    /// Our own certificate is somebody else's.
    #[error("BYR0314: own certificate is for {found}, this process is {wanted}; a new one is needed")]
    SvidIdentity {
        /// The identity in the certificate.
        found: String,
        /// The identity of this process.
        wanted: String,
    },
    /// A trust bundle that trusts nobody, or holds no certificates.
    #[error(
        "BYR0315: trust bundle: {0}; take a fresh trust-bundle.pem from the control plane's data directory"
    )]
    Bundle(&'static str),
    /// rustls refused our configuration.
    #[error("BYR0316: TLS set-up: {0}")]
    Tls(#[from] rustls::Error),
}

impl IdentityError {
    /// The stable code, for metrics and documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Storage { .. } => "BYR0301",
            Self::Exposed { .. } => "BYR0302",
            Self::TrustDomainChanged { .. } => "BYR0303",
            Self::Damaged { .. } => "BYR0304",
            Self::RootExpired => "BYR0305",
            Self::RequestMalformed => "BYR0306",
            Self::RequestKey => "BYR0307",
            Self::RequestSignature => "BYR0308",
            Self::ForeignIdentity { .. } => "BYR0309",
            Self::Lifetime => "BYR0310",
            Self::Crypto(_) => "BYR0311",
            Self::SvidMalformed(_) => "BYR0312",
            Self::SvidExpired { .. } => "BYR0313",
            Self::SvidIdentity { .. } => "BYR0314",
            Self::Bundle(_) => "BYR0315",
            Self::Tls(_) => "BYR0316",
        }
    }
}

impl From<rcgen::Error> for IdentityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}
