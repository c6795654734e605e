//! End-to-end tests: the shipped binary as an operator uses it, real processes, real sockets, no privileges.
//!
//! Each test runs meshes of its own in directories of its own. Nothing sleeps for luck: a test waits for a
//! predicate with a deadline, and prints the mesh's log when it fails.

// Helpers are no `#[test]` functions, where clippy.toml allows these; a failed expectation is what ends a test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;
mod inbound;
mod notify;

mod alone;
mod analyze;
mod authorization;
mod balance;
mod certificates;
mod changes;
mod clients;
mod demo;
mod edge;
mod endpoints;
mod examples;
mod faults;
mod first_file;
mod guides;
mod h2spec;
mod killed;
mod manual;
mod objects;
mod overload;
mod profile;
mod protocols;
mod proxy_config;
mod rate_limits;
mod regression;
mod restart;
mod routes;
mod sight;
mod supervisor;
mod transparent;
mod unprivileged;
mod why;
mod without_mesh;
