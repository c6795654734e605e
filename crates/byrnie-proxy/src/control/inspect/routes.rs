//! Routing tables in force, in their order of precedence.

use byrnie_plan::{Filter, HttpTable, Resource, TcpRule};
use serde_json::{Value, json};

use super::words;
use crate::config::Assembler;

/// One item for each match of a request, one for each rule of connections.
pub(super) fn all(assembler: &Assembler) -> Vec<Value> {
    let mut all = Vec::new();
    for (_, resource) in assembler.held() {
        match resource {
            Resource::Routes(routes) => {
                for port in &routes.ports {
                    let place = format!("{}:{}", routes.service, port.port);
                    port.http.iter().for_each(|table| requests(&mut all, &place, table));
                    for (host, rule) in &port.tcp {
                        bytes(&mut all, &place, &words::host(host), rule);
                    }
                }
            }
            Resource::GatewayRoutes(gateway) => {
                for listener in &gateway.listeners {
                    let place = format!("{}:{}", gateway.gateway, listener.port);
                    requests(&mut all, &place, &listener.http);
                    for (host, rule) in &listener.tcp {
                        bytes(&mut all, &place, &words::host(host), rule);
                    }
                }
            }
            _ => {}
        }
    }
    all
}

fn requests(all: &mut Vec<Value>, place: &str, table: &HttpTable) {
    for matching in &table.matches {
        let Some(rule) = table.rules.get(matching.rule as usize) else { continue };
        let redirects = rule.filters.iter().any(|filter| matches!(filter, Filter::Redirect(_)));
        let destination = match words::backends(&rule.backends) {
            none if none.is_empty() && redirects => "redirect".to_owned(),
            backends => backends,
        };
        all.push(json!({
            "name": rule.name.to_string(), "virtualHost": place, "domains": words::host(&matching.host),
            "match": words::matching(matching), "destination": destination,
        }));
    }
}

fn bytes(all: &mut Vec<Value>, place: &str, host: &str, rule: &TcpRule) {
    all.push(json!({
        "name": rule.name.as_ref().map(ToString::to_string).unwrap_or_default(), "virtualHost": place,
        "domains": host, "match": "TCP", "destination": words::backends(&rule.backends),
    }));
}
