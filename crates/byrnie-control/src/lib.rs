//! The running control plane: what is applied becomes what proxies obey, and what they saw becomes what people see.
//!
//! ```text
//!  CLI ─HTTP/JSON on api.sock─▶ server ─▶ apply, objects ─▶ store
//!                                  │                          │ watch
//!                                  │                          ▼
//!                                  │         status ◀── compile_loop (byrnie-mesh) ──▶ table: Key → state
//!                                  │                                                     │ mailboxes
//!                                  └── wait, why, sight, tap ◀── nodes, window ◀── push ─┴─▶ proxies (gRPC, mTLS)
//!                                                                              sign (authority) ─▶ certificates
//! ```
//!
//! Owns the tasks, the listeners and the shared state; each decision is another crate's. Must never know how bytes
//! are proxied. No lock is held across an await; a slow proxy or client holds up nobody else.

mod addresses;
pub mod api;
mod apply;
mod authority;
pub mod client;
mod compile_loop;
mod error;
mod file;
mod health;
mod hold;
mod metrics;
mod nodes;
mod objects;
mod progress;
mod push;
mod query;
mod questions;
mod report;
mod run;
mod server;
mod sight;
mod sign;
mod state;
mod status;
mod storage;
mod table;
mod tap;
mod tls;
mod wait;
mod why;

pub use authority::{CREDENTIAL_LIFETIME, TRUST_BUNDLE_FILE};
pub use run::{ADDRESS_FILE, Addresses, ControlPlane, ControlPlaneOptions, StartError, run};
pub use why::{why_files, words};
