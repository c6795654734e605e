//! `feed`: tells each listener how the vote goes (WebSocket), from the stream of `votes`.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::votes::{TallyReply, TallyRequest, WATCH, client};
use super::{plain, websocket};
use crate::cli::failure::Failure;

pub async fn run(listener: TcpListener) -> Result<(), Failure> {
    let votes = super::address_of("votes")?;
    super::accept(listener, move |stream| serve(stream, votes)).await
}

async fn serve(stream: tokio::net::TcpStream, votes: SocketAddr) {
    let answer = move |mut request: Request<Incoming>| async move {
        match upgrade(&mut request) {
            Some((response, upgraded)) => {
                tokio::task::spawn_local(async move {
                    if let Err(error) = tell(upgraded, votes).await {
                        eprintln!("a listener left: {error:#}");
                    }
                });
                Ok::<_, std::convert::Infallible>(response)
            }
            None => Ok(plain::text(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket: GET /feed")),
        }
    };
    let service = hyper::service::service_fn(answer);
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await;
}

type Answer = Response<Full<Bytes>>;

/// The answer to a handshake, and the stream that comes after it; None when it is no handshake.
fn upgrade(request: &mut Request<Incoming>) -> Option<(Answer, OnUpgrade)> {
    let header = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let wanted = header(header::UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let key = header(header::SEC_WEBSOCKET_KEY).filter(|_| wanted && request.uri().path() == "/feed");
    let accept = key.map(websocket::accept_key).and_then(|accept| HeaderValue::from_str(&accept).ok())?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Some((response, hyper::upgrade::on(request)))
}

/// Passes each tally on as JSON; what the listener says is not heard, but that it leaves is.
async fn tell(upgraded: OnUpgrade, votes: SocketAddr) -> anyhow::Result<()> {
    let mut listener = TokioIo::new(upgraded.await?);
    let mut tallies = client(votes).call::<TallyReply>(WATCH, &TallyRequest {}).await?;
    while let Some(tally) = tallies.next().await? {
        let text = serde_json::to_string(&tally.votes)?;
        websocket::write_text(&mut listener, &text, false).await?;
    }
    Ok(())
}
