//! Every decision that is made for one request: route, authorization, backend, endpoint, retry, deadline.
//!
//! Pure: no socket, no task, no clock, no random source. Time ([`Time`]) and randomness (`u64`) are parameters, so
//! that the proxy, `byrnie why`, `byrnie analyze` and the simulations call the same code and get the same answer.
//! Must never know: sockets, tasks, the wire, resources.
//!
//! Two kinds of values live here:
//! - compiled once for each change of configuration, immutable after: [`Router`], [`Authorizer`], [`Picker`],
//!   [`WeightedChoice`];
//! - state of the process, shared by all workers without locks: [`EndpointLoad`], [`RetryBudget`],
//!   [`OutlierState`], [`OutlierClock`], [`RateLimiter`]. A number that a user configures means the process, not one
//!   worker.
//!
//! Nothing on the path of a request allocates, but for a path or host that had to be rewritten, a header of several
//! lines and a regular expression's first use on a thread.

mod authorize;
mod balance;
mod concurrency;
mod cors;
mod deadline;
mod explain;
mod fault;
mod grpc_timeout;
mod hash;
mod health;
mod load;
mod locality;
mod outlier;
mod overrides;
mod path;
mod rate_limit;
mod request;
mod retry;
mod router;
mod slow_start;
mod time;
mod traffic;
mod weight;

pub use authorize::{
    AuthorizationStep, Authorizer, DEFAULT_POLICY, Decision, HttpOperation, PeerView, Reason, Verdict,
};
pub use balance::{PickContext, Picker};
pub use concurrency::Concurrency;
pub use cors::{CorsRules, Preflight, Shared};
pub use deadline::{Deadline, request_limit, try_limit, try_timeout};
pub use explain::{Explanation, RouteStep, explain};
pub use fault::{FaultInjector, Injection};
pub use grpc_timeout::{parse_grpc_timeout, write_grpc_timeout};
pub use hash::xxh64;
pub use health::HealthState;
pub use load::{DEFAULT_RTT, EWMA_DECAY, EndpointLoad, Outcome};
pub use locality::{MAX_LEVELS, Spread, distance, levels};
pub use outlier::{Ejection, EjectionReason, OutlierClock, OutlierState, compare};
pub use overrides::wished;
pub use path::{
    Authority, HostRefusal, Normalized, PathRefusal, normalize_authority, normalize_path, normalize_pattern,
    rewrite_path,
};
pub use rate_limit::{Quota, RateLimiter, RateVerdict};
pub use request::{HeaderLookup, NoHeaders, RequestView};
pub use retry::{Attempt, Failure, NoRetry, RetryBudget, RetryDecision, should_retry};
pub use router::{Found, Miss, Router, RouterError, host_matches, most_specific};
pub use slow_start::SlowStartGate;
pub use time::Time;
pub use traffic::{Arrival, TrafficMatcher};
pub use weight::WeightedChoice;
