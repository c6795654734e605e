//! Whether this proxy can do its work, and the one line that says what it is doing.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use byrnie_net::Notifier;
use parking_lot::Mutex;

/// Why the proxy is not ready; `None`: it is. Read by the admin server.
#[derive(Debug)]
pub struct Readiness(Mutex<Option<String>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Mutex::new(Some("starting".to_owned())))
    }
}

impl Readiness {
    /// `None`: ready.
    pub fn why_not(&self) -> Option<String> {
        self.0.lock().clone()
    }

    /// Sets it.
    pub fn set(&self, why_not: Option<String>) {
        *self.0.lock() = why_not;
    }
}

/// Speaks to the supervisor: each line once, until it is another one.
pub struct Voice {
    notifier: Rc<Notifier>,
    last: String,
    ready: bool,
}

impl Voice {
    /// Has said nothing yet.
    pub fn new(notifier: Rc<Notifier>) -> Self {
        Self { notifier, last: String::new(), ready: false }
    }

    /// What the proxy is doing, or why it cannot. Empty: all is well.
    pub fn status(&mut self, line: &str) {
        if self.last != line {
            line.clone_into(&mut self.last);
            if !line.is_empty() {
                tracing::warn!("{line}");
            }
            told(self.notifier.status(line));
        }
    }

    /// The proxy can do its work now. Said once.
    pub fn ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            tracing::info!("ready");
            told(self.notifier.ready());
            tokio::spawn(forget_start());
        }
    }

    /// Whether [`Self::ready`] was said.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The proxy finishes what it has.
    pub fn stopping(&mut self) {
        told(self.notifier.stopping());
    }
}

/// What the start needed is most of the program, and not needed again; what the first connections needed is the most of
/// the rest.
async fn forget_start() {
    for pause in [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(55)] {
        tokio::time::sleep(pause).await;
        if let Err(error) = byrnie_net::limits::forget_program_pages() {
            tracing::debug!(%error, "the start's pages stay");
        }
    }
}

fn told(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the supervisor does not hear");
    }
}
