//! HTTP codecs and bodies: how requests enter and leave a worker. Knows nothing of routes or identities.

pub mod body;
pub mod expect;
pub mod headers;
mod idle;
pub mod noting;
mod server1;
mod server2;
pub mod strict;
pub mod upgrade;

use std::rc::Rc;

use http::{HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use self::body::Body;
use crate::detect::{self, Spoken};
use crate::front::{Entrance, Front};
use crate::worker::Worker;
use crate::{inbound, outbound};

pub use server2::serve as serve2;

/// The codec's own limit of header lines. It is left alone where it is the wanted one: naming it, even with the same
/// number, makes hyper 1.12 prepare its table anew for each message.
pub const CODEC_HEADERS: u32 = 100;

/// A request as the codecs hand it over.
pub struct Incoming {
    /// Head and body. `Connection`, `Upgrade` and their kin are still there.
    pub request: Request<Body>,
    /// The protocol that the client wants to switch to; the body is what it will say then.
    pub upgrade: Option<HeaderValue>,
}

/// Serves the requests of one connection, HTTP/1.x or HTTP/2 with prior knowledge, to its end.
pub async fn serve<S>(worker: &Rc<Worker>, front: &Rc<Front>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limit = worker.config().settings.header_timeout;
    let detected = tokio::select! {
        biased;
        detected = detect::detect_http(stream, limit) => detected,
        // It has not asked for anything yet, and need not be waited for.
        () = worker.process.parting.cancelled() => return,
    };
    match detected {
        Ok((stream, Spoken::Http2)) => server2::serve(worker, front, stream).await,
        Ok((stream, _)) => server1::serve(worker, front, stream).await,
        Err(error) => tracing::debug!("{} went away before it said anything: {error}", front.remote),
    }
}

/// The answer to one request, by where it came in. Never fails: a failure is an answer, too.
pub(crate) async fn answer(worker: &Rc<Worker>, front: &Rc<Front>, incoming: Incoming) -> Response<Body> {
    match front.entrance {
        Entrance::Mesh => inbound::answer(worker, front, incoming).await,
        _ => outbound::answer(worker, front, incoming).await,
    }
}
