//! A request's body while the codec of an application's connection has it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::body::{Body, BodyError};
use crate::http::noting::Notes;
use crate::http::trailing::Bare;

/// The codec drops it when it has sent all of it, or no more of it: until then the connection cannot be used again,
/// also when the answer is complete, and the notes say so.
pub struct Sending {
    body: Bare,
    /// `None`: there was nothing to send.
    notes: Option<Arc<Notes>>,
}

impl Sending {
    /// About to be sent.
    pub fn new(body: Body, is_chunked: bool, notes: &Arc<Notes>) -> Self {
        let is_whole = body.is_end_stream();
        notes.sends.store(!is_whole, Relaxed);
        let body = Bare::new(body, is_chunked.then(|| Arc::clone(notes)));
        Self { body, notes: (!is_whole).then(|| Arc::clone(notes)) }
    }

    /// It was not sent after all.
    pub fn take(mut self) -> Body {
        self.body.take()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(notes) = &self.notes {
            notes.sends.store(false, Relaxed);
        }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::task::spawn_local;

    use super::*;
    use crate::http::body::H2Body;
    use crate::http::noting::Noting;
    use crate::http::strict::Side;
    use crate::tcp::tests::mesh::run;

    /// From a client of HTTP/2: so many pieces, and a trailer.
    async fn body(pieces: usize) -> Body {
        let (client, server) = duplex(1 << 16);
        spawn_local(async move {
            let (sender, connection) = h2::client::handshake(client).await.unwrap();
            let request = Request::post("http://web.shop/").body(()).unwrap();
            let (_answer, mut stream) = sender.ready().await.unwrap().send_request(request, false).unwrap();
            for _ in 0..pieces {
                stream.send_data("x".into(), false).unwrap();
            }
            let sum = (HeaderName::from_static("x-sum"), HeaderValue::from(pieces));
            stream.send_trailers(HeaderMap::from_iter([sum])).unwrap();
            connection.await
        });
        let mut connection = h2::server::handshake(server).await.unwrap();
        let (request, respond) = connection.accept().await.unwrap().unwrap();
        spawn_local(async move {
            while connection.accept().await.is_some() {}
            drop(respond);
        });
        Body::H2(H2Body::of_request(request.into_body()))
    }

    /// What the application reads, through a pipe that holds so many bytes, of requests with so many pieces, one behind
    /// the other. The codec's buffers are joined, or written together.
    async fn heard(size: usize, pieces: &[usize], is_vectored: bool) -> String {
        let (mut application, stream) = duplex(size);
        let notes = Arc::<Notes>::default();
        let stream = TokioIo::new(Noting::new(stream, Side::Responses, 65_536, Arc::clone(&notes)));
        let mut builder = hyper::client::conn::http1::Builder::new();
        let (mut sender, connection) = builder.writev(is_vectored).handshake(stream).await.unwrap();
        spawn_local(connection);
        let mut heard = Vec::new();
        for pieces in pieces {
            let body = Sending::new(body(*pieces).await, true, &notes);
            sender.ready().await.unwrap();
            notes.ask(&Method::POST);
            let mut answer = std::pin::pin!(sender.send_request(Request::post("/").body(body).unwrap()));
            let end = format!("\r\nx-sum: {pieces}\r\n\r\n");
            while !heard.ends_with(end.as_bytes()) {
                tokio::select! {
                    byte = application.read_u8() => heard.push(byte.unwrap()),
                    _ = answer.as_mut() => panic!("nobody answered"),
                }
            }
            application.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            answer.await.unwrap();
        }
        String::from_utf8(heard).unwrap()
    }

    #[test]
    fn trailers_leave_behind_the_last_chunk_however_little_is_taken() {
        run(async {
            // More than the codec has in hand at once, few, none.
            let counts = [100, 3, 0, 20];
            let request = |pieces: usize| {
                let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
                format!("{head}{}0\r\nx-sum: {pieces}\r\n\r\n", "1\r\nx\r\n".repeat(pieces))
            };
            let whole: String = counts.into_iter().map(request).collect();
            for size in [1, 2, 3, 64, 65_536] {
                for is_vectored in [true, false] {
                    assert_eq!(heard(size, &counts, is_vectored).await, whole, "{size}, {is_vectored}");
                }
            }
        });
    }
}
