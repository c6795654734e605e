//! A program that cannot undo capture: in its namespace, as its user, without any capability. And threads of ours that
//! can do no more than they have to.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Gid, Uid};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

use crate::netns;

/// Who a program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
}

impl User {
    /// `uid:gid:group,group`, for [`Self::parse`].
    pub fn text(&self) -> String {
        let groups: Vec<String> = self.groups.iter().map(ToString::to_string).collect();
        format!("{}:{}:{}", self.uid, self.gid, groups.join(","))
    }

    /// The opposite of [`Self::text`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (uid, gid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let groups = parts.next()?.split(',').filter(|group| !group.is_empty());
        let groups: Result<Vec<u32>, _> = groups.map(str::parse).collect();
        Some(Self { uid, gid, groups: groups.ok()? })
    }
}

/// How a program is confined. Everything is prepared before the fork.
#[derive(Debug)]
pub struct Confinement {
    namespace: OwnedFd,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    resolver: Option<CString>,
}

impl Confinement {
    /// In this network namespace, as this user; with `resolver` in the place of `/etc/resolv.conf`, if there is one.
    pub fn new(namespace: OwnedFd, user: &User, resolver: Option<&Path>) -> io::Result<Self> {
        let resolver = resolver.map(|path| CString::new(path.as_os_str().as_bytes())).transpose()?;
        let groups = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        Ok(Self { namespace, uid, gid, groups, resolver })
    }

    /// The program that this command starts, or becomes, will be confined.
    pub fn apply(self, command: &mut Command) {
        // SAFETY: plain system calls only, no allocation: allowed between fork and exec.
        unsafe { command.pre_exec(move || self.enter()) };
    }

    /// Confines the calling process. Between fork and exec only: plain system calls, nothing is allocated.
    pub(crate) fn enter(&self) -> io::Result<()> {
        netns::enter(self.namespace.as_fd())?;
        if let Some(resolver) = &self.resolver {
            // SAFETY: only mounts are unshared, which no memory safety hangs on.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
            mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
            match mount_bind(resolver.as_c_str(), c"/etc/resolv.conf") {
                // Without the file programs ask 127.0.0.1, which is captured as well.
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bound(CapabilitySet::empty())?;
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)?;
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        Ok(set_no_new_privs(true)?)
    }
}

/// What a thread of the superuser still may do. All else is taken from it, and from whatever it starts later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// CAP_NET_ADMIN: marks, foreign addresses, rules.
    pub network: bool,
    /// CAP_DAC_OVERRIDE: files of other users.
    pub files: bool,
}

/// Takes everything but `keep` from the calling thread, for good.
pub fn keep_only(keep: Powers) -> io::Result<()> {
    let mut kept = CapabilitySet::empty();
    kept.set(CapabilitySet::NET_ADMIN, keep.network);
    kept.set(CapabilitySet::DAC_OVERRIDE, keep.files);
    bound(kept)?;
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?;
    Ok(set_no_new_privs(true)?)
}

/// Runs `work` on a thread without any power; threads that it starts have none either.
pub fn powerless<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            keep_only(Powers::default())?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread without powers panicked")))
    })
}

/// Nothing that this thread starts will have more than these. Plain system calls: allowed between fork and exec.
fn bound(kept: CapabilitySet) -> io::Result<()> {
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if !kept.contains(one) {
            // Those that this kernel does not know are refused, and nobody has them.
            let _ = remove_capability_from_bounding_set(one);
        }
    }
    Ok(clear_ambient_capability_set()?)
}
