//! The rules of the workload's namespace stay in force: whoever changes them is noticed, and they come back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use byrnie_net::capture::watch::{Seen, Watch};

use super::Captured;

/// Somebody changed the rules.
const RESTORED: &str = "BYR0272";
/// They cannot be put in force.
const BROKEN: &str = "BYR0273";

/// Looks once, then watches on a thread of its own for as long as the process lives.
pub(super) fn start(captured: &Arc<Captured>) -> io::Result<()> {
    let (watch, restored) =
        Watch::begin(&captured.namespace, captured.options.rules()).map_err(io::Error::other)?;
    if restored {
        restored_now(captured);
    }
    let captured = Arc::clone(captured);
    let run = move || {
        watch.run(|seen| {
            match seen {
                Seen::Restored => restored_now(&captured),
                Seen::Broken(error) => {
                    let line = format!("{BROKEN}: the rules that capture traffic are not in force: {error}");
                    tracing::error!("{line}");
                    *captured.trouble.lock() = line;
                }
            }
            true
        });
    };
    std::thread::Builder::new().name("rules".into()).spawn(run).map(drop)
}

fn restored_now(captured: &Captured) {
    captured.restored.fetch_add(1, Relaxed);
    captured.counters.restored.inc();
    captured.trouble.lock().clear();
    tracing::error!(
        "{RESTORED}: somebody changed or removed the rules that capture this workload's traffic; they are in force \
         again"
    );
}
