//! HTTP/2 with prior knowledge: a few connections with some things at a time on each, as gRPC's clients do. GETs, unary
//! gRPC calls, or messages on streams that last.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response, Version};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{CONNECTIONS as AT_A_TIME, Outcome, deadline, gather};
use crate::bench::origin::{BODY, MESSAGE};

/// Connections that share the load.
const CONNECTIONS: usize = 4;

/// What is done on a connection.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A GET of a small body.
    Get,
    /// A unary call of gRPC.
    Unary,
    /// A message on a bidirectional stream of gRPC, and the one that comes back.
    Message,
}

/// Loads an address for a time.
pub async fn run(kind: Kind, to: SocketAddr, time: Duration) -> anyhow::Result<Outcome> {
    run_over(kind, to, time, CONNECTIONS, AT_A_TIME / CONNECTIONS).await
}

/// The same over so many connections, with so many at a time on each.
pub async fn run_over(
    kind: Kind,
    to: SocketAddr,
    time: Duration,
    connections: usize,
    each: usize,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let end = deadline(time);
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        let client = connect(to).await?;
        for _ in 0..each {
            let client = client.clone();
            callers.spawn(async move {
                match kind {
                    Kind::Message => messages(client, to, end).await,
                    Kind::Get | Kind::Unary => calls(kind, client, to, end).await,
                }
            });
        }
    }
    gather(callers, start).await
}

/// One of a kind.
pub async fn once(kind: Kind, to: SocketAddr) -> anyhow::Result<()> {
    let mut client = connect(to).await?;
    match kind {
        Kind::Get => get(&mut client, to).await,
        Kind::Unary => call(&mut client, to).await,
        Kind::Message => Stream::open(client, to).await?.message().await,
    }
}

/// So many unary calls, one after the other over one connection.
pub async fn calls_in_turn(to: SocketAddr, calls: u64) -> anyhow::Result<()> {
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
    kind: Kind,
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
        match kind {
            Kind::Get => get(&mut client, to).await?,
            Kind::Unary | Kind::Message => call(&mut client, to).await?,
        }
        times.push(start.elapsed());
    }
}

async fn messages(client: SendRequest<Bytes>, to: SocketAddr, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut stream = Stream::open(client, to).await?;
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        if start >= end {
            stream.send.send_data(Bytes::new(), true)?;
            return Ok(times);
        }
        stream.message().await?;
        times.push(start.elapsed());
    }
}

async fn get(client: &mut SendRequest<Bytes>, to: SocketAddr) -> anyhow::Result<()> {
    let mut ready = client.clone().ready().await?;
    let request = Request::get(format!("http://{to}/")).version(Version::HTTP_2).body(())?;
    let (response, _) = ready.send_request(request, true)?;
    let mut body = good(response.await?)?;
    let length = read(&mut body).await?;
    if length != BODY.len() {
        bail!("a body of {length} bytes");
    }
    Ok(())
}

async fn call(client: &mut SendRequest<Bytes>, to: SocketAddr) -> anyhow::Result<()> {
    let mut ready = client.clone().ready().await?;
    let (response, mut stream) = ready.send_request(post(to, "Unary")?, false)?;
    stream.send_data(Bytes::from_static(MESSAGE), true)?;
    let response = response.await?;
    let early = response.headers().get("grpc-status").cloned();
    let mut body = good(response)?;
    let length = read(&mut body).await?;
    let status = body.trailers().await?.and_then(|trailers| trailers.get("grpc-status").cloned()).or(early);
    if length != MESSAGE.len() || status.as_ref().is_none_or(|status| status != "0") {
        bail!("{length} bytes and grpc-status {status:?}");
    }
    Ok(())
}

/// A call of gRPC.
fn post(to: SocketAddr, method: &str) -> anyhow::Result<Request<()>> {
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{to}/bench.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    Ok(request.body(())?)
}

/// The body of a 200.
fn good(response: Response<RecvStream>) -> anyhow::Result<RecvStream> {
    if response.status() != 200 {
        bail!("answered {}", response.status());
    }
    Ok(response.into_body())
}

/// The length of a body, once it has ended.
async fn read(body: &mut RecvStream) -> anyhow::Result<usize> {
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        length += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(length)
}

/// A bidirectional stream of gRPC.
struct Stream {
    send: SendStream<Bytes>,
    receive: RecvStream,
}

impl Stream {
    /// Opens it with a message: many servers answer only then.
    async fn open(client: SendRequest<Bytes>, to: SocketAddr) -> anyhow::Result<Self> {
        let mut ready = client.ready().await?;
        let (response, mut send) = ready.send_request(post(to, "Stream")?, false)?;
        send.send_data(Bytes::from_static(MESSAGE), false)?;
        let mut stream = Self { send, receive: good(response.await?)? };
        stream.hear().await?;
        Ok(stream)
    }

    /// A message there and back.
    async fn message(&mut self) -> anyhow::Result<()> {
        self.send.send_data(Bytes::from_static(MESSAGE), false)?;
        self.hear().await
    }

    async fn hear(&mut self) -> anyhow::Result<()> {
        let mut length = 0;
        while length < MESSAGE.len() {
            let data = self.receive.data().await.context("the stream has ended")??;
            length += data.len();
            self.receive.flow_control().release_capacity(data.len())?;
        }
        Ok(())
    }
}
