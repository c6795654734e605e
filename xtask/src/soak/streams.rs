//! What is held throughout: a WebSocket, a TCP stream, a gRPC stream; and new TCP connections all the time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{Bytes as Buffer, BytesMut};

use super::mesh::Mesh;
use super::tally::{Tally, What};

/// Between two messages.
const PACE: Duration = Duration::from_millis(100);
/// For any message.
const PATIENCE: Duration = Duration::from_secs(20);

/// Begins. What breaks is counted, opened again, and the run has failed.
pub fn start(mesh: &Arc<Mesh>, tally: &Arc<Tally>, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let (web, bytes) = (mesh.web, mesh.bytes);
    vec![
        hold(What::WebSocket, tally, stop, move || Bytes::upgrade(web), Bytes::echo),
        hold(What::Tcp, tally, stop, move || Bytes::open(bytes), Bytes::echo),
        hold(What::GrpcMessages, tally, stop, move || Grpc::open(web), Grpc::echo),
        {
            let (tally, stop) = (Arc::clone(tally), Arc::clone(stop));
            std::thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let echoed = Bytes::open(bytes).and_then(|mut stream| stream.echo("short"));
                    tally.count(What::TcpConnections, echoed);
                    std::thread::sleep(PACE);
                }
            })
        },
    ]
}

fn hold<T>(
    what: What,
    tally: &Arc<Tally>,
    stop: &Arc<AtomicBool>,
    open: impl Fn() -> io::Result<T> + Send + 'static,
    echo: impl Fn(&mut T, &str) -> io::Result<()> + Send + 'static,
) -> JoinHandle<()> {
    let (tally, stop) = (Arc::clone(tally), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut stream = None;
        let mut round = 0_u64;
        while !stop.load(Relaxed) {
            round += 1;
            let mut open_stream = match stream.take().map_or_else(&open, Ok) {
                Ok(stream) => stream,
                Err(error) => {
                    tally.count(what, Err(error));
                    std::thread::sleep(PACE);
                    continue;
                }
            };
            let echoed = echo(&mut open_stream, &format!("message {round}"));
            if echoed.is_ok() {
                stream = Some(open_stream);
            }
            tally.count(what, echoed);
            std::thread::sleep(PACE);
        }
    })
}

/// A connection whose other end says what it is told.
pub struct Bytes(TcpStream);

impl Bytes {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// After a switch to WebSocket; what is said then is of no concern to a proxy.
    pub fn upgrade(address: SocketAddr) -> io::Result<Self> {
        let mut bytes = Self::open(address)?;
        let head = "GET /chat HTTP/1.1\r\nHost: soak\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        bytes.0.write_all(head.as_bytes())?;
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"\r\n\r\n") {
            bytes.0.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        match answer.starts_with(b"HTTP/1.1 101 ") {
            true => Ok(bytes),
            false => Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
        }
    }

    pub fn echo(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())?;
        let mut back = vec![0; text.len()];
        self.0.read_exact(&mut back)?;
        if back == text.as_bytes() { Ok(()) } else { Err(io::Error::other("something else came back")) }
    }
}

/// One bidirectional gRPC call.
pub struct Grpc {
    runtime: tokio::runtime::Runtime,
    send: h2::SendStream<Buffer>,
    receive: h2::RecvStream,
}

impl Grpc {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let opened = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            let mut sender = sender.ready().await.map_err(io::Error::other)?;
            let request = http::Request::post("http://soak/soak.Echo/All")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())
                .map_err(io::Error::other)?;
            let (response, send) = sender.send_request(request, false).map_err(io::Error::other)?;
            let response = tokio::time::timeout(PATIENCE, response).await?.map_err(io::Error::other)?;
            if response.status() != http::StatusCode::OK || response.headers().contains_key("grpc-status") {
                return Err(io::Error::other(format!("{response:?}")));
            }
            Ok((send, response.into_body()))
        });
        let (send, receive) = opened?;
        Ok(Self { runtime, send, receive })
    }

    /// One message there and back.
    pub fn echo(&mut self, text: &str) -> io::Result<()> {
        let mut message = BytesMut::from(&[0][..]);
        message.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
        message.extend_from_slice(text.as_bytes());
        let message = message.freeze();
        let Self { runtime, send, receive } = self;
        send.send_data(message.clone(), false).map_err(io::Error::other)?;
        let back = runtime.block_on(async {
            let mut back = BytesMut::new();
            while back.len() < message.len() {
                let next = tokio::time::timeout(PATIENCE, receive.data()).await?;
                let data = next.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io::Error::other)?;
                receive.flow_control().release_capacity(data.len()).map_err(io::Error::other)?;
                back.extend_from_slice(&data);
            }
            Ok::<_, io::Error>(back)
        })?;
        if back == message { Ok(()) } else { Err(io::Error::other("something else came back")) }
    }
}
