//! What the process costs: processor time and memory by stack (folded, for flame graphs), processor time by thread,
//! memory by kind. Nothing of it is counted before somebody asks.

use std::fs;
use std::io;
use std::time::Duration;

use byrnie_net::profile::{self, Stacks};
use byrnie_net::socket::{OtherEnd, Watched};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::admin::text;

/// How often it is looked whether who asked is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Processor time by stack, 99 samples for each second of it.
pub async fn cpu(time: Duration, client: Watched) -> Response<Full<Bytes>> {
    match profile::cpu::start() {
        Ok(sampling) => {
            while_there(time, client).await;
            folded(sampling.finish()).await
        }
        Err(error) => failed(&error),
    }
}

/// Bytes by stack: what was allocated in this time, and is held at its end.
pub async fn heap(time: Duration, client: Watched) -> Response<Full<Bytes>> {
    match profile::heap::start() {
        Ok(sampling) => {
            while_there(time, client).await;
            folded(sampling.finish()).await
        }
        Err(error) => failed(&error),
    }
}

/// Passes that time, or less when the client ends its side: whether it has gone, or only says no more, cannot be told,
/// and the next one must not wait for what nobody may want. Who is still there gets what was found until then.
async fn while_there(time: Duration, client: Watched) {
    let gone = async {
        while client.other_end() == OtherEnd::Here {
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(time, gone).await;
}

/// Names are looked up on another thread: this one must keep the proxy's promises meanwhile.
async fn folded(stacks: Stacks) -> Response<Full<Bytes>> {
    if stacks.missed > 0 {
        tracing::warn!(
            missed = stacks.missed,
            "a profile had no room for all of its samples: ask for less time"
        );
    }
    match tokio::task::spawn_blocking(move || stacks.folded()).await {
        Ok(lines) => text(StatusCode::OK, lines),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "this process is about to end\n".to_owned()),
    }
}

fn failed(error: &io::Error) -> Response<Full<Bytes>> {
    match error.kind() {
        io::ErrorKind::ResourceBusy => {
            text(StatusCode::CONFLICT, "somebody else is taking this profile: one at a time\n".to_owned())
        }
        _ => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// Processor time of each thread.
pub async fn threads(time: Duration) -> Value {
    let before = ticks();
    tokio::time::sleep(time).await;
    let used = |(name, after): (String, u64)| {
        let first = before.iter().find(|(known, _)| *known == name).map_or(0, |(_, ticks)| *ticks);
        // A tick is 1/100 s: ticks per second are percent of one core.
        let percent = after.saturating_sub(first) as f64 / time.as_secs_f64();
        json!({"thread": name, "percent": percent})
    };
    let threads: Vec<Value> = ticks().into_iter().map(used).collect();
    json!({"seconds": time.as_secs(), "threads": threads})
}

/// Processor time of each thread so far, in clock ticks (1/100 s), by name.
fn ticks() -> Vec<(String, u64)> {
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
