//! Network namespaces without a name: each lives as long as a descriptor, a thread or a socket of it does.
//!
//! Nothing is written to `/run/netns`, so whatever way the last of these ends, kill -9 included, the namespace goes
//! with its interfaces, addresses and rules.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// One network namespace. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<OwnedFd>);

impl Namespace {
    /// A new one, with nothing in it but a loopback interface that is down. Needs CAP_SYS_ADMIN.
    pub fn create() -> io::Result<Self> {
        // A thread of its own: the caller's stays where it is.
        let made = std::thread::Builder::new().name("namespace".into()).spawn(|| {
            // SAFETY: of the thread's context only the network namespace is left, which no memory safety hangs on; no
            // file descriptor table is unshared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            Self::current()
        })?;
        joined(made)
    }

    /// The one that this thread is in.
    pub fn current() -> io::Result<Self> {
        Ok(Self::from(OwnedFd::from(File::open("/proc/thread-self/ns/net")?)))
    }

    /// Moves this thread into it, for good. Needs CAP_SYS_ADMIN.
    pub fn enter(&self) -> io::Result<()> {
        enter(self.0.as_fd())
    }

    /// Whether this thread is in it.
    pub fn is_here(&self) -> io::Result<bool> {
        let (own, here) = (rustix::fs::fstat(&*self.0)?, rustix::fs::stat("/proc/thread-self/ns/net")?);
        Ok((own.st_dev, own.st_ino) == (here.st_dev, here.st_ino))
    }

    /// Runs `work` in it, on a thread of its own unless this one is there already: what is opened (sockets) stays in
    /// the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        if self.is_here()? {
            return work();
        }
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("namespace".into()).spawn_scoped(scope, || {
                self.enter()?;
                work()
            })?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
        })
    }

    /// A path that other processes reach it by, as long as this process holds it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()))
    }

    /// Its descriptor, to be handed to a child.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Tells namespaces apart: the inode.
    pub fn id(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&*self.0)?.st_ino)
    }

    /// The one that a thread of this name is in, of another process. Needs root, or the same user.
    pub fn of_thread(process: u32, name: &str) -> io::Result<Self> {
        for entry in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = entry?.path();
            if std::fs::read_to_string(thread.join("comm"))?.trim_end() == name {
                return Ok(Self::from(OwnedFd::from(File::open(thread.join("ns/net"))?)));
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("process {process} has no thread {name}")))
    }

    /// A program that will run in it. Needs CAP_SYS_ADMIN when it starts, unless this thread is there already.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if self.is_here().unwrap_or(false) {
            return command;
        }
        let namespace = Arc::clone(&self.0);
        // SAFETY: a plain system call between fork and exec; the closure holds the descriptor open.
        unsafe { command.pre_exec(move || enter(namespace.as_fd())) };
        command
    }
}

impl From<OwnedFd> for Namespace {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Arc::new(descriptor))
    }
}

/// Moves this thread. A plain system call: allowed between fork and exec.
pub(crate) fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?)
}

fn joined<T>(thread: std::thread::JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
}
