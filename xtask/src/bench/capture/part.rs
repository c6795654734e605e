//! The programs that run in workloads' places while capture is measured: an ordinary server and an ordinary client,
//! with blocking sockets, that know nothing of a mesh.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use crate::bench::memory::held;
use crate::bench::process::own_cpu;

/// What the client reads at once.
const BUFFER: usize = 256 << 10;
/// What the server writes at once.
const BLOCK: usize = 64 << 10;

/// One of them.
#[derive(Subcommand)]
pub enum Part {
    /// Answers a byte by a byte at the first port, by bytes without end at the second
    Serve { echo: u16, bulk: u16 },
    /// Makes so many connections, one after the other
    Connect { host: String, port: u16, count: u32 },
    /// Reads all it can get
    Pull { host: String, port: u16, connections: u32, seconds: u64 },
    /// Opens connections of HTTP/1.1 and holds them until its input ends (`bench --memory`)
    Hold { to: SocketAddr, connections: usize },
}

/// Runs it; what it found out goes to standard output as JSON.
pub fn run(part: Part) -> anyhow::Result<()> {
    let found = match part {
        Part::Serve { echo, bulk } => return serve(echo, bulk),
        Part::Connect { host, port, count } => connect(&host, port, count)?,
        Part::Pull { host, port, connections, seconds } => pull(&host, port, connections, seconds)?,
        Part::Hold { to, connections } => return held::hold(to, connections),
    };
    println!("{found}");
    Ok(())
}

fn serve(echo: u16, bulk: u16) -> anyhow::Result<()> {
    let (echo, bulk) = (
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, echo))?,
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, bulk))?,
    );
    std::thread::spawn(move || {
        for stream in bulk.incoming().flatten() {
            std::thread::spawn(move || pour(stream));
        }
    });
    for mut stream in echo.incoming().flatten() {
        let mut byte = [0];
        // How a connection ends is the client's to judge.
        while stream.read(&mut byte).is_ok_and(|read| read == 1) && stream.write_all(&byte).is_ok() {}
    }
    Ok(())
}

fn pour(mut stream: TcpStream) {
    let block = vec![b'x'; BLOCK];
    if stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {
        while stream.write_all(&block).is_ok() {}
    }
}

fn address(host: &str, port: u16) -> anyhow::Result<std::net::SocketAddr> {
    let mut all = std::net::ToSocketAddrs::to_socket_addrs(&(host, port)).context("its name")?;
    all.find(std::net::SocketAddr::is_ipv4).context("it has no address")
}

fn connect(host: &str, port: u16, count: u32) -> anyhow::Result<serde_json::Value> {
    let to = address(host, port)?;
    let before = own_cpu()?;
    let mut took = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        took.push(begun.elapsed());
    }
    let used = own_cpu()? - before;
    took.sort_unstable();
    let at = |share: f64| {
        let rank = (share * took.len() as f64).ceil() as usize;
        took.get(rank.saturating_sub(1)).map(|took| took.as_secs_f64() * 1e6)
    };
    Ok(json!({"p50": at(0.5), "p99": at(0.99), "cpu": used.as_secs_f64()}))
}

fn pull(host: &str, port: u16, connections: u32, seconds: u64) -> anyhow::Result<serde_json::Value> {
    let to = address(host, port)?;
    let before = own_cpu()?;
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let readers: Vec<_> = (0..connections).map(|_| std::thread::spawn(move || read(to, end))).collect();
    // A thread's time is in the process's no more once it has ended, so each says its own.
    let (mut bytes, mut used) = (0, own_cpu()?.saturating_sub(before));
    for reader in readers {
        let (read, cpu) = reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
        bytes += read;
        used += cpu;
    }
    let took = begun.elapsed().as_secs_f64();
    Ok(json!({"bytes": bytes, "seconds": took, "cpu": used.as_secs_f64()}))
}

/// Bytes, and the thread's CPU time.
fn read(to: std::net::SocketAddr, end: Instant) -> anyhow::Result<(u64, Duration)> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"please\n")?;
    let mut buffer = vec![0; BUFFER];
    let mut count = 0;
    while Instant::now() < end {
        let part = stream.read(&mut buffer)?;
        anyhow::ensure!(part > 0, "the connection was closed after {count} bytes");
        count += part as u64;
    }
    Ok((count, own_cpu().unwrap_or_default()))
}
