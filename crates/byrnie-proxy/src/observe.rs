//! What is seen of one request: metrics, access log, tap. Everything is told once, when the exchange is over.

mod log;
mod series;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_decide::Outcome;
use byrnie_plan::{FaultAbort, Hop, ServicePortRef};
use byrnie_telemetry::{
    Direction, RequestEnd, RequestSeries, TapEnd, TapResponse, TapView, TapWatch, TcpCell,
};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use crate::balance::InFlight;
use crate::config::{Endpoint, Rule};
use crate::controls::Quota;
use crate::cors::Page;
use crate::error::{Kind, ProxyError};
use crate::front::Front;
use crate::http::body::{BodyError, Upload};
use crate::pool::Lease;
use crate::worker::Worker;
pub use log::{ids, log_format, timestamp};
use series::find_series;
pub use series::{SeriesCache, outbound_labels};

/// Who is called, over which route.
#[derive(Clone, Default)]
pub struct Called {
    /// The Service and its port.
    pub service: Option<Arc<ServicePortRef>>,
    /// The rule that decided.
    pub rule: Option<Arc<Rule>>,
}

/// The request as logs and taps show it.
pub struct Facts {
    /// The method.
    pub method: Method,
    /// The Host header.
    pub host: Option<HeaderValue>,
    /// Path and query, normalised.
    pub uri: Uri,
    /// What the client speaks.
    pub version: Version,
    /// For looking a request up across services.
    pub request_id: Option<HeaderValue>,
}

/// One request from its head to its response's end.
pub struct Exchange {
    worker: Rc<Worker>,
    front: Rc<Front>,
    direction: Direction,
    started: Instant,
    /// The request.
    pub facts: Facts,
    /// Who is called.
    pub called: Called,
    /// Where it went: the last try's.
    pub flight: Option<InFlight>,
    /// Whether it is a gRPC call.
    pub is_grpc: bool,
    /// At the server: where the caller's proxy was called from, as that says.
    pub client: Option<SocketAddr>,
    /// Tries after the first.
    pub retries: u32,
    /// The request's body where there is one.
    pub upload: Option<Rc<Upload>>,
    /// The connection, given back when the response is complete.
    pub lease: Option<Lease>,
    /// The policy that refused.
    pub policy: Option<String>,
    /// What limits say with the answer.
    pub quota: Option<Box<Quota>>,
    /// The page of another origin that asks, where a filter has a word for it: it shall be able to read a failure, too.
    pub page: Option<Box<Page>>,
    /// How long a FaultPolicy made it wait.
    pub delayed: Duration,
    /// How a FaultPolicy failed it here.
    pub aborted: Option<FaultAbort>,
    /// A FaultPolicy failed the last try at the peer's proxy: it says nothing about the endpoint.
    pub is_injected: bool,
    /// What the series is kept under at the mesh port, where no endpoint tells.
    pub series: Option<Arc<RequestSeries>>,
    status: u16,
    grpc_status: Option<u16>,
    error: Option<(Kind, Cow<'static, str>)>,
    response_bytes: u64,
    first_byte: Option<Duration>,
    tap: Option<TapWatch>,
    /// After a switch of protocols: the connection that it is from then on.
    switched: Option<Arc<TcpCell>>,
    over: bool,
}

impl Exchange {
    /// A request that came just now.
    pub fn new(worker: &Rc<Worker>, front: &Rc<Front>, direction: Direction, facts: Facts) -> Self {
        front.begin();
        worker.process.overload.begin();
        Self {
            worker: Rc::clone(worker),
            front: Rc::clone(front),
            direction,
            started: Instant::now(),
            facts,
            called: Called::default(),
            flight: None,
            is_grpc: false,
            client: None,
            retries: 0,
            upload: None,
            lease: None,
            policy: None,
            quota: None,
            page: None,
            delayed: Duration::ZERO,
            aborted: None,
            is_injected: false,
            series: None,
            status: 0,
            grpc_status: None,
            error: None,
            response_bytes: 0,
            first_byte: None,
            tap: None,
            switched: None,
            over: false,
        }
    }

    /// When it came.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The head of the response is about to go back, now.
    pub fn on_head(&mut self, now: Instant, status: u16, headers: &HeaderMap) {
        self.status = status;
        if self.error.is_none() {
            self.first_byte = Some(now.saturating_duration_since(self.started));
        }
        if self.is_grpc {
            self.note_grpc_status(headers);
        }
        self.start_tap();
        if let Some(tap) = &self.tap {
            let since_start_us = micros(now.saturating_duration_since(self.started));
            tap.response(self.worker.process.unix_ms(now), TapResponse { status, since_start_us });
        }
    }

    /// It fails with this; the response that says so comes next.
    pub fn on_error(&mut self, error: &ProxyError) {
        self.error = Some((error.kind, error.context.clone()));
    }

    /// The protocol was switched: from now on it is a connection, which is seen before it ends.
    pub fn on_switch(&mut self) {
        let now = Instant::now();
        let series = match &self.series {
            Some(series) => Arc::clone(series),
            None => self.find_series(now),
        };
        let cell = self.worker.process.metrics.connections(self.worker.index, series.labels(), "", "", now);
        cell.opened();
        self.series = Some(series);
        self.switched = Some(cell);
    }

    /// Shows the request to who taps, once it is known where it goes.
    pub fn start_tap(&mut self) {
        if self.tap.is_some() || self.worker.process.tap.is_idle() {
            return;
        }
        let own = Some(&self.worker.process.workload);
        let endpoint = self.flight.as_ref().map(|flight| &*flight.endpoint);
        let outbound = self.direction == Direction::Outbound;
        let route = self.called.rule.as_ref().map(|rule| rule.name.to_string()).unwrap_or_default();
        let view = TapView {
            direction: self.direction,
            source: own.filter(|_| outbound),
            destination: if outbound { endpoint.map(|e| &e.plan.workload) } else { own },
            service: self.called.service.as_ref().map(|called| &called.service),
            peer_identity: match (outbound, endpoint.map(|endpoint| &endpoint.plan.hop)) {
                (false, _) => self.front.peer.as_ref().map(|peer| &peer.identity),
                (true, Some(Hop::Mesh { identity, .. })) => Some(identity),
                (true, _) => None,
            },
            secured: if outbound {
                endpoint.is_some_and(Endpoint::is_secured)
            } else {
                self.front.peer.is_some()
            },
            protocol: protocol(self.facts.version),
            method: self.facts.method.as_str(),
            host: text(self.facts.host.as_ref()),
            path: self.facts.uri.path_and_query().map_or("", |path| path.as_str()),
            route: &route,
        };
        self.tap = self.worker.process.tap.start(&view, self.worker.process.unix_ms(self.started));
    }

    /// Bytes of the response's body passed.
    pub fn on_data(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
    }

    /// Trailers passed: gRPC puts its status there.
    pub fn on_trailers(&mut self, trailers: &HeaderMap) {
        if self.is_grpc {
            self.note_grpc_status(trailers);
        }
    }

    fn note_grpc_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok()) {
            self.grpc_status = Some(status);
        }
    }

    /// The response is complete, or broke off.
    pub fn end(&mut self, error: Option<&BodyError>) {
        if self.over {
            return;
        }
        self.over = true;
        let now = Instant::now();
        match (error, self.lease.take()) {
            (None, Some(lease)) => lease.give_back(now),
            (None, None) => {}
            (Some(BodyError::TimedOut), _) => {
                self.error =
                    Some((Kind::Timeout, Cow::Borrowed("the request's time ran out within the response")));
            }
            (Some(BodyError::Idle(limit)), _) => {
                self.error = Some((Kind::Timeout, Cow::Owned(format!("nothing moved for {limit:?} (idle)"))));
            }
            (Some(error), _) if self.is_broken_off() => {
                self.error =
                    Some((Kind::ClientGone, Cow::Owned(format!("within the request's body: {error}"))));
            }
            (Some(error), _) => self.error = Some((Kind::UpstreamReset, Cow::Owned(error.to_string()))),
        }
        self.tell(now);
    }

    /// Whether the caller broke off within its body: whatever fails then is not the endpoint's fault.
    pub fn is_broken_off(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.broken.get())
    }

    fn tell(&mut self, now: Instant) {
        self.front.end();
        let first_byte = self.first_byte.filter(|_| self.error.is_none());
        self.worker.process.overload.end(self.worker.time(now), first_byte);
        let duration = now.saturating_duration_since(self.started);
        let code = self.error.as_ref().map_or("", |(kind, _)| kind.describe().code);
        self.settle(now, duration);
        let policy = self.policy.as_deref().unwrap_or_default();
        let request_bytes = self.upload.as_ref().map_or(0, |upload| upload.bytes.get());
        let end = RequestEnd {
            status: self.status,
            grpc_status: self.grpc_status,
            error: code,
            policy,
            duration,
            retries: self.retries,
            request_bytes,
            response_bytes: self.response_bytes,
        };
        if let Some(connection) = self.switched.take() {
            connection.received(request_bytes);
            connection.sent(self.response_bytes);
            connection.closed();
        }
        match &self.series {
            Some(series) => series.record(&end),
            None => self.find_series(now).record(&end),
        }
        self.log(duration, request_bytes);
        if let Some(tap) = self.tap.take() {
            let end = TapEnd {
                since_start_us: micros(duration),
                response_bytes: self.response_bytes,
                grpc_status: self.grpc_status,
                error: code.to_owned(),
                delayed_us: micros(self.delayed),
            };
            tap.end(self.worker.process.unix_ms(now), end);
        }
    }

    /// Tells the balancer how it went. 429, 5xx and their gRPC kin count against an endpoint; so does a break after the
    /// head.
    fn settle(&mut self, now: Instant, duration: Duration) {
        let Some(flight) = self.flight.take() else { return };
        let blamed = match &self.error {
            // An answer of our own says something about the endpoint only where it says so.
            Some((kind, _)) => kind.blames_endpoint(),
            None => matches!(self.status, 429 | 500..) || self.grpc_status.is_some_and(is_grpc_failure),
        };
        let is_overload = self.error.is_none() && (self.status == 429 || self.grpc_status == Some(8));
        let outcome = match (blamed, self.first_byte) {
            _ if self.is_injected => Outcome::Unknown,
            (true, _) if is_overload => Outcome::Overloaded(duration),
            (true, _) => Outcome::Failure(duration),
            (false, Some(first)) => Outcome::Success(first),
            (false, None) => Outcome::Unknown,
        };
        // The labels need the endpoint: resolve them before it is given up.
        if self.series.is_none() {
            self.series = Some(find_series(self, Some(&flight.endpoint), now));
        }
        flight.finish(&self.worker, self.worker.time(now), outcome);
    }

    fn find_series(&self, now: Instant) -> Arc<RequestSeries> {
        find_series(self, self.flight.as_ref().map(|flight| &flight.endpoint), now)
    }
}

/// An exchange that is dropped before its end: the client went away, or a task panicked.
impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.over {
            self.over = true;
            if self.error.is_none() {
                self.error =
                    Some((Kind::ClientGone, Cow::Borrowed("the caller went away before the response's end")));
            }
            self.tell(Instant::now());
        }
    }
}

/// The gRPC codes that stand for 429 and 5xx: deadline exceeded, resource exhausted, internal, unavailable, data loss.
fn is_grpc_failure(code: u16) -> bool {
    matches!(code, 4 | 8 | 13 | 14 | 15)
}

/// `HTTP/1.1` and its kin, as logs show it.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
