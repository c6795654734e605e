//! Bytes: connections that are not HTTP, or not ours to look into.
//!
//! `outbound` takes them from clients and gateways' listeners, `inbound` from the hop; `connect` finds an endpoint that
//! answers, `relay` moves the bytes, `observe` tells what was seen.

mod connect;
mod duplex;
pub mod inbound;
mod observe;
pub mod outbound;
pub mod passing;
pub mod plaintext;
mod relay;
mod waiting;

pub use duplex::Duplex;

#[cfg(test)]
pub(crate) mod tests;
