//! What a proxy starts from when the control plane is away: every resource that it held, on disk,
//! checksummed.
//!
//! No keys in it and no certificates but roots. The file is
//! `BYRNSNAP` · format (u32) · length of the body (u64) · SHA-256 of the body · body; numbers big-endian.
//! The body is a count (u32), then for each resource key length (u16), key, version (16 bytes), length
//! (u32), encoding. Reading refuses anything else, also what a later format or a damaged disk has left
//! there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use byrnie_plan::{Key, Resource};

use crate::convert::{Encoded, decode};
use crate::error::DecodeError;
use crate::limits::MAX_SUBSCRIPTIONS;
use crate::version::Version;

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 8] = b"BYRNSNAP";
const FORMAT: u32 = 1;
const HEADER: usize = 8 + 4 + 8 + 32;

/// Largest snapshot file, in bytes.
pub const MAX_SNAPSHOT_BYTES: usize = 64 * 1024 * 1024;

/// Why there is no usable snapshot. The proxy then starts without one.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system says no.
    #[error("BYR0370: snapshot {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// Not a snapshot at all.
    #[error("BYR0371: not a snapshot of byrnie; remove the file")]
    Foreign,
    /// Written by another version of byrnie.
    #[error("BYR0372: snapshot format {0}, this version of byrnie reads format {FORMAT}")]
    Format(u32),
    /// Shorter or longer than it says.
    #[error("BYR0373: the snapshot is cut off or has something behind its end")]
    Truncated,
    /// Changed since it was written.
    #[error("BYR0374: the snapshot is damaged: its checksum differs")]
    Checksum,
    /// Too much to keep or to read.
    #[error("BYR0375: a snapshot of more than {MAX_SNAPSHOT_BYTES} bytes or {MAX_SUBSCRIPTIONS} resources")]
    TooLarge,
    /// The checksum holds, but a resource cannot be read.
    #[error("BYR0376: {key} in the snapshot: {source}")]
    Content {
        /// Which resource.
        key: String,
        /// What is wrong with it.
        source: DecodeError,
    },
}

impl SnapshotError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "BYR0370",
            Self::Foreign => "BYR0371",
            Self::Format(_) => "BYR0372",
            Self::Truncated => "BYR0373",
            Self::Checksum => "BYR0374",
            Self::TooLarge => "BYR0375",
            Self::Content { .. } => "BYR0376",
        }
    }

    /// Whether there simply is no file: a first start.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A resource that was in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its key.
    pub key: Key,
    /// Its version, to subscribe with.
    pub version: Version,
    /// What it says.
    pub resource: Resource,
}

/// Writes the snapshot: beside the file first (mode 0600), synced, then in one step over it, the directory
/// synced. A crash leaves the old one or the new one. Blocks on the disk.
pub fn save<'a>(
    path: &Path,
    resources: impl IntoIterator<Item = (&'a Key, &'a Encoded)>,
) -> Result<(), SnapshotError> {
    let file = write(resources)?;
    replace(path, &file).map_err(|source| SnapshotError::Io { path: path.to_owned(), source })
}

/// Reads a snapshot: all of it, or why not. Blocks on the disk.
pub fn load(path: &Path) -> Result<Vec<Kept>, SnapshotError> {
    let failed = |source| SnapshotError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_SNAPSHOT_BYTES).unwrap_or(u64::MAX);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    read(&bytes)
}

fn write<'a>(resources: impl IntoIterator<Item = (&'a Key, &'a Encoded)>) -> Result<Vec<u8>, SnapshotError> {
    let mut body = vec![0; 4];
    let mut count: u32 = 0;
    for (key, encoded) in resources {
        let key = key.to_string();
        let key_len = u16::try_from(key.len()).map_err(|_| SnapshotError::TooLarge)?;
        let len = u32::try_from(encoded.bytes.len()).map_err(|_| SnapshotError::TooLarge)?;
        body.extend_from_slice(&key_len.to_be_bytes());
        body.extend_from_slice(key.as_bytes());
        body.extend_from_slice(encoded.version.as_bytes());
        body.extend_from_slice(&len.to_be_bytes());
        body.extend_from_slice(&encoded.bytes);
        count += 1;
        if body.len() + HEADER > MAX_SNAPSHOT_BYTES || count as usize > MAX_SUBSCRIPTIONS {
            return Err(SnapshotError::TooLarge);
        }
    }
    body.splice(..4, count.to_be_bytes());
    let mut file = Vec::with_capacity(HEADER + body.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&FORMAT.to_be_bytes());
    file.extend_from_slice(&(body.len() as u64).to_be_bytes());
    file.extend_from_slice(digest::digest(&digest::SHA256, &body).as_ref());
    file.extend_from_slice(&body);
    Ok(file)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    // The mode above holds for a new file only; one that a crash left keeps its own.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

/// The rest of a file that is being read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], SnapshotError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(SnapshotError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        self.take(N)?.try_into().map_err(|_| SnapshotError::Truncated)
    }
}

fn read(file: &[u8]) -> Result<Vec<Kept>, SnapshotError> {
    if file.len() > MAX_SNAPSHOT_BYTES {
        return Err(SnapshotError::TooLarge);
    }
    let mut rest = Rest(file);
    if rest.take(MAGIC.len()).map_err(|_| SnapshotError::Foreign)? != MAGIC {
        return Err(SnapshotError::Foreign);
    }
    let format = u32::from_be_bytes(rest.array()?);
    if format != FORMAT {
        return Err(SnapshotError::Format(format));
    }
    let len = u64::from_be_bytes(rest.array()?);
    let checksum = rest.take(32)?;
    if usize::try_from(len) != Ok(rest.0.len()) {
        return Err(SnapshotError::Truncated);
    }
    if digest::digest(&digest::SHA256, rest.0).as_ref() != checksum {
        return Err(SnapshotError::Checksum);
    }
    let count = u32::from_be_bytes(rest.array()?) as usize;
    if count > MAX_SUBSCRIPTIONS {
        return Err(SnapshotError::TooLarge);
    }
    let kept = (0..count).map(|_| read_one(&mut rest)).collect::<Result<Vec<_>, _>>()?;
    if rest.0.is_empty() { Ok(kept) } else { Err(SnapshotError::Truncated) }
}

fn read_one(rest: &mut Rest<'_>) -> Result<Kept, SnapshotError> {
    let key_len = u16::from_be_bytes(rest.array()?);
    let key = String::from_utf8_lossy(rest.take(key_len.into())?).into_owned();
    let wrong = |source| SnapshotError::Content { key: key.clone(), source };
    let version = Version::from_bytes(rest.take(Version::LEN)?).map_err(wrong)?;
    let len = u32::from_be_bytes(rest.array()?);
    let encoding = rest.take(len as usize)?;
    let parsed = key.parse::<Key>();
    let parsed =
        parsed.map_err(|()| wrong(crate::convert::field::invalid("a key of a compiled resource")))?;
    let resource = decode(&parsed, version, encoding).map_err(wrong)?;
    Ok(Kept { key: parsed, version, resource })
}

impl Kept {
    /// As it is written again.
    pub fn encoded(&self) -> Encoded {
        crate::convert::encode(&self.resource)
    }
}
