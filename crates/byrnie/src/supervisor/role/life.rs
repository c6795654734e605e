//! One process of a role, from its start to its end, and what it says meanwhile.

use std::process::ExitStatus;
use std::time::Duration;

use byrnie_net::Notification;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::supervisor::stop;

/// After this long without being ready, a line says so.
pub const SLOW_START: Duration = Duration::from_secs(10);

/// A process of a role that runs.
pub struct Life {
    pub child: Child,
    pub pid: u32,
    pub messages: mpsc::Receiver<Notification>,
    began: Instant,
    /// It was started to take over from another one.
    pub is_successor: bool,
    /// It has said something.
    pub spoke: bool,
    pub ready: bool,
    /// It was said that it takes long.
    pub is_told: bool,
    /// Why we killed it; it may not be gone yet.
    condemned: Option<String>,
    pub last_status: String,
}

/// What became of the process that is to take over.
pub enum News {
    Said(Notification),
    Late,
    Ended(String),
}

impl Life {
    /// It begins now.
    pub fn new(child: Child, pid: u32, messages: mpsc::Receiver<Notification>) -> Self {
        Self {
            child,
            pid,
            messages,
            began: Instant::now(),
            is_successor: false,
            spoke: false,
            ready: false,
            is_told: false,
            condemned: None,
            last_status: String::new(),
        }
    }

    /// When a line is to say that it takes long; never, once it is ready.
    pub fn slow(&self) -> Option<Instant> {
        (!self.ready && !self.is_told).then(|| self.began + SLOW_START)
    }

    /// When it is to be given up. One that takes over has so long to get ready, whatever becomes of the other one
    /// meanwhile; any other has so long for its first word: it says within seconds what it waits for, and may wait.
    pub fn overdue(&self, limit: Duration) -> Option<Instant> {
        let is_waited_for = if self.is_successor { !self.ready } else { !self.spoke };
        (is_waited_for && self.condemned.is_none()).then(|| self.began + limit)
    }

    /// Ends it at once, with all of its group. It is gone when `child` says so.
    pub fn give_up(&mut self, limit: Duration) {
        let why = if self.is_successor { "was not ready within" } else { "said nothing for" };
        let _ = byrnie_net::process::kill_group(self.pid);
        self.condemned = Some(format!("{why} {limit:?}, and was killed"));
    }

    /// Whether it can do its work and may go on.
    pub fn is_well(&self) -> bool {
        self.ready && self.condemned.is_none()
    }

    /// How it ended, or why it had to.
    pub fn end(&mut self, status: std::io::Result<ExitStatus>) -> String {
        let how = || status.map_or_else(|error| error.to_string(), stop::how_it_ended);
        self.condemned.take().unwrap_or_else(how)
    }
}

/// Returns then; never, if there is no such moment.
pub async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The next news of the process that is to take over within this time; none, while there is none.
pub async fn news(next: &mut Option<Life>, limit: Duration) -> News {
    let Some(life) = next else { return std::future::pending().await };
    let late = life.overdue(limit);
    tokio::select! {
        biased;
        Some(message) = life.messages.recv() => News::Said(message),
        status = life.child.wait() => News::Ended(life.end(status)),
        () = at(late) => News::Late,
    }
}
