//! The kernel's connection tracker in the workload's namespace: once it is full it drops what is new, and nothing but
//! its own numbers tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_telemetry::{Counter, Gauge, Registry, names};

use super::inside::Inside;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two lines about it.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// It is full.
const FULL: &str = "BYR0274";

/// Looks for as long as the process lives.
pub(super) fn watch(inside: &Inside, metrics: &Registry) {
    let (tracked, dropped) =
        (metrics.gauge(&names::TRACKED, &[]), metrics.counter(&names::TRACKER_DROPPED, &[]));
    inside.handle().spawn(look(tracked, dropped));
}

async fn look(tracked: Arc<Gauge>, dropped: Arc<Counter>) {
    let mut before = read().map_or(0, |seen| seen.dropped);
    let mut said: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(seen) = read() else { continue };
        tracked.set(seen.entries);
        let more = seen.dropped.saturating_sub(before);
        before = seen.dropped;
        if more == 0 {
            continue;
        }
        dropped.add(more);
        if said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
            said = Some(Instant::now());
            tracing::error!(
                entries = seen.entries,
                "{FULL}: the kernel's connection tracker is full; it dropped {more} packets of new connections \
                 within a second"
            );
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    entries: i64,
    dropped: u64,
}

/// Of the calling thread's namespace; `None` where the kernel does not say.
fn read() -> Option<Seen> {
    parse(&std::fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack").ok()?)
}

/// A line of names, then one of hexadecimal numbers for each processor; the entries are the same in all.
fn parse(text: &str) -> Option<Seen> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
    let column = |name: &str| names.iter().position(|column| *column == name);
    let (entries, drop) = (column("entries")?, column("drop")?);
    let mut seen = Seen { entries: 0, dropped: 0 };
    for line in lines {
        let numbers: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |column: usize| u32::from_str_radix(numbers.get(column)?, 16).ok();
        seen.entries = number(entries)?.into();
        seen.dropped += u64::from(number(drop)?);
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says() {
        let text = "entries  searched found insert_failed drop early_drop\n\
                    00040000  00000000 0000000a 00000001 0000000f 00000002\n\
                    00040000  00000000 0000000a 00000001 00000001 00000002\n";
        assert_eq!(parse(text), Some(Seen { entries: 0x40000, dropped: 16 }));
        assert_eq!(parse(""), None);
        assert_eq!(parse("entries\n00000001\n"), None);
        assert_eq!(parse("entries drop\n1 x\n"), None);
    }
}
