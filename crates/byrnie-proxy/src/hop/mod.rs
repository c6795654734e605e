//! From proxy to proxy: what a request looks like on the way to an endpoint, and how a peer's connection is taken.

pub mod dial;
pub mod header;
pub mod serve;
mod switch;
pub mod tunnel;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use byrnie_decide::Failure;
use byrnie_plan::{AppProtocol, Dialect, Hop};
use http::header::{CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_KEY, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Response, Uri, Version, request};

use crate::config::{Cluster, Endpoint, Rule};
use crate::error::{Kind, ProxyError};
use crate::front::Front;
use crate::http::Message;
use crate::http::body::Body;
use crate::http::upgrade::{BYRNIE_UPGRADE, CONNECT, is_connect};
use crate::pool::{self, Lease, SendFailure, Wire};
use crate::room::Room;
use crate::worker::Worker;

/// One try of a request.
pub struct Outgoing<'a> {
    /// The service whose endpoint it is.
    pub cluster: &'a Cluster,
    /// The endpoint.
    pub endpoint: &'a Arc<Endpoint>,
    /// The rule that decided, for telemetry.
    pub rule: Option<&'a Rule>,
    /// The protocol to switch to.
    pub upgrade: Option<&'a HeaderValue>,
    /// Retries made before.
    pub attempt: u32,
    /// What is left of the request's time.
    pub remaining: Option<Duration>,
    /// What the caller speaks.
    pub version: Version,
    /// The client's address, for the peer's proxy.
    pub client: Option<&'a str>,
    /// At the server: whose address the application is to see, where that is asked for.
    pub shown: Option<SocketAddr>,
}

/// Sends a request to the endpoint and waits for the head of its response. A request of which nothing was sent is left
/// in `message`, with its body unread and its head perhaps already in the endpoint's shape.
pub async fn send(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    outgoing: &Outgoing<'_>,
    message: &mut Message,
) -> Result<(Response<Body>, Lease), SendFailure> {
    let unsent = |error| SendFailure { error, failure: Failure::NotProcessed };
    let wire = wire(outgoing).map_err(unsent)?;
    let _waits = worker.process.overload.little().map(Room::wait);
    if wire == Wire::Http2
        && let Some(token) = outgoing.upgrade.filter(|token| *token != CONNECT)
    {
        return Box::pin(switch::send(worker, front, outgoing, message, token)).await;
    }
    let slot = pool::acquire(worker, outgoing.cluster, outgoing.endpoint, wire, outgoing.shown)
        .await
        .map_err(unsent)?;
    let head = &mut message.head;
    let shaped = match wire {
        Wire::Http1 => shape1(outgoing, head),
        Wire::Http2 => shape2(front, outgoing, head),
        Wire::Mesh => shape2(front, outgoing, head).and_then(|()| add_hop(outgoing, head)),
    };
    shaped.map_err(unsent)?;
    slot.send(worker, message).await
}

/// What is spoken to the endpoint.
fn wire(outgoing: &Outgoing<'_>) -> Result<Wire, ProxyError> {
    match &outgoing.endpoint.plan.hop {
        Hop::Mesh { dialect: Dialect::Byrnie, .. } => Ok(Wire::Mesh),
        Hop::Mesh { dialect: Dialect::Hbone, .. } => Err(ProxyError::unprocessed(
            Kind::Internal,
            "requests to a foreign mesh are sent as bytes; declare appProtocol tcp on the port",
        )),
        Hop::Plaintext if outgoing.upgrade.is_some() => Ok(match outgoing.cluster.protocol {
            AppProtocol::Http2 | AppProtocol::Grpc => Wire::Http2,
            _ => Wire::Http1,
        }),
        Hop::Plaintext => Ok(match outgoing.cluster.protocol {
            AppProtocol::Http2 | AppProtocol::Grpc => Wire::Http2,
            AppProtocol::Detect if outgoing.version == Version::HTTP_2 => Wire::Http2,
            _ => Wire::Http1,
        }),
    }
}

/// Origin-form with a Host header.
fn shape1(outgoing: &Outgoing<'_>, head: &mut request::Parts) -> Result<(), ProxyError> {
    head.version = Version::HTTP_11;
    let headers = &mut head.headers;
    if headers.get(HOST).is_none_or(HeaderValue::is_empty) {
        // A client of HTTP/1.0 need not say one, a request of HTTP/1.1 must: as on HTTP/2.
        headers.insert(HOST, own_host(outgoing)?);
    }
    if is_connect(outgoing.upgrade) {
        let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let host = host.filter(|host| host.port().is_some());
        let what = "the host of a CONNECT has no port";
        let host = host.ok_or_else(|| ProxyError::unprocessed(Kind::BadRequest, what))?;
        head.uri = Uri::from(host);
        return Ok(());
    }
    if let Some(token) = outgoing.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, token.clone());
        // RFC 8441 clients send no key; HTTP/1.1 origins insist on one.
        if token.as_bytes().eq_ignore_ascii_case(b"websocket") && !headers.contains_key(SEC_WEBSOCKET_KEY) {
            headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("YnlybmllLWJ5cm5pZS0wMA=="));
        }
    }
    Ok(())
}

/// Whom a request is for that names no host.
fn own_host(outgoing: &Outgoing<'_>) -> Result<HeaderValue, ProxyError> {
    let what = "the service's name is no host";
    HeaderValue::from_str(&outgoing.cluster.host())
        .map_err(|_| ProxyError::unprocessed(Kind::BadRequest, what))
}

/// Scheme, authority and path as HTTP/2 has them.
fn shape2(front: &Front, outgoing: &Outgoing<'_>, head: &mut request::Parts) -> Result<(), ProxyError> {
    let bad = |what: &'static str| ProxyError::unprocessed(Kind::BadRequest, what);
    head.version = Version::HTTP_2;
    let host = match head.headers.remove(HOST) {
        Some(host) if !host.is_empty() => host,
        _ => own_host(outgoing)?,
    };
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(front.authority(&host).ok_or_else(|| bad("the host cannot be an authority"))?);
    if head.method == Method::CONNECT && !outgoing.endpoint.is_secured() {
        // To an application CONNECT has an authority and nothing else (RFC 9113 section 8.5).
        uri.scheme = None;
        head.uri = Uri::from_parts(uri).map_err(|_| bad("the host makes no URI"))?;
        return Ok(());
    }
    let path = std::mem::take(&mut head.uri).into_parts().path_and_query;
    uri.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    head.uri = Uri::from_parts(uri).map_err(|_| bad("host and path make no URI"))?;
    Ok(())
}

/// What only the peer's proxy reads.
fn add_hop(outgoing: &Outgoing<'_>, head: &mut request::Parts) -> Result<(), ProxyError> {
    let value = header::for_request(outgoing)
        .ok_or_else(|| ProxyError::unprocessed(Kind::Internal, "the hop header cannot be written"))?;
    head.headers.insert(header::HOP, value);
    if let Some(token) = outgoing.upgrade {
        head.headers.insert(BYRNIE_UPGRADE, token.clone());
        if token == CONNECT {
            // The peer's proxy makes it what it was.
            head.method = Method::GET;
        }
    }
    Ok(())
}
