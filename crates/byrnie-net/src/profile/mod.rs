//! Where a process spends its time and its memory, by stack, for who asks: nothing is counted before and after.
//!
//! What comes out is folded stacks, a line for each: the thread and its functions, outermost first, between semicolons,
//! then a number. `flamegraph.pl`, inferno and speedscope draw them.

pub mod cpu;
pub mod heap;
mod stacks;
#[cfg(test)]
mod tests;
mod walk;

pub use stacks::Stacks;
