//! The children that are this program in another role: the control plane, the proxies. Kept running, their sockets
//! and keys kept for them.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use byrnie_control::api::CredentialRequest;
use byrnie_net::{FdStore, Notification, Output, Spawn};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::desired::{CapturedWay, Kind, UnitKey};
use super::ground::Place;
use super::home;
use super::shared::{GENERATION, RUN, Shared, WORKERS};
use super::stop::{self, Stopper};

/// Lines of its log that are shown when one dies.
const SHOWN_LINES: usize = 20;
/// How long a control plane may take to hand out a credential before the proxy starts without a fresh one.
const CREDENTIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a proxy whose sockets and certificate are kept: it can serve without one.
const KEPT_CREDENTIAL_TIMEOUT: Duration = Duration::from_millis(300);
/// The longest wait before a control plane that died is started again: without one nothing changes.
const CONTROL_PLANE_WAIT: Duration = Duration::from_secs(5);
/// A process that was to take over does not.
const RESTART: &str = "BYR0487";
/// After this long without being ready, a line says so.
const SLOW_START: Duration = Duration::from_secs(10);

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
    let keeping = Keeping {
        shared: Rc::clone(shared),
        role,
        store: FdStore::default(),
        place: None,
        ready: ready_sender,
        log_before: 0,
        generation: 0,
        retired: JoinSet::new(),
        end_retired: CancellationToken::new(),
    };
    let task = tokio::task::spawn_local(async move {
        if let Some(after) = after {
            let _ = after.await;
        }
        keeping.run(stopped).await;
    });
    Kept { ready, stopper, task }
}

/// What became of the process that is to take over.
enum News {
    Said(Notification),
    Ended(String),
}

/// The next news of the process that is to take over; none, while there is none.
async fn news(next: &mut Option<Life>) -> News {
    let Some(life) = next else { return std::future::pending().await };
    tokio::select! {
        biased;
        Some(message) = life.messages.recv() => News::Said(message),
        status = life.child.wait() => {
            News::Ended(status.map_or_else(|error| error.to_string(), stop::how_it_ended))
        }
    }
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

/// A process of this role that runs.
struct Life {
    child: Child,
    pid: u32,
    messages: mpsc::Receiver<Notification>,
    ready: bool,
    last_status: String,
}

impl Keeping {
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
        let slow = tokio::time::sleep(SLOW_START);
        tokio::pin!(slow);
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                Some(message) = life.messages.recv() => {
                    life.ready |= message.ready;
                    let restart = message.restart;
                    self.hear(message, &mut life.last_status);
                    if restart && next.is_none() {
                        next = self.successor().await;
                    }
                }
                news = news(&mut next) => {
                    if let Some(new) = self.on_news(news, &mut next) {
                        self.retire(std::mem::replace(&mut life, new));
                    }
                }
                status = life.child.wait() => {
                    self.shared.ended(life.pid);
                    self.drain(&mut life).await;
                    let how = status.map_or_else(|error| error.to_string(), stop::how_it_ended);
                    match next.take() {
                        // The one that was to take over does, ready or not.
                        Some(new) => {
                            self.shared.forget(life.pid);
                            life = new;
                        }
                        None => return Some((life.pid, how)),
                    }
                }
                deadline = stopped.asked() => {
                    self.end_retired.cancel();
                    if let Some(mut new) = next.take() {
                        let _ = new.child.start_kill();
                        let _ = new.child.wait().await;
                        self.gone(new.pid);
                    }
                    stop::end_group(&mut life.child, life.pid, deadline).await;
                    self.gone(life.pid);
                    return None;
                }
                () = &mut slow, if !life.ready && !told => {
                    told = true;
                    self.say(&format!("is not ready after {} s: {}", SLOW_START.as_secs(), life.last_status));
                }
            }
        }
    }

    /// The process that takes over now, if it is ready.
    fn on_news(&mut self, news: News, next: &mut Option<Life>) -> Option<Life> {
        let mut new = next.take()?;
        match news {
            News::Said(message) => {
                new.ready |= message.ready;
                self.hear(message, &mut new.last_status);
                if new.ready {
                    return Some(new);
                }
                *next = Some(new);
            }
            News::Ended(how) => {
                self.gone(new.pid);
                self.say(&format!("{RESTART}: the new process {how}; the old one goes on"));
            }
        }
        None
    }

    fn gone(&self, pid: u32) {
        self.shared.ended(pid);
        self.shared.forget(pid);
    }

    /// Another process beside the one that runs: it gets the same sockets and the same identity.
    async fn successor(&mut self) -> Option<Life> {
        match self.spawn().await {
            Ok(life) => Some(life),
            Err(error) => {
                self.say(&format!("{RESTART}: the new process cannot be started: {error}"));
                None
            }
        }
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
            self.hear(message, &mut life.last_status);
        }
    }

    fn hear(&mut self, message: Notification, last_status: &mut String) {
        if let Some(change) = message.descriptor
            && !change.apply(&mut self.store)
        {
            self.say("wants more descriptors kept than the limit");
        }
        if let Some(status) = message.status
            && status != *last_status
        {
            if !status.is_empty() && !self.shared.stopping.get() {
                self.say(&status);
            }
            *last_status = status;
        }
        if message.ready {
            self.ready.send_replace(true);
        }
    }

    async fn spawn(&mut self) -> std::io::Result<Life> {
        let mut what = match self.role.clone() {
            Role::ControlPlane => self.control_plane()?,
            Role::Proxy { key, captured: None } => self.proxy(&key).await?,
            Role::Proxy { key, captured: Some(way) } => {
                let mut what = self.proxy(&key).await?;
                self.capture(&key, way, &mut what).await.map_err(std::io::Error::other)?;
                what
            }
        };
        what.descriptors.extend(self.store.duplicates()?);
        let log = self.log();
        if let Some(directory) = log.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let log = home::open_log(&log)?;
        self.log_before = log.metadata()?.len();
        what.output = Output::File(log);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.generation = self.generation.saturating_add(1).max(now);
        let what = what.env(GENERATION, self.generation.to_string());
        let (child, pid, messages) = self.shared.start(what)?;
        Ok(Life { child, pid, messages, ready: false, last_status: String::new() })
    }

    fn control_plane(&self) -> std::io::Result<Spawn> {
        let home = &self.shared.home;
        let data_dir = home.path.as_os_str();
        let arguments = [
            "--data-dir".as_ref(),
            data_dir,
            "control-plane".as_ref(),
            "--run-id".as_ref(),
            self.shared.run_id.as_ref(),
        ];
        let mut what = Spawn::new(&self.shared.program, arguments);
        what.arguments.extend(self.shared.ground.is_some().then(|| "--transparent".into()));
        what.descriptors.push((crate::roles::LOCK.to_owned(), home.lock()?));
        Ok(what)
    }

    async fn proxy(&self, key: &UnitKey) -> std::io::Result<Spawn> {
        let home = &self.shared.home;
        let credential = self.credential(key).await;
        let xds = home.control_plane().map_err(std::io::Error::other)?.xds;
        let role = if key.kind == Kind::Gateway { "gateway" } else { "sidecar" };
        let mut what = Spawn::new(&self.shared.program, ["proxy", "--role", role, "--control-plane", &xds]);
        what.arguments.extend(["--workload".into(), format!("{}/{}", key.namespace, key.name).into()]);
        what.arguments.extend(["--trust-bundle".into(), home.trust_bundle().into_os_string()]);
        what.arguments.extend(["--state-dir".into(), home.proxy(key).into_os_string()]);
        what.environment.push((RUN.into(), self.shared.run_id.clone().into()));
        what.environment
            .extend(self.shared.proxy_workers.map(|count| (WORKERS.into(), count.to_string().into())));
        what.descriptors.extend(credential.map(|descriptor| ("credential".to_owned(), descriptor)));
        Ok(what)
    }

    /// The proxy works in the workload's namespace, which is there from now on.
    async fn capture(&mut self, key: &UnitKey, way: CapturedWay, what: &mut Spawn) -> Result<(), String> {
        let place = match &self.place {
            Some(place) => Rc::clone(place),
            None => Rc::clone(self.place.insert(self.shared.place(key)?)),
        };
        let state_dir = self.shared.home.proxy(key);
        let made = place.make_ready(&state_dir, &key.namespace).await?;
        place.describe(&state_dir, way.original_source)?;
        what.arguments.push("--transparent".into());
        what.descriptors.extend(made.descriptors().map_err(|error| error.to_string())?);
        Ok(())
    }

    /// A fresh one-time credential; none while the control plane is away: the proxy then lives on what is stored.
    async fn credential(&self, key: &UnitKey) -> Option<OwnedFd> {
        let request = CredentialRequest {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            role: if key.kind == Kind::Gateway { "gateway" } else { "sidecar" }.to_owned(),
        };
        let patience = if self.store.is_empty() { CREDENTIAL_TIMEOUT } else { KEPT_CREDENTIAL_TIMEOUT };
        let answer = tokio::time::timeout(patience, self.shared.client.credential(&request)).await;
        match answer {
            Ok(Ok(credential)) => byrnie_net::memfd::sealed("credential", credential.token.as_bytes()).ok(),
            Ok(Err(refusal)) => {
                tracing::warn!(%key, %refusal, "no fresh credential");
                None
            }
            Err(_) => None,
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
