//! Descriptors that whoever started this process handed over (`LISTEN_FDS`, from descriptor 3 on).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that is handed over; 0, 1 and 2 are the standard streams.
pub(crate) const FIRST: RawFd = 3;

/// More than this many are refused as a broken environment. Far above one socket per upstream (64) and gateway port.
const LIMIT: usize = 4096;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The inherited descriptors by name. What nobody asks for is closed when this is dropped.
#[derive(Debug, Default)]
pub struct Inherited {
    descriptors: BTreeMap<String, OwnedFd>,
}

impl Inherited {
    /// Takes what was handed over, once per process: the second call gets nothing. Call it first thing in `main`,
    /// before anything is opened. Every descriptor is marked close-on-exec, so no child of ours inherits it.
    ///
    /// Errors: a malformed environment, or one that names descriptors that are not open.
    pub fn take() -> io::Result<Self> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Ok(Self::default());
        }
        let var = |name: &str| std::env::var(name).ok();
        let names =
            announced(var("LISTEN_FDS"), var("LISTEN_FDNAMES"), var("LISTEN_PID"), std::process::id())
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let mut descriptors = BTreeMap::new();
        for (number, name) in (FIRST..).zip(names) {
            // SAFETY: only borrowed for the check that it is open; `fcntl` on a closed number just fails.
            let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("LISTEN_FDS names {number}: {error}"))
            })?;
            // SAFETY: open (checked above) and ours alone: the parent handed it over, `TAKEN` makes this run once,
            // and the caller has opened nothing before.
            let owned = unsafe { OwnedFd::from_raw_fd(number) };
            // systemd keeps every descriptor stored under one name; the newest comes last and wins.
            descriptors.insert(name, owned);
        }
        Ok(Self { descriptors })
    }

    /// The descriptor of this name, if there was one; the caller owns it from now on.
    pub fn remove(&mut self, name: &str) -> Option<OwnedFd> {
        self.descriptors.remove(name)
    }

    /// The names still here, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.descriptors.keys().map(String::as_str)
    }
}

/// What a supervisor within the same process hands over.
impl FromIterator<(String, OwnedFd)> for Inherited {
    fn from_iter<I: IntoIterator<Item = (String, OwnedFd)>>(descriptors: I) -> Self {
        Self { descriptors: descriptors.into_iter().collect() }
    }
}

/// The names of the announced descriptors, in order; those without a name are `unknown`, as in systemd.
fn announced(
    count: Option<String>,
    names: Option<String>,
    meant_for: Option<String>,
    this_process: u32,
) -> Result<Vec<String>, String> {
    let Some(count) = count.filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    if let Some(pid) = meant_for {
        let pid: u32 = pid.parse().map_err(|_| format!("LISTEN_PID={pid} is no process id"))?;
        if pid != this_process {
            return Ok(Vec::new());
        }
    }
    let number: usize = count.parse().map_err(|_| format!("LISTEN_FDS={count} is no number"))?;
    if number > LIMIT {
        return Err(format!("LISTEN_FDS={number} is more than the limit of {LIMIT}"));
    }
    let names = names.unwrap_or_default();
    let mut names: Vec<String> = names.split(NAME_SEPARATOR).map(unescape).collect();
    names.resize(number, String::new());
    for name in &mut names {
        if name.is_empty() {
            "unknown".clone_into(name);
        }
    }
    Ok(names)
}

/// Between the names in `LISTEN_FDNAMES`; what stands inside a name is escaped (systemd forbids it in names).
const NAME_SEPARATOR: char = ':';

/// How a name travels in `LISTEN_FDNAMES` and `FDNAME=`: systemd allows printable ASCII but the colon, and our names
/// (`listen:mesh`, addresses) have colons, so these become `%3A` and `%` becomes `%25`.
pub(crate) fn escape(name: &str) -> String {
    name.replace('%', "%25").replace(':', "%3A")
}

/// The opposite of [`escape`].
pub(crate) fn unescape(name: &str) -> String {
    name.replace("%3A", ":").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<String> {
        (!value.is_empty()).then(|| value.to_owned())
    }

    #[test]
    fn announcements_as_a_table() {
        for (count, names, pid, want) in [
            ("", "", "", Ok(vec![])),
            ("2", "a:b", "", Ok(vec!["a", "b"])),
            ("2", "a", "", Ok(vec!["a", "unknown"])),
            ("1", "listen%3Amesh", "", Ok(vec!["listen:mesh"])),
            ("1", "100%25", "7", Ok(vec!["100%"])),
            ("1", "a", "8", Ok(vec![])),
            ("-1", "a", "", Err(())),
            ("5000", "a", "", Err(())),
            ("1", "a", "x", Err(())),
        ] {
            let got = announced(text(count), text(names), text(pid), 7).map_err(|_| ());
            let want = want.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(got, want, "{count} {names} {pid}");
        }
    }

    #[test]
    fn names_survive_the_trip() {
        for name in ["identity", "listen:mesh", "listen:upstream/shop/web/80", "a%3Ab", "%"] {
            assert_eq!(unescape(&escape(name)), name);
        }
    }
}
