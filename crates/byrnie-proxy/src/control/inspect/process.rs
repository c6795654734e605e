//! What the process costs: processor time by thread, memory by kind. From `/proc`, so it is there in every build.

use std::fs;

use serde_json::{Value, json};

/// Processor time of each thread so far, in clock ticks (1/100 s), by name.
pub fn threads() -> Vec<(String, u64)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let of = |task: fs::DirEntry| {
        let line = fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = line.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some((format!("{name}/{}", task.file_name().to_string_lossy()), ticks(11)? + ticks(12)?))
    };
    tasks.flatten().filter_map(of).collect()
}

/// Bytes by kind, as the kernel counts them.
pub fn memory() -> Value {
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let mut all = json!({});
    for line in text.lines().skip(1) {
        if let Some((name, rest)) = line.split_once(':')
            && let Some(kilobytes) = rest.split_ascii_whitespace().next().and_then(|n| n.parse::<u64>().ok())
        {
            all[name] = (kilobytes * 1024).into();
        }
    }
    all
}
