//! Stacks with numbers, and their names.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use crate::cgroup::Memory;

/// Bytes that may be needed to look names up.
const NAMES: u64 = 96 * 1024 * 1024;

/// What was found, by stack.
#[derive(Debug, Default)]
pub struct Stacks {
    /// Thread, addresses of code (innermost first) and what they count for.
    pub(super) all: Vec<(String, Vec<usize>, u64)>,
    /// Samples that there was no room for.
    pub missed: u64,
}

impl Stacks {
    /// One line for each stack. Names are looked up in the debug information of this program, which takes a second and
    /// some tens of MiB that are given back; where the control group has not got them, there are addresses instead, as
    /// `addr2line` takes them.
    pub fn folded(&self) -> String {
        let has_room = Memory::find()
            .and_then(|memory| memory.read())
            .is_none_or(|reading| reading.used.saturating_add(NAMES) < reading.limit);
        if has_room { self.lines(functions) } else { self.lines(Program::find().namer()) }
    }

    pub(super) fn lines(&self, functions: impl Fn(usize) -> Vec<String>) -> String {
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

/// Where this program lies in memory.
#[derive(Debug, Default)]
pub(super) struct Program {
    begin: usize,
    end: usize,
}

impl Program {
    pub(super) fn find() -> Self {
        let path = fs::read_link("/proc/self/exe").unwrap_or_default();
        let path = path.to_string_lossy();
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let number = |text: &str| usize::from_str_radix(text, 16).unwrap_or(0);
        let own = maps.lines().filter(|line| !path.is_empty() && line.ends_with(&*path));
        own.filter_map(|line| line.split(' ').next()?.split_once('-')).fold(
            Self::default(),
            |all, (from, to)| {
                let begin = if all.begin == 0 { number(from) } else { all.begin };
                Self { begin, end: number(to) }
            },
        )
    }

    /// Within the program the distance from its begin, else what it is. The instruction before: those above the last
    /// one are where a call goes on.
    pub(super) fn namer(self) -> impl Fn(usize) -> Vec<String> {
        move |address| match (self.begin..self.end).contains(&address) {
            true => vec![format!("byrnie+{:#x}", address - 1 - self.begin)],
            false => vec![format!("{address:#x}")],
        }
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
