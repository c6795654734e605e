//! Routes of every kind: references resolved (`backends`,
//! `compile`) and judged (`judge`), attached to Services (`attach`), flattened into tables in
//! order of precedence (`table`), told about in their status (`status`).

mod attach;
mod backends;
mod compile;
mod judge;
mod profile;
mod status;
mod table;

pub(crate) use attach::{service_routes, tcp_rule};
pub(crate) use backends::{Purpose, kind_name};
pub(crate) use compile::{Compiled, CompiledRule, compile};
pub(crate) use status::status;
pub(crate) use table::{MATCHES_MAX, Scope, TableBuilder};

#[cfg(test)]
mod tests;
