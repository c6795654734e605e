//! A resource's version: the hash of its encoding, so that any replica, also a restarted one, resumes a proxy
//! without resending.

use std::fmt;

use aws_lc_rs::digest;

use crate::error::{DecodeError, Problem};

/// SHA-256 of a resource's encoding, the first 128 bits. Opaque: compared for equality only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version([u8; Version::LEN]);

impl Version {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Stands for "there is nothing under this key".
    pub const ABSENT: Self = Self([0; Self::LEN]);

    /// The version of these bytes.
    pub fn of(encoding: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, encoding);
        let mut bytes = [0; Self::LEN];
        for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// As it travels.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Exactly 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(DecodeError::new(Problem::Invalid("a version of 16 bytes"))),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
