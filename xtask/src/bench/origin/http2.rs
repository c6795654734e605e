//! The origin's HTTP/2: small answers, unary calls, and streams that send back what they get.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::net::TcpStream;

use super::{BODY, MESSAGE};

type Result<T> = std::result::Result<T, h2::Error>;

/// Answers a connection's requests.
pub async fn serve(stream: TcpStream) -> Result<()> {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(4 << 20).max_concurrent_streams(1000);
    let mut connection = builder.handshake::<_, Bytes>(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        tokio::spawn(async move { drop(answer(request, respond).await) });
    }
    Ok(())
}

async fn answer(request: Request<h2::RecvStream>, respond: SendResponse<Bytes>) -> Result<()> {
    if request.method() == Method::GET {
        get(respond)
    } else if request.uri().path().ends_with("/Stream") {
        echo(request.into_body(), respond).await
    } else {
        unary(request.into_body(), respond).await
    }
}

fn get(mut respond: SendResponse<Bytes>) -> Result<()> {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    response.headers_mut().insert("content-length", HeaderValue::from(BODY.len()));
    respond.send_response(response, false)?.send_data(Bytes::from_static(BODY), true)
}

async fn unary(mut body: h2::RecvStream, respond: SendResponse<Bytes>) -> Result<()> {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    let mut stream = begin(respond)?;
    stream.send_data(Bytes::from_static(MESSAGE), false)?;
    end(&mut stream)
}

async fn echo(mut body: h2::RecvStream, respond: SendResponse<Bytes>) -> Result<()> {
    let mut stream = begin(respond)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        stream.send_data(data, false)?;
    }
    end(&mut stream)
}

fn begin(mut respond: SendResponse<Bytes>) -> Result<h2::SendStream<Bytes>> {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    respond.send_response(response, false)
}

fn end(stream: &mut h2::SendStream<Bytes>) -> Result<()> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}
