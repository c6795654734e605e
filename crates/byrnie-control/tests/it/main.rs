//! The whole control plane in process: its API on a real socket, fake proxies over real mTLS.

// A test file is all test code, helpers included; clippy.toml allows these in #[test] functions only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod addresses;
mod apply;
mod bounds;
mod harness;
mod identity;
mod matching;
mod push;
mod sight;
