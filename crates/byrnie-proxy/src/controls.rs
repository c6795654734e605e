//! Rate limits and faults on the way of a request or connection: asks `byrnie-decide`, counts, and says so.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use byrnie_decide::{Arrival, Deadline, Injection, NoHeaders, RateVerdict, RequestView};
use byrnie_plan::{FaultAbort, ObjectName};
use byrnie_telemetry::{Counter, Desc, Direction, names};
use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode, request};

use crate::admit::Refusal;
use crate::config::{Controls, Faults, Inbound, Limits, quoted};
use crate::error::{Kind, ProxyError};
use crate::front::Peer;
use crate::http::body::Body;
use crate::observe::Exchange;
use crate::reply::{self, Tell};
use crate::route::Headers;
use crate::worker::Worker;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who calls, as far as it is known.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Proven by mTLS, at the mesh port.
    pub peer: Option<&'a Peer>,
    /// The connection's other end.
    pub remote: SocketAddr,
    /// At which side.
    pub direction: Direction,
}

impl Caller<'_> {
    /// The caller's SPIFFE ID: what a peer has proven; of what goes out, this proxy's own. Who comes to a Gateway has
    /// none.
    fn identity(self, worker: &Worker, is_asked: bool) -> Option<String> {
        if !is_asked {
            return None;
        }
        match (self.direction, worker.process.role) {
            (Direction::Inbound, _) => self.peer.map(|peer| peer.id.clone()),
            (Direction::Outbound, crate::process::Role::Sidecar) => {
                worker.process.identity().map(|identity| identity.to_string())
            }
            (Direction::Outbound, crate::process::Role::Gateway) => None,
        }
    }
}

/// What is said about limits with the answer.
pub struct Quota {
    policy: HeaderValue,
    limit: HeaderValue,
    retry_after: Option<HeaderValue>,
}

/// Asks the limits for a request. `Err`: it is refused.
pub fn limit_request(
    worker: &Worker,
    exchange: &mut Exchange,
    limits: &Limits,
    caller: Caller<'_>,
    head: &request::Parts,
) -> Result<(), ProxyError> {
    let identity = caller.identity(worker, limits.asks_identity);
    let headers = Headers(&head.headers);
    let arrival = arrival(head, &headers, identity.as_deref(), caller.remote);
    let verdict = limits.limiter.take(&arrival, worker.time(Instant::now()));
    if verdict.quotas.is_empty() {
        return Ok(());
    }
    let refused = judge(worker, limits, caller.direction, &verdict);
    if !limits.plan.shadow {
        exchange.quota = quota(limits, &verdict).map(Box::new);
    }
    if let Some(error) = refused {
        exchange.policy = Some(limits.plan.policy.clone());
        return Err(error);
    }
    Ok(())
}

fn arrival<'a>(
    head: &'a request::Parts,
    headers: &'a Headers<'a>,
    identity: Option<&'a str>,
    remote: SocketAddr,
) -> Arrival<'a, Headers<'a>> {
    let request = RequestView {
        method: head.method.as_str(),
        // No limit and no fault asks for it.
        host: "",
        path: head.uri.path(),
        query: head.uri.query(),
        headers,
    };
    Arrival { request: Some(request), identity, address: remote.ip() }
}

/// Counts, and says what to answer when it is refused.
fn judge(
    worker: &Worker,
    limits: &Limits,
    direction: Direction,
    verdict: &RateVerdict,
) -> Option<ProxyError> {
    let (policy, metrics) = (limits.plan.policy.as_str(), &worker.process.metrics);
    if verdict.displaced > 0 {
        let make = || metrics.counter(&names::RATE_LIMIT_KEYS_DISPLACED, &[policy]);
        limits.displaced.get_or_init(make).add(verdict.displaced.into());
    }
    let last = verdict.quotas.last().filter(|_| verdict.refused)?;
    let limit = limits.plan.limits.get(last.limit)?;
    let mode = if limits.plan.shadow { "shadow" } else { "enforced" };
    let make = || metrics.counter(&names::RATE_LIMITED, &[direction.as_str(), policy, &limit.name, mode]);
    if let Some(counter) = limits.refused.get(last.limit) {
        counter.get_or_init(make).inc();
    }
    if limits.plan.shadow {
        return None;
    }
    let (number, per) = (limit.number, limit.per);
    let mut context = format!("limit {}: {number} per {per:?}", limit.name);
    if worker.config().settings.show_policy_in_response {
        context.push_str(&format!(", of RateLimitPolicy {policy}"));
    }
    Some(ProxyError::unprocessed(Kind::RateLimited, context))
}

/// `RateLimit-Policy`, `RateLimit` and, for a refusal, `Retry-After`.
fn quota(limits: &Limits, verdict: &RateVerdict) -> Option<Quota> {
    let retry_after = || verdict.quotas.last().map(|quota| HeaderValue::from(seconds(quota.reset).max(1)));
    let retry_after = verdict.refused.then(retry_after).flatten();
    let (mut policy, mut limit) = (String::new(), String::new());
    for (index, quota) in verdict.quotas.iter().enumerate().filter(|_| limits.plan.headers) {
        let comma = if index > 0 { ", " } else { "" };
        let (name, item) = (limits.plan.limits.get(quota.limit)?, limits.quotas.get(quota.limit)?);
        policy.push_str(&format!("{comma}{item}"));
        let reset = seconds(quota.reset).max(1);
        limit.push_str(&format!("{comma}{};r={};t={reset}", quoted(&name.name), quota.remaining));
    }
    let (policy, limit) = (HeaderValue::try_from(policy).ok()?, HeaderValue::try_from(limit).ok()?);
    Some(Quota { policy, limit, retry_after })
}

/// Whole seconds, up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl Quota {
    /// Adds to what the application, or a proxy behind, says of its own limits.
    pub fn apply(self, headers: &mut HeaderMap) {
        if !self.policy.is_empty() {
            headers.append(RATE_LIMIT_POLICY, self.policy);
            headers.append(RATE_LIMIT, self.limit);
        }
        if let Some(retry_after) = self.retry_after {
            headers.insert(RETRY_AFTER, retry_after);
        }
    }
}

/// Does to a request what a FaultPolicy says: waits within its time, then lets it through or fails it.
pub async fn inject_request(
    worker: &Worker,
    exchange: &mut Exchange,
    faults: &Faults,
    caller: Caller<'_>,
    head: &request::Parts,
    deadline: Deadline,
) -> Result<(), ProxyError> {
    let identity = caller.identity(worker, faults.asks_identity);
    let headers = Headers(&head.headers);
    let arrival = arrival(head, &headers, identity.as_deref(), caller.remote);
    let Some(injection) = faults.injector.draw(&arrival, unix_ms(), || worker.random()) else {
        return Ok(());
    };
    exchange.policy = Some(faults.policy.clone());
    if !injection.delay.is_zero() {
        count(worker, faults, &faults.delayed, caller.direction, "delay");
        exchange.delayed = injection.delay;
        let left = deadline.remaining(worker.time(Instant::now()));
        tokio::time::sleep(left.map_or(injection.delay, |left| left.min(injection.delay))).await;
        if left.is_some_and(|left| left < injection.delay) {
            let context = format!("delayed for {:?} by FaultPolicy {}", injection.delay, faults.policy);
            return Err(ProxyError::unprocessed(Kind::Timeout, context));
        }
    }
    let Some(abort) = injection.abort else {
        exchange.policy = None;
        return Ok(());
    };
    count(worker, faults, &faults.aborted, caller.direction, "abort");
    exchange.aborted = Some(abort);
    Err(aborted(worker, faults))
}

fn aborted(worker: &Worker, faults: &Faults) -> ProxyError {
    match worker.config().settings.show_policy_in_response {
        true => ProxyError::unprocessed(Kind::Fault, format!("FaultPolicy {}", faults.policy)),
        false => ProxyError::unprocessed(Kind::Fault, ""),
    }
}

fn count(
    worker: &Worker,
    faults: &Faults,
    counter: &OnceLock<Arc<Counter>>,
    direction: Direction,
    fault: &'static str,
) {
    const DESC: &Desc = &names::FAULTS;
    let make = || worker.process.metrics.counter(DESC, &[direction.as_str(), &faults.policy, fault]);
    counter.get_or_init(make).inc();
}

/// The wall clock: an experiment ends when people's clocks say so, also on a machine that slept.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The answer to a request that failed, as the policies that failed it want it.
pub fn failure(exchange: &mut Exchange, error: &ProxyError, tell: Tell) -> Response<Body> {
    let status = match exchange.aborted {
        Some(FaultAbort::Http(status)) => StatusCode::from_u16(status).ok(),
        _ => None,
    };
    // Whoever wants an HTTP status for calls wants what a broken box in between would answer.
    let mut response = reply::failure(error, exchange.is_grpc && status.is_none(), tell);
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    if let (Some(FaultAbort::Grpc(code)), true) = (exchange.aborted, exchange.is_grpc) {
        response.headers_mut().insert(reply::GRPC_STATUS, HeaderValue::from(code));
    }
    if let Some(quota) = exchange.quota.take() {
        quota.apply(response.headers_mut());
    }
    response
}

/// Whether a peer's proxy says that it failed the request on purpose.
pub fn is_injected(headers: &HeaderMap) -> bool {
    let code = Kind::Fault.describe().code;
    headers.get(reply::BYRNIE_ERROR).is_some_and(|value| value.as_bytes().starts_with(code.as_bytes()))
}

/// A connection of bytes: the limits first, then the faults. `Err`: it is reset; the policy that says so beside.
pub async fn connection(
    worker: &Worker,
    limits: Option<&Limits>,
    faults: Option<&Faults>,
    caller: Caller<'_>,
) -> Result<(), (ProxyError, String)> {
    let asked = limits.is_some_and(|l| l.asks_identity) || faults.is_some_and(|f| f.asks_identity);
    let identity = caller.identity(worker, asked);
    let address = caller.remote.ip();
    let arrival: Arrival<'_, NoHeaders> = Arrival { request: None, identity: identity.as_deref(), address };
    if let Some(limits) = limits {
        let verdict = limits.limiter.take(&arrival, worker.time(Instant::now()));
        if let Some(error) = judge(worker, limits, caller.direction, &verdict) {
            return Err((error, limits.plan.policy.clone()));
        }
    }
    let Some(faults) = faults else { return Ok(()) };
    let drawn = faults.injector.draw(&arrival, unix_ms(), || worker.random());
    let Some(Injection { delay, abort }) = drawn else { return Ok(()) };
    if !delay.is_zero() {
        count(worker, faults, &faults.delayed, caller.direction, "delay");
        tokio::time::sleep(delay).await;
    }
    if abort.is_some() {
        count(worker, faults, &faults.aborted, caller.direction, "abort");
        return Err((aborted(worker, faults), faults.policy.clone()));
    }
    Ok(())
}

/// The limits and faults for a connection of bytes that arrives for a Service of this workload.
pub async fn inbound_connection(
    worker: &Worker,
    inbound: &Inbound,
    service: Option<&ObjectName>,
    peer: Option<&Peer>,
    remote: SocketAddr,
) -> Result<(), Refusal> {
    let Some(controls) = inbound.controls(service) else { return Ok(()) };
    let caller = Caller { peer, remote, direction: Direction::Inbound };
    let (limits, faults) = (controls.limits.as_deref(), controls.faults.as_ref());
    let permitted = Box::pin(connection(worker, limits, faults, caller)).await;
    permitted.map_err(|(error, policy)| Refusal { error, policy })
}

/// The limits and faults of a rule, and of the service where the rule has none.
pub fn nearest<'a>(
    rule: Option<&'a Controls>,
    service: Option<&'a Controls>,
) -> (Option<&'a Limits>, Option<&'a Faults>) {
    let limits = |controls: Option<&'a Controls>| controls.and_then(|controls| controls.limits.as_deref());
    let faults = |controls: Option<&'a Controls>| controls.and_then(|controls| controls.faults.as_ref());
    (limits(rule).or_else(|| limits(service)), faults(rule).or_else(|| faults(service)))
}
