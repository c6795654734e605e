//! Bytes as fast as they come.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Outcome;

/// Connections that read at a time.
const CONNECTIONS: usize = 4;
/// What one read takes at most.
const BUFFER: usize = 256 << 10;

/// Loads an address for a time.
pub async fn run(to: SocketAddr, time: Duration) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let mut readers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        readers.spawn(read(to, time));
    }
    let mut outcome = Outcome::default();
    while let Some(result) = readers.join_next().await {
        outcome.done += result.context("a reader's task")??;
    }
    outcome.took = start.elapsed();
    Ok(outcome)
}

/// Whether bytes come at all.
pub async fn once(to: SocketAddr) -> anyhow::Result<()> {
    let mut stream = ask(to).await?;
    if stream.read(&mut [0; 1024]).await? == 0 {
        bail!("the connection was closed");
    }
    Ok(())
}

async fn ask(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(b"please\n").await?;
    Ok(stream)
}

/// The bytes that one connection got.
async fn read(to: SocketAddr, time: Duration) -> anyhow::Result<u64> {
    let mut stream = ask(to).await?;
    let mut buffer = vec![0; BUFFER];
    let mut count = 0;
    let end = Instant::now() + time;
    while Instant::now() < end {
        let part = stream.read(&mut buffer).await?;
        if part == 0 {
            bail!("the connection was closed after {count} bytes");
        }
        count += part as u64;
    }
    Ok(count)
}
