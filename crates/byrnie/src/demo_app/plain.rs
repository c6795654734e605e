//! HTTP/1.1 as the sample services speak it: small answers, one kept connection to each server.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long a caller waits.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const LONGEST: usize = 1 << 20;

/// Calls one server over one connection, which is opened again when it breaks.
#[derive(Debug)]
pub struct HttpClient {
    server: SocketAddr,
    host: &'static str,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl HttpClient {
    /// Connects at the first call. `host` is what the `Host` header says.
    pub fn new(server: SocketAddr, host: &'static str) -> Self {
        Self { server, host, connection: None }
    }

    /// One request without a body.
    pub async fn call(&mut self, method: Method, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(method, path)).await;
        let answer = answer.context("no answer within 5 s").flatten();
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn exchange(&mut self, method: Method, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, self.host);
        let request = request.body(Full::default())?;
        let response = self.connection().await?.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        Ok((status, body.map_err(anyhow::Error::from_boxed)?.to_bytes()))
    }

    async fn connection(&mut self) -> anyhow::Result<&mut SendRequest<Full<Bytes>>> {
        let usable = match &mut self.connection {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(self.server).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            self.connection = Some(sender);
        }
        self.connection.as_mut().context("just connected")
    }
}

/// Serves one connection; `answer` may upgrade it.
pub async fn serve<F>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Response<Full<Bytes>>>,
{
    let answer = |request| {
        let response = answer(request);
        async move { Ok::<_, std::convert::Infallible>(response.await) }
    };
    let service = hyper::service::service_fn(answer);
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // The other side going away is no news.
    let _ = connection.without_shutdown().await;
}

/// An answer with a body.
pub fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// A line of text as an answer.
pub fn text(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", format!("{line}\n"))
}
