//! What a process may take: descriptors, and memory in large pages.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What this process was started with.
static ORIGINAL: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process open as many descriptors as the system allows it (the hard limit), and returns how many that
/// are. Children that [`crate::spawn()`] starts get the original limit again: programs that use `select` break with
/// more than 1024.
pub fn raise_descriptors() -> io::Result<Option<u64>> {
    let now = getrlimit(Resource::Nofile);
    let original = ORIGINAL.get_or_init(|| now);
    setrlimit(Resource::Nofile, Rlimit { current: original.maximum, maximum: original.maximum })?;
    Ok(original.maximum)
}

/// Whether the kernel may back this process's memory by pages of 2 MiB. Children inherit it, also over exec. Without
/// them a process that needs little takes little: with them each arena and each thread's stack begins at 2 MiB.
pub fn large_pages(allowed: bool) -> io::Result<()> {
    Ok(rustix::thread::disable_transparent_huge_pages(!allowed)?)
}

/// The limit for children, where ours was raised.
pub(crate) fn for_children() -> Option<Rlimit> {
    ORIGINAL.get().copied()
}
