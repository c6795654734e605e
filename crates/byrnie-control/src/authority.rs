//! The certificate authority as it runs: the present root, the control plane's own certificate, credentials.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use byrnie_identity::{
    CertificateAuthority, ClientAuth, Credential, CredentialError, CredentialStore, IdentityError, KeyPair,
    SignedSvid, Svid, bundle_to_pem, server_config,
};
use byrnie_plan::{ObjectName, SYSTEM_NAMESPACE, TrustBundle, WorkloadIdentity};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::file;

/// The control plane's service account: what proxies verify it by.
pub const SERVICE_ACCOUNT: &str = "control-plane";
/// How long a one-time credential is good for: a proxy redeems it within milliseconds of its start.
pub const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(60);
/// The file in the data directory that a proxy gets its first roots from.
pub const TRUST_BUNDLE_FILE: &str = "trust-bundle.pem";
/// The authority's directory in the data directory.
const DIRECTORY: &str = "identity";
/// The control plane's own certificate never lives longer, whatever the Mesh says of workloads'.
const OWN_LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Signatures per second in the long run, and at once. 5,000 proxies that come back together are served at once.
const SIGN_RATE: f64 = 1_000.0;
const SIGN_BURST: f64 = 5_000.0;
/// Sleeps are cut to this, so that a machine that was suspended notices soon after.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// What gRPC over TLS speaks.
const ALPN: &[&[u8]] = &[b"h2"];

/// Signs, and holds what the TLS listener needs. Locks are held for copies of an `Arc` only.
pub struct Authority {
    data_dir: PathBuf,
    state: RwLock<State>,
    credentials: CredentialStore,
    bucket: Mutex<Bucket>,
    changed: Notify,
}

struct State {
    ca: Arc<CertificateAuthority>,
    lifetime: Duration,
    tls: Arc<rustls::ServerConfig>,
    renew_at: SystemTime,
}

impl Authority {
    /// Opens the authority of a data directory, or makes one.
    pub fn open(data_dir: &Path, trust_domain: &str, lifetime: Duration) -> Result<Self, IdentityError> {
        let ca =
            CertificateAuthority::load_or_create(&data_dir.join(DIRECTORY), trust_domain, SystemTime::now())?;
        let state = state(Arc::new(ca), lifetime)?;
        let bucket = Bucket::full(Instant::now());
        let authority = Self {
            data_dir: data_dir.to_owned(),
            state: RwLock::new(state),
            credentials: CredentialStore::new(),
            bucket: Mutex::new(bucket),
            changed: Notify::new(),
        };
        authority.write_bundle()?;
        Ok(authority)
    }

    /// Makes a new authority for another trust domain. Only while nobody holds a certificate of the old one.
    pub fn replace(&self, trust_domain: &str) -> Result<(), IdentityError> {
        discard(&self.data_dir)?;
        let dir = self.data_dir.join(DIRECTORY);
        let ca = CertificateAuthority::load_or_create(&dir, trust_domain, SystemTime::now())?;
        let lifetime = self.state.read().lifetime;
        *self.state.write() = state(Arc::new(ca), lifetime)?;
        self.write_bundle()?;
        self.changed.notify_one();
        Ok(())
    }

    /// The trust domain of every identity that is signed.
    pub fn trust_domain(&self) -> String {
        self.state.read().ca.trust_domain().to_owned()
    }

    /// The roots that peers are verified with.
    pub fn bundle(&self) -> TrustBundle {
        self.state.read().ca.bundle().clone()
    }

    /// The listener's present TLS configuration.
    pub fn tls(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.state.read().tls)
    }

    /// How long certificates live from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        let mut state = self.state.write();
        if state.lifetime != lifetime {
            state.lifetime = lifetime;
            // The own certificate may live too long by the new rule.
            state.renew_at = SystemTime::now();
            self.changed.notify_one();
        }
    }

    /// A secret that can be redeemed once for `identity`; and when it expires.
    pub fn issue(
        &self,
        identity: WorkloadIdentity,
        workload: ObjectName,
    ) -> Result<(Credential, SystemTime), CredentialError> {
        let credential = self.credentials.issue(identity, workload, CREDENTIAL_LIFETIME, Instant::now())?;
        Ok((credential, SystemTime::now() + CREDENTIAL_LIFETIME))
    }

    /// Exchanges a secret for the identity it names, once.
    pub fn redeem(&self, token: &str) -> Result<(WorkloadIdentity, ObjectName), CredentialError> {
        self.credentials.redeem(token, Instant::now())
    }

    /// Credentials kept.
    pub fn credentials(&self) -> usize {
        self.credentials.len()
    }

    /// Whether another certificate may be signed now. To be asked before a credential is used up.
    pub fn admit(&self) -> bool {
        self.bucket.lock().take(Instant::now())
    }

    /// A certificate for an identity that was attested; the request's wishes are ignored.
    pub fn sign(&self, csr_der: &[u8], identity: &WorkloadIdentity) -> Result<SignedSvid, IdentityError> {
        let (ca, lifetime) = {
            let state = self.state.read();
            (Arc::clone(&state.ca), state.lifetime)
        };
        ca.sign(csr_der, identity, lifetime, SystemTime::now())
    }

    /// Keeps the own certificate fresh, for ever.
    pub async fn keep_fresh(&self) {
        loop {
            let left = self.state.read().renew_at.duration_since(SystemTime::now()).unwrap_or_default();
            if left.is_zero() {
                if let Err(cause) = self.renew() {
                    tracing::error!(%cause, "the control plane's own certificate cannot be renewed; next try in 1 s");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn renew(&self) -> Result<(), IdentityError> {
        let (ca, lifetime) = {
            let state = self.state.read();
            (Arc::clone(&state.ca), state.lifetime)
        };
        let fresh = state(ca, lifetime)?;
        let mut state = self.state.write();
        // Replaced or changed meanwhile: then that change brought its own.
        if Arc::ptr_eq(&state.ca, &fresh.ca) && state.lifetime == fresh.lifetime {
            *state = fresh;
        }
        Ok(())
    }

    fn write_bundle(&self) -> Result<(), IdentityError> {
        let path = self.data_dir.join(TRUST_BUNDLE_FILE);
        file::write(&path, bundle_to_pem(&self.bundle()).as_bytes())
            .map_err(|source| IdentityError::Storage { path, source })
    }
}

/// Removes the authority of a data directory. Only while nobody holds a certificate of it.
pub fn discard(data_dir: &Path) -> Result<(), IdentityError> {
    let path = data_dir.join(DIRECTORY);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(IdentityError::Storage { path, source })
        }
        _ => Ok(()),
    }
}

fn state(ca: Arc<CertificateAuthority>, lifetime: Duration) -> Result<State, IdentityError> {
    let now = SystemTime::now();
    let identity = WorkloadIdentity {
        trust_domain: ca.trust_domain().to_owned(),
        namespace: SYSTEM_NAMESPACE.to_owned(),
        service_account: SERVICE_ACCOUNT.to_owned(),
    };
    let key = KeyPair::generate()?;
    let signed = ca.sign(&key.csr_der()?, &identity, lifetime.min(OWN_LIFETIME_MAX), now)?;
    let svid = Svid::new(key, signed.chain_der, now)?;
    let tls = server_config(&svid, ca.bundle(), ALPN, ClientAuth::Optional)?;
    Ok(State { tls, renew_at: svid.renew_at(rand::random()), ca, lifetime })
}

/// A token bucket.
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(at: Instant) -> Self {
        Self { tokens: SIGN_BURST, at }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * SIGN_RATE).min(SIGN_BURST);
        self.at = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_signed_up_to_a_burst_and_then_at_a_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let mut signed = |at| std::iter::repeat_with(|| bucket.take(at)).take_while(|signed| *signed).count();
        assert_eq!((signed(start), signed(start)), (5_000, 0));
        assert_eq!(signed(start + Duration::from_secs(1)), 1_000);
        assert_eq!(signed(start + Duration::from_millis(1_001)), 1);
        assert_eq!(signed(start + Duration::from_secs(3_600)), 5_000, "no more than a burst is saved up");
    }

    #[tokio::test]
    async fn the_own_certificate_is_renewed_and_the_domain_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), "cluster.local", Duration::from_secs(3600)).unwrap();
        let before = authority.tls();
        authority.set_lifetime(Duration::from_secs(10));
        authority.renew().unwrap();
        assert!(!Arc::ptr_eq(&before, &authority.tls()));
        let pem = std::fs::read(dir.path().join(TRUST_BUNDLE_FILE)).unwrap();
        authority.replace("example.org").unwrap();
        assert_eq!(authority.trust_domain(), "example.org");
        assert_ne!(pem, std::fs::read(dir.path().join(TRUST_BUNDLE_FILE)).unwrap());
        assert!(Authority::open(dir.path(), "cluster.local", Duration::from_secs(3600)).is_err());
    }
}
