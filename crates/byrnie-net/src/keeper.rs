//! The keeper: a process between the supervisor and one command, so that nothing the command starts survives.
//!
//! The parent-death signal reaches a child, not a grandchild. Commands start others (shells, workers, daemons), so
//! each runs below a keeper that adopts orphans and ends the whole tree when the command ends, when the supervisor
//! says so, or when the supervisor is gone (the pipe between them closes, kill -9 included). Should the keeper itself
//! be killed, the kernel kills the command, and the orphans go to the supervisor.
//!
//! Works without privileges: no cgroups, no namespaces.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid};

use crate::capture::confine::Confinement;
use crate::{Spawn, process};

/// The name of the pipe in [`crate::Inherited`].
pub const LIFELINE: &str = "lifeline";

/// The byte that asks the command to end (SIGTERM to its group).
const TERMINATE: u8 = b'T';

/// How long to wait between two rounds of killing. A tree ends in one or two.
const ROUND: Duration = Duration::from_millis(10);

/// Makes a process that will call [`run`] a keeper: it holds the lifeline and outlives the supervisor by the moment
/// that it takes to end the tree.
pub fn keep(mut process: Spawn) -> io::Result<(Spawn, Lifeline)> {
    let (theirs, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    process.descriptors.push((LIFELINE.to_owned(), theirs));
    process.dies_with_us = false;
    Ok((process, Lifeline(ours.into())))
}

/// The supervisor's end of the pipe. Dropping it ends the command's whole tree at once.
#[derive(Debug)]
pub struct Lifeline(File);

impl Lifeline {
    /// Asks the command to end. Errors when the keeper is gone.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.0.write_all(&[TERMINATE])
    }
}

/// What the keeper's own exit code says when the command could not be started.
pub const EXIT_NOT_STARTED: u8 = 127;

/// Runs the command until it ends, then ends what it left behind. Returns the command's exit code, 128 + the signal
/// that ended it, or [`EXIT_NOT_STARTED`]. To be called from `main` of a process of its own, on the main thread.
/// A command with `confinement` cannot undo what was set up for it.
pub fn run(
    lifeline: OwnedFd,
    program: &OsString,
    arguments: &[OsString],
    confinement: Option<Confinement>,
) -> io::Result<u8> {
    process::adopt_orphans()?;
    let keeper = getpid();
    let mut command = std::process::Command::new(program);
    command.args(arguments).process_group(0).stdin(std::process::Stdio::null());
    command.env_remove("LISTEN_FDS").env_remove("LISTEN_FDNAMES").env_remove("LISTEN_PID");
    let prepare = move || {
        if let Some(confinement) = &confinement {
            confinement.enter()?;
        }
        // Last: a change of user takes the signal away.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(keeper) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        // Small pages are the mesh's own habit. A kernel that does not know large ones cannot allow them.
        let _ = crate::limits::large_pages(true);
        Ok(())
    };
    // SAFETY: plain system calls only, no allocation: allowed between fork and exec.
    unsafe { command.pre_exec(prepare) };
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("cannot start {}: {error}", program.display());
            return Ok(EXIT_NOT_STARTED);
        }
    };
    let leader = Arc::new(Mutex::new(Some(child.id())));
    let watched = Arc::clone(&leader);
    std::thread::Builder::new().name("lifeline".into()).spawn(move || watch(lifeline.into(), &watched))?;
    let status = wait_for(child.id(), &leader)?;
    end_tree();
    Ok(exit_code(status))
}

/// Follows the supervisor's wishes; once it is gone, ends everything until the main thread sees the last child go.
fn watch(mut lifeline: File, leader: &Mutex<Option<u32>>) {
    let mut wish = [0];
    while let Ok(1) = lifeline.read(&mut wish) {
        let leader = leader.lock().unwrap_or_else(PoisonError::into_inner);
        if let (TERMINATE, Some(leader)) = (wish[0], *leader) {
            let _ = process::terminate_group(leader);
        }
    }
    loop {
        kill_all_below();
        std::thread::sleep(ROUND);
    }
}

/// Reaps until the command itself has ended; adopted orphans that end before are reaped on the way.
fn wait_for(command: u32, leader: &Mutex<Option<u32>>) -> io::Result<ExitStatus> {
    loop {
        let reaped = rustix::process::wait(WaitOptions::empty());
        match reaped {
            Ok(Some((pid, status))) if pid.as_raw_pid().unsigned_abs() == command => {
                *leader.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Ok(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends and reaps everything below this process; returns when nothing is left.
fn end_tree() {
    loop {
        kill_all_below();
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(ROUND),
            Err(_) => return,
        }
    }
}

fn kill_all_below() {
    let below = process::descendants(Pid::as_raw_pid(getpid()).unsigned_abs());
    for process in below.unwrap_or_default() {
        let _ = process::kill(process);
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
