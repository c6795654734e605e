//! The rules of the workload's namespace stay in force: whoever changes them is noticed, and they come back.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};

use byrnie_net::capture::watch::{Seen, Watch};

use super::Captured;

/// Somebody changed the rules.
const RESTORED: &str = "BYR0272";
/// They cannot be put in force.
const BROKEN: &str = "BYR0273";

/// Looks once, then watches on a thread of its own for as long as the process lives. Returns when it has looked.
pub(super) fn start(captured: &Arc<Captured>) -> io::Result<()> {
    let captured = Arc::clone(captured);
    let (told, heard) = mpsc::sync_channel(1);
    let run = move || {
        let begun = captured.enter().and_then(|()| {
            Watch::begin(&captured.namespace, captured.options.rules()).map_err(io::Error::other)
        });
        let watch = match begun {
            Ok((watch, restored)) => {
                if restored {
                    restored_now(&captured);
                }
                let _ = told.send(Ok(()));
                watch
            }
            Err(error) => return drop(told.send(Err(error))),
        };
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
    std::thread::Builder::new().name("rules".into()).spawn(run)?;
    heard.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that watches the rules ended at once")))
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
