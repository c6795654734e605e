//! Requests over real sockets: clients, proxies and applications, all in one process.

mod bad;
mod balancing;
mod client;
mod controls;
mod cors;
mod filters;
mod grpc;
mod hops;
mod kit;
mod lifecycle;
mod limits;
mod pooling;
mod protocols;
mod retries;
mod routing;
mod sight;
mod streams;
mod upgrades;
