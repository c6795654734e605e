//! The server's side of a request: admit → pool → the application.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_decide::{Deadline, HttpOperation};
use byrnie_plan::Timeouts;
use byrnie_telemetry::Direction;
use http::{HeaderValue, Response, request};

use crate::admit::{self, Admission, Refusal};
use crate::controls::{self, Caller};
use crate::error::{Kind, ProxyError};
use crate::front::Front;
use crate::hop::header::HOP;
use crate::http::Message;
use crate::http::body::Body;
use crate::http::headers::{is_grpc, strip_hop_by_hop, strip_mesh_headers};
use crate::http::upgrade::strip_mesh_headers_but_switch;
use crate::observe::Exchange;
use crate::outbound::{facts, finish};
use crate::reply::{BYRNIE_UNPROCESSED, Tell};
use crate::tries::{self, Plan, Retrying};
use crate::worker::Worker;
use crate::{forwarded, route};

/// Answers a request that a peer's proxy sent for this workload.
pub async fn answer(worker: &Rc<Worker>, front: &Rc<Front>, message: &mut Message) -> Response<Body> {
    let head = &mut message.head;
    let hop = head.headers.remove(HOP);
    let normal = route::normalize(front, head);
    strip_hop_by_hop(&mut head.headers);
    strip_mesh_headers(&mut head.headers);
    let mut exchange = Exchange::new(worker, front, Direction::Inbound, facts(head));
    exchange.is_grpc = is_grpc(&head.headers);
    let normal = normal.and_then(|_| front.admit(worker));
    let answered = match normal {
        Ok(_) => pass(worker, front, &mut exchange, hop.as_ref(), message).await,
        Err(error) => Err(Refusal { error, policy: String::new() }),
    };
    match answered {
        Ok((mut response, deadline)) => {
            // Of the mesh's headers the application may not say any.
            strip_mesh_headers_but_switch(response.headers_mut());
            finish(worker, exchange, response, deadline)
        }
        Err(refusal) => refuse(exchange, refusal),
    }
}

async fn pass(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    exchange: &mut Exchange,
    hop: Option<&HeaderValue>,
    message: &mut Message,
) -> Result<(Response<Body>, Deadline), Refusal> {
    let plain = |error| Refusal { error, policy: String::new() };
    let hop = hop.ok_or_else(|| plain(ProxyError::unprocessed(Kind::BadHop, "no byrnie-hop header")))?;
    let (admission, hop) = admit::catch_up(|| admit::admit(worker, front, hop)).await.map_err(plain)?;
    exchange.series = Some(Arc::clone(&admission.series));
    exchange.called.service = Some(Arc::clone(&admission.service));
    exchange.facts.version = hop.version;
    exchange.client = hop.client;
    let head = &message.head;
    let operation = HttpOperation { method: Some(head.method.as_str()), path: Some(head.uri.path()) };
    let port = &admission.port;
    admit::authorize(
        worker,
        &admission.inbound.authorizer,
        front.peer.as_deref(),
        Some(operation),
        port.port,
    )?;
    control(worker, front, exchange, &admission, head, hop.remaining).await?;
    forwarded::tell_peer(&worker.process, front, &port.settings, &mut message.head.headers);
    let plan = Plan {
        worker,
        front,
        cluster: Arc::clone(&port.cluster),
        rule: None,
        timeouts: Timeouts::default(),
        retry: Retrying::Service(Arc::clone(&port.cluster.settings)),
        incoming: hop.remaining,
        shown: worker
            .process
            .captured
            .as_ref()
            .and_then(|captured| captured.shown(hop.client?, port.application.plan.address)),
        session: None,
    };
    tries::send(&plan, exchange, message).await.map_err(plain)
}

/// The limits and faults of this side; after authorization, so that nobody uses up what is others'.
async fn control(
    worker: &Worker,
    front: &Front,
    exchange: &mut Exchange,
    admission: &Admission,
    head: &request::Parts,
    remaining: Option<Duration>,
) -> Result<(), Refusal> {
    let Some(controls) = admission.inbound.controls(Some(&admission.service.service)) else { return Ok(()) };
    let caller = Caller { peer: front.peer.as_deref(), remote: front.remote, direction: Direction::Inbound };
    let mut done = match &controls.limits {
        Some(limits) => controls::limit_request(worker, exchange, limits, caller, head),
        None => Ok(()),
    };
    if let (Ok(()), Some(faults)) = (&done, &controls.faults) {
        let started = worker.time(exchange.started());
        let settings = &admission.port.cluster.settings;
        let deadline = Deadline::new(started, Timeouts::default(), settings, remaining);
        done = Box::pin(controls::inject_request(worker, exchange, faults, caller, head, deadline)).await;
    }
    done.map_err(|error| Refusal { error, policy: exchange.policy.take().unwrap_or_default() })
}

/// The answer that says what failed. Where the application never saw the request, the caller's proxy may try another
/// endpoint: it is told so.
fn refuse(mut exchange: Exchange, refusal: Refusal) -> Response<Body> {
    let Refusal { error, policy } = refusal;
    exchange.on_error(&error);
    exchange.policy = Some(policy).filter(|policy| !policy.is_empty());
    let mut response = controls::failure(&mut exchange, &error, Tell::Everything);
    if error.unprocessed && is_of_this_place(error.kind) {
        response.headers_mut().insert(BYRNIE_UNPROCESSED, HeaderValue::from_static("1"));
    }
    exchange.on_head(Instant::now(), response.status().as_u16(), response.headers());
    exchange.end(None);
    response
}

/// Whether another endpoint may do better.
fn is_of_this_place(kind: Kind) -> bool {
    let full = matches!(kind, Kind::Overload | Kind::TooManyRequests | Kind::Shed | Kind::Slow);
    full || matches!(kind, Kind::ConnectFailed | Kind::NotReady)
}
