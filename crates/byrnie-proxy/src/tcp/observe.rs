//! What is seen of one connection: metrics while it lasts, a line in the access log when it is over.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::Endpoint;
use byrnie_telemetry::{AccessEntry, Direction, Labels, TcpCell};
use tokio::time::Instant;

use super::relay::{Broken, Flow};
use crate::error::{Kind, ProxyError};
use crate::observe::{ids, log_format, outbound_labels, timestamp};
use crate::worker::Worker;

/// Counts a connection's bytes as they pass, so that long ones are seen before they end.
pub(super) struct Meter {
    cell: Arc<TcpCell>,
    received: Cell<u64>,
    sent: Cell<u64>,
    last: Cell<Instant>,
    idle: Option<Duration>,
}

impl Meter {
    /// A connection that was established. `idle`: how long nothing may move on it.
    pub(super) fn open(worker: &Worker, labels: &Labels, idle: Option<Duration>) -> Self {
        let now = Instant::now();
        let cell = worker.process.metrics.connections(worker.index, labels, "", "", now.into_std());
        cell.opened();
        Self { cell, received: Cell::new(0), sent: Cell::new(0), last: Cell::new(now), idle }
    }

    /// Bytes passed.
    pub(super) fn count(&self, flow: Flow, bytes: usize) {
        let (total, bytes) = match flow {
            Flow::FromClient => (&self.received, bytes as u64),
            Flow::ToClient => (&self.sent, bytes as u64),
        };
        total.set(total.get() + bytes);
        match flow {
            Flow::FromClient => self.cell.received(bytes),
            Flow::ToClient => self.cell.sent(bytes),
        }
        if self.idle.is_some() {
            self.last.set(Instant::now());
        }
    }

    /// Whether the server has said nothing so far.
    pub(super) fn is_mute(&self) -> bool {
        self.sent.get() == 0
    }

    /// Returns when nothing has moved for as long as is allowed.
    pub(super) async fn idle(&self) {
        let Some(limit) = self.idle else { return std::future::pending().await };
        loop {
            let due = self.last.get() + limit;
            Box::pin(tokio::time::sleep_until(due)).await; // Most connections have no limit, and no room for a timer.
            if self.last.get() + limit <= Instant::now() {
                return;
            }
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.cell.closed();
    }
}

/// One connection, from its beginning to the line that tells about it.
pub(super) struct Story {
    worker: Rc<Worker>,
    remote: SocketAddr,
    /// Where the connection came from, as the client's proxy says; `remote` is that proxy then.
    pub(super) client: Option<SocketAddr>,
    begun: Instant,
    /// Who talks to whom.
    pub(super) labels: Labels,
    /// Said where nothing went wrong.
    pub(super) note: String,
    /// Endpoints that were tried.
    pub(super) tries: u32,
    /// The policy that refused it here.
    pub(super) policy: String,
}

impl Story {
    pub(super) fn new(worker: &Rc<Worker>, remote: SocketAddr, direction: Direction) -> Self {
        let labels = Labels { self_identity: worker.process.identity(), ..Labels::new(direction) };
        Self {
            worker: Rc::clone(worker),
            remote,
            client: None,
            begun: Instant::now(),
            labels,
            note: String::new(),
            tries: 1,
            policy: String::new(),
        }
    }

    /// The endpoint that is tried; `None`: none was.
    pub(super) fn goes_to(&mut self, endpoint: Option<&Endpoint>) {
        self.labels = outbound_labels(self.labels.clone(), &self.worker.process.workload, endpoint);
    }

    /// It was never established. `policy`: the one that refused, else empty.
    pub(super) fn refused(&self, error: &ProxyError, policy: &str) {
        let code = error.kind.describe().code;
        let now = std::time::Instant::now();
        let cell =
            self.worker.process.metrics.connections(self.worker.index, &self.labels, code, policy, now);
        cell.opened();
        cell.closed();
        self.log(Some(error), policy, (0, 0));
    }

    /// It was established, and is over.
    pub(super) fn ended(&self, ended: &Result<(), Broken>, meter: &Meter) {
        let vanished = &self.worker.process.counters;
        match ended {
            Err(Broken::Client(error)) if error.kind() == io::ErrorKind::TimedOut => {
                vanished.client_vanished.inc()
            }
            Err(Broken::Server(error)) if error.kind() == io::ErrorKind::TimedOut => {
                vanished.server_vanished.inc()
            }
            _ => {}
        }
        let bytes = (meter.received.get(), meter.sent.get());
        match ended {
            Ok(()) => self.log(None, "", bytes),
            // A client that resets, or a limit that the operator set, is no failure.
            Err(Broken::Client(error)) => {
                tracing::debug!("{} ended its connection: {error}", self.remote);
                self.log(None, "", bytes);
            }
            Err(Broken::Idle) => {
                tracing::debug!("nothing moved on a connection of {} for its idleTimeout", self.remote);
                self.log(None, "", bytes);
            }
            Err(Broken::Server(error)) => {
                self.log(Some(&ProxyError::new(Kind::UpstreamReset, error.to_string())), "", bytes);
            }
            Err(Broken::Refused(refusal)) => self.log(Some(&refusal.error), &refusal.policy, bytes),
        }
    }

    fn log(&self, error: Option<&ProxyError>, policy: &str, (received, sent): (u64, u64)) {
        let config = self.worker.config();
        let Some(format) = log_format(&config.settings, error.is_some()) else { return };
        let labels = &self.labels;
        let remote = self.remote.to_string();
        let client = self.client.map(|client| client.to_string()).unwrap_or_default();
        let (source_id, destination_id) = &ids(labels);
        let duration = self.begun.elapsed();
        let entry = AccessEntry {
            source_id,
            source: labels.source.as_ref(),
            destination_id,
            destination: labels.destination.as_ref(),
            service: labels.service.as_ref(),
            route: labels.route.as_ref(),
            peer_address: &remote,
            client_address: &client,
            flag: error.map_or("", |error| error.kind.describe().code),
            detail: error.map_or(&self.note, |error| &error.context),
            policy,
            request_bytes: received,
            response_bytes: sent,
            duration,
            tries: self.tries,
            ..AccessEntry::new(timestamp(duration), labels.direction, "TCP")
        };
        self.worker.process.access_log.log(&entry, format);
    }
}
