//! Unary gRPC calls, directly over HTTP/2: a few connections with some calls at a time on each, as gRPC's clients do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, Version};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{CONNECTIONS as CALLS, Outcome, deadline};
use crate::bench::origin::MESSAGE;

/// Connections, and calls at a time on each.
const CONNECTIONS: usize = 4;

/// Loads an address for a time.
pub async fn run(to: SocketAddr, time: Duration) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let end = deadline(time);
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = connect(to).await?;
        for _ in 0..CALLS / CONNECTIONS {
            callers.spawn(calls(client.clone(), to, end));
        }
    }
    let mut times = Vec::new();
    while let Some(result) = callers.join_next().await {
        times.append(&mut result.context("a caller's task")??);
    }
    Ok(Outcome::of(times, 0, start.elapsed()))
}

/// One call.
pub async fn once(to: SocketAddr) -> anyhow::Result<()> {
    call(&mut connect(to).await?, to).await
}

/// So many calls, one after the other over one connection.
pub async fn in_turn(to: SocketAddr, calls: u64) -> anyhow::Result<()> {
    let mut client = connect(to).await?;
    for _ in 0..calls {
        call(&mut client, to).await?;
    }
    Ok(())
}

async fn connect(to: SocketAddr) -> anyhow::Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(4 << 20).enable_push(false);
    let (client, connection) = builder.handshake(stream).await?;
    // Its end is seen by the calls.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

async fn calls(
    mut client: SendRequest<Bytes>,
    to: SocketAddr,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(times);
        }
        call(&mut client, to).await?;
        times.push(start.elapsed());
    }
}

async fn call(client: &mut SendRequest<Bytes>, to: SocketAddr) -> anyhow::Result<()> {
    let mut ready = client.clone().ready().await?;
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{to}/bench.Echo/Unary"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut stream) = ready.send_request(request, false)?;
    stream.send_data(Bytes::from_static(MESSAGE), true)?;
    let response = response.await?;
    if response.status() != 200 {
        bail!("answered {}", response.status());
    }
    let early = response.headers().get("grpc-status").cloned();
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        length += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    let status = body.trailers().await?.and_then(|trailers| trailers.get("grpc-status").cloned()).or(early);
    if length != MESSAGE.len() || status.as_ref().is_none_or(|status| status != "0") {
        bail!("{length} bytes and grpc-status {status:?}");
    }
    Ok(())
}
