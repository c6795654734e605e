//! Key and chain as bytes, for memory-backed storage only: the sealed memfd that the supervisor holds.
//!
//! `"BYRSVID" version=1 · received (u64 seconds) · key · count (u8) · certificates · SHA-256 of all before`,
//! each of key and certificates with a u32 length before it, numbers big-endian.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use byrnie_plan::WorkloadIdentity;
use zeroize::Zeroizing;

use crate::error::IdentityError;
use crate::svid::{KeyPair, Svid};
use crate::verify::{MAX_CERTIFICATE, MAX_CHAIN};

const MAGIC: &[u8; 8] = b"BYRSVID\x01";
const CHECKSUM: usize = 32;

impl Svid {
    /// Key and chain for a sealed memfd. Contains the private key; wiped when dropped.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let parts: usize = self.chain.iter().map(|certificate| certificate.len() + 4).sum();
        // Room for all at once: growing would leave copies of the key behind.
        let room = MAGIC.len() + 8 + 4 + self.key.pkcs8().len() + 1 + parts + CHECKSUM;
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        out.extend_from_slice(MAGIC);
        let received = self.received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        out.extend_from_slice(&received.as_secs().to_be_bytes());
        put(&mut out, self.key.pkcs8());
        out.push(self.chain.len() as u8); // at most MAX_CHAIN
        for certificate in &self.chain {
            put(&mut out, certificate);
        }
        let sum = digest::digest(&digest::SHA256, &out);
        out.extend_from_slice(sum.as_ref());
        out
    }

    /// Reads what [`Self::encode`] wrote. Refused: damage, an identity other than `expected`, one that is over.
    pub fn decode(bytes: &[u8], expected: &WorkloadIdentity, now: SystemTime) -> Result<Self, IdentityError> {
        let svid = read(bytes).ok_or(IdentityError::SvidMalformed("the stored bytes are damaged"))?;
        let svid = Self::new(svid.key, svid.chain, svid.received)?;
        if svid.identity() != expected {
            let (found, wanted) = (svid.identity().to_string(), expected.to_string());
            return Err(IdentityError::SvidIdentity { found, wanted });
        }
        if svid.not_after() <= now {
            return Err(IdentityError::SvidExpired { identity: expected.to_string() });
        }
        Ok(svid)
    }
}

struct Stored {
    key: KeyPair,
    chain: Vec<Vec<u8>>,
    received: SystemTime,
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes()); // keys and certificates are below 64 KiB
    out.extend_from_slice(bytes);
}

fn read(bytes: &[u8]) -> Option<Stored> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    if digest::digest(&digest::SHA256, body).as_ref() != sum {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let (seconds, rest) = rest.split_first_chunk::<8>()?;
    let received = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_be_bytes(*seconds)))?;
    let (key, rest) = take(rest)?;
    let (count, mut rest) = rest.split_first()?;
    if usize::from(*count) > MAX_CHAIN {
        return None;
    }
    let mut chain = Vec::new();
    for _ in 0..*count {
        let (certificate, after) = take(rest)?;
        chain.push(certificate.to_vec());
        rest = after;
    }
    rest.is_empty().then(|| Stored { key: KeyPair::from_pkcs8(key), chain, received })
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length > MAX_CERTIFICATE {
        return None;
    }
    rest.split_at_checked(length)
}
