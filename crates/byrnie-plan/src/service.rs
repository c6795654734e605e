//! A service as its callers see it: ports, protocols, and how to treat its endpoints.

use std::sync::Arc;
use std::time::Duration;

use crate::{Controls, InboundOverrides, ObjectName};

/// A service that can be called by name. Which endpoints stand behind it is in `Endpoints`, which requests go
/// elsewhere is in `Routes`: they change at another pace.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Namespace and name of the Service.
    pub name: ObjectName,
    /// Ports, in ascending order, each number once.
    pub ports: Vec<ServicePort>,
    /// The effective outbound traffic settings, defaults filled in. Shared: most services have the same.
    pub settings: Arc<TrafficSettings>,
    /// Rate limits and faults that its callers keep to, where no rule has its own.
    pub controls: Option<Box<Controls>>,
    /// What its own policies say about calls of it, where these come into a proxy.
    pub overrides: InboundOverrides,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The port's name, empty when it has none.
    pub name: String,
    /// The port that callers name.
    pub port: u16,
    /// What is spoken there.
    pub protocol: AppProtocol,
}

/// What a port speaks, as declared by `appProtocol`, or `Detect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AppProtocol {
    /// Not declared: sniffed from the first bytes.
    Detect,
    /// `http`, `kubernetes.io/ws`: HTTP/1.x from the origin; clients may speak HTTP/1.x or HTTP/2.
    Http1,
    /// `http2`, `kubernetes.io/h2c`: HTTP/2 with prior knowledge at the origin.
    Http2,
    /// `grpc`: HTTP/2 at the origin, errors as `grpc-status`.
    Grpc,
    /// `tcp` and everything unknown that is declared: bytes.
    Tcp,
    /// `https`, `tls`: bytes, whose SNI may be looked at.
    Tls,
}

/// How callers treat a service's endpoints. Each number is the effective one.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficSettings {
    /// Which endpoint takes the next request.
    pub balancer: Balancer,
    /// Time to establish a connection, TLS included. Default 1 s.
    pub connect_timeout: Duration,
    /// Time for a whole request including retries, when the route names none. `None`: no limit.
    pub request_timeout: Option<Duration>,
    /// Idle time after which a stream or TCP connection is closed. `None`: no limit.
    pub idle_timeout: Option<Duration>,
    /// Retries, when the route names none.
    pub retry: Retry,
    /// Limits that hold for the process, not per worker.
    pub limits: ConnectionLimits,
    /// When an endpoint is left out for a while.
    pub outlier: Option<Outlier>,
    /// Time over which a new endpoint's share grows linearly. `None`: at once.
    pub slow_start: Option<Duration>,
    /// Whether near endpoints are preferred. `None`: all are the same.
    pub locality: Option<LocalityPreference>,
    /// Whether a client stays with the endpoint that it began with.
    pub session: Option<SessionPersistence>,
    /// Longest time for which an endpoint that answers 429 or 503 with `Retry-After` is left alone. Zero: the header
    /// says nothing. Default 30 s.
    pub retry_after_max: Duration,
}

/// Near endpoints first, then those further away, as far as the near ones are healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityPreference {
    /// Regions (or region/zone) in the order in which they take over once the own region cannot; others come last.
    pub failover: Vec<String>,
    /// How much of its share of healthy endpoints a locality is believed to bear, in percent: with 140, 72 of 100
    /// healthy endpoints still take everything. Default 140 (Envoy's).
    pub overprovisioning_percent: u32,
}

/// A client stays with the endpoint that it began with (Gateway API GEP-1619).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPersistence {
    /// Name of the cookie or header.
    pub name: String,
    /// What carries it.
    pub carrier: SessionCarrier,
    /// Longest life of a session. `None`: no limit.
    pub absolute_timeout: Option<Duration>,
    /// Longest pause of a session. `None`: no limit.
    pub idle_timeout: Option<Duration>,
}

/// What carries a session's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionCarrier {
    /// A cookie that ends with the browser's session.
    Cookie,
    /// A cookie that the browser keeps for the absolute time-out.
    PermanentCookie,
    /// A header of response and request.
    Header,
}

/// Which endpoint takes the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balancer {
    /// Power of two choices over peak-EWMA latency times load, failures penalised (the default).
    PeakEwma,
    /// Power of two choices over requests in flight.
    LeastRequest,
    /// Each in turn, by weight.
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// Consistent hashing on a ring.
    RingHash(HashSource),
    /// Consistent hashing by Maglev's table.
    Maglev(HashSource),
}

/// Where the key of consistent hashing comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashSource {
    /// A request header, lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A query parameter.
    Query(String),
    /// The caller's address.
    SourceAddress,
}

/// Limits of the callers' process towards one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections to one endpoint. Default 1,024 (Envoy's `max_connections`).
    pub max_connections: u32,
    /// Requests that wait for a connection. Default 1,024 (Envoy's `max_pending_requests`).
    pub max_pending: u32,
    /// Requests in flight to one endpoint. Default 1,024 (Envoy's `max_requests`).
    pub max_in_flight: u32,
}

/// When a request is tried again, beyond what is always safe.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Tries after the first one. 0: never. Default 2.
    pub attempts: u32,
    /// What is worth another try, beside requests that provably were not processed.
    pub on: RetryOn,
    /// Longest time for one try. `None`: the request's own limit.
    pub per_try_timeout: Option<Duration>,
    /// First backoff; doubles with each try, jittered. Default 25 ms (Linkerd's).
    pub backoff: Duration,
    /// Largest backoff. Default 250 ms (Linkerd's).
    pub backoff_max: Duration,
    /// How many retries are allowed in all.
    pub budget: RetryBudget,
    /// Whether another try prefers an endpoint of another locality, not only another endpoint.
    pub other_locality: bool,
}

/// What is worth another try.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// Response statuses.
    pub statuses: Vec<u16>,
    /// gRPC status codes.
    pub grpc_codes: Vec<u16>,
    /// A connection error after the request was sent; only with a safe method.
    pub connection_error: bool,
    /// Also methods that are not idempotent (an operator's explicit word).
    pub unsafe_methods: bool,
    /// All statuses of 500 and above.
    pub server_errors: bool,
    /// The time-out of a single try.
    pub timeout: bool,
}

/// Retries as a share of requests, always enforced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Retries allowed for each request of the last ten seconds, in 1/100. Default 20.
    pub percent: u32,
    /// Retries per second that are allowed at least. Default 3.
    pub min_per_second: u32,
}

/// When an endpoint is ejected for a while. Half of the endpoints at least stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// Failures in a row (5xx, connect errors, resets) that eject. 0: never.
    pub consecutive_failures: u32,
    /// First ejection time; doubles each time.
    pub base_ejection: Duration,
    /// Longest ejection time.
    pub max_ejection: Duration,
    /// When fewer of a locality's endpoints than this are in service, in percent, ejection is ignored there.
    /// Default 50 (Envoy's).
    pub panic_percent: u32,
    /// How often success rates and latencies are compared. Default 10 s (Envoy's).
    pub interval: Duration,
    /// Ejection of endpoints that succeed less often than the others.
    pub success_rate: Option<SuccessRateOutlier>,
    /// Ejection of endpoints that are slower than the others.
    pub latency: Option<LatencyOutlier>,
}

/// An endpoint that succeeds less often than the others, compared once per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRateOutlier {
    /// Endpoints with enough requests that there must be for a comparison. Default 5 (Envoy's).
    pub minimum_endpoints: u32,
    /// Requests in an interval that make an endpoint's rate worth a comparison. Default 100 (Envoy's).
    pub minimum_requests: u32,
    /// Ejected is who is so many thousandths of a standard deviation below the mean. Default 1,900 (Envoy's).
    pub deviation_thousandths: u32,
    /// Ejected is, however the others are, who succeeds less often than this, in percent. Default 0: never.
    pub threshold_percent: u32,
}

/// An endpoint that is slower than the others, compared once per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyOutlier {
    /// Endpoints with enough requests that there must be for a comparison. Default 3.
    pub minimum_endpoints: u32,
    /// Requests in an interval that make an endpoint's latency worth a comparison. Default 20.
    pub minimum_requests: u32,
    /// Ejected is whose mean time to the first byte is above this share of the median of all, in percent. Default 300.
    pub factor_percent: u32,
    /// Nobody below this mean is ejected. Default 50 ms.
    pub minimum: Duration,
}

impl Default for TrafficSettings {
    fn default() -> Self {
        Self {
            balancer: Balancer::PeakEwma,
            connect_timeout: Duration::from_secs(1),
            request_timeout: None,
            idle_timeout: None,
            retry: Retry::default(),
            limits: ConnectionLimits::default(),
            outlier: None,
            slow_start: None,
            locality: None,
            session: None,
            retry_after_max: Duration::from_secs(30),
        }
    }
}

/// Defaults as Envoy has them: 5 failures, 30 s, 5 min, 50 %, 10 s.
impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            panic_percent: 50,
            interval: Duration::from_secs(10),
            success_rate: None,
            latency: None,
        }
    }
}

impl Default for SuccessRateOutlier {
    fn default() -> Self {
        Self {
            minimum_endpoints: 5,
            minimum_requests: 100,
            deviation_thousandths: 1_900,
            threshold_percent: 0,
        }
    }
}

impl Default for LatencyOutlier {
    fn default() -> Self {
        Self {
            minimum_endpoints: 3,
            minimum_requests: 20,
            factor_percent: 300,
            minimum: Duration::from_millis(50),
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max_connections: 1024, max_pending: 1024, max_in_flight: 1024 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: RetryOn::default(),
            per_try_timeout: None,
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            budget: RetryBudget::default(),
            other_locality: false,
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 3 }
    }
}
