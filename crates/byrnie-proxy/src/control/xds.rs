//! What the control plane says, and what it is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use byrnie_identity::{ClientTls, Svid};
use byrnie_plan::{Key, Resource};
use byrnie_wire::client::{Backoff, ClientOptions, Event, Handle, client};
use byrnie_wire::{DecodeError, NodeInfo, Version};
use tokio::task::JoinHandle;

use super::{Control, connect};
use crate::config::Refusal;
use crate::process::Role;
use crate::run::{ProxyOptions, Source};

/// A stream that was refused for who we are.
const REFUSED: &str = "BYR0364";
/// Another identity than the workload's.
const WRONG_IDENTITY: &str = "BYR0314";
/// How long the control plane may take to hear the last report.
const FLUSH: Duration = Duration::from_secs(1);

/// The subscriptions.
#[derive(Default)]
pub(super) struct Xds {
    /// `None`: there is no certificate yet to connect with.
    pub(super) client: Option<Handle>,
    driver: Option<JoinHandle<()>>,
    subscribed: BTreeSet<Key>,
    /// Of what the snapshot held, until there is a client: nothing of it is sent again.
    known: BTreeMap<Key, Version>,
    /// Offered to the assembler, not answered yet.
    awaiting: BTreeMap<Key, Version>,
    /// Refused, and not replaced by something better.
    pub(super) rejected: BTreeSet<Key>,
    /// The Gateway's routes are refused for a port only.
    without_port: bool,
    pub(super) connected: bool,
    /// Everything was answered once, or came from the snapshot.
    pub(super) synced: bool,
    /// Everything was answered by the control plane in this life.
    pub(super) fresh: bool,
}

impl Xds {
    /// Remembers what a snapshot held.
    pub(super) fn knows(&mut self, key: Key, version: Version) {
        self.known.insert(key, version);
        self.synced = true;
    }

    /// Ends the stream, once what was reported is sent; a control plane that does not take it is not waited for long.
    pub(super) async fn close(&mut self) {
        if let Some(client) = self.client.take() {
            client.close();
        }
        if let Some(driver) = self.driver.take() {
            let _ = tokio::time::timeout(FLUSH, driver).await;
        }
    }

    fn nack(&mut self, key: &Key, version: Version, refusal: &Refusal) {
        tracing::warn!(%key, code = refusal.code, "refused: {}", refusal.reason);
        self.rejected.insert(key.clone());
        if let Some(client) = &self.client {
            client.nack(key, version, refusal.code, &refusal.reason);
        }
    }
}

/// Who this process is.
pub(super) fn node(options: &ProxyOptions) -> NodeInfo {
    NodeInfo {
        workload: options.workload.clone(),
        role: match options.role {
            Role::Sidecar => byrnie_wire::Role::Sidecar,
            Role::Gateway => byrnie_wire::Role::Gateway,
        },
        version: options.version.clone(),
        run: options.run.clone(),
        pid: process::id(),
        generation: options.generation,
        retiring: false,
    }
}

impl Control {
    /// Connects, once there is a certificate. The client connects again by itself from then on.
    pub(super) fn connect(&mut self) {
        let Source::ControlPlane(control_plane) = &self.options.source else { return };
        if self.xds.client.is_some() {
            return;
        }
        let address = Arc::clone(&control_plane.address);
        let handle = self.speak(node(&self.options), &address);
        // From here on the client knows what is in force.
        let known = std::mem::take(&mut self.xds.known);
        handle.subscribe(self.xds.subscribed.iter().map(|key| (key.clone(), known.get(key).copied())));
    }

    /// Begins to speak to the control plane.
    pub(super) fn speak(&mut self, node: NodeInfo, address: &Arc<str>) -> Handle {
        let connector = connect::mutual(&self.process, address);
        let (handle, events, driver) = client(ClientOptions { node, connector, backoff: Backoff::default() });
        self.xds.client = Some(handle.clone());
        self.events = Some(events);
        self.xds.driver = Some(tokio::spawn(driver.run()));
        handle
    }

    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected => {
                tracing::info!("connected to the control plane");
                self.xds.connected = true;
                self.trouble.control_plane.clear();
                self.trouble.identity.clear();
            }
            Event::Disconnected { reason } => {
                if self.xds.connected || self.trouble.control_plane != reason {
                    tracing::warn!("no control plane: {reason}");
                }
                self.xds.connected = false;
                self.process.tap.clear();
                if reason.starts_with(REFUSED) {
                    self.refused.notify_one();
                }
                self.trouble.control_plane = reason;
            }
            Event::Update { key, version, resource } => self.on_update(key, version, resource),
            Event::Unchanged(key) => {
                self.xds.awaiting.remove(&key);
                self.xds.rejected.remove(&key);
                self.assembler.unchanged(&key);
            }
            Event::Synced => {
                self.xds.synced = true;
                self.xds.fresh = true;
                self.assembler.tighten();
            }
            Event::Query { id, what } => {
                let document = self.document(&what).to_string();
                if let Some(client) = &self.xds.client {
                    client.answer(id, document.as_bytes());
                }
            }
            Event::TapRequest(tap) => {
                if !self.process.tap.add(tap.id, super::report::tap_filter(tap.filter), tap.limit) {
                    tracing::warn!(id = tap.id, "too many taps, this one shows nothing");
                }
            }
            Event::TapStop(id) => self.process.tap.remove(id),
        }
    }

    fn on_update(&mut self, key: Key, version: Version, resource: Result<Option<Resource>, DecodeError>) {
        let resource = match resource {
            Ok(resource) => resource,
            Err(error) => {
                // The client has refused it already.
                tracing::warn!(%key, %error, "refused: it cannot be read");
                self.xds.rejected.insert(key.clone());
                return self.assembler.refused(&key);
            }
        };
        let checked = match &resource {
            Some(resource) => self.check(resource),
            None => Ok(()),
        };
        match checked.and_then(|()| self.assembler.offer(key.clone(), resource)) {
            Ok(()) => drop(self.xds.awaiting.insert(key, version)),
            Err(refusal) => {
                self.assembler.refused(&key);
                self.xds.nack(&key, version, &refusal);
            }
        }
    }

    /// What only this process can know to be unusable.
    fn check(&self, resource: &Resource) -> Result<(), Refusal> {
        match resource {
            Resource::InboundPolicy(policy) => {
                let Some(own) = self.process.identity().filter(|own| *own != policy.identity) else {
                    return Ok(());
                };
                self.refused.notify_one();
                let reason = format!("the certificate in force is for {own}, not for {}", policy.identity);
                Err(Refusal { code: WRONG_IDENTITY, reason })
            }
            Resource::TrustBundle(bundle) if !bundle.roots_der.is_empty() => {
                let usable = ClientTls::new(None, bundle, &[]);
                usable.map(drop).map_err(|error| Refusal { code: error.code(), reason: error.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Subscribes to what is needed, and to nothing else.
    pub(super) fn subscribe(&mut self) {
        let Some(needed) = self.assembler.changed_needs() else { return };
        let gone: Vec<Key> = self.xds.subscribed.difference(&needed).cloned().collect();
        let new = needed.difference(&self.xds.subscribed).cloned();
        let new: Vec<(Key, Option<Version>)> =
            new.map(|key| (key.clone(), self.xds.known.get(&key).copied())).collect();
        self.assembler.forget(&gone);
        for key in &gone {
            self.xds.known.remove(key);
            self.xds.awaiting.remove(key);
            self.xds.rejected.remove(key);
        }
        if let Some(client) = &self.xds.client {
            client.unsubscribe(&gone);
            if client.subscribe(new) > 0 {
                tracing::error!("BYR0363: more is needed than one stream may subscribe to");
            }
        }
        self.xds.subscribed = needed;
    }

    /// Answers what has come in force. A Gateway whose port is taken by somebody else obeys what it can, and says no.
    pub(super) fn acknowledge(&mut self, in_force: &[Key]) {
        for key in in_force {
            let Some(version) = self.xds.awaiting.remove(key) else { continue };
            let failure = self.listeners.failures().next().filter(|_| matches!(key, Key::GatewayRoutes(_)));
            if let Some(failure) = failure {
                let refusal = Refusal { code: failure.code, reason: failure.why.clone() };
                self.xds.nack(key, version, &refusal);
                self.xds.without_port = true;
                continue;
            }
            self.xds.rejected.remove(key);
            if let Some(client) = &self.xds.client {
                client.ack(key, version);
            }
        }
    }

    /// The ports are there now: asks for the routes once more, to be able to say yes.
    pub(super) fn ask_again_for_gateway(&mut self) {
        if self.listeners.failures().next().is_none() && std::mem::take(&mut self.xds.without_port) {
            let key = Key::GatewayRoutes(self.options.workload.clone());
            if let Some(client) = &self.xds.client {
                client.unsubscribe([&key]);
                client.subscribe([(key, None)]);
            }
        }
    }

    /// Key and certificate that the last life left behind, if they are still good.
    pub(super) fn read_identity(&self, bytes: &[u8]) -> Option<Svid> {
        let expected = &self.assembler.inbound_policy()?.identity;
        match Svid::decode(bytes, expected, std::time::SystemTime::now()) {
            Ok(svid) => Some(svid),
            Err(error) => {
                tracing::warn!(%error, "the certificate of the last life is of no use");
                None
            }
        }
    }
}
