//! Requests over real sockets: clients, proxies and applications, all in one process.

mod allowed;
mod bad;
mod bad2;
mod balancing;
mod client;
mod controls;
mod cors;
mod deadlines;
mod evicting;
mod expect;
mod farewell;
mod filters;
mod grpc;
mod hints;
mod hops;
mod idle;
mod kit;
mod lifecycle;
mod limits;
mod outliers;
mod panics;
mod places;
mod pooling;
mod protocols;
mod proxied;
mod resets;
mod resting;
mod retries;
mod routing;
mod sessions;
mod sight;
mod streams;
mod through;
mod tunnels;
mod upgrades;

pub(crate) use panics::panic_if_asked;
