//! One connection, one byte there and back, again and again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Outcome;

/// A byte that does not come back for so long is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does it for a time; each answer is a message.
pub fn run(to: SocketAddr, time: Duration) -> anyhow::Result<Outcome> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut times = Vec::new();
    let begin = Instant::now();
    loop {
        let start = Instant::now();
        if start >= begin + time {
            return Ok(Outcome::of(times, 0, begin.elapsed()));
        }
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0]).context("a byte that comes back")?;
        times.push(start.elapsed());
    }
}
