//! What this proxy tells an operator about itself: JSON documents, without any key. The same over the stream to the
//! control plane (`byrnie proxy-config`) and from the admin server.

mod endpoints;
mod routes;
mod settings;
mod words;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use byrnie_plan::{AuthorizationPolicy, ListenerProtocol};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Control;
use super::listeners::What;
pub use endpoints::pool_states;

/// A question of the admin server.
pub struct Question {
    /// `listeners`, `routes` and so on.
    pub what: String,
    /// Where the document goes.
    pub reply: oneshot::Sender<Value>,
}

/// What can be asked for.
const SECTIONS: [&str; 8] =
    ["listeners", "routes", "endpoints", "pools", "certificates", "policy", "connections", "settings"];

impl Control {
    pub(super) fn answer(&self, question: Question) {
        // Who asked may have left.
        let _ = question.reply.send(self.document(&question.what));
    }

    /// The document of one section, or of all; `null`: there is no such section.
    pub(super) fn document(&self, what: &str) -> Value {
        if what == "all" {
            let mut all = json!({
                "workload": self.options.workload.to_string(),
                "version": self.options.version,
                "pid": std::process::id(),
                "generation": self.options.generation,
                "workers": self.options.workers,
                "draining": self.process.draining.is_cancelled(),
                "limits": words::settings(&self.process.config.load().settings),
            });
            for section in SECTIONS {
                all[section] = self.section(section);
            }
            return all;
        }
        if SECTIONS.contains(&what) { json!({"items": self.section(what)}) } else { Value::Null }
    }

    fn section(&self, what: &str) -> Value {
        Value::Array(match what {
            "listeners" => self.listeners(),
            "routes" => routes::all(&self.assembler),
            "endpoints" => endpoints::endpoints(&self.process),
            "pools" => endpoints::pools(&self.process),
            "certificates" => self.certificates(),
            "policy" => self.policy(),
            "settings" => settings::all(&self.process.config.load()),
            _ => self.process.listing.all(),
        })
    }

    fn listeners(&self) -> Vec<Value> {
        let gateway = self.assembler.gateway();
        let one = |(what, address): (&What, std::net::SocketAddr)| {
            let (entrance, protocol, destination) = match what {
                What::Admin => ("admin", "HTTP", "metrics and readiness".to_owned()),
                What::Mesh => ("mesh", "mTLS", "the workload's own ports".to_owned()),
                What::HttpProxy => ("httpProxy", "HTTP", "the service that a request names".to_owned()),
                What::Upstream(name) => ("upstream", "", format!("{}:{}", name.service, name.port)),
                What::Outbound(_) => ("outbound", "", "where a captured connection was to go".to_owned()),
                What::Inbound(_) => ("inbound", "", "the workload's own ports".to_owned()),
                What::Gateway(bound) => {
                    let listener = gateway.iter().flat_map(|gateway| &gateway.listeners);
                    let listener = listener.into_iter().find(|listener| listener.port == bound.port());
                    let protocol = match listener.map(|listener| listener.protocol) {
                        Some(ListenerProtocol::Http) => "HTTP",
                        Some(ListenerProtocol::Tcp) => "TCP",
                        Some(ListenerProtocol::TlsPassthrough) => "TLS",
                        None => "",
                    };
                    ("gateway", protocol, listener.map(|listener| listener.name.clone()).unwrap_or_default())
                }
            };
            let config = self.process.config.load();
            let speaks = match what {
                What::Upstream(name) => config.destinations.get(name).map(|d| words::protocol(d.protocol)),
                _ => None,
            };
            json!({
                "address": address.ip().to_string(), "port": address.port(), "entrance": entrance,
                "protocol": speaks.unwrap_or(protocol), "destination": destination,
            })
        };
        self.listeners.bound().map(one).collect()
    }

    /// What anybody sees who connects; the key is in nothing that is read here.
    fn certificates(&self) -> Vec<Value> {
        let Some(tls) = self.process.tls.load_full() else { return Vec::new() };
        let now = SystemTime::now();
        let (from, until) = (tls.svid.not_before(), tls.svid.not_after());
        let mut all = vec![json!({
            "name": tls.svid.identity().to_string(), "type": "workload", "status": "ACTIVE",
            "valid": from <= now && now < until, "serial": tls.svid.serial(),
            "notBefore": time(from), "notAfter": time(until),
        })];
        for root in byrnie_identity::describe_roots(&tls.bundle) {
            all.push(json!({
                "name": format!("root of {}", tls.bundle.trust_domain), "type": "root", "status": "ACTIVE",
                "valid": root.not_before <= now && now < root.not_after, "serial": root.serial,
                "notBefore": time(root.not_before), "notAfter": time(root.not_after),
            }));
        }
        all
    }

    fn policy(&self) -> Vec<Value> {
        let Some(policy) = self.assembler.inbound_policy() else { return Vec::new() };
        let one = |policy: &AuthorizationPolicy| {
            json!({
                "name": policy.name, "action": words::action(policy.action), "dryRun": policy.dry_run,
                "rules": policy.rules.iter().map(words::rule).collect::<Vec<_>>(),
            })
        };
        let mut all: Vec<Value> = policy.authorization.iter().map(one).collect();
        all.push(json!({
            "name": "default", "action": words::default_action(policy.default_action), "dryRun": false,
            "rules": [],
        }));
        all
    }
}

/// RFC 3339, in whole seconds; empty where no calendar has it.
fn time(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map(|moment| moment.to_string()).unwrap_or_default()
}
