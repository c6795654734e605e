//! Watches: each follows the event log at its own pace.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::reader::{Logged, Reader};
use crate::types::{Event, Version, Watch};

/// Events read from the log at once, and events that wait for a slow watcher. What it has not taken stays in the
/// log; a watcher so slow that the log has moved on is told of a gap.
const CHUNK: usize = 128;

pub(super) fn start(
    reader: Reader,
    latest: watch::Receiver<u64>,
    kinds: Arc<[String]>,
    from: Option<Version>,
) -> Watch {
    let (sender, receiver) = mpsc::channel(CHUNK);
    let now = *latest.borrow();
    let after = match from {
        None => Some(now),
        // A version beyond the latest is of a file that was set back to a backup.
        Some(version) => reader.epoch.sequence(version.as_str()).filter(|sequence| *sequence <= now),
    };
    tokio::spawn(async move {
        match after {
            Some(after) => follow(reader, latest, kinds, after, sender).await,
            None => drop(sender.send(Event::Gap).await), // an error: nobody listens any more
        }
    });
    Watch::new(receiver)
}

/// Ends when the watcher has gone, the store is closed, or after a gap.
async fn follow(
    reader: Reader,
    mut latest: watch::Receiver<u64>,
    kinds: Arc<[String]>,
    mut after: u64,
    sender: mpsc::Sender<Event>,
) {
    loop {
        let target = *latest.borrow_and_update();
        while after < target {
            match reader.log(after, CHUNK, kinds.clone()).await {
                Ok(Logged::Events(events, last)) if last > after => {
                    for event in events {
                        if sender.send(event).await.is_err() {
                            return;
                        }
                    }
                    after = last;
                }
                Ok(_) => return drop(sender.send(Event::Gap).await),
                Err(crate::StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "a watch cannot read the event log");
                    return drop(sender.send(Event::Gap).await);
                }
            }
        }
        if sender.send(Event::Bookmark(reader.epoch.version(after))).await.is_err() {
            return;
        }
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}
