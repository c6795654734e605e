//! Reads what callgrind wrote: the sum of instructions, and how often our code called the allocator.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;

/// What something cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Instructions in user space, of all threads.
    pub instructions: f64,
    /// Calls of the allocator from outside of it.
    pub allocations: f64,
}

impl Cost {
    /// What each of `units` cost that were done beyond `less`.
    pub fn each_beyond(&self, less: &Self, units: u64) -> Self {
        Self {
            instructions: (self.instructions - less.instructions) / units as f64,
            allocations: (self.allocations - less.allocations) / units as f64,
        }
    }
}

/// The totals of a file in callgrind's format.
pub fn read(path: &Path) -> anyhow::Result<Cost> {
    parse(&std::fs::read_to_string(path).with_context(|| path.display().to_string())?)
}

fn parse(text: &str) -> anyhow::Result<Cost> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let (mut caller, mut called) = ("", "");
    let (mut instructions, mut allocations) = (0, 0);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            caller = resolve(&mut names, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = resolve(&mut names, name);
        } else if let Some(rest) = line.strip_prefix("calls=") {
            if allocates(called) && !caller.starts_with("mi_") && !caller.starts_with("_mi_") {
                let count = rest.split(' ').next().unwrap_or_default();
                allocations += count.parse::<u64>().with_context(|| format!("calls={rest}"))?;
            }
        } else if let Some(total) = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")) {
            let first = total.trim().split(' ').next().unwrap_or_default();
            instructions = first.parse::<u64>().with_context(|| line.to_owned())?;
        }
    }
    anyhow::ensure!(instructions > 0, "callgrind counted nothing: did the program end by itself?");
    Ok(Cost { instructions: instructions as f64, allocations: allocations as f64 })
}

/// A name is written once, as `(12) name`, and is `(12)` from then on.
fn resolve<'a>(names: &mut HashMap<&'a str, &'a str>, text: &'a str) -> &'a str {
    let Some((id, name)) = text.split_once(") ") else {
        return names.get(text.trim_end_matches(')')).copied().unwrap_or(text);
    };
    names.insert(id, name);
    name
}

/// The entrances of mimalloc that Rust's allocator uses.
fn allocates(name: &str) -> bool {
    ["mi_malloc", "mi_zalloc", "mi_realloc", "mi_calloc"].iter().any(|entrance| name.starts_with(entrance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_the_allocator_are_counted_where_they_come_from_outside() {
        let text = "\
fn=(1) byrnie::main
1 10
cfn=(2) mi_malloc_aligned
calls=3 0
1 50
fn=(2)
cfn=(3) mi_malloc
calls=7 0
1 9
fn=(4) other
cfn=(2)
calls=2 0
1 4
totals: 123
";
        assert_eq!(parse(text).unwrap(), Cost { instructions: 123.0, allocations: 5.0 });
        assert!(parse("fn=(1) main\n").is_err());
    }
}
