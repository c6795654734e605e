//! One CONNECT request of a tunnel, and what the peer's proxy answers.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::error::{Kind, ProxyError};
use crate::reply::BYRNIE_ERROR;

/// What exactly went wrong at the peer, for logs.
pub const BYRNIE_DETAIL: HeaderName = HeaderName::from_static("byrnie-detail");

/// Longest detail that is sent or read, in bytes.
const DETAIL_LIMIT: usize = 512;

/// Why there is no tunnel.
pub(super) enum Refused {
    /// The peer's proxy answered, and said no.
    ByPeer(ProxyError),
    /// The connection broke before there was an answer.
    ByConnection(h2::Error),
}

/// A CONNECT to an authority. `None`: it cannot be written.
pub fn request(
    authority: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Option<Request<()>> {
    let authority: Authority = authority.parse().ok()?;
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::from(authority);
    request.headers_mut().extend(headers);
    Some(request)
}

/// Sends it and waits for the answer.
pub(super) async fn send(
    requests: &SendRequest<Bytes>,
    request: Request<()>,
) -> Result<(SendStream<Bytes>, RecvStream), Refused> {
    let mut requests = requests.clone().ready().await.map_err(Refused::ByConnection)?;
    let (response, send) = requests.send_request(request, false).map_err(Refused::ByConnection)?;
    let response = response.await.map_err(Refused::ByConnection)?;
    match response.status().is_success() {
        true => Ok((send, response.into_body())),
        false => Err(Refused::ByPeer(refusal(&response))),
    }
}

/// The answer of a server that refuses.
pub fn refuse(error: &ProxyError) -> Response<()> {
    let facts = error.kind.describe();
    let mut response = Response::new(());
    *response.status_mut() = facts.status;
    if let Ok(value) = HeaderValue::from_str(&format!("{} {}", facts.code, facts.flag)) {
        response.headers_mut().insert(BYRNIE_ERROR, value);
    }
    let detail = error.context.get(..error.context.floor_char_boundary(DETAIL_LIMIT)).unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(detail) {
        response.headers_mut().insert(BYRNIE_DETAIL, value);
    }
    response
}

/// What such an answer says. Whatever it is: the application has seen nothing.
fn refusal(response: &Response<RecvStream>) -> ProxyError {
    let text = |name: &HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let flag = text(&BYRNIE_ERROR).and_then(|value| value.split(' ').nth(1));
    let known = [
        Kind::ConnectFailed,
        Kind::Timeout,
        Kind::Overload,
        Kind::NotReady,
        Kind::Denied,
        Kind::WrongDestination,
        Kind::BadHop,
        Kind::RateLimited,
        Kind::Fault,
    ];
    let kind = known.into_iter().find(|kind| Some(kind.describe().flag) == flag);
    let kind = kind.unwrap_or(match response.status() {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Kind::Denied,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Kind::ConnectFailed
        }
        _ => Kind::UpstreamProtocol,
    });
    let detail = text(&BYRNIE_DETAIL).map(|detail| detail.get(..detail.floor_char_boundary(DETAIL_LIMIT)));
    let context = match detail.flatten() {
        Some(detail) => format!("the endpoint's proxy: {detail}"),
        None => format!("the endpoint's proxy answered {}", response.status()),
    };
    ProxyError::unprocessed(kind, context)
}
