//! Routes of one Gateway that share hosts.

use std::collections::BTreeMap;

use byrnie_plan::{HostPattern, HttpTable, RouteName};

use super::{about, route_key};
use crate::findings;
use crate::{Compiler, Finding};

pub(super) fn analyze(compiler: &Compiler) -> Vec<Finding> {
    compiler.tables().into_iter().flat_map(|(place, table)| overlaps(&place, table)).collect()
}

fn overlaps(place: &str, table: &HttpTable) -> Vec<Finding> {
    let mut routes: BTreeMap<(u32, &HostPattern), Vec<&RouteName>> = BTreeMap::new();
    for entry in &table.matches {
        let Some(rule) = table.rules.get(entry.rule as usize) else { continue };
        let list = routes.entry((entry.host_scope, &entry.host)).or_default();
        if list.iter().all(|known| !is_same(known, &rule.name)) {
            list.push(&rule.name);
        }
    }
    let mut found = Vec::new();
    for ((scope, host), names) in &routes {
        let Some(text) = host_text(host) else { continue };
        if let [first, others @ ..] = names.as_slice() {
            for other in others {
                let message = format!("{} names {text}, too, at {place}", route_key(first));
                found.push(about(findings::HOSTS_OVERLAP, route_key(other), "spec.hostnames", message));
            }
        }
        for parent in parents(host) {
            for wide in routes.get(&(*scope, &HostPattern::Wildcard(parent.to_owned()))).into_iter().flatten()
            {
                for name in names.iter().filter(|name| !is_same(name, wide)) {
                    let message = format!("*.{parent} of {} at {place} contains {text}", route_key(wide));
                    found.push(about(findings::HOSTS_OVERLAP, route_key(name), "spec.hostnames", message));
                }
            }
        }
    }
    found
}

fn is_same(a: &RouteName, b: &RouteName) -> bool {
    a.kind == b.kind && a.route == b.route
}

/// `None`: every host, which no route names.
fn host_text(host: &HostPattern) -> Option<String> {
    match host {
        HostPattern::Any => None,
        HostPattern::Exact(host) => Some(host.clone()),
        HostPattern::Wildcard(parent) => Some(format!("*.{parent}")),
    }
}

fn parents(host: &HostPattern) -> impl Iterator<Item = &str> {
    let name: &str = match host {
        HostPattern::Any => "",
        HostPattern::Exact(name) | HostPattern::Wildcard(name) => name,
    };
    name.match_indices('.').filter_map(move |(dot, _)| name.get(dot + 1..))
}
