//! An open loop: requests leave at their times, however slow the answers are, so that a stall is seen by every request
//! that it delays. Threads that sleep, since a timer wheel of milliseconds would be coarser than what is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{Outcome, answer_length, deadline, get};

/// Connections, each with its share of the pace.
const CONNECTIONS: u32 = 16;
/// An answer that takes longer than this is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Loads an address for a time.
pub fn run(to: SocketAddr, time: Duration, pace: u32) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let gap = Duration::from_secs(1) * CONNECTIONS / pace;
    let threads: Vec<_> =
        (0..CONNECTIONS).map(|index| std::thread::spawn(move || connection(to, index, gap, time))).collect();
    let mut times = Vec::new();
    let mut failed = 0;
    for thread in threads {
        match thread.join() {
            Ok(Ok(mut some)) => times.append(&mut some),
            Ok(Err(error)) => {
                eprintln!("{to}: {error:#}");
                failed += 1;
            }
            Err(_) => bail!("a thread of the load panicked"),
        }
    }
    Ok(Outcome::of(times, failed, start.elapsed()))
}

/// One request.
pub fn once(to: SocketAddr, patience: Duration) -> anyhow::Result<()> {
    Connection::open(to, patience).map(drop)
}

/// So many requests over one connection, each when the one before is answered.
pub fn in_turn(to: SocketAddr, requests: u64, patience: Duration) -> anyhow::Result<()> {
    let mut connection = Connection::open(to, patience)?;
    let request = get(to);
    for _ in 1..requests {
        connection.request(&request)?;
    }
    Ok(())
}

/// A request whose connection is still busy at its time counts from then. One whose thread merely woke late counts
/// from its sending: that is our delay, not the proxy's.
fn connection(to: SocketAddr, index: u32, gap: Duration, time: Duration) -> anyhow::Result<Vec<Duration>> {
    let mut connection = Connection::open(to, PATIENCE)?;
    let request = get(to);
    let mut jitter = Jitter(u64::from(index) + 1);
    let mut times = Vec::new();
    let end = deadline(time);
    let mut due = Instant::now() + gap * index / CONNECTIONS;
    while due < end {
        let idle = due.saturating_duration_since(Instant::now());
        std::thread::sleep(idle);
        let start = if idle.is_zero() { due } else { Instant::now() };
        connection.request(&request)?;
        times.push(start.elapsed());
        due += gap.mul_f64(0.5 + jitter.next());
    }
    Ok(times)
}

/// A connection that has had an answer.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects and asks once.
    pub fn open(to: SocketAddr, patience: Duration) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let mut connection = Self { stream, buffer: Vec::new() };
        connection.request(&get(to))?;
        Ok(connection)
    }

    fn request(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let mut part = [0; 4096];
        while answer_length(&self.buffer)?.is_none() {
            let count = self.stream.read(&mut part).context("waiting for an answer")?;
            if count == 0 {
                bail!("the connection was closed");
            }
            self.buffer.extend_from_slice(&part[..count]);
        }
        Ok(())
    }
}

/// Numbers between 0 and 1, the same ones in every run (splitmix64).
struct Jitter(u64);

impl Jitter {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_even() {
        let mut jitter = Jitter(1);
        let numbers: Vec<f64> = (0..1000).map(|_| jitter.next()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
