//! The data directory: made, locked by one supervisor, and what lies where in it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use byrnie_control::client::Client;
use serde::Deserialize;

use super::LOCKED;
use super::desired::{Kind, UnitKey};
use crate::cli::failure::{DATA_DIR, Failure};

/// How long to wait for a directory whose owner neither answers nor lets go: one that starts, or that was killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A log beyond this size is set aside as `<name>.1`, and what was there before is gone.
const LONGEST_LOG: u64 = 16 << 20;
/// Between two looks at the logs.
const LOOK_AT_LOGS: Duration = Duration::from_secs(30);

/// A data directory that is ours until we end.
#[derive(Debug)]
pub struct Home {
    /// The directory.
    pub path: PathBuf,
    lock: File,
}

/// Whose the directory is.
pub enum Lock {
    /// Ours from now on.
    Ours(Home),
    /// A mesh runs there and answers.
    RunningMesh(Client),
}

/// What the control plane wrote down about itself.
#[derive(Debug, Deserialize)]
pub struct ControlPlaneFile {
    /// Where proxies connect.
    pub xds: String,
}

impl Home {
    /// Makes the directory (mode 0700) and takes its lock, or finds the mesh that runs there.
    pub async fn open(path: &Path) -> Result<Lock, Failure> {
        let failed = |error: io::Error| Failure::new(DATA_DIR, format!("{}: {error}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = lock_file(path).map_err(failed)?;
        let client = Client::new(path);
        let start = tokio::time::Instant::now();
        while start.elapsed() < PATIENCE {
            match lock.try_lock() {
                Ok(()) => return Ok(Lock::Ours(Self { path: path.to_owned(), lock })),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if client.version().await.is_ok() {
                return Ok(Lock::RunningMesh(client));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let message = format!("{} is in use by a mesh that does not answer", path.display());
        Err(Failure::new(LOCKED, message).help("end it, or name another directory with --data-dir"))
    }

    /// The lock, for the control plane: the directory stays ours until the last of both is gone.
    pub fn lock(&self) -> io::Result<OwnedFd> {
        Ok(self.lock.try_clone()?.into())
    }

    /// Where children tell how they are.
    pub fn notify_socket(&self) -> PathBuf {
        self.path.join("notify.sock")
    }

    /// Where the control plane publishes the roots of the mesh.
    pub fn trust_bundle(&self) -> PathBuf {
        self.path.join("trust-bundle.pem")
    }

    /// Where the control plane's log goes.
    pub fn control_plane_log(&self) -> PathBuf {
        self.path.join("control-plane.log")
    }

    /// What the control plane wrote down when it got ready.
    pub fn control_plane(&self) -> Result<ControlPlaneFile, String> {
        let path = self.path.join("control-plane.json");
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The directory of a proxy: addresses, snapshot, log.
    pub fn proxy(&self, key: &UnitKey) -> PathBuf {
        state_dir(&self.path, key.kind, &key.namespace, &key.name)
    }
}

/// The directory of a proxy below a data directory. Gateways have a tree of their own: one may be named like a
/// Workload.
pub fn state_dir(data_dir: &Path, kind: Kind, namespace: &str, name: &str) -> PathBuf {
    let tree = if kind == Kind::Gateway { "gateways" } else { "proxies" };
    data_dir.join(tree).join(namespace).join(name)
}

/// Takes the lock of a data directory for a control plane without a supervisor. It lasts as long as the file.
pub fn lock_alone(path: &Path) -> Result<File, Failure> {
    let failed = |error: io::Error| Failure::new(DATA_DIR, format!("{}: {error}", path.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let lock = lock_file(path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(error)) => Err(failed(error)),
        Err(TryLockError::WouldBlock) => {
            let message = format!("{} is in use by another control plane", path.display());
            Err(Failure::new(LOCKED, message).help("end it, or name another directory with --data-dir"))
        }
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"))
}

/// Opens a child's log for appending.
pub fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Sets long logs aside for ever. Their writers append and notice nothing; a line may be lost while that happens.
pub async fn keep_logs_short(data_dir: PathBuf) {
    loop {
        tokio::time::sleep(LOOK_AT_LOGS).await;
        let directory = data_dir.clone();
        let done = tokio::task::spawn_blocking(move || shorten_logs(&directory, LONGEST_LOG)).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(%error, "cannot set long logs aside");
        }
    }
}

fn shorten_logs(data_dir: &Path, longest: u64) -> io::Result<()> {
    let mut logs = vec![data_dir.join("control-plane.log")];
    for tree in ["proxies", "gateways"] {
        for namespace in directories(&data_dir.join(tree))? {
            logs.extend(directories(&namespace)?.into_iter().map(|proxy| proxy.join("log")));
        }
    }
    for log in logs {
        let long = std::fs::metadata(&log).is_ok_and(|file| file.len() > longest);
        if long {
            std::fs::copy(&log, log.with_extension("1"))?;
            OpenOptions::new().write(true).open(&log)?.set_len(0)?;
        }
    }
    Ok(())
}

/// The directories in a directory; none where that is not there.
fn directories(path: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(path) {
        Ok(entries) => {
            let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
            Ok(paths?.into_iter().filter(|path| path.is_dir()).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The last lines of a log beyond its first `from` bytes, of at most 16 KiB together.
pub fn last_lines(path: &Path, count: usize, from: u64) -> Vec<String> {
    use std::io::{Read, Seek, SeekFrom};
    const WINDOW: u64 = 16 << 10;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // One that is shorter than it was has been set aside meanwhile.
        let from = if from > length { 0 } else { from };
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW).max(from)))?;
        let mut bytes = Vec::new();
        file.take(WINDOW).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_directory_one_supervisor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        let Lock::Ours(home) = Home::open(&path).await.unwrap() else { panic!("free") };
        assert!(lock_alone(&path).is_err());
        // The control plane keeps it locked for as long as it lives.
        let duplicate = home.lock().unwrap();
        drop(home);
        assert!(lock_alone(&path).is_err());
        drop(duplicate);
        lock_alone(&path).unwrap();
    }

    #[test]
    fn the_tail_of_a_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert!(last_lines(&path, 2, 0).is_empty());
        std::fs::write(&path, "a\nb\nc\n").unwrap();
        assert_eq!(last_lines(&path, 2, 0), ["b", "c"]);
        assert_eq!(last_lines(&path, 2, 4), ["c"]);
        assert_eq!(last_lines(&path, 2, 100), ["b", "c"]);
        std::fs::write(&path, "x".repeat(100_000)).unwrap();
        assert_eq!(last_lines(&path, 20, 0).concat().len(), 16 << 10);
    }

    #[test]
    fn long_logs_are_set_aside_under_their_writers() {
        use std::io::Write;
        let directory = tempfile::tempdir().unwrap();
        let proxy = state_dir(directory.path(), Kind::Sidecar, "shop", "web");
        std::fs::create_dir_all(&proxy).unwrap();
        let mut log = open_log(&proxy.join("log")).unwrap();
        log.write_all(b"first\n").unwrap();
        shorten_logs(directory.path(), 100).unwrap();
        assert_eq!(last_lines(&proxy.join("log"), 9, 0), ["first"]);
        shorten_logs(directory.path(), 3).unwrap();
        log.write_all(b"second\n").unwrap();
        assert_eq!(last_lines(&proxy.join("log"), 9, 0), ["second"]);
        assert_eq!(last_lines(&proxy.join("log.1"), 9, 0), ["first"]);
    }

    #[test]
    fn a_gateway_may_be_named_like_a_workload() {
        let of = |kind| state_dir(Path::new("/d"), kind, "shop", "front");
        assert_eq!(of(Kind::Sidecar), Path::new("/d/proxies/shop/front"));
        assert_ne!(of(Kind::Sidecar), of(Kind::Gateway));
    }
}
