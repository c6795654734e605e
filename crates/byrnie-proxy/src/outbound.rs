//! The client's side of a request: route → policy → balance → pool → hop. Retries wrap the last three.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_decide::{Deadline, Found};
use byrnie_plan::{InvalidBackend, PathMatch, Timeouts};
use byrnie_telemetry::Direction;
use http::header::{CONNECTION, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};

use crate::balance::session;
use crate::config::{Backend, Cluster, Destination, HttpRoutes, Rule, RuleFilters};
use crate::controls::{self, Caller};
use crate::cors::Page;
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front, Target};
use crate::http::Message;
use crate::http::body::{Body, IdleTimer, Watched};
use crate::http::headers::{grpc_timeout, is_grpc, mesh_header, strip_but_hear_wish, strip_hop_by_hop};
use crate::http::upgrade::{BYRNIE_UPGRADE, is_connect, strip_mesh_headers_but_switch};
use crate::observe::{Exchange, Facts};
use crate::process::Role;
use crate::reply::{self, BYRNIE_UNPROCESSED, Tell};
use crate::tries::{self, Plan, Retrying};
use crate::worker::Worker;
use crate::{capture, cors, forwarded, mirror, policy, route};

/// Answers a request that came from the workload, or from outside at a Gateway.
pub async fn answer(worker: &Rc<Worker>, front: &Rc<Front>, message: &mut Message) -> Response<Body> {
    let head = &mut message.head;
    #[cfg(test)]
    crate::tests::panic_if_asked(head);
    let normal = route::normalize(front, head);
    strip_hop_by_hop(&mut head.headers);
    let wish = strip_but_hear_wish(&mut head.headers);
    let target = match front.entrance {
        Entrance::HttpProxy => None,
        _ => front.target(worker),
    };
    if let Some(Target::Gateway(listener)) = &target {
        forwarded::tell_client(front, &listener.settings, &mut head.headers);
    }
    let facts = facts(head);
    let mut exchange = Exchange::new(worker, front, Direction::Outbound, facts);
    exchange.is_grpc = is_grpc(&head.headers);
    let normal = normal.and_then(|host| front.admit(worker).map(|()| host));
    let answered = match normal {
        Ok(host) => {
            let work = Work { worker, front, host: &host, wish };
            work.answer(&mut exchange, target, message).await
        }
        Err(error) => Err(error),
    };
    match answered {
        Ok((response, deadline)) => finish(worker, exchange, response, deadline),
        Err(error) => refuse(worker, exchange, &error),
    }
}

/// What logs and taps will show of a request.
pub fn facts(head: &request::Parts) -> Facts {
    Facts {
        method: head.method.clone(),
        host: head.headers.get(HOST).cloned(),
        uri: head.uri.clone(),
        version: head.version,
        request_id: head.headers.get("x-request-id").cloned(),
    }
}

/// CONNECT is offered where proxying was asked for, and where `allowConnect` says so.
pub fn refuse_connect<B>(worker: &Rc<Worker>, front: &Rc<Front>, request: &Request<B>) -> Response<Body> {
    let error = ProxyError::unprocessed(
        Kind::UpgradeRefused,
        "CONNECT is not offered here; TrafficPolicy.spec.inbound.allowConnect would",
    );
    refuse_request(worker, front, request, &error)
}

/// Refuses a request that never came to routing.
pub fn refuse_request<B>(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    request: &Request<B>,
    error: &ProxyError,
) -> Response<Body> {
    let facts = Facts {
        method: request.method().clone(),
        host: None,
        uri: request.uri().clone(),
        version: request.version(),
        request_id: None,
    };
    let mut exchange = Exchange::new(worker, front, Direction::Outbound, facts);
    exchange.is_grpc = is_grpc(request.headers());
    refuse(worker, exchange, error)
}

/// Tells logs and metrics of a request whose head could not be read, and which the codec has answered.
pub fn note_refused(worker: &Rc<Worker>, front: &Rc<Front>, status: StatusCode, error: &ProxyError) {
    let facts = Facts {
        method: Method::from_bytes(b"-").unwrap_or_default(),
        host: None,
        uri: Uri::from_static("*"),
        version: Version::HTTP_11,
        request_id: None,
    };
    let mut exchange = Exchange::new(worker, front, Direction::Outbound, facts);
    exchange.on_error(error);
    exchange.on_head(Instant::now(), status.as_u16(), &HeaderMap::new());
    exchange.end(None);
}

/// Turns a failure into the answer that says so.
fn refuse(worker: &Worker, mut exchange: Exchange, error: &ProxyError) -> Response<Body> {
    exchange.on_error(error);
    // Callers of a Gateway are outside the mesh.
    let tell = match worker.process.role {
        Role::Gateway => Tell::Status,
        Role::Sidecar => Tell::Everything,
    };
    let mut response = controls::failure(&mut exchange, error, tell);
    if let Some(page) = exchange.page.take() {
        page.apply(response.headers_mut());
    }
    if matches!(error.kind, Kind::BadRequest | Kind::Expectation) && exchange.facts.version != Version::HTTP_2
    {
        // Who writes one request that has two readings may have written the next one into it; and nobody knows whether
        // a body comes that was to wait.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    exchange.on_head(Instant::now(), response.status().as_u16(), response.headers());
    exchange.end(None);
    response
}

/// Lets the response go back, watched to its end.
pub fn finish(
    worker: &Rc<Worker>,
    mut exchange: Exchange,
    mut response: Response<Body>,
    deadline: Deadline,
) -> Response<Body> {
    if let Some(quota) = exchange.quota.take() {
        quota.apply(response.headers_mut());
    }
    // A switch of protocols crosses the mesh as a 200 with a header; what the caller gets is a 101.
    let token = mesh_header(response.headers(), BYRNIE_UPGRADE);
    let (is_switched, is_tunnel) = (token.is_some(), is_connect(token));
    let status = match is_switched && !is_tunnel {
        true => StatusCode::SWITCHING_PROTOCOLS,
        false => response.status(),
    };
    let now = Instant::now();
    exchange.on_head(now, status.as_u16(), response.headers());
    if is_switched {
        exchange.on_switch();
    }
    if response.body().is_finished() {
        exchange.end(None);
        return response;
    }
    let deadline = deadline.remaining(worker.time(now));
    let deadline = deadline.map(|left| Box::pin(tokio::time::sleep(left)));
    let idle = exchange.flight.as_ref().and_then(|flight| flight.cluster.settings.idle_timeout);
    let idle = idle.map(|limit| Box::new(IdleTimer::new(limit)));
    response.map(|inner| Body::Watched(Box::new(Watched { inner, exchange, deadline, idle, broken: None })))
}

/// What stays the same while one request is worked on.
struct Work<'a> {
    worker: &'a Rc<Worker>,
    front: &'a Rc<Front>,
    /// Normalised.
    host: &'a str,
    /// Where the application wants this one request to go; whether it may is the destination's word.
    wish: Option<HeaderValue>,
}

type Answered = Result<(Response<Body>, Deadline), ProxyError>;

impl Work<'_> {
    async fn answer(
        &self,
        exchange: &mut Exchange,
        target: Option<Target>,
        message: &mut Message,
    ) -> Answered {
        let target = match self.front.entrance {
            Entrance::HttpProxy => Some(Target::Service(capture::destination(self.worker, &message.head)?)),
            _ => target,
        };
        match target {
            None => Err(ProxyError::unprocessed(Kind::NotReady, "this address leads nowhere any more")),
            Some(Target::Service(service)) => {
                exchange.called.service = Some(Arc::clone(&service.name));
                if let Some(cluster) = self.overridden(&service)? {
                    exchange.called.service = Some(Arc::clone(&cluster.service));
                    return self.send(exchange, Arc::clone(cluster), None, message).await;
                }
                match &service.http {
                    Some(routes) => self.follow_routes(exchange, routes, Some(&service), message).await,
                    None => self.send(exchange, Arc::clone(&service.cluster), None, message).await,
                }
            }
            Some(Target::Gateway(listener)) => {
                self.follow_routes(exchange, &listener.http, None, message).await
            }
        }
    }

    /// Where a wish sends the request. `None`: there is none, or nobody gave this workload the right to one.
    fn overridden<'d>(&self, service: &'d Destination) -> Result<Option<&'d Arc<Cluster>>, ProxyError> {
        let Some(wish) = self.wish.as_ref().filter(|_| !service.overrides.is_empty()) else {
            return Ok(None);
        };
        let wish = wish.to_str().unwrap_or_default();
        let namespace = &service.name.service.namespace;
        match byrnie_decide::wished(wish, namespace, &service.overrides, |cluster| &cluster.service) {
            Some(cluster) => Ok(Some(cluster)),
            None => Err(ProxyError::unprocessed(
                Kind::NoRoute,
                format!(
                    "byrnie-override: {wish:.128} is nothing that a policy offers for {}",
                    service.name.service
                ),
            )),
        }
    }

    /// Finds the rule and does what it says. Where no match takes the request it is refused, also for a Service: its
    /// routes replace the direct way (GAMMA).
    async fn follow_routes(
        &self,
        exchange: &mut Exchange,
        routes: &HttpRoutes,
        called: Option<&Destination>,
        message: &mut Message,
    ) -> Answered {
        let head = &message.head;
        let found = route::find(routes, self.host, &head.method, &head.uri, &head.headers);
        let found = match cors::asks_for(&head.method, &head.headers) {
            Some(asked) => for_preflight(routes, found, asked, self.host, head),
            None => found,
        };
        let rule = found.and_then(|found| routes.rules.get(found.rule as usize));
        let (Some(found), Some(rule)) = (found, rule) else { return Err(no_route(head)) };
        exchange.called.rule = Some(Arc::clone(rule));
        exchange.page = Page::new(rule.filters.cors.as_ref(), &head.headers);
        if let Some(limits) = rule.controls.as_ref().and_then(|controls| controls.limits.as_ref()) {
            controls::limit_request(self.worker, exchange, limits, self.caller(), head)?;
        }
        let matched = routes.paths.get(found.match_index as usize).unwrap_or(&NO_PREFIX);
        if let (Some(rules), Some(asked)) = (&rule.filters.cors, cors::asks_for(&head.method, &head.headers))
        {
            return Ok((cors::preflight(rules, &head.headers, asked), Deadline::NEVER));
        }
        let origin = origin_for(&rule.filters, head);
        let (mut response, deadline) = self.follow_rule(exchange, rule, matched, called, message).await?;
        answer_with(&rule.filters, origin.as_ref(), &mut response);
        Ok((response, deadline))
    }

    async fn follow_rule(
        &self,
        exchange: &mut Exchange,
        rule: &Arc<Rule>,
        matched: &PathMatch,
        called: Option<&Destination>,
        message: &mut Message,
    ) -> Answered {
        let head = &mut message.head;
        if let Some(response) = policy::apply(&rule.filters, self.front, matched, head)? {
            return Ok((response, Deadline::NEVER));
        }
        let chosen = self
            .session_backend(rule, head)
            .or_else(|| rule.choice.take().and_then(|index| rule.backends.get(index)));
        let backend = chosen.ok_or_else(|| {
            ProxyError::unprocessed(
                Kind::InvalidBackend,
                format!("{} has no backend with a weight", rule.name),
            )
        })?;
        let cluster = backend.cluster.as_ref().map_err(|why| invalid_backend(rule, *why))?;
        if let (Some(rules), Some(asked)) =
            (&backend.filters.cors, cors::asks_for(&head.method, &head.headers))
        {
            return Ok((cors::preflight(rules, &head.headers, asked), Deadline::NEVER));
        }
        if let Some(response) = policy::apply(&backend.filters, self.front, matched, head)? {
            return Ok((response, Deadline::NEVER));
        }
        if called.is_none() {
            exchange.called.service = Some(Arc::clone(&cluster.service));
        }
        let origin = origin_for(&backend.filters, head);
        if backend.filters.cors.is_some() {
            exchange.page = Page::new(backend.filters.cors.as_ref(), &head.headers);
        }
        self.mirror(rule, backend, message);
        let sent = self.send(exchange, Arc::clone(cluster), Some(rule), message).await;
        let (mut response, deadline) = sent?;
        answer_with(&backend.filters, origin.as_ref(), &mut response);
        Ok((response, deadline))
    }

    /// The backend that the request's session began with, whatever its share is now.
    fn session_backend<'a>(&self, rule: &'a Rule, head: &request::Parts) -> Option<&'a Backend> {
        if !rule.has_sessions {
            return None;
        }
        let unix_ms = self.worker.process.unix_ms(Instant::now());
        rule.backends.iter().find(|backend| {
            let Ok(cluster) = &backend.cluster else { return false };
            let claim = session::claim(&cluster.settings, &head.headers);
            claim.is_some_and(|c| c.endpoint(&cluster.endpoints.load(), &cluster.settings, unix_ms).is_some())
        })
    }

    /// Sends copies where the rule says so.
    fn mirror(&self, rule: &Rule, backend: &Backend, message: &mut Message) {
        if message.upgrade.is_some() {
            return; // What is said after the switch is one conversation.
        }
        for to in rule.filters.mirrors.iter().chain(&backend.filters.mirrors) {
            mirror::send_copy(self.worker, self.front, to, message);
        }
    }

    async fn send(
        &self,
        exchange: &mut Exchange,
        cluster: Arc<Cluster>,
        rule: Option<&Arc<Rule>>,
        message: &mut Message,
    ) -> Answered {
        let head = &message.head;
        let incoming = if exchange.is_grpc { grpc_timeout(&head.headers) } else { None };
        self.control(exchange, &cluster, rule, head, incoming).await?;
        let own = rule.and_then(|rule| rule.retry.clone());
        let plan = Plan {
            shown: None,
            worker: self.worker,
            front: self.front,
            timeouts: rule.map_or_else(Timeouts::default, |rule| rule.timeouts),
            retry: own.map_or_else(|| Retrying::Service(Arc::clone(&cluster.settings)), Retrying::Rule),
            rule: rule.cloned(),
            session: session::claim(&cluster.settings, &head.headers),
            cluster,
            incoming,
        };
        let (mut response, deadline) = tries::send(&plan, exchange, message).await?;
        self.clean(exchange, &mut response);
        if plan.cluster.settings.session.is_some()
            && let Some(flight) = &exchange.flight
        {
            let unix_ms = self.worker.process.unix_ms(Instant::now());
            let (settings, headers) = (&plan.cluster.settings, response.headers_mut());
            session::tell(settings, &flight.endpoint, plan.session.as_ref(), unix_ms, headers);
        }
        Ok((response, deadline))
    }

    /// The service's limits where the rule has none, then the nearest faults. What fails here was never tried, takes
    /// nothing of the retry budget and says nothing about any endpoint.
    async fn control(
        &self,
        exchange: &mut Exchange,
        cluster: &Cluster,
        rule: Option<&Arc<Rule>>,
        head: &request::Parts,
        incoming: Option<Duration>,
    ) -> Result<(), ProxyError> {
        let own = rule.and_then(|rule| rule.controls.as_deref());
        if own.is_none() && cluster.controls.is_none() {
            return Ok(());
        }
        let (limits, faults) = controls::nearest(own, cluster.controls.as_deref());
        if let Some(limits) = limits.filter(|_| own.is_none_or(|own| own.limits.is_none())) {
            controls::limit_request(self.worker, exchange, limits, self.caller(), head)?;
        }
        if let Some(faults) = faults {
            let started = self.worker.time(exchange.started());
            let timeouts = rule.map_or_else(Timeouts::default, |rule| rule.timeouts);
            let deadline = Deadline::new(started, timeouts, &cluster.settings, incoming);
            let inject =
                controls::inject_request(self.worker, exchange, faults, self.caller(), head, deadline);
            Box::pin(inject).await?;
        }
        Ok(())
    }

    fn caller(&self) -> Caller<'_> {
        Caller { peer: None, remote: self.front.remote, direction: Direction::Outbound }
    }

    /// What proxies tell each other does not go on to the caller; what they tell callers does not leave the mesh, and
    /// is believed of a proxy only.
    fn clean(&self, exchange: &Exchange, response: &mut Response<Body>) {
        let secured = exchange.flight.as_ref().is_some_and(|flight| flight.endpoint.is_secured());
        let headers = response.headers_mut();
        if secured && !matches!(self.front.entrance, Entrance::Gateway(_)) {
            headers.remove(BYRNIE_UNPROCESSED);
            return;
        }
        let is_refusal = secured && headers.contains_key(reply::BYRNIE_ERROR);
        strip_mesh_headers_but_switch(headers);
        if is_refusal {
            reply::hide_words(response);
        }
    }
}

/// For a rule that was found by no path: a prefix rewrite leaves the path alone.
static NO_PREFIX: PathMatch = PathMatch::Regex(String::new());

/// A browser's preflight request is for the rule that would take the request it asks about, unless a rule for OPTIONS
/// itself says something to other origins.
fn for_preflight(
    routes: &HttpRoutes,
    found: Option<Found>,
    asked: &str,
    host: &str,
    head: &request::Parts,
) -> Option<Found> {
    let says_something = |found: &Found| {
        let rule = routes.rules.get(found.rule as usize);
        rule.is_some_and(|rule| {
            rule.filters.cors.is_some() || rule.backends.iter().any(|backend| backend.filters.cors.is_some())
        })
    };
    if found.as_ref().is_some_and(says_something) {
        return found;
    }
    let Ok(method) = Method::from_bytes(asked.as_bytes()) else { return found };
    let other = route::find(routes, host, &method, &head.uri, &head.headers);
    other.filter(says_something).or(found)
}

/// The page that asks, where the filters want to know.
fn origin_for(filters: &RuleFilters, head: &request::Parts) -> Option<HeaderValue> {
    filters.cors.as_ref().and_then(|_| head.headers.get(ORIGIN).cloned())
}

/// What filters do to a response.
fn answer_with(filters: &RuleFilters, origin: Option<&HeaderValue>, response: &mut Response<Body>) {
    filters.response.apply(response.headers_mut());
    if let Some(rules) = &filters.cors {
        cors::apply(rules, origin, response.headers_mut());
    }
}

fn no_route(head: &request::Parts) -> ProxyError {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("(none)");
    ProxyError::unprocessed(Kind::NoRoute, format!("{} {} of host {host}", head.method, head.uri.path()))
}

fn invalid_backend(rule: &Rule, why: InvalidBackend) -> ProxyError {
    let why = match why {
        InvalidBackend::NotFound => "no such service or port",
        InvalidBackend::InvalidKind => "a kind that cannot be a backend",
        InvalidBackend::NotPermitted => "another namespace without a ReferenceGrant",
        InvalidBackend::TlsUnsupported => "a BackendTLSPolicy asks for TLS to it, which is not supported yet",
        InvalidBackend::UnsupportedFilter => "a filter that cannot be acted on",
    };
    ProxyError::unprocessed(Kind::InvalidBackend, format!("{}: {why}", rule.name))
}
