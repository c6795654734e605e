//! A switch of protocols at an application that is spoken to in HTTP/2: extended CONNECT (RFC 8441) where it offers
//! that, else an upgrade of HTTP/1.1.

use std::rc::Rc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use byrnie_decide::Failure;
use h2::ext::Protocol;
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::{HeaderValue, Method, Response, request};

use super::{Outgoing, shape1, shape2};
use crate::error::{Kind, ProxyError};
use crate::front::Front;
use crate::http::Message;
use crate::http::body::Body;
use crate::http::upgrade::BYRNIE_UPGRADE;
use crate::pool::{self, Lease, SendFailure, Wire};
use crate::worker::Worker;

/// What is appended to a client's key (RFC 6455 section 1.3).
const WEBSOCKET: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Asks an application to switch to `token`.
pub(super) async fn send(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    outgoing: &Outgoing<'_>,
    message: &mut Message,
    token: &HeaderValue,
) -> Result<(Response<Body>, Lease), SendFailure> {
    let unsent = |error| SendFailure { error, failure: Failure::NotProcessed };
    let acquire = async |wire| {
        pool::acquire(worker, outgoing.cluster, outgoing.endpoint, wire, outgoing.shown).await.map_err(unsent)
    };
    let slot = acquire(Wire::Http2).await?;
    if !slot.offers_switches().await {
        drop(slot);
        let slot = acquire(Wire::Http1).await?;
        shape1(outgoing, &mut message.head).map_err(unsent)?;
        return slot.send(worker, message).await;
    }
    shape2(front, outgoing, &mut message.head).map_err(unsent)?;
    let key = extend(&mut message.head, token).map_err(unsent)?;
    let (mut response, lease) = slot.send(worker, message).await?;
    if response.status().is_success() {
        let headers = response.headers_mut();
        headers.insert(BYRNIE_UPGRADE, token.clone());
        if let Some(accept) = key.and_then(|key| accept(&key)) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
    }
    Ok((response, lease))
}

/// Makes it an extended CONNECT. Gives the key with which a client of HTTP/1 proves that it is understood: on HTTP/2
/// there is none.
fn extend(head: &mut request::Parts, token: &HeaderValue) -> Result<Option<HeaderValue>, ProxyError> {
    let bad = |_| ProxyError::unprocessed(Kind::BadRequest, "the protocol to switch to is no token");
    head.method = Method::CONNECT;
    head.extensions.insert(Protocol::from(token.to_str().map_err(bad)?));
    Ok(head.headers.remove(SEC_WEBSOCKET_KEY))
}

/// What a client of HTTP/1 expects for its key.
fn accept(key: &HeaderValue) -> Option<HeaderValue> {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(WEBSOCKET);
    HeaderValue::try_from(STANDARD.encode(hash.finish())).ok()
}
