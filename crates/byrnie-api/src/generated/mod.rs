//! The types of the Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

mod backend_tls_policy;
mod gateway;
mod gateway_class;
mod grpc_route;
mod http_route;
mod listener_set;
mod reference_grant;
mod shared;
mod tcp_route;
mod tls_route;
mod udp_route;

pub use backend_tls_policy::*;
pub use gateway::*;
pub use gateway_class::*;
pub use grpc_route::*;
pub use http_route::*;
pub use listener_set::*;
pub use reference_grant::*;
pub use shared::*;
pub use tcp_route::*;
pub use tls_route::*;
pub use udp_route::*;
