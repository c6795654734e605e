//! The embedded certificate authority: one root, kept in one file, that signs workload certificates.
//!
//! `<dir>/ca.pem` (0600) holds key and root certificate together, so that no crash can leave a key with
//! another key's certificate. `<dir>/roots.pem`, if it exists, holds further roots that are trusted and not
//! signed with: to rotate, put the next root there, wait until every proxy has the bundle, then exchange it
//! with the one in `ca.pem`; no handshake fails in between.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use byrnie_plan::{TrustBundle, WorkloadIdentity};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::bundle::{bundle_from_pem, is_trust_domain, pem_block, root_trust_domain};
use crate::csr;
use crate::error::IdentityError;

/// How far a certificate's start lies in the past, for peers whose clock is behind (Linkerd's allowance).
pub const CLOCK_SKEW: Duration = Duration::from_secs(20);

/// Ten years (Istio's default for its own root): what bounds a stolen workload key is the 24 hours of its
/// certificate, while a root that ends unnoticed stops the whole mesh. A root that must go is rotated.
pub const ROOT_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Largest authority file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// A root and its key. Signs what it is told to; whether the requester may have it is decided before.
pub struct CertificateAuthority {
    trust_domain: String,
    issuer: Issuer<'static, rcgen::KeyPair>,
    root_not_after: SystemTime,
    bundle: TrustBundle,
}

/// A certificate just issued.
#[derive(Clone, Debug)]
pub struct SignedSvid {
    /// Leaf first; the root is not in it.
    pub chain_der: Vec<Vec<u8>>,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// The serial number in hexadecimal, for the log of issued certificates.
    pub serial: String,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("trust_domain", &self.trust_domain)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Opens the authority in `dir`, or makes one (directory 0700, file 0600, appearing whole or not at all).
    /// Two processes that start at once end with the same root.
    pub fn load_or_create(dir: &Path, trust_domain: &str, now: SystemTime) -> Result<Self, IdentityError> {
        if !is_trust_domain(trust_domain) {
            let (identity, trust_domain) = (String::new(), trust_domain.to_owned());
            return Err(IdentityError::ForeignIdentity { identity, trust_domain });
        }
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(storage(dir))?;
        refuse_exposed(dir, &fs::metadata(dir).map_err(storage(dir))?, 0o022, 0o700)?;
        let path = dir.join("ca.pem");
        let text = match read_secret(&path) {
            Err(IdentityError::Storage { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create_file(&path, &new_root(trust_domain, now)?)?;
                read_secret(&path)?
            }
            other => other?,
        };
        Self::parse(&path, &text, trust_domain)?.with_further_roots(&dir.join("roots.pem"))
    }

    fn parse(path: &Path, text: &[u8], trust_domain: &str) -> Result<Self, IdentityError> {
        let damaged = |what| IdentityError::Damaged { path: path.to_owned(), what };
        let key = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| damaged("no private key"))?;
        let root = CertificateDer::from_pem_slice(text).map_err(|_| damaged("no certificate"))?;
        let found = root_trust_domain(&root).ok_or_else(|| damaged("the root names no trust domain"))?;
        if found != trust_domain {
            let (path, wanted) = (path.to_owned(), trust_domain.to_owned());
            return Err(IdentityError::TrustDomainChanged { path, found, wanted });
        }
        let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|_| damaged("the key is no P-256 key"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&root)
            .map_err(|_| damaged("the certificate cannot be read"))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(damaged("key and certificate do not belong together"));
        }
        let end = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        Ok(Self {
            trust_domain: trust_domain.to_owned(),
            root_not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(end),
            issuer: Issuer::from_ca_cert_der(&root, key)?,
            bundle: TrustBundle { trust_domain: found, roots_der: vec![root.to_vec()] },
        })
    }

    fn with_further_roots(mut self, path: &Path) -> Result<Self, IdentityError> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self),
            other => other.map_err(storage(path))?,
        };
        let further = bundle_from_pem(&text)?;
        if further.trust_domain != self.trust_domain {
            let (path, found) = (path.to_owned(), further.trust_domain);
            return Err(IdentityError::TrustDomainChanged { path, found, wanted: self.trust_domain });
        }
        for root in further.roots_der {
            if !self.bundle.roots_der.contains(&root) {
                self.bundle.roots_der.push(root);
            }
        }
        Ok(self)
    }

    /// The domain whose identities are signed.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// What peers verify with: the own root first, then those that are only trusted.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// The roots of [`Self::bundle`], DER.
    pub fn bundle_der(&self) -> &[Vec<u8>] {
        &self.bundle.roots_der
    }

    /// A certificate for `identity` over the request's public key. The request's wishes are ignored. It begins
    /// [`CLOCK_SKEW`] before `now` and ends after `lifetime`, or with the root if that is sooner.
    pub fn sign(
        &self,
        csr_der: &[u8],
        identity: &WorkloadIdentity,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<SignedSvid, IdentityError> {
        let uri = identity.to_string();
        if identity.trust_domain != self.trust_domain || uri.parse().as_ref() != Ok(identity) {
            let trust_domain = self.trust_domain.clone();
            return Err(IdentityError::ForeignIdentity { identity: uri, trust_domain });
        }
        if lifetime < Duration::from_secs(1) {
            return Err(IdentityError::Lifetime);
        }
        if now >= self.root_not_after {
            return Err(IdentityError::RootExpired);
        }
        let public_key = csr::public_key(csr_der)?;
        let end = now.checked_add(lifetime).unwrap_or(self.root_not_after).min(self.root_not_after);
        // Whole seconds are all that a certificate can say; the result says the same.
        let (not_before, not_after) = (whole_seconds(now - CLOCK_SKEW), whole_seconds(end));
        let serial = random_serial()?;
        let mut params = empty_params(not_before, not_after, &serial);
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&public_key, &self.issuer)?;
        Ok(SignedSvid {
            chain_der: vec![certificate.der().to_vec()],
            not_before,
            not_after,
            serial: hex(&serial),
        })
    }
}

/// PEM of a new key and its self-signed root.
fn new_root(trust_domain: &str, now: SystemTime) -> Result<Zeroizing<String>, IdentityError> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let serial = random_serial()?;
    let mut params =
        empty_params(whole_seconds(now - CLOCK_SKEW), whole_seconds(now + ROOT_LIFETIME), &serial);
    // A part of the serial, so that a human can tell two roots of one mesh apart.
    let name = format!("Byrnie root {} {trust_domain}", hex(&serial[..4]));
    params.distinguished_name.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into()?)];
    // No authority below: what signs for workloads is this key and no other.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    let key_der = Zeroizing::new(key.serialize_der());
    let mut text = Zeroizing::new(pem_block("PRIVATE KEY", &key_der));
    text.push_str(&pem_block("CERTIFICATE", certificate.der()));
    Ok(text)
}

fn empty_params(not_before: SystemTime, not_after: SystemTime, serial: &[u8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = OffsetDateTime::from(not_before);
    params.not_after = OffsetDateTime::from(not_after);
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// 127 random bits, positive, never zero at the front (RFC 5280 section 4.1.2.2).
fn random_serial() -> Result<[u8; 16], IdentityError> {
    let mut serial = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| IdentityError::Crypto("no random numbers".to_owned()))?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn storage(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Storage { path, source }
}

fn refuse_exposed(path: &Path, metadata: &fs::Metadata, bits: u32, wanted: u32) -> Result<(), IdentityError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & bits == 0 {
        return Ok(());
    }
    Err(IdentityError::Exposed { path: path.to_owned(), mode, wanted })
}

/// Reads the key file, judged by the very descriptor it is read from.
fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let mut file = File::open(path).map_err(storage(path))?;
    refuse_exposed(path, &file.metadata().map_err(storage(path))?, 0o077, 0o600)?;
    let mut bytes = Zeroizing::new(Vec::new());
    (&mut file).take(MAX_FILE).read_to_end(&mut bytes).map_err(storage(path))?;
    Ok(bytes)
}

/// Written aside, synced, then linked to its name: the name appears with the whole content or not at all, and
/// never replaces what another process put there first.
fn create_file(path: &Path, text: &str) -> Result<(), IdentityError> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let aside = PathBuf::from(format!("{}.{}.{call}", path.display(), std::process::id()));
    let written = write_new(&aside, text).and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // The temporary name goes in any case; what matters is whether the real one is there.
    let removed = fs::remove_file(&aside);
    written.and(removed).map_err(storage(path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(storage(dir))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // Left over by a process of the same number that was killed in between.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
