//! Connections that are held by a process of their own: the origin's ends are in this one, and not every machine gives
//! a process descriptors for both.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{CONNECTIONS, PATIENCE};
use crate::bench::load::Idle;

/// Descriptors beside those of the connections.
const OTHERS: usize = 500;
/// What the process says when all are open.
const READY: &str = "open";

/// The process; its connections end with this.
pub struct Held(Child);

impl Held {
    /// Opens so many, each of which has had an answer.
    pub fn open(to: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("this program")?);
        command.args(["bench-part", "hold", &to.to_string(), &connections.to_string()]);
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("bench-part hold")?;
        let mut held = Self(child);
        let out = held.0.stdout.take().context("no output of bench-part")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        if line.trim() != READY {
            bail!("{connections} connections could not be opened");
        }
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It ends when nobody can speak to it any more.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The process itself: opens, says so, and waits for the end of its input.
pub fn hold(to: SocketAddr, connections: usize) -> anyhow::Result<()> {
    room();
    let held: Vec<Idle> = (0..connections)
        .map(|count| Idle::open(to, PATIENCE).with_context(|| format!("after {count} connections")))
        .collect::<anyhow::Result<_>>()?;
    println!("{READY}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}

/// Takes all descriptors that this process may have, and says for how many connections there is room. The mesh inherits
/// them.
pub fn room() -> usize {
    let most = getrlimit(Resource::Nofile).maximum;
    // Where it is not allowed, opening the connections says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    let room = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
    room.map_or(CONNECTIONS, |most| most.saturating_sub(OTHERS).min(CONNECTIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_some() {
        assert!((1..=CONNECTIONS).contains(&room()));
    }
}
