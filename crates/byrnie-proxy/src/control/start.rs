//! Start-up: what the last life left behind first, the network last.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use byrnie_identity::bundle_from_pem;
use byrnie_net::capture::confine::{Powers, keep_only, powerless};
use byrnie_net::{Inherited, Namespace, memfd};
use byrnie_plan::{Key, TrustBundle};
use byrnie_telemetry::{AccessLogWriter, Registry, RegistrySettings, names};
use tokio::sync::{Notify, mpsc};

use super::addresses::Addresses;
use super::called::Waiters;
use super::gauges::Gauges;
use super::health::Health;
use super::identity::{self, CREDENTIAL, IDENTITY, Keeper};
use super::inspect::Question;
use super::listeners::Listeners;
use super::readiness::Voice;
use super::secret::{self, Secret};
use super::snapshot::Snapshot;
use super::xds::Xds;
use super::{Control, Trouble, admin, connect, handover};
use crate::accept::Workers;
use crate::config::Assembler;
use crate::dns;
use crate::overload::Watch;
use crate::process::Process;
use crate::run::{LogOutput, ProxyOptions, RunError, Source, Supervision};
use crate::transparent::{CAPTURE_FILE, Captured, NAMESPACE};

impl Control {
    /// Everything up to the loop: when this returns, a proxy with a past serves already.
    pub async fn start(options: ProxyOptions, supervision: Supervision) -> Result<Self, RunError> {
        if let Some(path) = options.source.state_dir() {
            let state = |source: io::Error| RunError::StateDir { path: path.to_owned(), source };
            fs::create_dir_all(path).map_err(state)?;
        }
        let Supervision { mut inherited, notifier } = supervision;
        let credential = read(&mut inherited, CREDENTIAL);
        let kept = read(&mut inherited, IDENTITY);
        let sockets = dns::Sockets::take(&mut inherited).map_err(RunError::Dns)?;
        let predecessor = inherited.remove(handover::PREDECESSOR);
        let notifier = Rc::new(notifier);
        let process = process(&options, &mut inherited)?;
        let watch = within_limits(&process);
        let workers = Workers::start(&process, options.workers).map_err(RunError::Threads)?;
        confine(&process, &options).map_err(RunError::Capture)?;
        let (told, identity) = mpsc::channel(4);
        let (ask, questions) = mpsc::channel(16);
        let mut last = options.source.state_dir().map(Addresses::read).unwrap_or_default();
        last.admin = options.admin.or(last.admin);
        let mut control = Self {
            voice: Voice::new(Rc::clone(&notifier)),
            readiness: Arc::default(),
            listeners: Listeners::new(
                inherited,
                Rc::clone(&notifier),
                &last,
                options.successor.is_some(),
                process.captured.clone(),
            ),
            assembler: Assembler::new(options.workload.clone(), options.role).capturing(options.transparent),
            xds: Xds::default(),
            waiters: Waiters::new(process.calls.receiver()),
            events: None,
            local: options.source.local(),
            identity,
            refused: Arc::new(Notify::new()),
            snapshot: Snapshot::new(options.source.state_dir()),
            gauges: Gauges::new(&process.metrics),
            watchdog: super::watchdog::Watchdog::default(),
            health: Health::new(&process.metrics, process.captured.clone()),
            addresses: None,
            status: None,
            pools: Vec::new(),
            trouble: Trouble::default(),
            last_report: Instant::now(),
            started: Instant::now(),
            successor: None,
            predecessor,
            retiring: false,
            watch,
            questions,
            admin: None,
            notifier,
            workers,
            process,
            options,
        };
        control.take_up(kept);
        control.serve_admin(ask)?;
        control.take_local();
        dns::start(&control.process, sockets).map_err(RunError::Dns)?;
        control.apply();
        control.keep_a_certificate(credential, told);
        if control.process.tls.load().is_some() {
            control.connect();
        }
        Ok(control)
    }

    /// Configuration and certificate of the last life.
    fn take_up(&mut self, kept: Option<Vec<u8>>) {
        for resource in self.snapshot.load() {
            if let Key::Service(service) = &resource.key {
                self.assembler.call(service.clone());
            }
            match self.assembler.offer(resource.key.clone(), Some(resource.resource)) {
                Ok(()) => self.xds.knows(resource.key, resource.version),
                Err(why) => tracing::warn!(code = why.code, "not taken from the snapshot: {}", why.reason),
            }
        }
        if !self.xds.synced {
            return;
        }
        self.assembler.assume_complete();
        let settled = self.assembler.settle(self.process.time(Instant::now()));
        if let Some(config) = settled.config {
            self.process.config.store(config);
        }
        let svid = kept.and_then(|bytes| self.read_identity(&bytes));
        if let (Some(svid), Some(bundle)) = (svid, self.bundle()) {
            self.install(Arc::new(svid), bundle);
        }
    }

    fn bundle(&self) -> Option<TrustBundle> {
        self.assembler.bundle().cloned().or_else(|| {
            let Source::ControlPlane(control_plane) = &self.options.source else { return None };
            let pem = fs::read(&control_plane.trust_bundle).ok()?;
            bundle_from_pem(&pem).ok()
        })
    }

    fn serve_admin(&mut self, ask: mpsc::Sender<Question>) -> Result<(), RunError> {
        let listener = self.listeners.admin().map_err(RunError::Admin)?;
        let wanted = self.options.admin.filter(|wanted| wanted.port() != 0);
        if let Some(wanted) = wanted.filter(|wanted| listener.local_addr().ok() != Some(*wanted)) {
            return Err(RunError::Admin(io::Error::other(format!("{wanted} cannot be bound"))));
        }
        let listener = tokio::net::TcpListener::from_std(listener).map_err(RunError::Admin)?;
        let (process, readiness) = (Arc::clone(&self.process), Arc::clone(&self.readiness));
        let secret = self.admin_secret()?;
        let desk = admin::Desk { process, readiness, secret, ask, log: self.options.log_filter.clone() };
        self.admin = Some(tokio::spawn(admin::serve(listener, Arc::new(desk))));
        Ok(())
    }

    /// A new token for each life. Without a place to write it to there is none, and nobody has it.
    fn admin_secret(&self) -> Result<Option<Secret>, RunError> {
        let beside = || self.options.source.state_dir().map(|state_dir| state_dir.join(secret::FILE));
        let Some(path) = self.options.admin_token.clone().or_else(beside) else { return Ok(None) };
        Secret::write(&path).map(Some).map_err(|source| RunError::StateDir { path, source })
    }

    fn keep_a_certificate(&self, credential: Option<Vec<u8>>, events: mpsc::Sender<identity::IdentityEvent>) {
        let Source::ControlPlane(control_plane) = &self.options.source else { return };
        let address = Arc::clone(&control_plane.address);
        let keeper = Keeper {
            mutual: connect::mutual(&self.process, &address),
            bootstrap: connect::bootstrap(control_plane.trust_bundle.clone(), &address),
            address,
            svid: self.process.tls.load().as_ref().map(|tls| Arc::clone(&tls.svid)),
            credential,
            refused: Arc::clone(&self.refused),
            events,
        };
        tokio::spawn(keeper.run());
    }
}

/// Finds what limits this process. One that may have little memory keeps nothing that is free.
fn within_limits(process: &Process) -> Watch {
    let watch = Watch::new();
    if let Some(memory) = watch.small() {
        byrnie_net::allocator::give_back_soon();
        process.overload.watch_closely(memory);
    }
    process.budget.set(watch.allowed(), process.config.load().settings.buffer_percent);
    watch
}

fn process(options: &ProxyOptions, inherited: &mut Inherited) -> Result<Arc<Process>, RunError> {
    let metrics = Registry::new(RegistrySettings::default());
    let dropped = metrics.counter(&names::ACCESS_LOG_DROPPED, &[]);
    let stream = options.access_log;
    let log = move || match stream {
        LogOutput::Stderr => AccessLogWriter::start(io::stderr(), dropped),
        LogOutput::Stdout => AccessLogWriter::start(io::stdout(), dropped),
    };
    let log = if options.transparent { powerless(log) } else { log() }.map_err(RunError::Threads)?;
    let mut process = Process::new(options.workload.clone(), options.role, metrics, log);
    if options.transparent {
        let captured = capture(options, inherited, &process.metrics).map_err(RunError::Capture)?;
        process.captured = Some(captured);
    }
    Ok(Arc::new(process))
}

/// The workers are where they have to be: what comes from here on, on this thread, needs no power over networks.
fn confine(process: &Process, options: &ProxyOptions) -> io::Result<()> {
    if process.captured.is_none() {
        return Ok(());
    }
    keep_only(Powers { network: false, files: has_foreign_parent(options) })
}

/// Whether the way to the state directory leads through somebody else's directories, which only root may enter.
fn has_foreign_parent(options: &ProxyOptions) -> bool {
    let own = byrnie_net::unix::own_uid();
    let Some(path) = options.source.state_dir().and_then(|path| fs::canonicalize(path).ok()) else {
        return false;
    };
    path.ancestors().any(|path| fs::metadata(path).is_ok_and(|found| found.uid() != own))
}

/// The workload's namespace comes from the supervisor, with its description in the state directory. The rules are in
/// force before anything else begins.
fn capture(
    options: &ProxyOptions,
    inherited: &mut Inherited,
    metrics: &Registry,
) -> io::Result<Arc<Captured>> {
    let namespace = inherited.remove(NAMESPACE).map(Namespace::from);
    let namespace = namespace.ok_or_else(|| io::Error::other("no network namespace was handed over"))?;
    let state_dir =
        options.source.state_dir().ok_or_else(|| io::Error::other("there is no state directory"))?;
    let described = fs::read(state_dir.join(CAPTURE_FILE))?;
    let described = serde_json::from_slice(&described)?;
    let captured = Arc::new(Captured::new(namespace, described, metrics)?);
    captured.watch()?;
    Ok(captured)
}

/// The bytes of a sealed memory file that was handed over.
fn read(inherited: &mut Inherited, name: &str) -> Option<Vec<u8>> {
    let memory = inherited.remove(name)?;
    match memfd::read_sealed(memory, identity::LIMIT) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::warn!(%error, "the {name} that was handed over cannot be read");
            None
        }
    }
}
