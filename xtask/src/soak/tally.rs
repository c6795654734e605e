//! What was done, and what failed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Failures that are kept word for word.
const SHOWN: usize = 20;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Http1,
    Http2,
    GrpcMessages,
    WebSocket,
    Tcp,
    TcpConnections,
    Restarts,
    Changes,
}

const ALL: [(What, &str); 8] = [
    (What::Http1, "requests of HTTP/1.1"),
    (What::Http2, "requests of HTTP/2"),
    (What::GrpcMessages, "messages on a gRPC stream held throughout"),
    (What::WebSocket, "messages on a WebSocket held throughout"),
    (What::Tcp, "messages on a TCP stream held throughout"),
    (What::TcpConnections, "new TCP connections"),
    (What::Restarts, "hot restarts"),
    (What::Changes, "changes of configuration"),
];

/// Counts from all threads.
#[derive(Default)]
pub struct Tally {
    done: [AtomicU64; ALL.len()],
    failed: [AtomicU64; ALL.len()],
    shown: Mutex<Vec<String>>,
    began: std::sync::OnceLock<Instant>,
}

impl Tally {
    /// Counts one, with what went wrong, if anything.
    pub fn count(&self, what: What, result: Result<(), impl std::fmt::Display>) {
        let began = self.began.get_or_init(Instant::now);
        let index = what as usize;
        match result {
            Ok(()) => self.done[index].fetch_add(1, Relaxed),
            Err(error) => {
                let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if shown.len() < SHOWN {
                    shown.push(format!("after {:.1} s: {what:?}: {error}", began.elapsed().as_secs_f64()));
                }
                self.failed[index].fetch_add(1, Relaxed)
            }
        };
    }

    /// All failures.
    pub fn failed(&self) -> u64 {
        self.failed.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Name, done, failed.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        ALL.iter().map(|(what, name)| {
            let index = *what as usize;
            (*name, self.done[index].load(Relaxed), self.failed[index].load(Relaxed))
        })
    }

    /// One line for who waits.
    pub fn line(&self) -> String {
        let part = |(what, _): &(What, &str)| format!("{what:?} {}", self.done[*what as usize].load(Relaxed));
        let parts: Vec<String> = ALL.iter().map(part).collect();
        format!("{}  failed {}", parts.join("  "), self.failed())
    }

    /// The first failures.
    pub fn shown(&self) -> Vec<String> {
        self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
