//! Ending: signals, deadlines, and the order in which a mesh goes down.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::role::Kept;
use super::shared::Shared;
use super::units::Units;

/// How long gateways and proxies together may finish what is under way.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a command may take after SIGTERM.
pub const COMMAND: Duration = Duration::from_secs(5);
/// How long a process that was replaced may go on once the mesh goes down.
pub const RETIRED: Duration = Duration::from_secs(10);
/// How long the control plane may take.
const CONTROL_PLANE: Duration = Duration::from_secs(5);

/// SIGINT and SIGTERM. From now on they do not end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen.
    pub fn new() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns at the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Asks one unit to end.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Duration>>);

/// The unit's side of [`Stopper`].
#[derive(Debug)]
pub struct Stopped(watch::Receiver<Option<Duration>>);

/// A stopper and what hears it.
pub fn channel() -> (Stopper, Stopped) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), Stopped(receiver))
}

impl Stopper {
    /// Asks it to end within `deadline`.
    pub fn stop(&self, deadline: Duration) {
        self.0.send_replace(Some(deadline));
    }
}

impl Stopped {
    /// Returns the deadline once the unit is asked to end. A stopper that is gone asks for an end at once.
    pub async fn asked(&mut self) -> Duration {
        match self.0.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_default(),
            Err(_) => Duration::ZERO,
        }
    }
}

/// Asks the child's group to end, kills what is left of it after the deadline, and reaps the child.
pub async fn end_group(child: &mut Child, pid: u32, deadline: Duration) {
    let _ = byrnie_net::process::terminate_group(pid);
    if tokio::time::timeout(deadline, child.wait()).await.is_err() {
        let _ = byrnie_net::process::kill_group(pid);
        let _ = child.wait().await;
    }
}

/// `ended with exit code 1`, `was killed by signal 9`.
pub fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Takes the mesh down: gateways and proxies drain, then commands end, then the control plane.
pub async fn in_order(shared: &Rc<Shared>, units: &Units, control_plane: Kept) {
    shared.stopping.set(true);
    shared.screen.finish();
    shared.screen.line("stopping: gateways and proxies drain (again Ctrl-C: at once)");
    units.stop_in_order(DRAIN, COMMAND).await;
    control_plane.stop(CONTROL_PLANE).await;
    shared.end_adopted();
    shared.screen.line("stopped");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_in_words() {
        for (raw, want) in
            [(0, "ended with exit code 0"), (0x100, "ended with exit code 1"), (9, "was killed by signal 9")]
        {
            assert_eq!(how_it_ended(ExitStatus::from_raw(raw)), want);
        }
    }

    #[tokio::test]
    async fn a_stop_is_heard_late_and_a_lost_stopper_is_a_stop() {
        let (stopper, mut stopped) = channel();
        stopper.stop(DRAIN);
        assert_eq!(stopped.asked().await, DRAIN);
        drop(stopper);
        assert_eq!(stopped.asked().await, DRAIN);
        let (stopper, mut stopped) = channel();
        drop(stopper);
        assert_eq!(stopped.asked().await, Duration::ZERO);
    }
}
