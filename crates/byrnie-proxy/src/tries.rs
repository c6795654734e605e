//! One try after the other: balance → pool → hop, until there is an answer or no sense in another try.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_decide::{
    Attempt, Deadline, Failure, NoRetry, Outcome, RetryDecision, Time, should_retry, try_timeout,
};
use byrnie_plan::{AppProtocol, Retry, Timeouts};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, Version, request};
use smallvec::SmallVec;

use crate::balance::session::Claim;
use crate::balance::{self, Wish};
use crate::config::{Cluster, Endpoint, Rule};
use crate::controls;
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front};
use crate::hop::{self, Outgoing};
use crate::http::body::{Body, ReplayBody, Upload};
use crate::http::expect::{Gate, Gated};
use crate::http::headers::{mesh_header, pass_grpc_timeout, strip_hop_by_hop};
use crate::http::{Message, copy_head};
use crate::observe::Exchange;
use crate::pool::SendFailure;
use crate::reply::BYRNIE_UNPROCESSED;
use crate::worker::Worker;

/// Where a request goes, decided once; tries differ in the endpoint only.
pub struct Plan<'a> {
    /// This thread.
    pub worker: &'a Rc<Worker>,
    /// Where the request came in.
    pub front: &'a Rc<Front>,
    /// Whose endpoints.
    pub cluster: Arc<Cluster>,
    /// The rule that decided.
    pub rule: Option<Arc<Rule>>,
    /// Limits of that rule.
    pub timeouts: Timeouts,
    /// What to try again, and how often.
    pub retry: Retrying,
    /// What the caller's proxy says is left of the request's time.
    pub incoming: Option<Duration>,
    /// At the server: whose address the application is to see, where that is asked for.
    pub shown: Option<SocketAddr>,
    /// The session that the request belongs to.
    pub session: Option<Claim>,
}

/// The retries of the rule, or of the service.
pub enum Retrying {
    /// The rule's own.
    Rule(Arc<Retry>),
    /// The service's.
    Service(Arc<byrnie_plan::TrafficSettings>),
}

impl std::ops::Deref for Retrying {
    type Target = Retry;

    fn deref(&self) -> &Retry {
        match self {
            Self::Rule(retry) => retry,
            Self::Service(settings) => &settings.retry,
        }
    }
}

/// How a try failed: without an answer, or with one that is worth another try.
enum Failed {
    Nothing(SendFailure),
    Answer(Failure, Box<Response<Body>>),
}

/// Sends a request until it is answered. The deadline holds for the answer's body, too.
pub async fn send(
    plan: &Plan<'_>,
    exchange: &mut Exchange,
    message: &mut Message,
) -> Result<(Response<Body>, Deadline), ProxyError> {
    let worker = plan.worker;
    let started = worker.time(exchange.started());
    let deadline = Deadline::new(started, plan.timeouts, &plan.cluster.settings, plan.incoming);
    plan.cluster.budget.deposit(started);
    let replay = prepare(plan, exchange, message);
    let mut now = started;
    let mut failed_at: SmallVec<[u64; 4]> = SmallVec::new();
    loop {
        let may_retry = exchange.retries < plan.retry.attempts;
        let spare = may_retry.then(|| clone_head(&message.head));
        let failed = match once_in_time(plan, exchange, message, &failed_at, deadline, now).await {
            Ok(response) => match worth_another_try(&response, &plan.retry) {
                Some(failure) => Failed::Answer(failure, Box::new(response)),
                None => return Ok((response, deadline)),
            },
            Err(mut failed) => {
                if exchange.is_broken_off() {
                    failed.error = match plan.front.notes.refused() {
                        Some(refusal) => ProxyError::new(Kind::BadRequest, refusal.to_string()),
                        None => ProxyError::new(Kind::ClientGone, failed.error.context),
                    };
                }
                Failed::Nothing(failed)
            }
        };
        now = worker.time(Instant::now());
        let attempt = Attempt {
            method: exchange.facts.method.as_str(),
            retries: exchange.retries,
            replayable: message.is_whole() || is_kept(message, replay.as_ref()),
            deadline,
        };
        if !failed.may_end_otherwise(plan, exchange) {
            return failed.into_result().map(|response| (response, deadline));
        }
        let decision =
            should_retry(failed.failure(), &attempt, &plan.retry, &plan.cluster.budget, now, worker.random());
        let (RetryDecision::Retry { backoff }, Some(spare)) = (decision, spare) else {
            if decision == RetryDecision::No(NoRetry::Budget) {
                worker.process.counters.limit_retry_budget.inc();
            }
            return failed.into_result().map(|response| (response, deadline));
        };
        failed_at.extend(exchange.flight.as_ref().map(|flight| flight.endpoint.id));
        let outcome = if exchange.is_injected { Outcome::Unknown } else { failed.outcome() };
        exchange.is_injected = false;
        let again = replay.as_ref().and_then(ReplayBody::rewind).map(Body::Replay);
        let unsent = message.take().map(Request::into_body);
        message.restore(Request::from_parts(spare, again.or(unsent).unwrap_or(Body::Empty)));
        give_up(plan, exchange, now, outcome);
        exchange.retries += 1;
        if !backoff.is_zero() {
            tokio::time::sleep(backoff).await;
            now = worker.time(Instant::now());
        }
    }
}

/// Counts the body, and keeps what is read of it where there may be another try.
fn prepare(plan: &Plan<'_>, exchange: &mut Exchange, message: &mut Message) -> Option<ReplayBody> {
    let gate = message.head.extensions.get::<Gate>();
    if message.body.is_finished() && gate.is_none() {
        return None;
    }
    let mut body = std::mem::replace(&mut message.body, Body::Empty);
    if let Some(gate) = gate {
        body = Body::Gated(Box::new(Gated::new(body, gate.clone())));
    }
    let upload = Rc::new(Upload::default());
    exchange.upload = Some(Rc::clone(&upload));
    let body = Body::Counted(Box::new((body, upload)));
    if message.upgrade.is_some() || plan.retry.attempts == 0 {
        message.body = body;
        return None;
    }
    let replay = ReplayBody::new(body, plan.worker.process.budget.holder());
    message.body = Body::Replay(replay.clone());
    Some(replay)
}

/// Tells the balancer that a try failed, before the next one takes its place in the exchange.
fn give_up(plan: &Plan<'_>, exchange: &mut Exchange, now: Time, outcome: Outcome) {
    exchange.lease = None;
    if let Some(flight) = exchange.flight.take() {
        flight.finish(plan.worker, now, outcome);
    }
}

async fn once_in_time(
    plan: &Plan<'_>,
    exchange: &mut Exchange,
    message: &mut Message,
    except: &[u64],
    deadline: Deadline,
    now: Time,
) -> Result<Response<Body>, SendFailure> {
    let limit = try_timeout(plan.timeouts, plan.retry.per_try_timeout, deadline, now);
    let idle = plan.cluster.settings.idle_timeout;
    let upload = idle.and(exchange.upload.clone());
    let one = once(plan, exchange, message, except, deadline, now);
    if limit.is_none() && idle.is_none() {
        return one.await;
    }
    let late = async {
        tokio::select! {
            limit = after(limit) => format!("did not answer within {limit:?}"),
            limit = stillness(idle, upload) => format!("did not answer, and nothing moved for {limit:?} (idle)"),
        }
    };
    let why = tokio::select! {
        biased;
        done = one => return done,
        why = late => why,
    };
    let context = format!("{} {why}", plan.cluster.service.service);
    Err(SendFailure { error: ProxyError::new(Kind::Timeout, context), failure: Failure::TimedOut })
}

/// When the time is over; never without a limit.
async fn after(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
    limit.unwrap_or_default()
}

/// When nothing of the request's body has moved for so long; never without a limit.
async fn stillness(limit: Option<Duration>, upload: Option<Rc<Upload>>) -> Duration {
    let moved = || upload.as_ref().map(|upload| upload.bytes.get());
    loop {
        let before = moved();
        let limit = after(limit).await;
        if moved() == before {
            return limit;
        }
    }
}

async fn once(
    plan: &Plan<'_>,
    exchange: &mut Exchange,
    message: &mut Message,
    except: &[u64],
    deadline: Deadline,
    now: Time,
) -> Result<Response<Body>, SendFailure> {
    let unsent = |error| SendFailure { failure: Failure::NotProcessed, error };
    let head = Some((&message.head.headers, &message.head.uri));
    let hash = balance::hash(&plan.cluster, plan.front.remote, head);
    let session = plan.session.as_ref();
    let wish = Wish { hash, session, except, other_locality: plan.retry.other_locality };
    let flight = balance::take(plan.worker, &plan.cluster, now, &wish).map_err(unsent)?;
    let endpoint = Arc::clone(&flight.endpoint);
    exchange.flight = Some(flight);
    let remaining = deadline.remaining(now);
    if let Some(left) = remaining
        && exchange.is_grpc
    {
        pass_grpc_timeout(&mut message.head.headers, left);
    }
    let upgrade = message.upgrade.clone();
    let outgoing = Outgoing {
        cluster: &plan.cluster,
        endpoint: &endpoint,
        rule: plan.rule.as_deref(),
        upgrade: upgrade.as_ref(),
        attempt: exchange.retries,
        remaining,
        version: version(plan, exchange),
        client: plan.front.client_text(),
        shown: plan.shown,
    };
    let (mut response, lease) = hop::send(plan.worker, plan.front, &outgoing, message).await?;
    exchange.lease = Some(lease);
    exchange.is_injected = endpoint.is_secured() && controls::is_injected(response.headers());
    strip_hop_by_hop(response.headers_mut());
    heed_retry_after(plan, &endpoint, &response);
    Ok(response)
}

/// An endpoint that turns requests away and says for how long is left alone for so long, up to the service's limit.
fn heed_retry_after(plan: &Plan<'_>, endpoint: &Endpoint, response: &Response<Body>) {
    if !matches!(response.status().as_u16(), 429 | 503) {
        return;
    }
    let longest = plan.cluster.settings.retry_after_max;
    if let Some(value) = response.headers().get(RETRY_AFTER)
        && let Some(wait) = retry_after(value)
        && !longest.is_zero()
    {
        let now = plan.worker.time(Instant::now());
        endpoint.load.leave_alone(now.plus(wait.min(longest)));
    }
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(date.duration_since(jiff::Timestamp::now())).ok()
}

/// The version that the application is to be spoken to where its port declares none: what the caller speaks. At a
/// Gateway that says nothing about the application, so only gRPC counts there.
fn version(plan: &Plan<'_>, exchange: &Exchange) -> Version {
    let outside = matches!(plan.front.entrance, Entrance::Gateway(_));
    match plan.cluster.protocol {
        AppProtocol::Detect if outside && !exchange.is_grpc => Version::HTTP_11,
        _ => exchange.facts.version,
    }
}

/// Whether an answer is one to try again: the peer's proxy says that its application never saw the request, or the
/// settings name the status.
fn worth_another_try(response: &Response<Body>, retry: &Retry) -> Option<Failure> {
    if mesh_header(response.headers(), BYRNIE_UNPROCESSED).is_some() {
        return Some(Failure::NotProcessed);
    }
    let status = response.status().as_u16();
    if retry.on.has_status(status) {
        return Some(Failure::Status(status));
    }
    if retry.on.grpc_codes.is_empty() {
        return None;
    }
    // Only a trailers-only response tells its status before its body.
    let code = response.headers().get("grpc-status")?.to_str().ok()?.parse().ok()?;
    retry.on.grpc_codes.contains(&code).then_some(Failure::Grpc(code))
}

impl Failed {
    fn failure(&self) -> Failure {
        match self {
            Self::Nothing(failed) => failed.failure,
            Self::Answer(failure, _) => *failure,
        }
    }

    /// Whether another try can end otherwise. What is wrong with the request itself, or with this proxy, stays wrong;
    /// and where no endpoint could be picked, there is none to try.
    fn may_end_otherwise(&self, plan: &Plan<'_>, exchange: &Exchange) -> bool {
        let Self::Nothing(failed) = self else { return true };
        let has_other = || plan.cluster.endpoints.load().endpoints.len() > 1;
        exchange.flight.is_some()
            && match failed.error.kind {
                Kind::Overload => has_other(),
                // The application's own proxy has nobody else to ask; the caller's proxy may.
                Kind::ConnectFailed => has_other() || plan.front.entrance != Entrance::Mesh,
                kind => kind.blames_endpoint(),
            }
    }

    /// What the try says about its endpoint.
    fn outcome(&self) -> Outcome {
        match self {
            Self::Nothing(failed) if !failed.error.kind.blames_endpoint() => Outcome::Unknown,
            Self::Answer(Failure::Status(429) | Failure::Grpc(8), _) => Outcome::Overloaded(Duration::ZERO),
            _ => Outcome::Failure(Duration::ZERO),
        }
    }

    fn into_result(self) -> Result<Response<Body>, ProxyError> {
        match self {
            Self::Nothing(failed) => Err(failed.error),
            Self::Answer(_, response) => Ok(*response),
        }
    }
}

/// Whether the whole body is still at hand although it was sent: there is none, or it was kept.
fn is_kept(message: &Message, replay: Option<&ReplayBody>) -> bool {
    match replay {
        Some(replay) => !replay.is_spoiled(),
        None => message.upgrade.is_none(),
    }
}

/// The head again, for another try.
fn clone_head(head: &request::Parts) -> request::Parts {
    let mut copy = copy_head(head);
    if let Some(gate) = head.extensions.get::<Gate>() {
        copy.extensions.insert(gate.clone());
    }
    copy
}
