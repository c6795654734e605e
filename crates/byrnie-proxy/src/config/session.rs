//! How sessions name an endpoint: so that nothing is revealed and nothing can be forged.
//!
//! The name is a keyed hash whose key is the workload's `metadata.uid`: random, given by the store, known to all
//! proxies and to nobody outside. So any proxy, also a restarted one, knows the endpoint again, no key has to be kept
//! anywhere, and who has seen the name of one endpoint can make no other.

use aws_lc_rs::{constant_time, hmac};

/// Bytes of a name, and of a seal: 96 bits.
const LENGTH: usize = 12;

/// The name of an endpoint in sessions.
pub type SessionId = [u8; LENGTH];

/// An endpoint's name, and what its sessions are sealed with.
pub struct SessionKey {
    /// The name.
    pub id: SessionId,
    key: hmac::Key,
}

impl SessionKey {
    /// Of a workload. `None`: it has no uid.
    pub fn new(uid: &str) -> Option<Self> {
        if uid.is_empty() {
            return None;
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, uid.as_bytes());
        Some(Self { id: cut(&hmac::sign(&key, b"byrnie session name")), key })
    }

    /// A seal over times.
    pub fn seal(&self, times: &str) -> [u8; LENGTH] {
        cut(&hmac::sign(&self.key, times.as_bytes()))
    }

    /// Whether the seal is ours.
    pub fn is_sealed(&self, times: &str, seal: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.seal(times), seal).is_ok()
    }
}

fn cut(tag: &hmac::Tag) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}
