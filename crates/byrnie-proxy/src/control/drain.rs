//! How a proxy leaves: it says so, goes on with what is under way and with whoever comes all the same, and ends when
//! nobody is left or its time is over.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::Control;
use crate::process::FAREWELL;

/// After the deadline of a drain connections are cut; how long their tasks may take to end.
const CUT: Duration = Duration::from_secs(1);

impl Control {
    /// Says goodbye, serves until nothing is under way, then closes its sockets; cuts what is left at the deadline. As
    /// long as it is there, who comes is served: a connection that nobody accepts would hang. The deadline is that of a
    /// drain, or `end`: where another process has taken over, and the time for that is up before.
    pub(super) async fn drain(&mut self, end: Option<std::time::Instant>) {
        tracing::info!("draining");
        if !self.retiring {
            // The service stops. It does not where another process has it.
            self.voice.stopping();
        }
        self.process.draining.cancel();
        self.tell();
        let limit = self.process.config.load().settings.drain_timeout;
        let limit =
            end.map_or(limit, |end| limit.min(end.saturating_duration_since(Instant::now().into_std())));
        let (deadline, farewell) = (Instant::now() + limit, FAREWELL.min(limit / 2));
        let connections = self.process.connections.clone();
        connections.close();
        let (open, parting) = (connections.clone(), self.process.parting.clone());
        let nobody_is_left = async move {
            let _ = timeout(farewell, open.wait()).await;
            parting.cancel();
            // Who comes last needs a moment, too: where they never cease to come, that is before the deadline.
            let _ = timeout_at(deadline - farewell, open.wait()).await;
        };
        // Reports, endpoints and certificates go on meanwhile. A lost identity changes nothing any more.
        let _ = self.work_until(nobody_is_left).await;
        self.listeners.close();
        let (open, closed) = (connections.clone(), self.workers.closed());
        let ended = async move {
            let ended = async {
                closed.await;
                open.wait().await;
            };
            if timeout_at(deadline, ended).await.is_err() {
                tracing::warn!(open = open.len(), "cutting connections that did not end within {limit:?}");
            }
        };
        let _ = self.work_until(ended).await;
        self.process.closing.cancel();
        let _ = timeout(CUT, connections.wait()).await;
        self.snapshot.save(&self.assembler, &mut self.trouble.files);
        self.send_report();
        self.xds.close().await;
    }
}
