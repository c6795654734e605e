//! What follows from every change: configuration, subscriptions, sockets, answers, what others are told.

use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use byrnie_identity::Svid;
use byrnie_plan::TrustBundle;
use byrnie_wire::{NodeStatus, UpstreamAddress};

use super::Control;
use super::identity::{IDENTITY, IdentityEvent};
use super::listeners::{self, What};
use crate::process::Role;
use crate::run::RunError;
use crate::tls::TlsState;

/// Longest explanation in a status, in bytes.
const MAX_WHY: usize = 256;

/// A start that takes longer says what it waits for.
const PATIENCE: Duration = Duration::from_secs(2);

impl Control {
    /// Brings in force what can be, and answers for it.
    pub(super) fn apply(&mut self) {
        let settled = self.assembler.settle(self.process.time(Instant::now()));
        if let Some(config) = settled.config {
            self.process.config.store(config);
        }
        for endpoint in settled.vanished {
            endpoint.leave();
        }
        self.trust();
        let checks = self.assembler.inbound_policy().map(|policy| policy.health_checks.as_slice());
        self.health.run(checks.unwrap_or_default(), self.voice.is_ready());
        self.subscribe();
        self.listen();
        self.acknowledge(&settled.in_force);
        self.answer_calls();
        self.ask_again_for_gateway();
        if !settled.in_force.is_empty() {
            self.snapshot.changed();
        }
        self.write_addresses();
        self.tell();
    }

    /// Binds what is wanted now.
    fn listen(&mut self) {
        let mut wanted = match self.options.role {
            Role::Sidecar => listeners::of_sidecar(self.assembler.upstreams()),
            Role::Gateway => listeners::of_gateway(self.assembler.gateway()),
        };
        wanted.extend(self.process.captured.iter().flat_map(|captured| listeners::of_capture(captured)));
        if self.process.draining.is_cancelled() {
            return;
        }
        self.listeners.bring(&self.workers, &wanted);
        if self.xds.fresh && self.voice.is_ready() {
            self.listeners.drop_leftovers();
        }
        self.trouble.ports =
            self.listeners.failures().next().map(|failure| failure.why.clone()).unwrap_or_default();
    }

    fn write_addresses(&mut self) {
        if self.retiring {
            return;
        }
        let addresses = self.listeners.addresses(self.assembler.upstreams());
        if self.addresses.as_ref() == Some(&addresses) {
            return;
        }
        let state_dir = self.options.source.state_dir();
        match state_dir.map(|state_dir| addresses.write(state_dir).map_err(|error| (state_dir, error))) {
            None | Some(Ok(())) => {
                self.addresses = Some(addresses);
                self.trouble.files.clear();
            }
            Some(Err((directory, error))) => {
                let directory = directory.display();
                self.trouble.files = format!("BYR0370: {directory}/addresses.json: {error}");
            }
        }
    }

    /// New roots come in force with the certificate that is there.
    fn trust(&mut self) {
        let Some(bundle) = self.assembler.bundle() else { return };
        let tls = self.process.tls.load_full();
        let Some(tls) = tls.filter(|tls| *tls.bundle != *bundle) else { return };
        match TlsState::new(Arc::clone(&tls.svid), Arc::new(bundle.clone())) {
            Ok(tls) => self.process.tls.store(Some(Arc::new(tls))),
            Err(error) => tracing::error!(%error, "the last good roots stay in force"),
        }
    }

    pub(super) fn on_identity(&mut self, event: IdentityEvent) -> Result<(), RunError> {
        match event {
            IdentityEvent::Lost(why) => return Err(RunError::Identity(why)),
            IdentityEvent::Failed(why) => {
                tracing::warn!("no certificate: {why}");
                self.trouble.identity = why;
                self.tell();
            }
            IdentityEvent::New(svid, trust) => {
                tracing::info!(identity = %svid.identity(), "a new certificate is in force");
                self.trouble.identity.clear();
                self.install(svid, trust);
                self.keep_identity();
                self.connect();
                self.apply();
            }
        }
        Ok(())
    }

    /// Puts a certificate in force, with the newest roots: those of the resource, else those that came with it.
    pub(super) fn install(&mut self, svid: Arc<Svid>, trust: TrustBundle) {
        let bundle = self.assembler.bundle().cloned().unwrap_or(trust);
        match TlsState::new(svid, Arc::new(bundle)) {
            Ok(tls) => {
                self.gauges.not_after(seconds(tls.svid.not_after()));
                self.process.tls.store(Some(Arc::new(tls)));
            }
            Err(error) => self.trouble.identity = error.to_string(),
        }
    }

    /// Key and certificate go to the supervisor's memory, for the next life.
    fn keep_identity(&self) {
        let Some(tls) = self.process.tls.load_full().filter(|_| !self.retiring) else { return };
        let kept = byrnie_net::memfd::sealed(IDENTITY, &tls.svid.encode())
            .and_then(|memory| self.notifier.replace(IDENTITY, memory));
        if let Err(error) = kept {
            tracing::warn!(%error, "the certificate cannot be kept for a restart");
        }
    }

    /// Tells the supervisor, the admin server and the control plane how this proxy is, where that has changed.
    pub(super) fn tell(&mut self) {
        let why_not = self.why_not_ready();
        if why_not.is_none() && !self.voice.is_ready() {
            // A proxy that is killed from now on must be able to start from what it holds.
            self.snapshot.save(&self.assembler, &mut self.trouble.files);
            self.voice.ready();
            self.tell_predecessor();
        }
        let ready = self.voice.is_ready();
        let line = self.trouble.line(ready);
        // To wait a moment is usual and no news.
        let slow = !ready && self.started.elapsed() > PATIENCE;
        let line = match &why_not {
            Some(why) if line.is_empty() && slow => why.as_str(),
            _ => line,
        };
        self.voice.status(line);
        self.readiness.set(why_not);
        let status = self.node_status();
        if self.status.as_ref() != Some(&status)
            && let Some(client) = &self.xds.client
        {
            client.status(status.clone());
            self.status = Some(status);
        }
    }

    /// `None`: it can do its work.
    fn why_not_ready(&self) -> Option<String> {
        let no = |why: &str| Some(why.to_owned());
        if self.process.draining.is_cancelled() {
            return no("draining");
        }
        // Without a mesh there is nobody to prove anything to.
        let meshed = self.local.is_none();
        if meshed && self.process.tls.load().is_none() {
            return no("waiting for a certificate");
        }
        if meshed && self.assembler.inbound_policy().is_none() {
            return no("waiting for the workload's policy from the control plane");
        }
        let calls = match self.options.role {
            Role::Sidecar => self.assembler.upstreams().is_some(),
            Role::Gateway => self.assembler.gateway().is_some(),
        };
        if !self.xds.synced || !calls {
            return no("waiting for configuration from the control plane");
        }
        if self.listeners.is_without_any() {
            return Some(self.trouble.ports.clone());
        }
        self.addresses.is_none().then(|| self.trouble.files.clone())
    }

    fn node_status(&self) -> NodeStatus {
        let upstreams = self.addresses.iter().flat_map(|addresses| &addresses.upstreams);
        let upstreams = upstreams.map(|upstream| UpstreamAddress {
            service: upstream.service.service.clone(),
            port: upstream.service.port,
            address: upstream.address,
        });
        let tls = self.process.tls.load();
        NodeStatus {
            pid: process::id(),
            admin: self.listeners.address(&What::Admin),
            // Nobody is to come before this proxy can serve.
            mesh: self.listeners.address(&What::Mesh).filter(|_| self.voice.is_ready()),
            http_proxy: self.listeners.address(&What::HttpProxy),
            version: self.options.version.clone(),
            not_after: tls.as_ref().map(|tls| seconds(tls.svid.not_after())),
            upstreams: upstreams.collect(),
            draining: self.process.draining.is_cancelled(),
            run: self.options.run.clone(),
            address: self.process.captured.as_ref().map(|captured| captured.options.v4.into()),
            rules_restored: self
                .process
                .captured
                .as_ref()
                .map_or(0, |captured| captured.restored.load(Relaxed)),
            unhealthy: short(self.health.unhealthy()),
        }
    }
}

/// As much as a status may say.
fn short(mut why: String) -> String {
    why.truncate(why.floor_char_boundary(MAX_WHY));
    why
}

fn seconds(moment: SystemTime) -> i64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
