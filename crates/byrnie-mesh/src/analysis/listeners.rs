//! Listeners that serve nothing.

use byrnie_api::{Kind, ObjectKey};
use byrnie_plan::{ListenerProtocol, Resource};

use super::about;
use crate::findings;
use crate::{Compiler, Finding};

pub(super) fn analyze(compiler: &Compiler) -> Vec<Finding> {
    let mut found = Vec::new();
    for resource in compiler.resources() {
        let Resource::GatewayRoutes(routes) = resource else { continue };
        for listener in &routes.listeners {
            let (empty, answer) = match listener.protocol {
                ListenerProtocol::Http => (listener.http.matches.is_empty(), "every request gets 404"),
                ListenerProtocol::Tcp | ListenerProtocol::TlsPassthrough => {
                    (listener.tcp.is_empty(), "every connection is closed")
                }
            };
            if empty {
                let gateway = &routes.gateway;
                let key = ObjectKey::new(Kind::Gateway, gateway.namespace.as_str(), gateway.name.as_str());
                let message =
                    format!("no route is attached to port {} ({}): {answer}", listener.port, listener.name);
                found.push(about(findings::LISTENER_UNUSED, key, "spec.listeners", message));
            }
        }
    }
    found
}
