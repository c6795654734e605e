//! The proxy's own key and certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use byrnie_plan::WorkloadIdentity;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::error::IdentityError;
use crate::verify::{Leaf, MAX_CHAIN};

/// A P-256 key that waits for its certificate. Wiped when dropped.
pub struct KeyPair {
    pkcs8: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair(secret)")
    }
}

impl KeyPair {
    /// A new key from the system's randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(Self { pkcs8: Zeroizing::new(key.serialize_der()) })
    }

    /// A certificate signing request, DER. It asks for nothing: the signer knows from the credential, or from
    /// the certificate that is renewed, who this is.
    pub fn csr_der(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        Ok(params.serialize_request(&self.rcgen()?)?.der().to_vec())
    }

    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Self {
        Self { pkcs8: Zeroizing::new(pkcs8.to_vec()) }
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(crate) fn public_key(&self) -> Result<Vec<u8>, IdentityError> {
        Ok(self.rcgen()?.public_key_raw().to_vec())
    }

    fn rcgen(&self) -> Result<rcgen::KeyPair, IdentityError> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.as_slice());
        Ok(rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256)?)
    }
}

/// An X.509-SVID with its key: what a process shows to its peers.
pub struct Svid {
    pub(crate) key: KeyPair,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) received: SystemTime,
    identity: WorkloadIdentity,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl std::fmt::Debug for Svid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Svid")
            .field("identity", &self.identity.to_string())
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Svid {
    /// Joins a key with the chain signed for it (leaf first). `now`: when it was received, by this machine's
    /// clock. Refused: a leaf that peers would refuse, or one of another key.
    pub fn new(key: KeyPair, chain_der: Vec<Vec<u8>>, now: SystemTime) -> Result<Self, IdentityError> {
        if chain_der.len() > MAX_CHAIN {
            return Err(IdentityError::SvidMalformed("the chain is longer than 4 certificates"));
        }
        let first = chain_der.first().ok_or(IdentityError::SvidMalformed("the chain is empty"))?;
        let leaf = Leaf::parse(first).map_err(|_| IdentityError::SvidMalformed("not an X.509-SVID"))?;
        if leaf.public_key != key.public_key()? {
            return Err(IdentityError::SvidMalformed("it was signed for another key"));
        }
        Ok(Self {
            identity: leaf.identity,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            chain: chain_der.into_iter().map(CertificateDer::from).collect(),
            received: now,
            key,
        })
    }

    /// Whose it is.
    pub fn identity(&self) -> &WorkloadIdentity {
        &self.identity
    }

    /// Leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The leaf's serial number in hexadecimal.
    pub fn serial(&self) -> String {
        self.chain
            .first()
            .and_then(|leaf| crate::describe::describe(leaf))
            .map(|leaf| leaf.serial)
            .unwrap_or_default()
    }

    /// Start of validity.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// End of validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When to ask for the next one: at 50–70 % of its life, `random` (0 ≤ r < 1) says where, so that proxies
    /// that started together do not ask together. Life counts from its reception, since a certificate begins
    /// before it is issued ([`crate::CLOCK_SKEW`]) and this machine's clock may differ from the signer's.
    pub fn renew_at(&self, random: f64) -> SystemTime {
        let start = self.received.max(self.not_before);
        let life = self.not_after.duration_since(start).unwrap_or(Duration::ZERO);
        start + life.mul_f64(0.5 + 0.2 * random.clamp(0.0, 1.0))
    }

    /// The key and chain as rustls wants them.
    pub(crate) fn certified_key(&self) -> Result<CertifiedKey, IdentityError> {
        let der = PrivatePkcs8KeyDer::from(self.key.pkcs8());
        let signing: Arc<dyn SigningKey> =
            rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&der.into()).map_err(IdentityError::Tls)?;
        Ok(CertifiedKey::new(self.chain.clone(), signing))
    }
}

#[cfg(test)]
mod tests;
