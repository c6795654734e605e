//! Routes for requests that lead to ports which carry bytes.

use byrnie_plan::{AppProtocol, Key, Resource, RouteKind};

use super::{about_rule, services};
use crate::findings;
use crate::{Compiler, Finding};

pub(super) fn analyze(compiler: &Compiler) -> Vec<Finding> {
    let mut found = Vec::new();
    for (_, table) in compiler.tables() {
        for rule in table.rules.iter().filter(|rule| rule.name.kind != RouteKind::Profile) {
            for (service, port) in services(rule) {
                let Some(protocol) = protocol(compiler, service, port) else { continue };
                let wrong = match (protocol, rule.name.kind) {
                    (AppProtocol::Tcp | AppProtocol::Tls, _) => "carries bytes, not requests",
                    (AppProtocol::Http1, RouteKind::Grpc) => "speaks HTTP/1, which carries no gRPC",
                    _ => continue,
                };
                let message = format!("port {port} of Service {service} {wrong}");
                let code = findings::ROUTE_PROTOCOL;
                found.push(about_rule(compiler, code, &rule.name, ".backendRefs", message));
            }
        }
    }
    found
}

fn protocol(compiler: &Compiler, service: &byrnie_plan::ObjectName, port: u16) -> Option<AppProtocol> {
    match compiler.resource(&Key::Service(service.clone()))? {
        Resource::Service(service) => service.ports.iter().find(|p| p.port == port).map(|p| p.protocol),
        _ => None,
    }
}
