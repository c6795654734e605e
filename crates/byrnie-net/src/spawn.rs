//! Starting a child that cannot outlive us and that finds its descriptors where systemd would put them.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Signal, getpid, getppid};
use tokio::process::{Child, Command};

use crate::inherit::{FIRST, escape};

/// What to start and how. Standard input is empty.
#[derive(Debug)]
pub struct Spawn {
    /// The program, looked up in `PATH` when it has no slash.
    pub program: OsString,
    /// Its arguments, without the program's name.
    pub arguments: Vec<OsString>,
    /// Added to this process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory; ours when absent.
    pub directory: Option<PathBuf>,
    /// Handed over in this order from descriptor 3 on, with their names in `LISTEN_FDNAMES`.
    pub descriptors: Vec<(String, OwnedFd)>,
    /// Where its output and errors go.
    pub output: Output,
    /// Whether the kernel kills it when we die. Off only for a keeper, which has to end others then.
    pub dies_with_us: bool,
}

/// Where a child's output and errors go.
#[derive(Debug, Default)]
pub enum Output {
    /// Where ours go.
    #[default]
    Ours,
    /// To us, through two pipes.
    Pipes,
    /// Into this file, both. Open it for appending: the child keeps it open.
    File(File),
}

impl Spawn {
    /// A program with arguments, everything else empty.
    pub fn new(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            directory: None,
            descriptors: Vec::new(),
            output: Output::Ours,
            dies_with_us: true,
        }
    }

    /// Adds one variable to the child's environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// Starts it in a process group of its own. The kernel kills it (SIGKILL) when **the thread that calls this** ends
/// (unless `dies_with_us` is off): call it from a thread that lives as long as the supervisor. Dropping the `Child`
/// does not end the process.
///
/// The signal reaches the child alone, not what the child starts; for commands that start others use
/// [`crate::keeper`].
pub fn spawn(what: Spawn) -> io::Result<Child> {
    let mut command = Command::new(&what.program);
    command.args(&what.arguments).stdin(Stdio::null()).process_group(0);
    // Ours were for us.
    command
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDS")
        .env_remove("LISTEN_FDNAMES")
        .env_remove("NOTIFY_SOCKET");
    command.envs(what.environment);
    if let Some(directory) = &what.directory {
        command.current_dir(directory);
    }
    match &what.output {
        Output::Ours => {}
        Output::Pipes => {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        Output::File(file) => {
            command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        }
    }
    if !what.descriptors.is_empty() {
        let names: Vec<String> = what.descriptors.iter().map(|(name, _)| escape(name)).collect();
        command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    }
    let handed: Vec<RawFd> = what.descriptors.iter().map(|(_, descriptor)| descriptor.as_raw_fd()).collect();
    // While these numbers are taken, the pipe over which the standard library learns of a failed exec is not among
    // them, and the child may overwrite them.
    let placeholders = occupy(FIRST + RawFd::try_from(handed.len()).map_err(io::Error::other)?)?;
    let parent = getpid();
    let mut moved: Vec<RawFd> = vec![-1; handed.len()];
    let limit = crate::limits::for_children();
    let death_signal = what.dies_with_us.then_some(Signal::KILL);
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(death_signal)?;
        if getppid() != Some(parent) {
            // The parent died before the line above, so no signal will come.
            return Err(rustix::io::Errno::SRCH.into());
        }
        if let Some(limit) = &limit {
            rustix::process::setrlimit(rustix::process::Resource::Nofile, *limit)?;
        }
        hand_over(&handed, &mut moved)
    };
    // SAFETY: `prepare` runs between fork and exec, where only async-signal-safe calls are allowed: it makes plain
    // system calls and touches memory that was allocated before the fork.
    unsafe { command.pre_exec(prepare) };
    let child = command.spawn();
    drop(placeholders);
    drop(what.descriptors);
    child
}

/// Opens descriptors until every number below `end` is taken.
fn occupy(end: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut taken = Vec::new();
    if end == FIRST {
        return Ok(taken);
    }
    let mut next = OwnedFd::from(File::open("/dev/null")?);
    while next.as_raw_fd() < end {
        let another = next.try_clone()?;
        taken.push(std::mem::replace(&mut next, another));
    }
    Ok(taken)
}

/// In the child: puts `from` at 3, 4, … without close-on-exec. First all of them out of the way, so that none is
/// overwritten before its turn.
fn hand_over(from: &[RawFd], moved: &mut [RawFd]) -> io::Result<()> {
    let above = FIRST + moved.len() as RawFd;
    for (source, place) in from.iter().zip(moved.iter_mut()) {
        // SAFETY: the parent owned it at the fork and nothing in the child closed it.
        let source = unsafe { BorrowedFd::borrow_raw(*source) };
        *place = ManuallyDrop::new(rustix::io::fcntl_dupfd_cloexec(source, above)?).as_raw_fd();
    }
    for (target, source) in (FIRST..).zip(moved.iter()) {
        // SAFETY: made by the loop above, open until exec closes it.
        let source = unsafe { BorrowedFd::borrow_raw(*source) };
        // SAFETY: `dup2` replaces whatever has this number. In the parent it is a placeholder or another object's;
        // in the child no code but ours runs any more, and nothing is dropped.
        let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(target) });
        rustix::io::dup2(source, &mut target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
