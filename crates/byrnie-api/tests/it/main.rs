//! Strict reading, from outside: what is taken, what is refused and how it is said.

#![allow(clippy::unwrap_used, missing_docs)]

mod accepted;
mod generated;
mod refused;
mod robust;
mod rules;
