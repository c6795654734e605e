//! The token of one life of the admin server: whoever may read the proxy's own files may ask it more than how it is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file's name in the state directory.
pub const FILE: &str = "admin.token";

/// 256 random bits in hexadecimal.
pub struct Secret(String);

impl Secret {
    /// A new one, written to a file that nobody else can read. The file of an earlier life is replaced.
    pub fn write(path: &Path) -> io::Result<Self> {
        let token: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
        let beside = path.with_extension("new");
        // One that is left over may have other permissions.
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(token.as_bytes())?;
        fs::rename(&beside, path)?;
        Ok(Self(token))
    }

    /// Whether this is it. Takes as long for a wrong one as for the right one.
    pub fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differing = own.iter().zip(given).fold(0, |all, (own, given)| all | (own ^ given));
        differing == 0 && own.len() == given.len()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_reads_it_and_each_life_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let first = Secret::write(&path).unwrap();
        let token = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(first.is(&token) && token.len() == 64);
        for wrong in [&b""[..], &token[..63], &[token.as_slice(), b"0"].concat(), &[b'x'; 64]] {
            assert!(!first.is(wrong), "{wrong:?}");
        }
        let second = Secret::write(&path).unwrap();
        assert!(!second.is(&token) && second.is(&fs::read(&path).unwrap()));
    }
}
