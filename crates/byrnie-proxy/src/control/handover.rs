//! Hot restart: another process of this proxy takes the same sockets and the same identity, and this one ends when its
//! connections have.
//!
//! Under `byrnie up` the supervisor keeps sockets and identity and starts the other process; anywhere else (systemd, a
//! shell) this process starts it, hands over what it has, and is told over a socket pair that the other one is ready.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_wire::NodeInfo;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::failed::FailedRestart;
use super::identity::IDENTITY;
use super::snapshot::Snapshot;
use super::{Control, xds};
use crate::run::Source;

/// The descriptor over which a process says that it has taken over.
pub(super) const PREDECESSOR: &str = "predecessor";
/// How long the other process may take to get ready.
pub const READY: Duration = Duration::from_secs(30);
/// How long a kept-alive connection may wait for the request whose answer says that it was the last.
const PATIENCE: Duration = Duration::from_secs(5);
/// The other process does not get ready.
const FAILED: &str = "BYR0487";

/// A process that was started and is not ready yet.
pub(super) struct Pending(oneshot::Receiver<Came>);

/// What became of it.
pub(super) struct Came {
    pid: u32,
    ready: io::Result<()>,
}

/// Returns when the other process is ready or has failed; never, while there is none.
pub(super) async fn came(pending: &mut Option<Pending>) -> Came {
    if let Some(Pending(receiver)) = pending
        && let Ok(came) = receiver.await
    {
        *pending = None;
        return came;
    }
    std::future::pending().await
}

impl Control {
    /// Has another process started in the place of this one.
    pub(super) fn restart(&mut self) {
        if self.successor.is_some() || self.process.draining.is_cancelled() {
            return tracing::warn!("a hot restart is under way, or this process leaves already");
        }
        tracing::info!("a hot restart begins");
        let begun = match self.options.successor.clone() {
            None if self.notifier.is_supervised() => self.notifier.restart(),
            None => Err(io::Error::other("nobody is there to start another process")),
            Some(successor) => self.descriptors().and_then(|descriptors| {
                let (ours, theirs) = StdUnixStream::pair()?;
                ours.set_nonblocking(true)?;
                let ours = UnixStream::from_std(ours)?;
                let mut all = descriptors;
                all.push((PREDECESSOR.to_owned(), theirs.into()));
                let pid = successor.0(all)?;
                let (told, receiver) = oneshot::channel();
                tokio::spawn(async move { told.send(Came { pid, ready: wait(ours).await }).is_ok() });
                self.successor = Some(Pending(receiver));
                Ok(())
            }),
        };
        if let Err(error) = begun {
            tracing::error!("{FAILED}: no other process can be started: {error}");
            self.note_failure(&format!("no other process can be started: {error}"));
        }
    }

    /// Whoever ordered the restart looks there.
    fn note_failure(&self, why: &str) {
        let Some(state_dir) = self.options.source.state_dir() else { return };
        if let Err(error) = FailedRestart::new(std::process::id(), why).write(state_dir) {
            tracing::warn!(%error, "whoever ordered the hot restart does not hear why it failed");
        }
    }

    /// What the other process needs.
    fn descriptors(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut all = self.listeners.duplicates()?;
        if let Some(tls) = self.process.tls.load_full() {
            all.push((IDENTITY.to_owned(), byrnie_net::memfd::sealed(IDENTITY, &tls.svid.encode())?));
        }
        Ok(all)
    }

    pub(super) fn succeeded(&mut self, came: Came) {
        match came.ready {
            Ok(()) => {
                if let Err(error) = self.notifier.main_pid(came.pid) {
                    tracing::warn!(%error, "whoever started this process does not hear of the other one");
                }
                self.options.orders.retire.cancel();
            }
            Err(error) => {
                tracing::error!("{FAILED}: process {} is not ready: {error}; this one goes on", came.pid);
                self.note_failure(&format!("process {} is not ready: {error}", came.pid));
                // It may have ended by itself.
                let _ = byrnie_net::process::kill(came.pid);
            }
        }
    }

    /// Says that this process has taken over, where there is one to be told.
    pub(super) fn tell_predecessor(&mut self) {
        let Some(predecessor) = self.predecessor.take() else { return };
        if let Err(error) = io::Write::write_all(&mut StdUnixStream::from(predecessor), b"R") {
            tracing::warn!(%error, "the process before this one does not hear");
        }
    }

    /// Another process has taken over. Clients are told with their next answer; what is open may go on for long. Says
    /// when the time for that is up, whether or not this returns before.
    pub(super) async fn retire(&mut self) -> Instant {
        let began = Instant::now();
        let limit = self.process.config.load().settings.restart_timeout;
        tracing::info!(
            "another process has taken over; this one finishes its connections, for {limit:?} at most"
        );
        self.retiring = true;
        self.listeners.close();
        self.admin.take().inspect(tokio::task::JoinHandle::abort);
        self.process.draining.cancel();
        self.snapshot = Snapshot::new(None);
        self.send_report();
        self.only_report().await;
        let connections = self.process.connections.clone();
        connections.close();
        let (parting, stop) = (self.process.parting.clone(), self.options.stop.clone());
        let end = async move {
            let ended = async {
                let _ = tokio::time::timeout(PATIENCE.min(limit), connections.wait()).await;
                parting.cancel();
                connections.wait().await;
            };
            tokio::select! {
                _ = tokio::time::timeout_at((began + limit).into(), ended) => {}
                () = stop.cancelled() => {}
            }
        };
        // A lost identity changes nothing any more.
        let _ = self.work_until(end).await;
        began + limit
    }

    /// The stream belongs to the other process now; what these last connections do is reported over one of its own.
    async fn only_report(&mut self) {
        self.xds.close().await;
        self.events = None;
        let Source::ControlPlane(control_plane) = &self.options.source else { return };
        let address = Arc::clone(&control_plane.address);
        let node = NodeInfo { retiring: true, ..xds::node(&self.options) };
        self.speak(node, &address);
    }
}

/// One byte: it is ready. The end of the stream: it has ended.
async fn wait(mut socket: UnixStream) -> io::Result<()> {
    let mut byte = [0];
    match tokio::time::timeout(READY, socket.read_exact(&mut byte)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(io::Error::other("it has ended"))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("not within {READY:?}"))),
    }
}

/// Duplicates of descriptors, by name.
pub(super) fn duplicates<'a>(
    kept: impl Iterator<Item = (String, &'a OwnedFd)>,
) -> io::Result<Vec<(String, OwnedFd)>> {
    kept.map(|(name, descriptor)| Ok((name, descriptor.as_fd().try_clone_to_owned()?))).collect()
}
