//! Requests over real sockets: clients, proxies and applications, all in one process.

mod bad;
mod balancing;
mod client;
mod controls;
mod cors;
mod expect;
mod filters;
mod grpc;
mod hops;
mod idle;
mod kit;
mod lifecycle;
mod limits;
mod outliers;
mod panics;
mod pooling;
mod protocols;
mod proxied;
mod retries;
mod routing;
mod sessions;
mod sight;
mod streams;
mod tunnels;
mod upgrades;

pub(crate) use panics::panic_if_asked;
