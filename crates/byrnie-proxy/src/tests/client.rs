//! Clients that say exactly what a test wants said.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::Local;

/// An HTTP/1 client that writes bytes and reads answers.
pub(super) struct Client<S = TcpStream> {
    pub(super) stream: S,
    buffer: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status line.
    pub(super) line: String,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Lines after the last chunk.
    pub(super) trailers: Vec<String>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    pub(super) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::reading(stream)
    }

    pub(super) async fn say(&mut self, words: impl AsRef<[u8]>) {
        self.stream.write_all(words.as_ref()).await.unwrap();
    }

    pub(super) async fn ask(&mut self, words: impl AsRef<[u8]>) -> Answer {
        self.say(words).await;
        self.answer().await
    }
}

impl<S: AsyncRead + Unpin> Client<S> {
    /// A client that only reads.
    pub(super) fn reading(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next answer with its body.
    pub(super) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if answer.status < 200 || matches!(answer.status, 204 | 304) {
            return answer;
        }
        if answer.headers.contains_key("transfer-encoding") {
            self.chunks(&mut answer).await;
        } else if let Some(length) = answer.headers.get("content-length") {
            let length: usize = length.to_str().unwrap().parse().unwrap();
            answer.body = self.take(length).await;
        } else {
            answer.body = self.rest().await;
        }
        answer
    }

    /// The next answer's head.
    pub(super) async fn head(&mut self) -> Answer {
        let end = self.find(b"\r\n\r\n").await;
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().lines();
        let line = lines.next().unwrap().to_owned();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
        }
        Answer { line, status, headers, body: Vec::new(), trailers: Vec::new() }
    }

    async fn chunks(&mut self, answer: &mut Answer) {
        loop {
            let line = self.line().await;
            let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            let chunk = self.take(size).await;
            answer.body.extend(chunk);
            assert_eq!(self.line().await, "");
        }
        loop {
            match self.line().await {
                line if line.is_empty() => return,
                line => answer.trailers.push(line),
            }
        }
    }

    async fn line(&mut self) -> String {
        let end = self.find(b"\r\n").await;
        let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    async fn find(&mut self, what: &[u8]) -> usize {
        loop {
            if let Some(at) = self.buffer.windows(what.len()).position(|window| window == what) {
                return at;
            }
            let more = self.more().await;
            assert!(more, "it closed after {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// So many bytes.
    pub(super) async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.more().await, "it closed {} bytes early", length - self.buffer.len());
        }
        self.buffer.drain(..length).collect()
    }

    /// Whatever comes until the connection ends, however it ends.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    async fn more(&mut self) -> bool {
        let mut space = vec![0; 64 * 1024];
        match self.stream.read(&mut space).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&space[..read]);
                true
            }
        }
    }
}

/// A GET.
pub(super) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: web.shop\r\n\r\n")
}

/// A POST.
pub(super) fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: web.shop\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One request on a connection of its own.
pub(super) async fn ask(address: SocketAddr, words: impl AsRef<[u8]>) -> Answer {
    Client::to(address).await.ask(words).await
}

pub(super) type Outgoing = UnsyncBoxBody<Bytes, Infallible>;

/// No body.
pub(super) fn nothing() -> Outgoing {
    Empty::new().boxed_unsync()
}

/// A whole body.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Outgoing {
    Full::new(bytes.into()).boxed_unsync()
}

/// An HTTP/2 client with prior knowledge.
pub(super) struct Client2(http2::SendRequest<Outgoing>);

impl Client2 {
    pub(super) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http2::handshake(Local, TokioIo::new(stream)).await.unwrap();
        tokio::task::spawn_local(connection);
        Self(sender)
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    /// The answer with its body and trailers.
    pub(super) async fn ask(&mut self, request: Request<Outgoing>) -> Answer {
        let (head, body) = self.send(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().into_iter().flatten();
        let trailers = trailers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        Answer {
            line: format!("{:?} {}", head.version, head.status),
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes().to_vec(),
            trailers,
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.ask(Request::get(format!("http://web.shop{path}")).body(nothing()).unwrap()).await
    }
}
