//! New connections: each client connects, asks once, reads the answer, closes, and begins again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Outcome, answer_length, deadline, gather, get};

/// Connections at a time.
const CLIENTS: usize = 8;

/// Loads an address for a time.
pub async fn run(to: SocketAddr, time: Duration) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let end = deadline(time);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(to, end));
    }
    gather(clients, start).await
}

async fn client(to: SocketAddr, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let request = get(to);
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(times);
        }
        one(to, &request).await?;
        times.push(start.elapsed());
    }
}

async fn one(to: SocketAddr, request: &[u8]) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(to).await.context("a new connection")?;
    stream.set_nodelay(true)?;
    stream.write_all(request).await?;
    let mut buffer = Vec::with_capacity(4096);
    while answer_length(&buffer)?.is_none() {
        if stream.read_buf(&mut buffer).await? == 0 {
            bail!("{to} closed a connection");
        }
    }
    Ok(())
}
