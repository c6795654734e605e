//! HTTP codecs and bodies: how requests enter and leave a worker. Knows nothing of routes or identities.

pub mod body;
pub mod expect;
pub mod headers;
pub mod hints;
mod idle;
mod lists;
pub mod noting;
mod server1;
mod server2;
pub mod strict;
pub mod strict2;
pub mod trailing;
pub mod upgrade;

use std::io;
use std::rc::Rc;

use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri, request};
use tokio::io::{AsyncRead, AsyncWrite};

use self::body::Body;
use crate::detect::{self, Prefixed, Spoken};
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front};
use crate::worker::Worker;
use crate::{inbound, outbound};

pub use server2::serve as serve2;

/// The codec's own limit of header lines. It is left alone where it is the wanted one: naming it, even with the same
/// number, makes hyper 1.12 prepare its table anew for each message.
pub const CODEC_HEADERS: u32 = 100;

/// A request on its way through this process. It stays in one place and is lent: a head has 230 bytes, and handing it
/// on from future to future cost more than what most of them do with it.
pub struct Message {
    /// As the codecs hand it over, `Connection`, `Upgrade` and their kin are still there.
    pub head: request::Parts,
    /// Where `upgrade` is set, what the client will say after the switch.
    pub body: Body,
    /// The protocol that the client wants to switch to.
    pub upgrade: Option<HeaderValue>,
    is_whole: bool,
}

impl Message {
    /// As it came.
    pub fn new(head: request::Parts, body: Body, upgrade: Option<HeaderValue>) -> Self {
        Self { head, body, upgrade, is_whole: true }
    }

    /// Whether nothing of it was sent.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// To send it. `None`: it was taken before.
    pub fn take(&mut self) -> Option<Request<Body>> {
        if !std::mem::take(&mut self.is_whole) {
            return None;
        }
        let nothing = Request::new(()).into_parts().0;
        let body = std::mem::replace(&mut self.body, Body::Empty);
        Some(Request::from_parts(std::mem::replace(&mut self.head, nothing), body))
    }

    /// Nothing of it was sent, or it is whole again.
    pub fn restore(&mut self, request: Request<Body>) {
        (self.head, self.body) = request.into_parts();
        self.is_whole = true;
    }
}

/// A head as it is on the wire: without its extensions, which are about one exchange.
pub fn copy_head(head: &request::Parts) -> request::Parts {
    let mut copy = Request::new(()).into_parts().0;
    copy.method = head.method.clone();
    copy.uri = head.uri.clone();
    copy.version = head.version;
    copy.headers = head.headers.clone();
    copy
}

/// Brings CONNECT into the shape of other requests: its target is its host, its path `/`.
fn to_connect(head: &mut request::Parts) -> Result<(), ProxyError> {
    let bad = |what: &'static str| ProxyError::unprocessed(Kind::BadRequest, what);
    let authority = head.uri.authority().filter(|authority| authority.port().is_some());
    let authority = authority.ok_or_else(|| bad("a CONNECT to no host and port"))?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad("the host is odd"))?;
    if head.headers.get_all(HOST).iter().count() > 1 {
        return Err(bad("more than one host"));
    }
    // As for the absolute form: the target goes before the Host header (RFC 9112 section 3.2.2).
    head.headers.insert(HOST, host);
    head.uri = Uri::from_static("/");
    Ok(())
}

/// Serves the requests of one connection, HTTP/1.x or HTTP/2 with prior knowledge, to its end.
pub async fn serve<S>(worker: &Rc<Worker>, front: &Rc<Front>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Boxed, each: what one of them needs must not be kept for as long as another lasts.
    let (stream, spoken) = match Box::pin(begun(worker, front, stream)).await {
        Some(Ok(begun)) => begun,
        Some(Err(error)) => {
            return tracing::debug!("{} went away before it said anything: {error}", front.remote);
        }
        None => return,
    };
    if spoken != Spoken::Http2 {
        Box::pin(server1::serve(worker, front, stream)).await;
    } else if worker.line.pass(&worker.process).await.is_ok() {
        Box::pin(server2::serve(worker, front, stream)).await;
    }
}

/// What a connection begins with. `None`: it has not asked for anything yet, and need not be waited for.
async fn begun<S>(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    stream: S,
) -> Option<io::Result<(Prefixed<S>, Spoken)>>
where
    S: AsyncRead + Unpin,
{
    let limit = front.settings(worker).header_timeout;
    tokio::select! {
        biased;
        detected = detect::detect_http(stream, limit) => Some(detected),
        () = worker.process.parted() => None,
        () = idle::yields(worker, front), if worker.process.overload.little().is_some() => None,
    }
}

/// The answer to one request, by where it came in. Never fails: a failure is an answer, too.
pub(crate) async fn answer(worker: &Rc<Worker>, front: &Rc<Front>, message: &mut Message) -> Response<Body> {
    match front.entrance {
        Entrance::Mesh => inbound::answer(worker, front, message).await,
        _ => outbound::answer(worker, front, message).await,
    }
}
