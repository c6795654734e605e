//! What all workers of one proxy process share.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use byrnie_decide::Time;
use byrnie_plan::{MeshSettings, ObjectName, WorkloadIdentity};
use byrnie_telemetry::{AccessLogWriter, Counter, Gauge, Registry, TapHub, names};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::budget::Budget;
use crate::called::Calls;
use crate::config::Config;
use crate::error::{Kind, ProxyError};
use crate::listing::Listing;
use crate::overload::Overload;
use crate::tls::TlsState;
use crate::transparent::Captured;

/// How long those who have not heard yet that this process leaves may take to ask: one that is closed while its
/// request is on its way would see it fail.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// What a proxy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// One workload's proxy.
    Sidecar,
    /// A Gateway.
    Gateway,
}

/// What all workers share. Nothing in here is locked on the path of a request.
pub struct Process {
    /// The Workload, or the Gateway.
    pub workload: ObjectName,
    /// What this proxy is for.
    pub role: Role,
    /// What to obey; swapped as a whole.
    pub config: Arc<ArcSwap<Config>>,
    /// Key, certificate and roots. `None`: no identity yet, nothing goes over a hop (fail closed).
    pub tls: ArcSwapOption<TlsState>,
    /// Ports whose clients do not make clear in time what they speak.
    pub undetected: crate::detect::Warnings,
    /// All metric series.
    pub metrics: Registry,
    /// The counters that have one series each.
    pub counters: Counters,
    /// One line per request.
    pub access_log: AccessLogWriter,
    /// Live requests.
    pub tap: TapHub,
    /// Questions about services that were not called before.
    pub calls: Calls,
    /// Cancelled when this process begins to leave: clients are told with their next answer (`Connection: close`,
    /// GOAWAY), and still served.
    pub draining: CancellationToken,
    /// Cancelled a moment later: what is idle is closed (see [`Self::parted`]).
    pub parting: CancellationToken,
    /// Cancelled when the time for draining is over: what is left is cut.
    pub closing: CancellationToken,
    /// One token per client connection, on whichever worker, from when it is admitted.
    pub connections: TaskTracker,
    /// Requests in flight, and whether memory or descriptors run out.
    pub overload: Overload,
    /// Bytes held for others.
    pub budget: Arc<Budget>,
    /// Client connections that are open, for the operator.
    pub listing: Arc<Listing>,
    /// Their number.
    pub open: AtomicUsize,
    /// Mirrored copies that are on their way.
    pub copies: AtomicUsize,
    /// Set before anything starts, where the workload's traffic is captured.
    pub captured: Option<Arc<Captured>>,
    /// How often an ejection, or the probe of an ejected endpoint, has begun or ended: who keeps what ejections come
    /// to compares it.
    pub ejections: AtomicU64,
    started: Instant,
    started_unix_ms: u64,
}

/// Counters and gauges without variable labels, resolved once.
pub struct Counters {
    /// Tasks that panicked.
    pub panics: Arc<Counter>,
    /// Connections beyond the limit.
    pub limit_connections: Arc<Counter>,
    /// Connections and requests refused for want of memory or descriptors.
    pub limit_shed: Arc<Counter>,
    /// Requests beyond what the process may have in flight.
    pub limit_requests: Arc<Counter>,
    /// Requests beyond what latency allows.
    pub limit_concurrency: Arc<Counter>,
    /// Requests beyond an endpoint's limit of requests in flight.
    pub limit_in_flight: Arc<Counter>,
    /// Connections beyond an endpoint's limit.
    pub limit_upstream_connections: Arc<Counter>,
    /// Requests beyond the limit of those that wait for a connection.
    pub limit_pending: Arc<Counter>,
    /// Retries that the budget refused.
    pub limit_retry_budget: Arc<Counter>,
    /// Messages whose head is too large.
    pub limit_headers: Arc<Counter>,
    /// Requests that were not read because their clients had given up before their turn came.
    pub limit_gone: Arc<Counter>,
    /// Requests whose head took too long.
    pub limit_header_timeout: Arc<Counter>,
    /// Connections that do not begin with the PROXY protocol where they must.
    pub limit_proxy_protocol: Arc<Counter>,
    /// Connections of bytes whose client vanished: it answered no packet any more.
    pub client_vanished: Arc<Counter>,
    /// The same of the server, or of the proxy on the way to it.
    pub server_vanished: Arc<Counter>,
    /// Copies that would have been one too many.
    pub limit_mirror: Arc<Counter>,
    /// Copies that were answered.
    pub mirrored_answered: Arc<Counter>,
    /// Copies that could not be sent, or whose answer broke off.
    pub mirrored_failed: Arc<Counter>,
    /// Copies that were given up.
    pub mirrored_given_up: Arc<Counter>,
    /// Open client connections.
    pub downstream: Arc<Gauge>,
    /// Of these, those of HTTP/1 without a codec.
    pub resting: Arc<Gauge>,
    /// Open connections to endpoints.
    pub upstream: Arc<Gauge>,
}

impl Counters {
    fn new(metrics: &Registry) -> Self {
        let limit = |name: &str| metrics.counter(&names::LIMIT_REJECTIONS, &[name]);
        Self {
            panics: metrics.counter(&names::PANICS, &[]),
            limit_connections: limit("connections"),
            limit_shed: limit("shed"),
            limit_requests: limit("requests"),
            limit_concurrency: limit("concurrency"),
            limit_in_flight: limit("in_flight"),
            limit_upstream_connections: limit("upstream_connections"),
            limit_pending: limit("pending"),
            limit_retry_budget: limit("retry_budget"),
            limit_headers: limit("headers"),
            limit_gone: limit("gone"),
            limit_header_timeout: limit("header_timeout"),
            limit_proxy_protocol: limit("proxy_protocol"),
            client_vanished: metrics.counter(&names::TCP_VANISHED, &["client"]),
            server_vanished: metrics.counter(&names::TCP_VANISHED, &["server"]),
            limit_mirror: limit("mirror"),
            mirrored_answered: metrics.counter(&names::MIRRORED, &["answered"]),
            mirrored_failed: metrics.counter(&names::MIRRORED, &["failed"]),
            mirrored_given_up: metrics.counter(&names::MIRRORED, &["given_up"]),
            downstream: metrics.gauge(&names::CONNECTIONS, &["downstream", ""]),
            resting: metrics.gauge(&names::RESTING, &[]),
            upstream: metrics.gauge(&names::CONNECTIONS, &["upstream", ""]),
        }
    }
}

impl Process {
    /// A process that knows nothing yet. `log` takes the access log.
    pub fn new(workload: ObjectName, role: Role, metrics: Registry, log: AccessLogWriter) -> Self {
        let tap = TapHub::new(metrics.counter(&names::TAP_DROPPED, &[]));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            workload,
            role,
            config: Arc::default(),
            tls: ArcSwapOption::empty(),
            counters: Counters::new(&metrics),
            undetected: crate::detect::Warnings::default(),
            access_log: log,
            tap,
            calls: Calls::default(),
            draining: CancellationToken::new(),
            parting: CancellationToken::new(),
            closing: CancellationToken::new(),
            connections: TaskTracker::new(),
            overload: Overload::default(),
            budget: Budget::new(metrics.counter(&names::LIMIT_REJECTIONS, &["buffers"])),
            listing: Arc::default(),
            open: AtomicUsize::new(0),
            copies: AtomicUsize::new(0),
            captured: None,
            ejections: AtomicU64::new(0),
            started: Instant::now(),
            started_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            metrics,
        }
    }

    /// Returns when a connection that asks for nothing is to be closed because this process leaves. One that came
    /// since it leaves has a moment of its own first: its request is on its way.
    pub fn parted(&self) -> impl Future<Output = ()> + '_ {
        // Boxed: connections that came before need no room for a clock.
        let own = self.draining.is_cancelled().then(|| Box::pin(tokio::time::sleep(FAREWELL)));
        async move {
            if let Some(own) = own {
                own.await;
            }
            self.parting.cancelled().await;
        }
    }

    /// Returns when a connection of HTTP/2 is to be told that nothing new is taken on it because this process leaves.
    /// One that came since is told with its first stream, or when it had its moment: told at once, its client might
    /// open none, here or on the next one (RFC 9113 section 6.8).
    pub async fn to_go_away(&self) {
        match self.draining.is_cancelled() {
            true => self.parted().await,
            false => self.draining.cancelled().await,
        }
    }

    /// The decisions' clock: microseconds since this process began.
    pub fn time(&self, now: Instant) -> Time {
        Time::after(now.saturating_duration_since(self.started))
    }

    /// The same moment as milliseconds since 1970.
    pub fn unix_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started).as_millis();
        self.started_unix_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Runs a task; when it panics, that is counted and harms nothing else. The panic's words are in the log already.
    /// No `async fn`: the task would take its place twice, as argument and where it stays.
    pub fn survive<'a>(&'a self, task: impl Future<Output = ()> + 'a) -> impl Future<Output = ()> + 'a {
        AssertUnwindSafe(task).catch_unwind().map(|ended| {
            if ended.is_err() {
                self.counters.panics.inc();
            }
        })
    }

    /// Takes a place for one more client connection.
    pub fn admit_connection(self: &Arc<Self>) -> Result<OpenConnection, NoPlace> {
        let config = self.config.load();
        let settings = &config.settings;
        // A burst between two looks must not take the last descriptor.
        let has_descriptors = settings.shed_percent == 0 || self.descriptors() < settings.shed_percent;
        if !has_descriptors || (self.overload.is_shedding() && self.overload.little().is_none()) {
            self.counters.limit_shed.inc();
            return Err(NoPlace::Refused);
        }
        if !self.overload.has_room(settings) {
            return Err(NoPlace::Yet);
        }
        let limit = settings.max_connections as usize;
        if self.open.fetch_add(1, Relaxed) >= limit {
            self.open.fetch_sub(1, Relaxed);
            self.counters.limit_connections.inc();
            return Err(NoPlace::Refused);
        }
        self.counters.downstream.add(1);
        Ok(OpenConnection { process: Arc::clone(self), _waited_for: self.connections.token() })
    }

    /// Counts a connection to an endpoint, from before its socket is made.
    pub fn count_upstream(&self) -> Gauged {
        Gauged::new(&self.counters.upstream)
    }

    /// The share of descriptors in use, in percent.
    pub fn descriptors(&self) -> u8 {
        let connections = self.counters.downstream.get().saturating_add(self.counters.upstream.get());
        self.overload.descriptors(u64::try_from(connections).unwrap_or(0))
    }

    /// Whether one more request is taken (a refusal is counted).
    pub fn admit_request(&self, settings: &MeshSettings) -> Result<(), ProxyError> {
        let admitted = self.overload.admit(settings);
        if let Err(error) = &admitted {
            match error.kind {
                Kind::TooManyRequests => self.counters.limit_requests.inc(),
                Kind::Slow => self.counters.limit_concurrency.inc(),
                _ => self.counters.limit_shed.inc(),
            }
        }
        admitted
    }

    /// What this process proves, once it can.
    pub fn identity(&self) -> Option<WorkloadIdentity> {
        self.tls.load().as_ref().map(|tls| tls.svid.identity().clone())
    }
}

/// One more, until it is dropped.
pub struct Gauged(Arc<Gauge>);

impl Gauged {
    /// Counts it.
    pub fn new(gauge: &Arc<Gauge>) -> Self {
        gauge.add(1);
        Self(Arc::clone(gauge))
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// Why there is no place for a connection.
pub enum NoPlace {
    /// Memory is full, which others that end may change. Not counted yet.
    Yet,
    /// Descriptors or connections are at their limit; counted.
    Refused,
}

/// The place of one client connection; given back when dropped.
pub struct OpenConnection {
    process: Arc<Process>,
    /// A drain must not miss one that is between two workers.
    _waited_for: TaskTrackerToken,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.process.open.fetch_sub(1, Relaxed);
        self.process.counters.downstream.add(-1);
    }
}
