//! The proxies and commands that run now.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::command::{self, KeptCommand};
use super::desired::{Kind, Step, UnitKey, Way, steps};
use super::role::{self, Kept};
use super::shared::Shared;
use super::stop;

/// How long a proxy that nobody wants any more may finish what is under way.
const DRAIN: Duration = Duration::from_secs(10);

/// The proxies and commands that run now, and those that are ending.
#[derive(Debug, Default)]
pub struct Units {
    running: RefCell<BTreeMap<UnitKey, Unit>>,
    ending: RefCell<BTreeMap<UnitKey, JoinHandle<()>>>,
}

#[derive(Debug)]
struct Unit {
    way: Way,
    process: Process,
}

#[derive(Debug)]
enum Process {
    Proxy(Kept),
    Command(KeptCommand),
}

impl Process {
    async fn stop(self, deadline: Duration) {
        match self {
            Self::Proxy(proxy) => proxy.stop(deadline).await,
            Self::Command(command) => command.stop(deadline).await,
        }
    }
}

impl Units {
    /// Stops what nobody wants, starts what is missing, replaces what is to run in another way. Returns at once; the
    /// keys are those that were started.
    pub fn bring(&self, shared: &Rc<Shared>, desired: &BTreeMap<UnitKey, Way>) -> Vec<UnitKey> {
        let running =
            self.running.borrow().iter().map(|(key, unit)| (key.clone(), unit.way.clone())).collect();
        let mut started = Vec::new();
        for step in steps(&running, desired) {
            match step {
                Step::Stop(key) => self.end(shared, &key, true),
                Step::Start(key, way) => {
                    self.end(shared, &key, false);
                    self.start(shared, &key, way);
                    started.push(key);
                }
            }
        }
        started
    }

    fn start(&self, shared: &Rc<Shared>, key: &UnitKey, way: Way) {
        let after = self.ending.borrow_mut().remove(key);
        let process = match &way {
            Way::Proxy { captured } => {
                Process::Proxy(role::start_proxy(shared, key.clone(), *captured, after))
            }
            Way::Command(way) => {
                let proxy = if way.meshed {
                    self.ready(&UnitKey { kind: Kind::Sidecar, ..key.clone() })
                } else {
                    None
                };
                Process::Command(command::start(shared, key.clone(), way.clone(), proxy, after))
            }
        };
        self.running.borrow_mut().insert(key.clone(), Unit { way, process });
    }

    /// Becomes true when the proxy of this key has been ready.
    pub fn ready(&self, key: &UnitKey) -> Option<tokio::sync::watch::Receiver<bool>> {
        match &self.running.borrow().get(key)?.process {
            Process::Proxy(proxy) => Some(proxy.ready_later()),
            Process::Command(_) => None,
        }
    }

    /// Ends a unit in the background; `for_good` also removes what its proxy left in its directory.
    fn end(&self, shared: &Rc<Shared>, key: &UnitKey, for_good: bool) {
        let Some(unit) = self.running.borrow_mut().remove(key) else { return };
        let deadline = if key.kind == Kind::Command { stop::COMMAND } else { DRAIN };
        let state_dir = (for_good && key.kind != Kind::Command).then(|| shared.home.proxy(key));
        let ending = tokio::task::spawn_local(async move {
            unit.process.stop(deadline).await;
            if let Some(Err(error)) = state_dir.as_ref().map(std::fs::remove_dir_all) {
                tracing::warn!(%error, "cannot remove {state_dir:?}");
            }
        });
        let mut all = self.ending.borrow_mut();
        all.retain(|_, ending| !ending.is_finished());
        all.insert(key.clone(), ending);
    }

    /// Ends all gateways; then the other proxies, and with them the commands that nobody can call (they would only
    /// see their calls fail); then the other commands. `drain` is for the proxies together, `rest` for the commands.
    pub async fn stop_in_order(&self, drain: Duration, rest: Duration) {
        let start = Instant::now();
        let left = || drain.saturating_sub(start.elapsed());
        self.stop_those(|key, _| key.kind == Kind::Gateway, left()).await;
        let calls_only = |way: &Way| matches!(way, Way::Command(command) if !command.serves);
        let proxies = self.stop_those(|key, _| key.kind == Kind::Sidecar, left());
        let callers = self.stop_those(|_, way| way.is_some_and(calls_only), rest);
        tokio::join!(proxies, callers);
        self.stop_those(|_, _| true, rest).await;
    }

    /// Ends those units and returns when they are gone, those included that were ending already.
    async fn stop_those(&self, those: impl Fn(&UnitKey, Option<&Way>) -> bool, deadline: Duration) {
        let running: Vec<Unit> = {
            let mut running = self.running.borrow_mut();
            running.extract_if(.., |key, unit| those(key, Some(&unit.way))).map(|(_, unit)| unit).collect()
        };
        let ending: Vec<JoinHandle<()>> = {
            let mut ending = self.ending.borrow_mut();
            ending.extract_if(.., |key, _| those(key, None)).map(|(_, task)| task).collect()
        };
        join_all(running.into_iter().map(|unit| unit.process.stop(deadline))).await;
        join_all(ending).await;
    }
}
