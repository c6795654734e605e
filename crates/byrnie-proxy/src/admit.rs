//! The server's side of a hop: is the request for a port and service of this workload, and may this peer make it?

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_decide::{Authorizer, HttpOperation, PeerView};
use byrnie_plan::ServicePortRef;
use byrnie_telemetry::{Counter, Direction, Labels, RequestSeries, names};
use foldhash::HashMap;
use http::{HeaderValue, Version};

use crate::config::{Inbound, InboundPort};
use crate::error::{Kind, ProxyError};
use crate::front::{Front, Peer};
use crate::hop::header::{self, HopHeader, Rest};
use crate::worker::Worker;

/// What the constant part of a hop header was found to mean; kept per connection, since it rarely changes there.
pub struct Admission {
    /// The constant part itself.
    text: String,
    generation: u64,
    /// Whose policies hold.
    pub inbound: Arc<Inbound>,
    /// Where the request goes.
    pub port: Arc<InboundPort>,
    /// Under which name.
    pub service: ServicePortRef,
    /// Where it is counted.
    pub series: Arc<RequestSeries>,
}

/// What a hop header says beside its constant part.
pub struct Hop {
    /// What the caller speaks.
    pub version: Version,
    /// What is left of the request's time.
    pub remaining: Option<Duration>,
    /// Where the caller's proxy was called from.
    pub client: Option<SocketAddr>,
}

/// Reads a hop header and finds the port. Refused: what is malformed (400), a port that the workload does not declare,
/// or a service that does not lead to it (403).
pub fn admit(
    worker: &Worker,
    front: &Front,
    value: &HeaderValue,
) -> Result<(Rc<Admission>, Hop), ProxyError> {
    let bad = || ProxyError::unprocessed(Kind::BadHop, "the byrnie-hop header cannot be read");
    let text = value.to_str().map_err(|_| bad())?;
    let (fixed, rest) = header::split(text);
    let config = worker.config();
    if let Some(known) = &*front.admission.borrow()
        && known.generation == config.generation
        && known.text == fixed
    {
        let Rest { version, remaining, client, .. } = header::parse_rest(rest).ok_or_else(bad)?;
        let version = version.unwrap_or(Version::HTTP_11);
        return Ok((Rc::clone(known), Hop { version, remaining, client }));
    }
    let hop = header::parse(value).ok_or_else(bad)?;
    let (inbound, port) = find_port(worker, &hop)?;
    let labels = Labels {
        service: Some(hop.service.service.clone()),
        route: hop.route_name(),
        destination: Some(worker.process.workload.clone()),
        peer_identity: front.peer.as_ref().map(|peer| peer.identity.clone()),
        self_identity: worker.process.identity(),
        secured: front.peer.is_some(),
        ..Labels::new(Direction::Inbound)
    };
    let admission = Rc::new(Admission {
        text: fixed.to_owned(),
        generation: config.generation,
        inbound,
        port,
        service: hop.service,
        series: worker.process.metrics.requests(worker.index, &labels, Instant::now()),
    });
    *front.admission.borrow_mut() = Some(Rc::clone(&admission));
    let version = hop.version.unwrap_or(Version::HTTP_11);
    Ok((admission, Hop { version, remaining: hop.remaining, client: hop.client }))
}

/// How long a caller may be ahead of this proxy: it may have heard first that a port or a service is new here.
const AHEAD: Duration = Duration::from_millis(500);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Asks again for a moment while the answer is that this workload does not serve that.
pub async fn catch_up<T>(mut ask: impl FnMut() -> Result<T, ProxyError>) -> Result<T, ProxyError> {
    let begun = Instant::now();
    loop {
        match ask() {
            Err(error) if error.kind == Kind::WrongDestination && begun.elapsed() < AHEAD => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

/// The port that a hop header names, for requests and for bytes.
pub fn find_port(worker: &Worker, hop: &HopHeader) -> Result<(Arc<Inbound>, Arc<InboundPort>), ProxyError> {
    let (inbound, found) = declared_port(worker, hop.port)?;
    if !found.services.contains(&hop.service) {
        let ServicePortRef { service, port } = &hop.service;
        let workload = &worker.process.workload;
        let context = format!("{service}:{port} does not lead to port {} of {workload}", hop.port);
        return Err(ProxyError::unprocessed(Kind::WrongDestination, context));
    }
    Ok((inbound, found))
}

/// A port that the workload declares, with the policies that hold there. Nothing else is ever dialed.
pub fn declared_port(worker: &Worker, port: u16) -> Result<(Arc<Inbound>, Arc<InboundPort>), ProxyError> {
    let config = worker.config();
    let inbound = config.inbound.as_ref().ok_or_else(|| {
        ProxyError::unprocessed(
            Kind::NotReady,
            "the policy of this workload has not arrived; nothing is accepted",
        )
    })?;
    let found = inbound.ports.get(&port).ok_or_else(|| {
        let workload = &worker.process.workload;
        ProxyError::unprocessed(Kind::WrongDestination, format!("{workload} declares no port {port}"))
    })?;
    Ok((Arc::clone(inbound), Arc::clone(found)))
}

/// A refusal and the policy that made it.
pub struct Refusal {
    /// What to answer.
    pub error: ProxyError,
    /// `namespace/name`.
    pub policy: String,
}

/// Asks the policies. `operation`: `None` for bytes.
pub fn authorize(
    worker: &Worker,
    authorizer: &Authorizer,
    peer: Option<&Peer>,
    operation: Option<HttpOperation<'_>>,
    port: u16,
) -> Result<(), Refusal> {
    let view = peer.map(|peer| PeerView { id: &peer.id, namespace: &peer.identity.namespace });
    let verdict = authorizer.check(view, operation, port);
    for audit in &verdict.audits {
        worker.decisions.count(worker, "would_deny", audit);
    }
    if verdict.is_allowed() {
        worker.decisions.count(worker, "allow", verdict.policy);
        return Ok(());
    }
    worker.decisions.count(worker, "deny", verdict.policy);
    let who = peer.map_or("a caller without identity", |peer| peer.id.as_str());
    let shown = worker.config().settings.show_policy_in_response;
    let context = match shown {
        true => format!("{who} is refused by {}", verdict.policy),
        false => format!("{who} is refused"),
    };
    Err(Refusal { error: ProxyError::unprocessed(Kind::Denied, context), policy: verdict.policy.to_owned() })
}

/// Counters of decisions, kept by the policy's name.
#[derive(Default)]
pub struct Decisions(std::cell::RefCell<HashMap<&'static str, ByPolicy>>);

type ByPolicy = HashMap<String, Arc<Counter>>;

impl Decisions {
    fn count(&self, worker: &Worker, decision: &'static str, policy: &str) {
        let mut kept = self.0.borrow_mut();
        let kept = kept.entry(decision).or_default();
        if let Some(counter) = kept.get(policy) {
            return counter.inc();
        }
        let counter = worker.process.metrics.counter(&names::AUTHORIZATION, &[decision, policy]);
        counter.inc();
        kept.insert(policy.to_owned(), counter);
    }
}
