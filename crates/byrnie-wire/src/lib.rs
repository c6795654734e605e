//! Plan on the wire.
//!
//! Owns: the protobuf encoding of every compiled resource (`convert`), hash versions (`version`), the delta
//! protocol between proxy and control plane (`client`, `server`), the proxy's reports (`report`, `node`),
//! and the snapshot that a proxy starts from when the control plane is away (`snapshot`). Must never know
//! what a field means to traffic, where resources come from, or how TLS is set up: the caller hands in
//! connected streams.
//!
//! **Invariant**: reading is strict. An unknown enum value, a missing part, an unknown field is a refusal
//! with a code and the field's name, never a default, so that version skew never turns into "matches
//! everything".

pub mod client;
mod convert;
mod error;
pub mod identity;
mod limits;
mod node;
pub mod probe;
pub mod report;
pub mod server;
pub mod snapshot;
mod version;

/// Generated from `proto/` by `cargo xtask codegen`; committed, so that no build needs protoc.
#[rustfmt::skip]
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod generated {
    include!("generated/byrnie.v1.rs");
}

pub use convert::{Encoded, MAX_RESOURCE_BYTES, decode, encode};
pub use error::{DecodeError, Problem, ProtocolError};
pub use limits::*;
pub use node::{NodeInfo, NodeStatus, Role, UpstreamAddress};
pub use version::Version;
