//! Sealed memory: bytes in a descriptor that nobody can change any more and that never touch a disk.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

/// Nothing may be written, the size is fixed, and this cannot be undone.
fn all_seals() -> SealFlags {
    SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE
}

/// A memory file with these bytes, sealed against every change. `name` shows in `/proc/PID/fd` only.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let descriptor = rustix::fs::memfd_create(name, flags)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&descriptor, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::fcntl_add_seals(&descriptor, all_seals())?;
    Ok(descriptor)
}

/// Reads all of a sealed memory file, whoever read it before (the offset is not used).
///
/// Errors: not a memory file, a seal is missing (somebody could still change it), larger than `limit` bytes.
pub fn read_sealed(descriptor: impl AsFd, limit: usize) -> io::Result<Vec<u8>> {
    let descriptor = descriptor.as_fd();
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let seals = rustix::fs::fcntl_get_seals(descriptor).map_err(|_| invalid("not a sealed memory file"))?;
    if !seals.contains(all_seals()) {
        return Err(invalid("the memory file is not sealed: its bytes could change"));
    }
    let size =
        usize::try_from(rustix::fs::fstat(descriptor)?.st_size).map_err(|_| invalid("negative size"))?;
    if size > limit {
        return Err(invalid("the sealed memory file is larger than allowed"));
    }
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match rustix::io::pread(descriptor, &mut bytes[filled..], filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read_twice_and_cannot_change() {
        let file = sealed("test", b"key and certificate").unwrap();
        assert_eq!(read_sealed(&file, 64).unwrap(), b"key and certificate");
        assert_eq!(read_sealed(&file, 64).unwrap(), b"key and certificate");
        assert!(rustix::io::write(&file, b"more").is_err());
        assert!(rustix::fs::ftruncate(&file, 0).is_err());
        assert!(read_sealed(&file, 3).is_err(), "the limit holds");
    }

    #[test]
    fn an_unsealed_or_ordinary_file_is_refused() {
        let open = rustix::fs::memfd_create("open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::io::write(&open, b"could still change").unwrap();
        assert!(read_sealed(&open, 64).is_err());
        rustix::fs::fcntl_add_seals(&open, SealFlags::WRITE).unwrap();
        assert!(read_sealed(&open, 64).is_err(), "half sealed is not sealed");
        let ordinary = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(read_sealed(&ordinary, usize::MAX).is_err());
    }
}
