//! The data plane: what one proxy process does.
//!
//! ```text
//! accept ─► connection ─► detect ─► http::{server1,server2} ─┬─► outbound: capture ─► route ─► policy ─► tries
//!                   │                                        └─► inbound: admit ─────────────────► tries
//!                   ├─► hop::serve (mesh port: mTLS, ALPN)        tries: balance ─► pool ─► hop
//!                   └─► tcp::{outbound,inbound} ─► hop::tunnel    observe: told once, at the end
//! control (one thread): identity, discovery ─► config::assemble ─► Process::config (swapped)
//! ```
//! A request travels on one worker thread; nothing it touches is locked. What all workers share is in
//! [`process::Process`], by atomics. Must never know: stores, Kubernetes, resources, the compiler.

mod accept;
mod admit;
mod balance;
mod budget;
mod called;
mod capture;
mod config;
mod connection;
mod control;
mod controls;
mod cors;
mod detect;
mod dns;
mod error;
mod forwarded;
mod front;
#[cfg(test)]
mod fuzz;
mod hop;
mod http;
mod inbound;
mod listing;
mod mirror;
mod observe;
mod outbound;
mod overload;
mod policy;
mod pool;
mod process;
mod proxy_protocol;
mod reply;
mod room;
mod route;
mod run;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod transparent;
mod tries;
mod tuned;
mod woken;
mod worker;

pub use control::{FailedRestart, TAKE_OVER};
pub use process::Role;
pub use run::{
    ControlPlane, LocalState, LogFilter, LogOutput, Orders, ProxyOptions, RunError, Source, Successor,
    Supervision, run,
};
pub use transparent::{CAPTURE_FILE, CaptureOptions, NAMESPACE};
