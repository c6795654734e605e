//! Processes of this machine: ending whole groups and whole trees.

use std::fs;
use std::io;

use rustix::process::{Pid, Signal, WaitOptions};

fn pid(number: u32) -> io::Result<Pid> {
    let number = i32::try_from(number).ok().filter(|number| *number > 0);
    number.and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Asks every process of the group to end (SIGTERM).
pub fn terminate_group(leader: u32) -> io::Result<()> {
    Ok(rustix::process::kill_process_group(pid(leader)?, Signal::TERM)?)
}

/// Ends every process of the group at once (SIGKILL).
pub fn kill_group(leader: u32) -> io::Result<()> {
    Ok(rustix::process::kill_process_group(pid(leader)?, Signal::KILL)?)
}

/// Asks a proxy to have another process take its place (SIGUSR2).
pub fn restart(process: u32) -> io::Result<()> {
    Ok(rustix::process::kill_process(pid(process)?, Signal::USR2)?)
}

/// Tells a proxy that another process has taken its place (SIGUSR1).
pub fn retire(process: u32) -> io::Result<()> {
    Ok(rustix::process::kill_process(pid(process)?, Signal::USR1)?)
}

/// Ends one process at once (SIGKILL).
pub fn kill(process: u32) -> io::Result<()> {
    Ok(rustix::process::kill_process(pid(process)?, Signal::KILL)?)
}

/// From now on, orphans below this process become its children (and not init's), so that it can end them.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Every process below `ancestor`, not itself, dead ones (zombies) left out. A snapshot: may be old on return.
pub fn descendants(ancestor: u32) -> io::Result<Vec<u32>> {
    let mut below = vec![ancestor];
    let all: Vec<Process> = running()?;
    let mut next = 0;
    while next < below.len() {
        let parent = below[next];
        below.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.pid));
        next += 1;
    }
    let alive = |number: &u32| all.iter().any(|process| process.pid == *number && process.state != 'Z');
    Ok(below.into_iter().skip(1).filter(alive).collect())
}

/// The direct children of this process that are not in `known`: adopted orphans, dead ones included.
pub fn adopted(known: &[u32]) -> io::Result<Vec<u32>> {
    let this = std::process::id();
    let is_adopted = |process: &Process| process.parent == this && !known.contains(&process.pid);
    Ok(running()?.into_iter().filter(is_adopted).map(|process| process.pid).collect())
}

/// Ends an adopted orphan and everything below it, and reaps the orphan. Returns at once when it is gone already.
pub fn end_adopted(orphan: u32) -> io::Result<()> {
    for process in descendants(orphan)?.into_iter().chain([orphan]) {
        let _ = kill(process);
    }
    match rustix::process::waitpid(Some(pid(orphan)?), WaitOptions::empty()) {
        Ok(_) | Err(rustix::io::Errno::CHILD) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

struct Process {
    pid: u32,
    parent: u32,
    state: char,
}

fn running() -> io::Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since the directory was read.
        let Ok(line) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        all.extend(parse_stat(pid, &String::from_utf8_lossy(&line)));
    }
    Ok(all)
}

/// `12 (a name) S 3 …`: the name may hold spaces and parentheses, so the last `)` counts.
fn parse_stat(pid: u32, line: &str) -> Option<Process> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_odd_names() {
        for (line, want) in [
            ("7 (sh) S 3 7 7 0", Some(('S', 3))),
            ("7 (a) b) (c) Z 12 7", Some(('Z', 12))),
            ("7 (sh", None),
            ("7 (sh) S", None),
        ] {
            assert_eq!(parse_stat(7, line).map(|process| (process.state, process.parent)), want, "{line}");
        }
    }

    #[test]
    fn no_group_zero_and_no_group_one_by_mistake() {
        assert!(kill_group(0).is_err());
        assert!(kill_group(u32::MAX).is_err());
    }
}
