//! The control thread: one loop that hears the control plane, keeps the certificate, the listeners and the snapshot,
//! reports, and drains. What it decides comes in force by swapping `Config` and `TlsState`; it never sees a request.
//!
//! Start-up, so that a proxy whose control plane is away serves again within a second: snapshot, certificate from the
//! supervisor's memory, sockets from the supervisor, READY — and only then the network.

mod addresses;
mod admin;
mod apply;
mod called;
mod connect;
mod drain;
mod failed;
mod gauges;
mod handover;
mod health;
mod identity;
mod inspect;
mod listeners;
mod local;
mod profile;
mod readiness;
mod report;
mod secret;
mod snapshot;
mod start;
#[cfg(test)]
mod tests;
mod watchdog;
mod xds;

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use byrnie_net::Notifier;
use byrnie_wire::NodeStatus;
use byrnie_wire::client::{Event, Events};
use byrnie_wire::report::PoolState;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::accept::Workers;
use crate::config::Assembler;
use crate::overload::{Pressure, Watch};
use crate::process::Process;
use crate::room::Room;
use crate::run::{LocalState, ProxyOptions, RunError};
use addresses::Addresses;
use called::Waiters;
use gauges::Gauges;
use health::Health;
use identity::IdentityEvent;
use inspect::Question;
use listeners::Listeners;
use readiness::{Readiness, Voice};
use snapshot::Snapshot;
use watchdog::Watchdog;
use xds::Xds;

pub use failed::FailedRestart;
pub use handover::READY as TAKE_OVER;

/// How often reports go out, and a port that is in use is tried again.
const SECOND: Duration = Duration::from_secs(1);
/// How long a change may be in force before the snapshot has it: a proxy that is killed while the control plane is away
/// must not begin with endpoints that have gone, or without a policy that it has acknowledged.
const DISK: Duration = Duration::from_millis(100);
/// How often memory and descriptors are looked at: a burst must not fill what is left between two looks.
const PRESSURE: Duration = Duration::from_millis(100);
/// How often tap events are fetched while somebody watches.
const TAP: Duration = Duration::from_millis(200);

/// Everything that the control thread holds.
pub struct Control {
    options: ProxyOptions,
    process: Arc<Process>,
    workers: Workers,
    notifier: Rc<Notifier>,
    voice: Voice,
    readiness: Arc<Readiness>,
    assembler: Assembler,
    listeners: Listeners,
    xds: Xds,
    waiters: Waiters,
    events: Option<Events>,
    /// The resources of a proxy without control plane.
    local: Option<watch::Receiver<LocalState>>,
    identity: mpsc::Receiver<IdentityEvent>,
    /// The control plane refused a stream.
    refused: Arc<Notify>,
    snapshot: Snapshot,
    gauges: Gauges,
    watchdog: Watchdog,
    health: Health,
    /// As written last.
    addresses: Option<Addresses>,
    /// As told last.
    status: Option<NodeStatus>,
    /// As reported last.
    pools: Vec<PoolState>,
    trouble: Trouble,
    last_report: Instant,
    started: Instant,
    /// The process that is to take over, once it is ready or has failed.
    successor: Option<handover::Pending>,
    /// The process that this one takes over from, to be told when this one is ready.
    predecessor: Option<OwnedFd>,
    /// Another process has taken over: nothing is written, kept or told but reports.
    retiring: bool,
    watch: Watch,
    questions: mpsc::Receiver<Question>,
    admin: Option<JoinHandle<()>>,
}

/// What is wrong now, by topic; empty: nothing. The first one is shown to the operator.
#[derive(Default)]
struct Trouble {
    identity: String,
    control_plane: String,
    ports: String,
    workers: String,
    files: String,
    local: String,
    rules: String,
}

impl Trouble {
    /// While the proxy is not ready, everything matters; afterwards it goes on without the control plane.
    fn line(&self, ready: bool) -> &str {
        let stream = if ready { "" } else { self.control_plane.as_str() };
        let [rules, ports, local] = [&self.rules, &self.ports, &self.local].map(String::as_str);
        let [workers, files, identity] = [&self.workers, &self.files, &self.identity].map(String::as_str);
        let all = [workers, rules, ports, local, files, identity, stream];
        all.into_iter().find(|line| !line.is_empty()).unwrap_or_default()
    }
}

impl Control {
    /// Works until it is told to stop, then drains. Returns the workers, to be joined outside of the runtime.
    pub async fn run(mut self) -> Result<Workers, RunError> {
        let (stop, retire) = (self.options.stop.clone(), self.options.orders.retire.clone());
        let end = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = retire.cancelled() => {}
            }
        };
        let worked = self.work_until(end).await;
        let is_replaced = worked.is_ok() && !self.options.stop.is_cancelled();
        let end = if is_replaced { Some(self.retire().await) } else { None };
        self.drain(end).await;
        worked.map(|()| self.workers)
    }

    async fn work_until(&mut self, end: impl Future<Output = ()>) -> Result<(), RunError> {
        let (mut second, mut tap, mut disk) = (every(SECOND), every(TAP), every(DISK));
        let mut pressure = every(PRESSURE);
        let restart = Arc::clone(&self.options.orders.restart);
        let unwell = Arc::clone(&self.health.changed);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                event = next(&mut self.events) => self.hear(event).await,
                call = self.waiters.next() => self.on_call(call),
                Some(event) = self.identity.recv() => self.on_identity(event)?,
                () = local::changed(&mut self.local) => {
                    self.take_local();
                    self.apply();
                }
                () = restart.notified() => self.restart(),
                came = handover::came(&mut self.successor) => self.succeeded(came),
                Some(question) = self.questions.recv() => self.answer(question),
                _ = pressure.tick() => self.look_at_the_machine(),
                () = unwell.notified() => self.tell(),
                _ = second.tick() => self.each_second(),
                _ = disk.tick(), if self.snapshot.is_behind() => {
                    self.snapshot.save_if_due(&self.assembler, &mut self.trouble.files);
                }
                _ = tap.tick(), if !self.process.tap.is_idle() => self.send_taps(),
            }
        }
    }

    /// Takes everything that waits, so that one swap puts it in force.
    async fn hear(&mut self, first: Event) {
        let mut next = Some(first);
        while let Some(event) = next {
            self.on_event(event);
            next = self.events.as_mut().and_then(|events| events.try_recv().ok());
            if next.is_none() {
                // The client may be in the middle of handing over a message of many resources.
                tokio::task::yield_now().await;
                next = self.events.as_mut().and_then(|events| events.try_recv().ok());
            }
        }
        self.apply();
    }

    fn look_at_the_machine(&mut self) {
        let process = Arc::clone(&self.process);
        let overload = &process.overload;
        let pressure = Pressure { memory: self.watch.memory(overload), descriptors: process.descriptors() };
        self.gauges.pressure(pressure, &process);
        let is_another = overload.set(pressure, &process.config.load().settings);
        if overload.little().is_some_and(Room::is_wanted) || overload.is_draining() {
            overload.make_room(process.open.load(Relaxed));
        }
        if is_another {
            let words = match (overload.is_shedding(), overload.is_draining()) {
                (true, _) => "what is new is refused (BYR0241)",
                (false, true) => "kept-alive connections end",
                _ => "there is room again",
            };
            tracing::warn!(
                memory = pressure.memory,
                descriptors = pressure.descriptors,
                "in percent: {words}"
            );
        }
    }

    fn each_second(&mut self) {
        self.watch_workers();
        let percent = self.process.config.load().settings.buffer_percent;
        self.process.budget.set(self.watch.allowed(), percent);
        byrnie_net::allocator::give_back();
        self.send_report();
        self.gauges.resources(&self.assembler, &self.xds, !self.trouble.local.is_empty());
        self.gauges.ejected(&self.process);
        if self.listeners.failures().next().is_some() || self.assembler.is_waiting() {
            self.apply();
        }
        if let Some(captured) = &self.process.captured {
            self.trouble.rules.clone_from(&captured.trouble.lock());
        }
        self.forget_calls();
        self.tell();
    }

    /// A worker that does not get to its tasks is counted, and said; its connections hang until it does.
    fn watch_workers(&mut self) {
        let stuck = self.watchdog.stuck(self.workers.beats(), Instant::now());
        self.gauges.workers_stuck(stuck.len());
        self.trouble.workers = match stuck.as_slice() {
            [] => String::new(),
            all => format!("of the worker threads these do nothing any more: {all:?}"),
        };
    }

    fn send_report(&mut self) {
        let now = Instant::now();
        let delta = self.process.metrics.take_delta(now);
        let interval = now.saturating_duration_since(self.last_report);
        self.last_report = now;
        let pools = inspect::pool_states(&self.process);
        let is_news = !delta.is_empty() || pools != self.pools;
        if let (Some(client), true) = (&self.xds.client, is_news) {
            client.report(report::report(delta, interval, pools.clone()));
        }
        self.pools = pools;
    }

    fn send_taps(&mut self) {
        let events = self.process.tap.drain();
        if let Some(client) = &self.xds.client {
            client.tap(events.into_iter().map(report::tap_event));
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The next event; never, while there is no stream yet or any more.
async fn next(events: &mut Option<Events>) -> Event {
    if let Some(stream) = events
        && let Some(event) = stream.recv().await
    {
        return event;
    }
    std::future::pending().await
}
