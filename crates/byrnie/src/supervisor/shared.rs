//! What all parts of the supervisor share: where things are, and which process is whose.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use byrnie_control::client::Client;
use byrnie_net::{Notification, NotifyServer, Spawn};
use tokio::process::Child;
use tokio::sync::mpsc;

use super::desired::UnitKey;
use super::environment::PortNames;
use super::ground::{Ground, Place};
use super::home::Home;
use crate::cli::failure::Failure;
use crate::output::live_table::Screen;
use crate::program::Program;

/// Messages of one child that wait to be handled. More than any child sends at once (one per socket it stores).
const WAITING_MESSAGES: usize = 1024;

/// The variable that fixes the number of data-plane threads of each proxy.
pub const WORKERS: &str = "BYRNIE_PROXY_WORKERS";
/// Tells a proxy which of its processes it is: later ones have a larger number.
pub const GENERATION: &str = "BYRNIE_GENERATION";
/// Tells a proxy the run that it belongs to: addresses of an older run are void.
pub const RUN: &str = "BYRNIE_RUN";

/// Shared by all tasks of the supervisor, on one thread.
#[derive(Debug)]
pub struct Shared {
    /// The data directory.
    pub home: Home,
    /// This program, to be run in its other roles.
    pub program: Program,
    /// How long a process may take to get ready in the place of another, or to say its first word.
    pub take_over: Duration,
    /// Names this run of the supervisor; addresses that proxies reported in another run are void.
    pub run_id: String,
    /// `BYRNIE_PROXY_WORKERS` for the proxies, where the environment does not say it.
    pub proxy_workers: Option<u32>,
    /// Speaks to the control plane.
    pub client: Client,
    /// Where everything that is said goes.
    pub screen: Screen,
    /// The names of Service ports, as far as known.
    pub port_names: RefCell<PortNames>,
    /// Once set, nothing that ends is told or started again.
    pub stopping: Cell<bool>,
    /// The network of captured workloads; none where nothing is captured.
    pub ground: Option<Rc<Ground>>,
    listeners: RefCell<BTreeMap<u32, mpsc::Sender<Notification>>>,
    processes: RefCell<BTreeSet<u32>>,
}

impl Shared {
    /// Everything about this run, nothing started.
    pub fn new(home: Home, proxy_workers: Option<u32>, transparent: bool) -> Result<Self, Failure> {
        let said = std::env::var_os(WORKERS).is_some_and(|value| !value.is_empty());
        let program = Program::this().map_err(Failure::system)?;
        let client = Client::new(home.path.clone());
        Ok(Self {
            home,
            program,
            take_over: byrnie_proxy::TAKE_OVER,
            run_id: format!("{:016x}", rand::random::<u64>()),
            proxy_workers: proxy_workers.filter(|_| !said),
            client,
            screen: Screen::new(),
            port_names: RefCell::default(),
            stopping: Cell::new(false),
            ground: transparent.then(Rc::default),
            listeners: RefCell::default(),
            processes: RefCell::default(),
        })
    }

    /// Starts a child that tells how it is, and the messages that it will send.
    pub fn start(&self, what: Spawn) -> std::io::Result<(Child, u32, mpsc::Receiver<Notification>)> {
        let what = what.env("NOTIFY_SOCKET", self.home.notify_socket());
        let (child, pid) = self.start_silent(what)?;
        let (sender, receiver) = mpsc::channel(WAITING_MESSAGES);
        self.listeners.borrow_mut().insert(pid, sender);
        Ok((child, pid, receiver))
    }

    /// Starts a child that tells nothing.
    pub fn start_silent(&self, what: Spawn) -> std::io::Result<(Child, u32)> {
        let child = byrnie_net::spawn(what)?;
        let pid = child.id().ok_or(std::io::ErrorKind::NotFound)?;
        self.processes.borrow_mut().insert(pid);
        Ok((child, pid))
    }

    /// The place of a workload whose traffic is captured.
    pub fn place(&self, key: &UnitKey) -> Result<Rc<Place>, String> {
        let ground = self.ground.as_ref().ok_or("nothing is captured in this mesh")?;
        ground.place(&key.namespace, &key.name)
    }

    /// The child is gone. What it sent before is still handled.
    pub fn ended(&self, pid: u32) {
        self.processes.borrow_mut().remove(&pid);
    }

    /// Nothing more is expected from this process id.
    pub fn forget(&self, pid: u32) {
        self.listeners.borrow_mut().remove(&pid);
    }

    /// Ends the processes that came to us because their keeper was killed.
    pub fn end_adopted(&self) {
        let known: Vec<u32> = self.processes.borrow().iter().copied().collect();
        for orphan in byrnie_net::process::adopted(&known).unwrap_or_default() {
            let _ = byrnie_net::process::end_adopted(orphan);
        }
    }
}

/// Hands each message to the task of the child that sent it; messages of strangers are dropped.
pub async fn listen(shared: Rc<Shared>, server: NotifyServer) {
    loop {
        match server.receive().await {
            Ok(notification) => {
                let listener = shared.listeners.borrow().get(&notification.pid).cloned();
                if let Some(listener) = listener {
                    let _ = listener.try_send(notification);
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot hear from children");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
