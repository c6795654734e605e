//! Stacks with numbers, and their names.

use std::collections::{BTreeMap, HashMap};
use std::fs;

/// What was found, by stack.
#[derive(Debug, Default)]
pub struct Stacks {
    /// Thread, addresses of code (innermost first) and what they count for.
    pub(super) all: Vec<(String, Vec<usize>, u64)>,
    /// Samples that there was no room for.
    pub missed: u64,
}

impl Stacks {
    /// One line for each stack. Looks names up in the debug information of this program, which takes a second and some
    /// memory; both are given back.
    pub fn folded(&self) -> String {
        let mut names: HashMap<usize, Vec<String>> = HashMap::new();
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        for (thread, frames, weight) in &self.all {
            frames.iter().for_each(|frame| {
                names.entry(*frame).or_insert_with(|| functions(*frame));
            });
            let all = frames.iter().filter_map(|frame| names.get(frame)).flatten();
            let theirs: Vec<&String> = all.skip_while(|name| is_ours(name)).collect();
            let mut line = thread.clone();
            for name in theirs.iter().rev() {
                line.push(';');
                line.push_str(name);
            }
            *lines.entry(line).or_default() += weight;
        }
        backtrace::clear_symbol_cache();
        lines.into_iter().map(|(line, weight)| format!("{line} {weight}\n")).collect()
    }
}

/// The function at an address, after those that the compiler has put into it; else the address.
fn functions(address: usize) -> Vec<String> {
    let mut found = Vec::new();
    backtrace::resolve(address as *mut _, |symbol| {
        if let Some(name) = symbol.name() {
            // A semicolon (as in `[u8; 4]`) would be read as the end of a function.
            found.push(format!("{name:#}").replace(';', ","));
        }
    });
    if found.is_empty() {
        found.push(format!("{address:#x}"));
    }
    found
}

/// Who wrote the stack down is no part of it.
fn is_ours(function: &str) -> bool {
    ["backtrace::", "byrnie_net::profile::walk", "byrnie_net::profile::heap", "<byrnie_net::profile::heap"]
        .iter()
        .any(|ours| function.starts_with(ours))
}

/// A thread's name, while it lives.
pub fn thread_name(id: usize) -> String {
    let name = fs::read_to_string(format!("/proc/self/task/{id}/comm")).unwrap_or_default();
    if name.trim().is_empty() { "ended".to_owned() } else { name.trim().replace(';', ",") }
}
