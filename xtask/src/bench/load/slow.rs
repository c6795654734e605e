//! A client that takes a large body at 10 KB a second.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, bail};

/// What it takes at once.
const PART: usize = 1000;
/// And then it does something else.
const PAUSE: Duration = Duration::from_millis(100);
/// A part that does not come for so long is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads until it is told to stop; how many bytes it has got.
pub fn run(to: SocketAddr, stop: &AtomicBool) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /big HTTP/1.1\r\nhost: {to}\r\n\r\n").as_bytes())?;
    let mut part = [0; PART];
    let mut count = 0;
    while !stop.load(Relaxed) {
        match stream.read(&mut part).context("the next part of a large body")? {
            0 => bail!("the connection was closed after {count} bytes"),
            read => count += read as u64,
        }
        std::thread::sleep(PAUSE);
    }
    Ok(count)
}
