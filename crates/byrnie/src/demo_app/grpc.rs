//! gRPC on bare HTTP/2: framing, trailers, a client and a server of two call types. Enough for the sample.

use std::net::SocketAddr;
use std::pin::Pin;

use anyhow::{Context, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::stream::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

/// The longest message that is read.
const LONGEST: usize = 1 << 20;
/// `grpc-status` of a method that does not exist, and of everything else that fails here.
pub const UNIMPLEMENTED: u32 = 12;
pub const INTERNAL: u32 = 13;

/// Frames of an answer: messages, then trailers.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + Send>>;
/// What a call returns: messages until the first error, which is its status.
pub type Replies = Pin<Box<dyn Stream<Item = Result<Bytes, (u32, String)>> + Send>>;

/// A message with the five bytes before it.
pub fn encode(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    // A BytesMut grows, so there is always room.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// Takes the next message off the buffer; None until it is whole.
fn decode<M: Message + Default>(buffer: &mut BytesMut) -> anyhow::Result<Option<M>> {
    if buffer.len() < 5 {
        return Ok(None);
    }
    if buffer[0] != 0 {
        bail!("a compressed message, which nobody asked for");
    }
    let length = u32::from_be_bytes([buffer[1], buffer[2], buffer[3], buffer[4]]) as usize;
    if length > LONGEST {
        bail!("a message of {length} bytes");
    }
    if buffer.len() < 5 + length {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(M::decode(buffer.split_to(length))?))
}

/// Messages that arrive on a body.
#[derive(Debug)]
pub struct Messages<M> {
    body: Incoming,
    buffer: BytesMut,
    head: Option<HeaderMap>,
    message: std::marker::PhantomData<fn() -> M>,
}

impl<M: Message + Default> Messages<M> {
    /// The messages of a request.
    pub fn new(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new(), head: None, message: std::marker::PhantomData }
    }

    /// The next message; None at a good end.
    pub async fn next(&mut self) -> anyhow::Result<Option<M>> {
        loop {
            if let Some(message) = decode(&mut self.buffer)? {
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await.transpose()? else {
                // An answer without trailers has its status in the head.
                self.head.take().map_or(Ok(()), |head| check(&head))?;
                return Ok(None);
            };
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => {
                    self.head = None;
                    frame.trailers_ref().map_or(Ok(()), check)?;
                }
            }
        }
    }
}

fn check(trailers: &HeaderMap) -> anyhow::Result<()> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        status => {
            bail!("grpc-status {}: {}", status.unwrap_or("missing"), text("grpc-message").unwrap_or(""))
        }
    }
}

/// Calls one server over one connection, which is opened again when it breaks.
#[derive(Debug)]
pub struct GrpcClient {
    server: SocketAddr,
    authority: &'static str,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl GrpcClient {
    /// Connects at the first call.
    pub fn new(server: SocketAddr, authority: &'static str) -> Self {
        Self { server, authority, connection: None }
    }

    /// A call with one message, and the messages of the answer.
    pub async fn call<M: Message + Default>(
        &mut self,
        path: &str,
        message: &impl Message,
    ) -> anyhow::Result<Messages<M>> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.server).await?;
            stream.set_nodelay(true)?;
            let io = TokioIo::new(stream);
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            self.connection = Some(sender);
        }
        let connection = self.connection.as_mut().context("just connected")?;
        let request = Request::post(format!("http://{}{path}", self.authority))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Full::new(encode(message)))?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        anyhow::ensure!(response.status().is_success(), "HTTP status {}", response.status());
        let (head, body) = response.into_parts();
        Ok(Messages { head: Some(head.headers), ..Messages::new(body) })
    }

    /// A call with one message and one in answer.
    pub async fn unary<M: Message + Default>(
        &mut self,
        path: &str,
        message: &impl Message,
    ) -> anyhow::Result<M> {
        let mut messages = self.call(path, message).await?;
        let answer = messages.next().await?.context("the call ended without a message")?;
        anyhow::ensure!(messages.next().await?.is_none(), "more than one message");
        Ok(answer)
    }
}

/// Serves one connection.
pub async fn serve<F>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F + Clone + 'static)
where
    F: Future<Output = Replies> + Send + 'static,
{
    let answer = move |request| {
        let replies = answer(request);
        async move { Ok::<_, std::convert::Infallible>(respond(replies.await)) }
    };
    let service = hyper::service::service_fn(answer);
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    // The other side going away is no news.
    let _ = connection.await;
}

fn respond(replies: Replies) -> Response<StreamBody<Frames>> {
    let frames = futures_util::stream::unfold(Some(replies), |replies| async move {
        let mut replies = replies?;
        let (frame, rest) = match replies.next().await {
            Some(Ok(message)) => (Frame::data(message), Some(replies)),
            Some(Err((status, message))) => (Frame::trailers(trailers(status, &message)), None),
            None => (Frame::trailers(trailers(0, "")), None),
        };
        Some((Ok(frame), rest))
    });
    let mut response = Response::new(StreamBody::new(Box::pin(frames) as Frames));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn trailers(status: u32, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(status));
    let printable: String = message.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    if let (false, Ok(value)) = (printable.is_empty(), HeaderValue::from_str(&printable)) {
        trailers.insert("grpc-message", value);
    }
    trailers
}

/// An answer of one message, or an error.
pub fn one<M: Message>(answer: anyhow::Result<M>) -> Replies {
    let answer = answer.map(|message| encode(&message)).map_err(|error| (INTERNAL, format!("{error:#}")));
    Box::pin(futures_util::stream::once(std::future::ready(answer)))
}

/// The answer to a method that does not exist.
pub fn unimplemented() -> Replies {
    Box::pin(futures_util::stream::once(std::future::ready(Err((
        UNIMPLEMENTED,
        "no such method".to_owned(),
    )))))
}
