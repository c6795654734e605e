//! `restart-failed.json`: why the last hot restart came to nothing, for whoever ordered it. An order is a signal, which
//! has no answer; and the process that was to be replaced may not know (under a supervisor), or serve nobody but it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The file's name in the state directory.
const FILE: &str = "restart-failed.json";
/// Larger files are none of ours, in bytes.
const LIMIT: u64 = 64 * 1024;

/// A hot restart that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRestart {
    /// Since 1970, in nanoseconds: two failures with the same reason are two.
    at: u128,
    /// The process that goes on.
    pub process: u32,
    /// What became of the other one, in one line.
    pub why: String,
}

impl FailedRestart {
    /// It failed now.
    pub fn new(process: u32, why: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { at: since.as_nanos(), process, why: why.to_owned() }
    }

    /// The last one; `None`: there was none, or it cannot be read.
    pub fn read(state_dir: &Path) -> Option<Self> {
        let path = state_dir.join(FILE);
        let small = fs::metadata(&path).is_ok_and(|file| file.len() <= LIMIT);
        small.then(|| fs::read(&path).ok()).flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok())
    }

    /// Writes the file whole or not at all. Not synced: nobody waits for it any more after a crash of the machine.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let beside = state_dir.join("restart-failed.json.tmp");
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        fs::File::create(&beside)?.write_all(&text)?;
        fs::rename(&beside, state_dir.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_failure_is_read_and_two_alike_are_two() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(FailedRestart::read(dir.path()), None);
        let first = FailedRestart::new(7, "the new process ended with exit code 1");
        first.write(dir.path()).unwrap();
        assert_eq!(FailedRestart::read(dir.path()).as_ref(), Some(&first));
        let second = FailedRestart { at: first.at + 1, ..first.clone() };
        second.write(dir.path()).unwrap();
        assert_ne!(FailedRestart::read(dir.path()), Some(first));
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(FailedRestart::read(dir.path()), None);
    }
}
