//! The applications: one of requests, one that switches protocols, one of gRPC, one of bytes. All echo.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Where they listen on loopback.
pub struct Origins {
    pub web: u16,
    pub chat: u16,
    pub grpc: u16,
    pub bytes: u16,
}

/// Starts them; they last as long as the program.
pub fn start() -> anyhow::Result<Origins> {
    Ok(Origins { web: serve(requests)?, chat: serve(switching)?, bytes: serve(echo)?, grpc: grpc()? })
}

fn serve(one: impl Fn(TcpStream) -> io::Result<()> + Copy + Send + 'static) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Small stacks: there may be many.
            let _ = std::thread::Builder::new().stack_size(128 << 10).spawn(move || one(stream));
        }
    });
    Ok(port)
}

fn requests(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        // The head's lines; no request has a body.
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nsoak\n")?;
    }
}

fn switching(mut stream: TcpStream) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    )?;
    echo(stream)
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = stream.try_clone()?;
    io::copy(&mut reader, &mut stream).map(drop)
}

/// HTTP/2 with prior knowledge: each message comes back on its stream.
fn grpc() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(grpc_connection(stream));
            }
        });
    });
    Ok(port)
}

async fn grpc_connection(stream: tokio::net::TcpStream) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let response =
                http::Response::builder().header("content-type", "application/grpc").body(()).ok()?;
            let mut out = respond.send_response(response, false).ok()?;
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                out.send_data(data, false).ok()?;
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            out.send_trailers(trailers).ok()
        });
    }
    None
}
