//! Compiled `RateLimitPolicy` and `FaultPolicy`: what is done to the requests or connections of one place.

use std::time::Duration;

use crate::{HttpMatch, TextMatch};

/// What policies say about the requests or connections of one place.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Controls {
    /// How many may pass.
    pub limits: Option<RateLimits>,
    /// What is done to some of them on purpose.
    pub faults: Option<Faults>,
}

/// The controls of a workload's or Gateway's inbound side.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundControls {
    /// `Some`: only for what callers want of this Service, instead of the entry without one.
    pub service: Option<crate::ObjectName>,
    /// What holds there.
    pub controls: Controls,
}

/// One RateLimitPolicy at one place. Each limit must let a request through.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimits {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// What the numbers are for: places of one scope share their buckets.
    pub scope: String,
    /// Count what would be refused, refuse nothing.
    pub shadow: bool,
    /// Whether answers tell with `RateLimit` and `RateLimit-Policy`.
    pub headers: bool,
    /// In the order given.
    pub limits: Vec<RateLimit>,
}

/// A token bucket, or one for each value of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// Names it in headers, metrics and logs.
    pub name: String,
    /// What is counted.
    pub unit: RateUnit,
    /// Any of these. Empty: everything.
    pub matches: Vec<TrafficMatch>,
    /// What tells buckets apart. Empty: there is one.
    pub key: Vec<RateKey>,
    /// How many in `per`. At least 1.
    pub number: u32,
    /// The time in which the bucket gets as many tokens. At least 1 ms.
    pub per: Duration,
    /// How many tokens the bucket holds. At least 1.
    pub burst: u32,
    /// Most buckets that are kept, where there is a key.
    pub max_keys: u32,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateUnit {
    /// Requests of HTTP and gRPC.
    Requests,
    /// Connections of bytes.
    Connections,
}

/// What tells buckets apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateKey {
    /// The caller's identity, proven by its certificate.
    Identity,
    /// The value of a header, lower case.
    Header(String),
    /// The address at the connection's other end.
    SourceAddress,
}

/// Requests or connections that are meant. All parts must match.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TrafficMatch {
    /// Path, method, headers, query; host, scope and rule count for nothing. `Some` matches no connection of bytes.
    pub request: Option<HttpMatch>,
    /// Any of these callers. Empty: everybody, also who proves nothing.
    pub identities: Vec<TextMatch>,
}

/// One FaultPolicy at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// When it ends, in milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// Each is drawn for itself.
    pub faults: Vec<Fault>,
}

/// What is done on purpose, and to which share.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Any of these. Empty: everything.
    pub matches: Vec<TrafficMatch>,
    /// Of 10,000.
    pub share: u32,
    /// Wait first.
    pub delay: Option<FaultDelay>,
    /// Then fail.
    pub abort: Option<FaultAbort>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultDelay {
    /// Always as long.
    Fixed(Duration),
    /// Each between the two as likely.
    Uniform {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Normally distributed; what falls outside of zero and `max` is set to these.
    Normal {
        /// The middle.
        mean: Duration,
        /// The standard deviation.
        deviation: Duration,
        /// Longest.
        max: Duration,
    },
    /// Exponentially distributed; what is longer than `max` is set to it.
    Exponential {
        /// The mean.
        mean: Duration,
        /// Longest.
        max: Duration,
    },
}

/// How to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultAbort {
    /// Answer a request with this status.
    Http(u16),
    /// Answer a call with this `grpc-status`, any other request with 503.
    Grpc(u16),
    /// Reset a connection of bytes.
    Reset,
}
