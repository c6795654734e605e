//! A Workload's command: started once the proxy is ready, its output shown, started again when it ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::rc::Rc;
use std::time::{Duration, Instant};

use byrnie_net::keeper::{Lifeline, keep};
use byrnie_net::{Output, Spawn};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::backoff::Backoff;
use super::desired::{CommandWay, Kind, UnitKey};
use super::environment::{Addresses, variables};
use super::ground::{self, Place};
use super::lines;
use super::shared::Shared;
use super::stop::{self, Stopped, Stopper, how_it_ended};
use super::users;

/// How long to wait for the last lines of a command that has ended.
const LAST_LINES: Duration = Duration::from_millis(200);

/// A command that is kept running.
#[derive(Debug)]
pub struct KeptCommand {
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl KeptCommand {
    /// Asks it to end; after the deadline kills it and everything that it started. Returns when all is gone.
    pub async fn stop(self, deadline: Duration) {
        self.stopper.stop(deadline);
        let _ = self.task.await;
    }
}

/// Starts a command: once `proxy` has been ready (at once without one), and once `after`, which it replaces, is gone.
pub fn start(
    shared: &Rc<Shared>,
    key: UnitKey,
    way: CommandWay,
    proxy: Option<watch::Receiver<bool>>,
    after: Option<JoinHandle<()>>,
) -> KeptCommand {
    let (stopper, mut stopped) = stop::channel();
    let keeping =
        Keeping { shared: Rc::clone(shared), prefix: lines::prefix(&key.name), key, way, place: None };
    let task = tokio::task::spawn_local(async move {
        if let Some(after) = after {
            let _ = after.await;
        }
        if let Some(mut proxy) = proxy {
            tokio::select! {
                _ = proxy.wait_for(|ready| *ready) => {}
                _ = stopped.asked() => return,
            }
        }
        keeping.run(stopped).await;
    });
    KeptCommand { stopper, task }
}

struct Keeping {
    shared: Rc<Shared>,
    key: UnitKey,
    way: CommandWay,
    prefix: String,
    /// Where its traffic is captured. Held for as long as anything of it runs.
    place: Option<Rc<Place>>,
}

impl Keeping {
    async fn run(mut self, mut stopped: Stopped) {
        let mut backoff = Backoff::default();
        loop {
            let started = Instant::now();
            if self.way.captured && self.place.is_none() {
                // What is wrong, its proxy says.
                self.place = self.shared.place(&self.key).ok();
            }
            let how = match self.spawn() {
                Ok((child, pid, lifeline)) => match self.live(child, pid, lifeline, &mut stopped).await {
                    Some(how) => how,
                    None => return,
                },
                Err(why) => format!("cannot be started: {why}"),
            };
            let wait = backoff.next(started.elapsed(), rand::random());
            if !self.shared.stopping.get() {
                let line = format!("{} {how}; again in {:.1} s", self.prefix, wait.as_secs_f64());
                self.shared.screen.line(&line);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopped.asked() => return,
            }
        }
    }

    /// Follows one life. None: it was asked to end and has ended, with everything that it started.
    async fn live(
        &self,
        mut child: Child,
        pid: u32,
        mut lifeline: Lifeline,
        stopped: &mut Stopped,
    ) -> Option<String> {
        let output = child
            .stdout
            .take()
            .map(|from| lines::forward(Rc::clone(&self.shared), from, self.prefix.clone()));
        let errors = child
            .stderr
            .take()
            .map(|from| lines::forward(Rc::clone(&self.shared), from, self.prefix.clone()));
        let (status, asked) = tokio::select! {
            status = child.wait() => (status, false),
            deadline = stopped.asked() => {
                let _ = lifeline.terminate();
                let status = match tokio::time::timeout(deadline, child.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        drop(lifeline);
                        child.wait().await
                    }
                };
                (status, true)
            }
        };
        self.shared.ended(pid);
        for task in [output, errors].into_iter().flatten() {
            let _ = tokio::time::timeout(LAST_LINES, task).await;
        }
        if status.as_ref().is_ok_and(|status| status.code().is_none()) {
            // The keeper itself was killed, so what the command had started came to us.
            self.shared.end_adopted();
        }
        let how = status.map_or_else(|error| error.to_string(), how_it_ended);
        (!asked).then_some(how)
    }

    fn spawn(&self) -> Result<(Child, u32, Lifeline), String> {
        let mut environment = self.mesh_variables()?;
        let mut what = Spawn::new(self.shared.program.path(), [crate::roles::KEEPER]);
        if self.way.captured {
            environment.extend(self.confine(&mut what)?);
        }
        environment.extend(self.way.environment.iter().cloned());
        what.arguments.extend(self.way.command.iter().map(OsString::from));
        what.environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        what.directory = self.way.directory.clone();
        what.output = Output::Pipes;
        if let Some(directory) = self.way.directory.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(format!("its directory {} is gone", directory.display()));
        }
        let (what, lifeline) = keep(what).map_err(|error| error.to_string())?;
        let (child, pid) = self.shared.start_silent(what).map_err(|error| error.to_string())?;
        Ok((child, pid, lifeline))
    }

    /// Puts the command into its workload's namespace, as a user without capabilities. Returns what the user expects
    /// in its environment.
    fn confine(&self, what: &mut Spawn) -> Result<BTreeMap<String, String>, String> {
        let known = users::of_command(self.way.run_as.as_deref())?;
        let namespace = self.place.as_ref().and_then(|place| place.namespace());
        let namespace = namespace.ok_or("its network namespace is not there yet")?;
        let descriptor = namespace.descriptor().map_err(|error| error.to_string())?;
        let state_dir = self.shared.home.proxy(&UnitKey { kind: Kind::Sidecar, ..self.key.clone() });
        what.descriptors.push((byrnie_proxy::NAMESPACE.to_owned(), descriptor));
        let told = format!("{}\n{}", known.user.text(), ground::resolver_file(&state_dir).display());
        let told = byrnie_net::memfd::sealed(crate::roles::CONFINEMENT, told.as_bytes());
        let told = told.map_err(|error| error.to_string())?;
        what.descriptors.push((crate::roles::CONFINEMENT.to_owned(), told));
        Ok(known.environment())
    }

    fn mesh_variables(&self) -> Result<BTreeMap<String, String>, String> {
        if !self.way.meshed {
            return Ok(BTreeMap::new());
        }
        let state_dir = self.shared.home.proxy(&UnitKey { kind: Kind::Sidecar, ..self.key.clone() });
        let addresses = Addresses::read(&state_dir)?;
        let names = self.shared.port_names.borrow();
        Ok(variables(&addresses, &names, &self.key.namespace, self.way.http_proxy))
    }
}
