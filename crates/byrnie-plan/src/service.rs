//! A service as its callers see it: ports, protocols, and how to treat its endpoints.

use std::time::Duration;

use crate::{Controls, ObjectName};

/// A service that can be called by name. Which endpoints stand behind it is in `Endpoints`, which requests go
/// elsewhere is in `Routes`: they change at another pace.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Namespace and name of the Service.
    pub name: ObjectName,
    /// Ports, in ascending order, each number once.
    pub ports: Vec<ServicePort>,
    /// The effective outbound traffic settings, defaults filled in.
    pub settings: TrafficSettings,
    /// Rate limits and faults that its callers keep to, where no rule has its own.
    pub controls: Option<Box<Controls>>,
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
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 3 }
    }
}
