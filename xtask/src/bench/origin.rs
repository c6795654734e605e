//! What all proxies stand in front of: a small server on a thread of its own, made to cost little.

mod http2;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::sync_channel;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The body of every answer.
pub const BODY: &[u8; 128] = &[b'b'; 128];
/// The message of every gRPC answer: not compressed, 64 bytes.
pub const MESSAGE: &[u8; 69] = b"\0\0\0\0\x40\
    mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";
/// The body of `/big`.
pub const BIG: usize = 1 << 30;
/// How much is written at once to who reads all he can get.
const BLOCK: usize = 64 << 10;

/// Where the origin listens.
pub struct Origin {
    /// HTTP/1.1: a GET of `/big` gets [`BIG`] bytes, of anything else [`BODY`].
    pub http: SocketAddr,
    /// The same once more, for who is told that it is just bytes.
    pub opaque: SocketAddr,
    /// HTTP/2 with prior knowledge: a GET gets [`BODY`], a unary call [`MESSAGE`], a call of `…/Stream` what it sends.
    pub grpc: SocketAddr,
    /// The same once more, for who is told that it is HTTP/2 and no gRPC.
    pub h2: SocketAddr,
    /// `please` gets bytes without end, whatever else comes back.
    pub tcp: SocketAddr,
}

impl Origin {
    /// Starts it; it lasts as long as the program.
    pub fn start() -> anyhow::Result<Self> {
        let (tell, told) = sync_channel(1);
        std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            runtime.block_on(async {
                match listeners().await {
                    Ok((origin, [http, opaque, grpc, h2, tcp])) => {
                        if tell.send(Ok(origin)).is_ok() {
                            tokio::join!(
                                accept(http, Kind::Http),
                                accept(opaque, Kind::Http),
                                accept(grpc, Kind::Http2),
                                accept(h2, Kind::Http2),
                                accept(tcp, Kind::Tcp)
                            );
                        }
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
        })?;
        told.recv().context("the origin has ended")?.context("starting the origin")
    }
}

async fn listeners() -> std::io::Result<(Origin, [TcpListener; 5])> {
    let one = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let all = [one().await?, one().await?, one().await?, one().await?, one().await?];
    let [http, opaque, grpc, h2, tcp] = &all;
    let origin = Origin {
        http: http.local_addr()?,
        opaque: opaque.local_addr()?,
        grpc: grpc.local_addr()?,
        h2: h2.local_addr()?,
        tcp: tcp.local_addr()?,
    };
    Ok((origin, all))
}

#[derive(Clone, Copy)]
enum Kind {
    Http,
    Http2,
    Tcp,
}

async fn accept(listener: TcpListener, kind: Kind) {
    loop {
        // A client that is gone again is no reason to end; nothing here outlives the measurement.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            // How a connection ends is the client's to judge.
            match kind {
                Kind::Http => drop(http(stream).await),
                Kind::Http2 => drop(http2::serve(stream).await),
                Kind::Tcp => drop(tcp(stream).await),
            }
        });
    }
}

/// Counts the ends of heads, since a GET has no body, and answers each.
async fn http(mut stream: TcpStream) -> std::io::Result<()> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", BODY.len())
            .into_bytes();
    answer.extend_from_slice(BODY);
    let mut buffer = Vec::with_capacity(8 << 10);
    let mut answers = Vec::new();
    while stream.read_buf(&mut buffer).await? > 0 {
        let mut done = 0;
        while let Some(head) = head_length(&buffer[done..]) {
            if buffer[done..].starts_with(b"GET /big ") {
                return big(&mut stream).await;
            }
            done += head;
            answers.extend_from_slice(&answer);
        }
        buffer.drain(..done);
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
            answers.clear();
        }
    }
    Ok(())
}

/// The length of the head that these bytes begin with, if it is whole.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Bytes without end for who says `please`; whatever else is said comes back.
async fn tcp(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![b'x'; BLOCK];
    let count = stream.read(&mut buffer).await?;
    if buffer[..count].starts_with(b"please") {
        loop {
            stream.write_all(&buffer).await?;
        }
    }
    stream.write_all(&buffer[..count]).await?;
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

/// A body of [`BIG`] bytes, the last answer of its connection.
async fn big(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n").as_bytes()).await?;
    let block = vec![b'x'; BLOCK];
    for _ in 0..BIG / BLOCK {
        stream.write_all(&block).await?;
    }
    stream.shutdown().await
}
