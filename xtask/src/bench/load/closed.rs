//! The built-in load of HTTP/1.1 where there is no wrk: each connection sends its next request when it has its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Outcome, answer_length, deadline, gather, get};

/// Loads an address for a time.
pub async fn run(to: SocketAddr, time: Duration, connections: usize) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let end = deadline(time);
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(connection(to, end));
    }
    gather(clients, start).await
}

/// The times of one connection's requests.
async fn connection(to: SocketAddr, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let request = get(to);
    let mut buffer = Vec::with_capacity(4096);
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(times);
        }
        stream.write_all(&request).await?;
        let length = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                bail!("{to} closed a connection");
            }
            if let Some(length) = answer_length(&buffer)? {
                break length;
            }
        };
        buffer.drain(..length);
        times.push(start.elapsed());
    }
}
