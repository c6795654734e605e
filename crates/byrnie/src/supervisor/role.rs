//! The children that are this program in another role: the control plane, the proxies. Kept running, their sockets
//! and keys kept for them.

mod life;
mod spawning;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use byrnie_net::{FdStore, Notification};
use byrnie_proxy::FailedRestart;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::desired::{CapturedWay, UnitKey};
use super::ground::Place;
use super::home;
use super::shared::Shared;
use super::stop::{self, Stopper};
use life::{Life, News};

/// Lines of its log that are shown when one dies.
const SHOWN_LINES: usize = 20;
/// The longest wait before a control plane that died is started again: without one nothing changes.
const CONTROL_PLANE_WAIT: Duration = Duration::from_secs(5);
/// A process that was to take over does not.
const RESTART: &str = "BYR0487";

/// A child in one of our roles that is kept running.
#[derive(Debug)]
pub struct Kept {
    ready: watch::Receiver<bool>,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Kept {
    /// Returns once it has been ready for the first time: true. False: it was given up before.
    pub async fn ready(&self) -> bool {
        self.ready.clone().wait_for(|ready| *ready).await.is_ok()
    }

    /// For those who wait for it after this is gone.
    pub fn ready_later(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Asks it to drain and end; kills it after the deadline. Returns when it is gone.
    pub async fn stop(self, deadline: Duration) {
        self.stopper.stop(deadline);
        let _ = self.task.await;
    }
}

/// Which role, and what it needs.
#[derive(Clone, Debug)]
enum Role {
    ControlPlane,
    Proxy { key: UnitKey, captured: Option<CapturedWay> },
}

/// Starts the control plane.
pub fn start_control_plane(shared: &Rc<Shared>) -> Kept {
    start(shared, Role::ControlPlane, None)
}

/// Starts a proxy, once `after` (the one that it replaces) is gone.
pub fn start_proxy(
    shared: &Rc<Shared>,
    key: UnitKey,
    captured: Option<CapturedWay>,
    after: Option<JoinHandle<()>>,
) -> Kept {
    start(shared, Role::Proxy { key, captured }, after)
}

fn start(shared: &Rc<Shared>, role: Role, after: Option<JoinHandle<()>>) -> Kept {
    let (ready_sender, ready) = watch::channel(false);
    let (stopper, stopped) = stop::channel();
    let keeping = Keeping::new(shared, role, ready_sender);
    let task = tokio::task::spawn_local(async move {
        if let Some(after) = after {
            let _ = after.await;
        }
        keeping.run(stopped).await;
    });
    Kept { ready, stopper, task }
}

struct Keeping {
    shared: Rc<Shared>,
    role: Role,
    store: FdStore,
    /// Where the workload's traffic is captured.
    place: Option<Rc<Place>>,
    ready: watch::Sender<bool>,
    /// How long the log was before this life.
    log_before: u64,
    /// Number of the newest process.
    generation: u64,
    /// Processes that were replaced and finish their connections.
    retired: JoinSet<()>,
    /// Cancelled to end these as well.
    end_retired: CancellationToken,
}

impl Keeping {
    fn new(shared: &Rc<Shared>, role: Role, ready: watch::Sender<bool>) -> Self {
        Self {
            shared: Rc::clone(shared),
            role,
            store: FdStore::default(),
            place: None,
            ready,
            log_before: 0,
            generation: 0,
            retired: JoinSet::new(),
            end_retired: CancellationToken::new(),
        }
    }

    async fn run(mut self, mut stopped: stop::Stopped) {
        let mut backoff = Backoff::default();
        loop {
            let started = Instant::now();
            let (pid, how) = match self.spawn().await {
                Ok(life) => match self.live(life, &mut stopped).await {
                    Some((pid, how)) => (Some(pid), how),
                    None => break,
                },
                Err(error) => (None, format!("cannot be started: {error}")),
            };
            if self.is_hopeless() {
                return self.tell_death(&how);
            }
            let longest =
                if matches!(self.role, Role::ControlPlane) { CONTROL_PLANE_WAIT } else { Duration::MAX };
            let wait = backoff.next(started.elapsed(), rand::random()).min(longest);
            self.tell_death(&format!("{how}; again in {:.1} s", wait.as_secs_f64()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopped.asked() => break,
            }
            pid.inspect(|pid| self.shared.forget(*pid));
        }
        self.end_retired.cancel();
        while self.retired.join_next().await.is_some() {}
    }

    /// A control plane that cannot even begin (its store, its key) will not do better the next time, and without one
    /// there is no mesh.
    fn is_hopeless(&self) -> bool {
        matches!(self.role, Role::ControlPlane) && !*self.ready.borrow()
    }

    /// Follows the life of the child, and of each that takes its place; says which one ended and how. None: it was
    /// asked to.
    async fn live(&mut self, mut life: Life, stopped: &mut stop::Stopped) -> Option<(u32, String)> {
        let mut next: Option<Life> = None;
        loop {
            let (slow, overdue) = (life.slow(), self.overdue(&life));
            tokio::select! {
                biased;
                Some(message) = life.messages.recv() => {
                    let restart = message.restart;
                    self.hear(message, &mut life);
                    if restart {
                        self.succeed(&life, &mut next).await;
                    }
                }
                news = life::news(&mut next, self.shared.take_over) => {
                    if let Some(new) = self.on_news(news, &mut next, life.pid) {
                        self.retire(std::mem::replace(&mut life, new));
                    }
                }
                status = life.child.wait() => {
                    self.shared.ended(life.pid);
                    self.drain(&mut life).await;
                    let how = life.end(status);
                    let Some(new) = next.take() else { return Some((life.pid, how)) };
                    // Its time goes on: after that another one is started.
                    self.shared.forget(life.pid);
                    self.say(&format!("{how}; process {} is on its way", new.pid));
                    life = new;
                }
                deadline = stopped.asked() => {
                    self.end(life, next, deadline).await;
                    return None;
                }
                () = life::at(overdue) => life.give_up(self.shared.take_over),
                () = life::at(slow) => {
                    life.is_told = true;
                    let limit = life::SLOW_START.as_secs();
                    self.say(&format!("is not ready after {limit} s: {}", life.last_status));
                }
            }
        }
    }

    /// When a proxy is given up. A control plane may have much to read before its first word.
    fn overdue(&self, life: &Life) -> Option<Instant> {
        match self.role {
            Role::ControlPlane => None,
            Role::Proxy { .. } => life.overdue(self.shared.take_over),
        }
    }

    /// Another process beside the one that runs: it gets the same sockets and the same identity. One at a time.
    async fn succeed(&mut self, life: &Life, next: &mut Option<Life>) {
        if let Some(new) = next {
            return self
                .say(&format!("a hot restart is under way already: process {} is to take over", new.pid));
        }
        match self.spawn().await {
            Ok(mut new) => {
                new.is_successor = true;
                *next = Some(new);
            }
            Err(error) => self.failed(life.pid, &format!("the new process cannot be started: {error}")),
        }
    }

    /// The process that takes over now, if it is ready.
    fn on_news(&mut self, news: News, next: &mut Option<Life>, old: u32) -> Option<Life> {
        let mut new = next.take()?;
        match news {
            News::Said(message) => {
                self.hear(message, &mut new);
                if new.is_well() {
                    return Some(new);
                }
                *next = Some(new);
            }
            News::Late => {
                new.give_up(self.shared.take_over);
                *next = Some(new);
            }
            News::Ended(how) => {
                self.gone(new.pid);
                self.failed(old, &format!("the new process {how}"));
            }
        }
        None
    }

    /// Says why no other process has taken over, here and to whoever ordered it.
    fn failed(&self, old: u32, why: &str) {
        self.say(&format!("{RESTART}: {why}; the old one goes on"));
        let Role::Proxy { key, .. } = &self.role else { return };
        if let Err(error) = FailedRestart::new(old, why).write(&self.shared.home.proxy(key)) {
            tracing::warn!(%key, %error, "whoever ordered the hot restart does not hear why it failed");
        }
    }

    /// Ends all processes of this role but those that retire, which are asked to.
    async fn end(&self, mut life: Life, next: Option<Life>, deadline: Duration) {
        self.end_retired.cancel();
        if let Some(mut new) = next {
            let _ = byrnie_net::process::kill_group(new.pid);
            let _ = new.child.wait().await;
            self.gone(new.pid);
        }
        stop::end_group(&mut life.child, life.pid, deadline).await;
        self.gone(life.pid);
    }

    fn gone(&self, pid: u32) {
        self.shared.ended(pid);
        self.shared.forget(pid);
    }

    /// Tells a process that another one has taken over, and leaves it to end by itself.
    fn retire(&mut self, old: Life) {
        let Life { mut child, pid, .. } = old;
        // What it says from now on would be about what is no longer its own.
        self.shared.forget(pid);
        let told = byrnie_net::process::retire(pid);
        self.say(&format!("process {pid} was replaced, and finishes its connections"));
        let (shared, end) = (Rc::clone(&self.shared), self.end_retired.clone());
        self.retired.spawn_local(async move {
            tokio::select! {
                _ = child.wait(), if told.is_ok() => {}
                () = end.cancelled() => stop::end_group(&mut child, pid, stop::RETIRED).await,
            }
            shared.ended(pid);
        });
        while self.retired.try_join_next().is_some() {}
    }

    /// What it sent just before it died waits in the socket or on the way: its key must not be lost.
    async fn drain(&mut self, life: &mut Life) {
        const GRACE: Duration = Duration::from_millis(20);
        while let Ok(Some(message)) = tokio::time::timeout(GRACE, life.messages.recv()).await {
            self.hear(message, life);
        }
    }

    fn hear(&mut self, message: Notification, life: &mut Life) {
        life.spoke = true;
        life.ready |= message.ready;
        if let Some(change) = message.descriptor
            && !change.apply(&mut self.store)
        {
            self.say("wants more descriptors kept than the limit");
        }
        if let Some(status) = message.status
            && status != life.last_status
        {
            if !status.is_empty() && !self.shared.stopping.get() {
                self.say(&status);
            }
            life.last_status = status;
        }
        if message.ready {
            self.ready.send_replace(true);
        }
    }

    fn log(&self) -> PathBuf {
        match &self.role {
            Role::ControlPlane => self.shared.home.control_plane_log(),
            Role::Proxy { key, .. } => self.shared.home.proxy(key).join("log"),
        }
    }

    fn say(&self, line: &str) {
        let name = match &self.role {
            Role::ControlPlane => "control plane".to_owned(),
            Role::Proxy { key, .. } => key.to_string(),
        };
        self.shared.screen.line(&format!("{name}: {line}"));
    }

    /// Says how it ended, and shows what it wrote in this life.
    fn tell_death(&self, how: &str) {
        if self.shared.stopping.get() {
            return;
        }
        let log = self.log();
        let lines = home::last_lines(&log, SHOWN_LINES, self.log_before);
        let tail = if lines.is_empty() { String::new() } else { format!("; the end of {}:", log.display()) };
        self.say(&format!("{how}{tail}"));
        for line in lines {
            self.shared.screen.line(&format!("  {line}"));
        }
    }
}
