//! The compiled types that a proxy obeys.
//!
//! Plain data: no dependencies, no I/O, no clock. The compiler (`byrnie-mesh`) writes these values, the wire
//! (`byrnie-wire`) carries them, the decisions (`byrnie-decide`) and the data plane (`byrnie-proxy`) read them.
//! Nothing here knows about resources, stores or sockets.
//!
//! One [`Resource`] is what one [`Key`] holds. Resources are client-agnostic: two proxies that subscribe to one key
//! get the same bytes, so that one encoding serves all.

mod authorization;
mod controls;
mod endpoints;
mod inbound;
mod name;
mod names;
mod resource;
mod route;
mod service;
mod settings;

pub use authorization::{
    Action, AuthorizationPolicy, AuthorizationRule, DefaultAction, Operation, Source, TextMatch,
};
pub use controls::{
    Controls, Fault, FaultAbort, FaultDelay, Faults, InboundControls, RateKey, RateLimit, RateLimits,
    RateUnit, TrafficMatch,
};
pub use endpoints::{Dialect, Endpoint, Endpoints, Hop, PortEndpoints};
pub use inbound::{HealthCheck, HealthProtocol, InboundPolicy, InboundPort, ServicePortRef};
pub use name::{NameParts, ObjectName, SYSTEM_NAMESPACE, WorkloadIdentity};
pub use names::{NAME_SHARDS, Name, Names, name_shard};
pub use resource::{Key, Resource};
pub use route::{
    Backend, BackendTarget, Cors, Filter, GatewayListener, GatewayRoutes, HeaderMatch, HeaderModifier,
    HostPattern, HttpMatch, HttpRule, HttpTable, InvalidBackend, ListenerProtocol, Mirror, PathMatch,
    PathRewrite, PortRoutes, QueryMatch, REGEX_PATTERN_LIMIT, REGEX_SIZE_LIMIT, Redirect, Rewrite, RouteKind,
    RouteName, Routes, TcpRule, Timeouts, ValueMatch,
};
pub use service::{
    AppProtocol, Balancer, ConnectionLimits, HashSource, LatencyOutlier, LocalityPreference, Outlier, Retry,
    RetryBudget, RetryOn, Service, ServicePort, SessionCarrier, SessionPersistence, SuccessRateOutlier,
    TrafficSettings,
};
pub use settings::{
    AccessLog, AccessLogFormat, DnsSettings, ForwardedHeaders, InboundOverrides, MeshSettings, Override,
    ProxyHeader, TrustBundle, Upstream, Upstreams,
};
