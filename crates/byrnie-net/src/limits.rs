//! What a process may take: descriptors, memory in large pages, pages of its program.

use std::ffi::c_void;
use std::io;
use std::sync::OnceLock;

use rustix::mm::{Advice, madvise};
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

/// How many descriptors this process may open.
pub fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Whether the kernel may back this process's memory by pages of 2 MiB. Children inherit it, also over exec. Without
/// them a process that needs little takes little: with them each arena and each thread's stack begins at 2 MiB.
pub fn large_pages(allowed: bool) -> io::Result<()> {
    Ok(rustix::thread::disable_transparent_huge_pages(!allowed)?)
}

/// Lets go of the program's pages that were read so far; what is still needed comes back from the page cache as it is
/// used. Starting touches much code that is never run again, and the kernel maps 16 pages for each one touched: after
/// this a process shows what it works with. Returns how many bytes of address space that was about.
///
/// Only mappings of files that this process has not changed a single page of are touched, so nothing can be lost.
pub fn forget_program_pages() -> io::Result<usize> {
    let smaps = std::fs::read_to_string("/proc/self/smaps")?;
    let mut forgotten = 0;
    for (start, length) in unchanged_files(&smaps) {
        let address = std::ptr::without_provenance_mut::<c_void>(start);
        // SAFETY: the range is one whole mapping of a file, read-only, and has no page of its own (Anonymous: 0 kB and
        // nothing dirty): each dropped page reads the same from the file again. Mappings of this kind are made and
        // removed by the loader only, which is not at work here.
        unsafe { madvise(address, length, Advice::LinuxDontNeed) }?;
        forgotten += length;
    }
    Ok(forgotten)
}

/// Start and length of the mappings of `smaps` that are read-only, of a file, and without a changed page.
fn unchanged_files(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(range) = parse_head(line) {
            candidate = range;
        } else if let Some(rest) = line.strip_prefix("Anonymous:") {
            let is_unchanged = rest.trim() == "0 kB";
            found.extend(candidate.take().filter(|_| is_unchanged));
        }
    }
    found
}

/// `None`: no head of a mapping. `Some(None)`: the head of one that is left alone.
fn parse_head(line: &str) -> Option<Option<(usize, usize)>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let is_file = rest.contains(" /") && !rest.contains("/memfd:");
    let is_read_only = rest.starts_with("r-xp") || rest.starts_with("r--p");
    Some((is_file && is_read_only).then(|| (start, end.saturating_sub(start))))
}

/// The limit for children, where ours was raised.
pub(crate) fn for_children() -> Option<Rlimit> {
    ORIGINAL.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_without_a_changed_page_are_forgotten() {
        let smaps = "\
1000-3000 r-xp 00000000 00:00 1   /bin/a
Private_Dirty:         0 kB
Anonymous:             0 kB
3000-4000 r--p 00002000 00:00 1   /bin/a
Anonymous:             4 kB
4000-5000 rw-p 00003000 00:00 1   /bin/a
Anonymous:             0 kB
5000-6000 r--p 00000000 00:00 0
Anonymous:             0 kB
7000-9000 r--p 00000000 00:00 1   /bin/a
Anonymous:             0 kB
";
        assert_eq!(unchanged_files(smaps), [(0x1000, 0x2000), (0x7000, 0x2000)]);
    }

    #[test]
    fn the_program_goes_on_without_its_pages() {
        assert!(forget_program_pages().unwrap() > 0);
        assert_eq!(format!("{:?}", vec![1, 2]), "[1, 2]");
    }
}
