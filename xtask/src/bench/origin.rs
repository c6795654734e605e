//! What all proxies stand in front of: a small server on a thread of its own, made to cost little.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::sync_channel;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The body of every answer.
pub const BODY: &[u8; 128] = &[b'b'; 128];
/// The message of every gRPC answer: not compressed, 64 bytes.
pub const MESSAGE: &[u8; 69] = b"\0\0\0\0\x40\
    mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";
/// How much is written at once to who reads all he can get.
const BLOCK: usize = 64 << 10;

/// Where the origin listens.
pub struct Origin {
    /// HTTP/1.1: a GET of anything gets [`BODY`].
    pub http: SocketAddr,
    /// The same once more, for who is told that it is just bytes.
    pub opaque: SocketAddr,
    /// HTTP/2 with prior knowledge: a unary call of anything gets [`MESSAGE`].
    pub grpc: SocketAddr,
    /// Any byte gets bytes without end.
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
                    Ok((origin, [http, opaque, grpc, tcp])) => {
                        if tell.send(Ok(origin)).is_ok() {
                            tokio::join!(
                                accept(http, Kind::Http),
                                accept(opaque, Kind::Http),
                                accept(grpc, Kind::Grpc),
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

async fn listeners() -> std::io::Result<(Origin, [TcpListener; 4])> {
    let one = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let all = [one().await?, one().await?, one().await?, one().await?];
    let [http, opaque, grpc, tcp] = &all;
    let origin = Origin {
        http: http.local_addr()?,
        opaque: opaque.local_addr()?,
        grpc: grpc.local_addr()?,
        tcp: tcp.local_addr()?,
    };
    Ok((origin, all))
}

#[derive(Clone, Copy)]
enum Kind {
    Http,
    Grpc,
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
                Kind::Grpc => drop(grpc(stream).await),
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

async fn grpc(stream: TcpStream) -> Result<(), h2::Error> {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(4 << 20).max_concurrent_streams(1000);
    let mut connection = builder.handshake::<_, Bytes>(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        tokio::spawn(async move { drop(unary(request.into_body(), respond).await) });
    }
    Ok(())
}

async fn unary(
    mut body: h2::RecvStream,
    mut respond: h2::server::SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(response, false)?;
    stream.send_data(Bytes::from_static(MESSAGE), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

async fn tcp(mut stream: TcpStream) -> std::io::Result<()> {
    if stream.read(&mut [0; 64]).await? == 0 {
        return Ok(());
    }
    let block = vec![b'x'; BLOCK];
    loop {
        stream.write_all(&block).await?;
    }
}
