//! How much memory this process may use: the limit of its control group, version 1 or 2.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the kernel shows the group.
const ROOT: &str = "/sys/fs/cgroup";

/// The memory of the control group that this process is in.
#[derive(Clone, Debug)]
pub struct Memory {
    limit: PathBuf,
    usage: PathBuf,
    stat: PathBuf,
    /// The field of `stat` that counts what the kernel can take back at once.
    reclaimable: &'static str,
}

/// What a group has, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// In use, without what the kernel can take back at once.
    pub used: u64,
    /// What it can take back at once.
    pub reclaimable: u64,
    /// Allowed.
    pub limit: u64,
}

impl Memory {
    /// The nearest group with a limit, from this process's own upwards. `None`: nothing limits it.
    pub fn find() -> Option<Self> {
        find(Path::new(ROOT), &fs::read_to_string("/proc/self/cgroup").ok()?)
    }

    /// A group's own. `None`: nothing limits it.
    pub fn of(group: &Path) -> Option<Self> {
        of_group(group)
    }

    /// Looks at all of it: three files, one of them long.
    pub fn read(&self) -> Option<Reading> {
        let limit = number(&self.limit)?;
        let usage = self.usage()?;
        let stat = fs::read_to_string(&self.stat).unwrap_or_default();
        let field = |line: &str| line.strip_prefix(self.reclaimable)?.trim().parse::<u64>().ok();
        let reclaimable = stat.lines().find_map(field).unwrap_or(0);
        Some(Reading { used: usage.saturating_sub(reclaimable), reclaimable, limit })
    }

    /// Bytes in use, with what the kernel could take back: one small file.
    pub fn usage(&self) -> Option<u64> {
        number(&self.usage)
    }

    /// To ask that very often.
    pub fn gauge(&self) -> io::Result<Gauge> {
        Ok(Gauge(File::open(&self.usage)?))
    }
}

/// The file that says how much a group uses, open.
pub struct Gauge(File);

impl Gauge {
    /// Bytes in use, with what the kernel could take back. One system call.
    pub fn usage(&self) -> Option<u64> {
        let mut text = [0; 24];
        let length = self.0.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(text.get(..length)?).ok()?.trim_end().parse().ok()
    }
}

/// Bytes that this machine has.
pub fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(total.split_ascii_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

fn find(root: &Path, membership: &str) -> Option<Memory> {
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let base = match controllers {
            "" => root.to_owned(),
            controllers if controllers.split(',').any(|name| name == "memory") => root.join("memory"),
            _ => continue,
        };
        let own = base.join(path.trim_start_matches('/'));
        let groups = own.ancestors().take_while(|group| group.starts_with(&base));
        if let Some(memory) = groups.filter_map(of_group).next() {
            return Some(memory);
        }
    }
    None
}

/// More than any machine has: how version 1 says that there is no limit.
const NO_LIMIT: u64 = 1 << 60;

fn of_group(group: &Path) -> Option<Memory> {
    let v2 = ("memory.max", "memory.current", "inactive_file ");
    let v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");
    [v2, v1].into_iter().find_map(|(limit, usage, reclaimable)| {
        let (limit, usage) = (group.join(limit), group.join(usage));
        number(&limit).filter(|bytes| *bytes < NO_LIMIT)?;
        Some(Memory { limit, usage, stat: group.join("memory.stat"), reclaimable })
    })
}

/// `max` is no number: no limit.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, files: &[(&str, &str)]) {
        let group = root.join(path);
        fs::create_dir_all(&group).unwrap();
        files.iter().for_each(|(name, text)| fs::write(group.join(name), text).unwrap());
    }

    #[test]
    fn the_nearest_limit_of_either_version() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        group(root, "a", &[("memory.max", "1000\n"), ("memory.current", "900\n")]);
        group(root, "a/b", &[("memory.max", "max\n"), ("memory.current", "7\n")]);
        fs::write(root.join("a/memory.stat"), "anon 5\ninactive_file 100\n").unwrap();
        let found = find(root, "0::/a/b\n").unwrap();
        assert_eq!(found.read(), Some(Reading { used: 800, reclaimable: 100, limit: 1000 }));
        assert_eq!(found.usage(), Some(900));
        let gauge = found.gauge().unwrap();
        assert_eq!(gauge.usage(), Some(900));
        fs::write(root.join("a/memory.current"), "12345678\n").unwrap();
        assert_eq!(gauge.usage(), Some(12_345_678), "it is read anew");
        let none = [("memory.limit_in_bytes", "9223372036854771712"), ("memory.usage_in_bytes", "5")];
        group(root, "memory/x", &none);
        group(root, "memory/y", &[("memory.limit_in_bytes", "64"), ("memory.usage_in_bytes", "60")]);
        assert!(find(root, "4:memory:/x\n0::/\n").is_none());
        let reading = find(root, "5:cpu:/y\n4:cpu,memory:/y\n").unwrap().read();
        assert_eq!(reading, Some(Reading { used: 60, reclaimable: 0, limit: 64 }));
    }
}
