//! The processes that are measured: started, watched through `/proc`, and ended.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end after a polite request.
const GRACE: Duration = Duration::from_secs(20);
/// Between two looks at something that is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A child that ends with us.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a program whose output goes to a file.
    pub fn start(command: &Command, log: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::create(log).with_context(|| log.display().to_string())?;
        let mut guarded = guarded(command);
        guarded.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child =
            guarded.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// `command`, ended by the kernel when this program dies without having ended it; where the machine has no
/// `setpriv`, as it is.
fn guarded(command: &Command) -> Command {
    let mut guarded = if crate::tools::works("setpriv") {
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program());
        guarded
    } else {
        Command::new(command.get_program())
    };
    guarded.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        guarded.current_dir(directory);
    }
    guarded
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let gone = || self.child.try_wait().is_ok_and(|status| status.is_some());
        if !within(GRACE, gone) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until something holds; whether it did in time.
pub fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    true
}

/// An address that nobody listens on now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?)
}

/// A process and its descendants.
pub fn tree(root: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // It may have ended since the directory was read.
        let Ok(fields) = stat(pid) else { continue };
        if let Some(parent) = fields.get(1).and_then(|field| field.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut all = vec![root];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        all.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        next += 1;
    }
    Ok(all)
}

/// The fields of `/proc/PID/stat` after the program's name, which may contain blanks: state first, parent second.
pub fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").context("no name in /proc/PID/stat")?;
    Ok(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

/// CPU time that these processes have used until now, user and system. To the nanosecond where the kernel counts so
/// for each thread, else in its ticks of 10 ms.
pub fn cpu(pids: &[u32]) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for &pid in pids {
        sum += match precise(pid)? {
            Some(time) => time,
            None => ticks(pid)?,
        };
    }
    Ok(sum)
}

/// The same in hundredths of a second, with the threads that have ended: it never shrinks.
pub fn cpu_ever(pids: &[u32]) -> anyhow::Result<Duration> {
    pids.iter().map(|&pid| ticks(pid)).sum()
}

/// The sum over a process's threads; none where the kernel has no such file.
fn precise(pid: u32) -> anyhow::Result<Option<Duration>> {
    let mut sum = Duration::ZERO;
    let gone = || format!("process {pid} has ended");
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).with_context(gone)? {
        let Ok(text) = std::fs::read_to_string(entry?.path().join("schedstat")) else { return Ok(None) };
        sum += on_cpu(&text)?;
    }
    Ok(Some(sum))
}

fn ticks(pid: u32) -> anyhow::Result<Duration> {
    let fields = stat(pid)?;
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let ticks = number(11) + number(12);
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// What the calling thread has used until now.
pub fn own_cpu() -> anyhow::Result<Duration> {
    on_cpu(&std::fs::read_to_string("/proc/thread-self/schedstat").context("schedstat")?)
}

/// Of a thread's `schedstat` the time that it ran.
fn on_cpu(schedstat: &str) -> anyhow::Result<Duration> {
    let nanos = schedstat.split_ascii_whitespace().next().unwrap_or_default();
    Ok(Duration::from_nanos(nanos.parse().context("schedstat")?))
}

/// Name and CPU time of each thread of a process.
pub fn threads(pid: u32) -> anyhow::Result<Vec<(String, Duration)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).context("its threads")? {
        let path = entry?.path();
        let name = std::fs::read_to_string(path.join("comm")).context("comm")?;
        let text = std::fs::read_to_string(path.join("schedstat")).context("schedstat")?;
        all.push((name.trim().to_owned(), on_cpu(&text)?));
    }
    all.sort();
    Ok(all)
}

/// What a process occupies, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// All resident pages.
    pub rss: u64,
    /// The same, but a page that n processes share counts 1/n.
    pub pss: u64,
    /// Pages that are nobody's file: what the process itself has written.
    pub anonymous: u64,
}

/// What a process occupies now.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let field = |name: &str| -> anyhow::Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| path.clone())?;
        let kib = line.split_ascii_whitespace().next().unwrap_or_default();
        Ok(kib.parse::<u64>().with_context(|| path.clone())? * 1024)
    };
    Ok(Memory { rss: field("Rss:")?, pss: field("Pss:")?, anonymous: field("Anonymous:")? })
}

/// Says what is in the way when a program does not come up: the last lines of its log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

/// Waits for a peer, and says what its log says when it does not come.
pub fn await_ready(
    what: &str,
    log: &Path,
    mut ready: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut last = None;
    let came = within(Duration::from_secs(20), || match ready() {
        Ok(()) => true,
        Err(error) => {
            last = Some(error);
            false
        }
    });
    if !came {
        let why = last.map(|error| format!("{error:#}")).unwrap_or_default();
        bail!("{what} does not come up: {why}; its log: {}", tail(log));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_numbers_are_plausible() {
        let me = std::process::id();
        let before = cpu(&[me]).unwrap();
        // However little of the machine is ours, in the end it is enough.
        let mut used = Duration::ZERO;
        assert!(within(Duration::from_secs(60), || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(5) {}
            used = cpu(&[me]).unwrap() - before;
            used > Duration::from_millis(20)
        }));
        assert!(used < Duration::from_secs(60), "{used:?}");
        let memory = memory(me).unwrap();
        assert!(memory.rss >= memory.pss && memory.pss > 0, "{memory:?}");
        assert!(tree(me).unwrap().starts_with(&[me]));
        assert!(ticks(me).unwrap() < Duration::from_secs(3600));
        assert!(threads(me).unwrap().iter().map(|(_, time)| *time).sum::<Duration>() >= used);
    }
}
