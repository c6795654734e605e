//! The line that is written about a request, where one is wanted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::{AccessLog, AccessLogFormat, MeshSettings, WorkloadIdentity};
use byrnie_telemetry::{AccessEntry, Direction, Labels, LogFormat};

use super::{Exchange, protocol, text};

/// The flag of a request that a FaultPolicy made wait, and that did not fail.
const FAULT_DELAY: &str = "BYR0252";

impl Exchange {
    pub(super) fn log(&self, duration: Duration, request_bytes: u64) {
        let config = self.worker.config();
        let failed =
            self.error.is_some() || self.status >= 500 || self.grpc_status.is_some_and(|code| code != 0);
        let Some(format) = log_format(&config.settings, failed) else { return };
        let series = self.series.as_ref();
        let labels = series
            .map(|series| Arc::clone(series.labels()))
            .unwrap_or_else(|| Arc::new(Labels::new(self.direction)));
        let delayed = if self.delayed.is_zero() { "" } else { FAULT_DELAY };
        let remote = self.front.remote.to_string();
        let client = self.client.map(client_text).unwrap_or_default();
        let (source_id, destination_id) = &ids(&labels);
        let entry = AccessEntry {
            source_id,
            source: labels.source.as_ref(),
            destination_id,
            destination: labels.destination.as_ref(),
            service: labels.service.as_ref(),
            route: labels.route.as_ref(),
            peer_address: &remote,
            client_address: &client,
            method: self.facts.method.as_str(),
            host: text(self.facts.host.as_ref()),
            path: self.facts.uri.path(),
            status: self.status,
            grpc_status: self.grpc_status,
            flag: self.error.as_ref().map_or(delayed, |(kind, _)| kind.describe().code),
            detail: self.error.as_ref().map_or("", |(_, context)| context),
            policy: self.policy.as_deref().unwrap_or_default(),
            request_bytes,
            response_bytes: self.response_bytes,
            duration,
            tries: self.retries + 1,
            request_id: text(self.facts.request_id.as_ref()),
            ..AccessEntry::new(timestamp(duration), self.direction, protocol(self.facts.version))
        };
        self.worker.process.access_log.log(&entry, format);
    }
}

/// How a request or connection is logged; `None`: not at all.
pub fn log_format(settings: &MeshSettings, failed: bool) -> Option<LogFormat> {
    let wanted = match settings.access_log {
        AccessLog::Off => false,
        AccessLog::Failed => failed,
        AccessLog::All => true,
    };
    wanted.then_some(match settings.access_log_format {
        AccessLogFormat::Json => LogFormat::Json,
        AccessLogFormat::Text => LogFormat::Text,
    })
}

/// Caller's and called workload's SPIFFE IDs as logs show them; empty where there is none.
pub fn ids(labels: &Labels) -> (String, String) {
    let text = |id: &Option<WorkloadIdentity>| id.as_ref().map(ToString::to_string).unwrap_or_default();
    let (peer, own) = (text(&labels.peer_identity), text(&labels.self_identity));
    match labels.direction {
        Direction::Inbound => (peer, own),
        Direction::Outbound => (own, peer),
    }
}

/// Without the port where that is not known.
fn client_text(client: SocketAddr) -> String {
    if client.port() == 0 { client.ip().to_string() } else { client.to_string() }
}

/// The moment at which something began that took so long.
pub fn timestamp(duration: Duration) -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    now.checked_sub(duration).unwrap_or(now)
}
