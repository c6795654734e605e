//! What the kernel offers to a mesh, behind safe functions: child processes that cannot outlive their parent,
//! descriptors handed from one process to the next, sealed memory, sockets tuned for proxying, network namespaces and
//! the rules that redirect traffic in them.
//!
//! The descriptors travel by systemd's own protocol (`LISTEN_FDS`, `NOTIFY_SOCKET`, `FDSTORE=1`), so that the same
//! proxy runs under `byrnie up` and as a systemd unit.
//!
//! This is the only crate that may hold `unsafe`. It must never know a mesh concept: no workloads, no identities.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod allocator;
pub mod capture;
pub mod cgroup;
pub mod inherit;
pub mod keeper;
pub mod limits;
pub mod memfd;
pub mod netns;
pub mod notify;
pub mod process;
pub mod profile;
pub mod socket;
pub mod spawn;
pub mod store;
#[cfg(test)]
mod testing;
pub mod unix;

pub use inherit::Inherited;
pub use netns::Namespace;
pub use notify::{Notification, Notifier, NotifyServer};
pub use spawn::{Output, Spawn, spawn};
pub use store::FdStore;
