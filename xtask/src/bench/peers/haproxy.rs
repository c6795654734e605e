//! HAProxy of the distribution, one hop.

use std::path::Path;
use std::process::Command;

use super::{Peer, Place, Row, version, write};
use crate::bench::load::Work;
use crate::bench::process::{Process, free_address};

/// Starts it. Its defaults, but for the number of threads and the reuse of connections to the origin, as its manual
/// advises for speed.
pub fn start(place: &Place) -> anyhow::Result<Peer> {
    let program = program();
    let version = version(program, "-v")?;
    let to = free_address()?;
    let text = format!(
        "global
    nbthread {}
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend front
    bind {to}
    default_backend origin
backend origin
    server origin {}
",
        place.workers, place.origin.http
    );
    let config = write(place, "haproxy.cfg", &text)?;
    let log = place.directory.join("haproxy.log");
    let process = Process::start(Command::new(program).args(["-db", "-f"]).arg(&config), &log)?;
    let row = Row { work: Work::Hop, peer: "haproxy", to, pids: vec![process.pid()] };
    Ok(Peer { version, rows: vec![row], processes: vec![process], log })
}

/// Debian keeps it where the PATH of users does not lead.
fn program() -> &'static Path {
    let usual = Path::new("/usr/sbin/haproxy");
    if usual.exists() { usual } else { Path::new("haproxy") }
}
