//! What transparent capture asks of Linux: namespaces joined by a switch (`link`), rules that redirect (`rules`), the
//! way back of answers (`answers`), a watch over both (`watch`), programs that cannot undo them (`confine`).
//!
//! Everything is done in namespaces of our own. In the host's there is one interface, which goes with them; no table,
//! no setting, no name is left there.

mod answers;
pub mod confine;
pub mod link;
pub mod rules;
mod tool;
pub mod watch;

pub use tool::{ToolError, check};

#[cfg(test)]
mod tests;
