//! Requests of HTTP/1.1 at a fixed rate, and of HTTP/2 one after the other. Nothing is tried again that may have been
//! processed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::mesh::Mesh;
use super::tally::{Tally, What};

/// Connections that take requests of HTTP/1.1.
const CLIENTS: usize = 32;
/// Requests that wait for a connection.
const WAITING: usize = 100_000;
/// For any answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two requests of HTTP/2.
const PACE: Duration = Duration::from_millis(10);

/// Begins.
pub fn start(mesh: &Arc<Mesh>, rate: u32, tally: &Arc<Tally>, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let address = mesh.web;
    let (due, taken) = sync_channel(WAITING);
    let taken = Arc::new(Mutex::new(taken));
    let mut threads = Vec::new();
    for _ in 0..CLIENTS {
        let (taken, tally) = (Arc::clone(&taken), Arc::clone(tally));
        threads.push(std::thread::spawn(move || client(address, &taken, &tally)));
    }
    let stopped = Arc::clone(stop);
    threads.push(std::thread::spawn(move || {
        let (began, step) = (Instant::now(), Duration::from_secs(1) / rate.max(1));
        let mut number = 0;
        while !stopped.load(Relaxed) && due.send(()).is_ok() {
            number += 1;
            std::thread::sleep((began + step * number).saturating_duration_since(Instant::now()));
        }
    }));
    let (tally, stop) = (Arc::clone(tally), Arc::clone(stop));
    threads.push(std::thread::spawn(move || http2(address, &tally, &stop)));
    threads
}

fn client(address: SocketAddr, due: &Mutex<Receiver<()>>, tally: &Tally) {
    let mut kept = None;
    loop {
        let next = due.lock().unwrap_or_else(PoisonError::into_inner).recv();
        if next.is_err() {
            return;
        }
        tally.count(What::Http1, ask(address, "/", &mut kept));
    }
}

/// Whether a request is answered well.
pub fn is_well(address: SocketAddr, path: &str) -> bool {
    ask(address, path, &mut None).is_ok()
}

fn ask(address: SocketAddr, path: &str, kept: &mut Option<BufReader<TcpStream>>) -> io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            BufReader::new(stream)
        }
    };
    stream.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n").as_bytes())?;
    let (mut status, mut length, mut close) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        // A closing that is announced is good manners.
        close |= line == "connection: close";
        if status.is_empty() {
            status = line;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    if !status.starts_with("http/1.1 200") {
        return Err(io::Error::other(format!("{status} {}", String::from_utf8_lossy(&body))));
    }
    if !close {
        *kept = Some(stream);
    }
    Ok(())
}

fn http2(address: SocketAddr, tally: &Tally, stop: &AtomicBool) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let mut sender = None;
        while !stop.load(Relaxed) {
            match tokio::time::timeout(PATIENCE, one(address, &mut sender)).await {
                Ok(Ok(Answered::Well)) => tally.count(What::Http2, Ok::<_, io::Error>(())),
                // Said by the server not to have been processed: another connection, as every client does.
                Ok(Ok(Answered::ElseWhere)) => sender = None,
                Ok(Err(error)) => {
                    sender = None;
                    tally.count(What::Http2, Err(error));
                }
                Err(_) => {
                    sender = None;
                    tally.count(What::Http2, Err("no answer"));
                }
            }
            tokio::time::sleep(PACE).await;
        }
    });
}

type Sender = h2::client::SendRequest<bytes::Bytes>;

enum Answered {
    Well,
    ElseWhere,
}

async fn one(address: SocketAddr, kept: &mut Option<Sender>) -> anyhow::Result<Answered> {
    let sender = match kept.take() {
        Some(sender) => sender,
        None => {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = h2::client::handshake(stream).await?;
            tokio::spawn(connection);
            sender
        }
    };
    // A connection that was told to go away takes nothing new: nothing was sent.
    let Ok(mut sender) = sender.ready().await else { return Ok(Answered::ElseWhere) };
    let request = http::Request::get("http://soak/").body(())?;
    let Ok((response, _)) = sender.send_request(request, true) else { return Ok(Answered::ElseWhere) };
    let response = match response.await {
        Ok(response) => response,
        Err(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => return Ok(Answered::ElseWhere),
        // Above the last stream that a GOAWAY names: not processed (RFC 9113 section 6.8).
        Err(error)
            if error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR) =>
        {
            return Ok(Answered::ElseWhere);
        }
        Err(error) => return Err(error.into()),
    };
    let status = response.status();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    anyhow::ensure!(status == http::StatusCode::OK, "{status}");
    *kept = Some(sender);
    Ok(Answered::Well)
}
