//! One-time credentials: how a process that the supervisor has just started proves which workload it is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use byrnie_plan::{ObjectName, WorkloadIdentity};
use zeroize::Zeroizing;

/// Credentials kept at once, used ones included (they are kept until they expire, to tell reuse apart).
pub const MAX_OUTSTANDING_CREDENTIALS: usize = 10_000;

const TOKEN_BYTES: usize = 32;
/// 32 bytes as base64 without padding.
const TOKEN_CHARS: usize = 43;

/// A token that can be exchanged once for the certificate of one identity.
pub struct Credential {
    token: Zeroizing<String>,
}

impl Credential {
    /// The secret: base64url, 43 characters. Hand it over by descriptor, never by argument or environment.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(secret)")
    }
}

/// Why a credential is refused, for our own log and metrics. The caller gets [`Self::FOR_CALLER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Never issued here, or forgotten since (the control plane was restarted).
    #[error("BYR0320: a proxy presented an unknown credential; its supervisor must issue a new one")]
    Unknown,
    /// Too late.
    #[error("BYR0321: a proxy presented an expired credential; its supervisor must issue a new one")]
    Expired,
    /// Somebody had it before.
    #[error(
        "BYR0322: a credential was presented twice: if the process did not retry, somebody else has read it"
    )]
    Used,
    /// No room for another.
    #[error("BYR0323: 10,000 credentials are outstanding; wait until some are used or expire")]
    Full,
    /// No randomness to make one of.
    #[error("BYR0311: cryptographic library: no random numbers")]
    NoRandomness,
}

impl CredentialError {
    /// What whoever presented the credential is told: not whether it ever was good.
    pub const FOR_CALLER: &'static str = "BYR0320: the credential is not valid; ask for a new one";

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "BYR0320",
            Self::Expired => "BYR0321",
            Self::Used => "BYR0322",
            Self::Full => "BYR0323",
            Self::NoRandomness => "BYR0311",
        }
    }
}

struct Entry {
    identity: WorkloadIdentity,
    workload: ObjectName,
    expires: Instant,
    used: bool,
}

/// The credentials that may still be presented. Only their SHA-256 is kept: a lookup by it takes a time that
/// says nothing about the token, and a dump of this memory helps nobody.
#[derive(Default)]
pub struct CredentialStore {
    entries: Mutex<HashMap<[u8; 32], Entry>>,
}

impl std::fmt::Debug for CredentialStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialStore").field("outstanding", &self.len()).finish()
    }
}

impl CredentialStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new credential for `identity`, good until `now + ttl`.
    pub fn issue(
        &self,
        identity: WorkloadIdentity,
        workload: ObjectName,
        ttl: Duration,
        now: Instant,
    ) -> Result<Credential, CredentialError> {
        let mut secret = Zeroizing::new([0_u8; TOKEN_BYTES]);
        aws_lc_rs::rand::fill(secret.as_mut_slice()).map_err(|_| CredentialError::NoRandomness)?;
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        let mut entries = self.lock();
        if entries.len() >= MAX_OUTSTANDING_CREDENTIALS {
            entries.retain(|_, entry| entry.expires > now);
        }
        if entries.len() >= MAX_OUTSTANDING_CREDENTIALS {
            // Then reuse of an old one reads as unknown: still refused.
            entries.retain(|_, entry| !entry.used);
        }
        if entries.len() >= MAX_OUTSTANDING_CREDENTIALS {
            return Err(CredentialError::Full);
        }
        entries.insert(hash(&token), Entry { identity, workload, expires: now + ttl, used: false });
        Ok(Credential { token })
    }

    /// Exchanges a token for the identity it names, once.
    pub fn redeem(
        &self,
        token: &str,
        now: Instant,
    ) -> Result<(WorkloadIdentity, ObjectName), CredentialError> {
        if token.len() != TOKEN_CHARS {
            return Err(CredentialError::Unknown);
        }
        let mut entries = self.lock();
        let entry = entries.get_mut(&hash(token)).ok_or(CredentialError::Unknown)?;
        if entry.used {
            return Err(CredentialError::Used);
        }
        if entry.expires <= now {
            return Err(CredentialError::Expired);
        }
        entry.used = true;
        Ok((entry.identity.clone(), entry.workload.clone()))
    }

    /// Credentials kept, used ones included; for a gauge.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Entry>> {
        // Every change is one insertion or one flag: a panic elsewhere leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut out = [0_u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests;
