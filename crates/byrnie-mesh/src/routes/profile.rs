//! A ServiceProfile on one port: its rules in the order in which they are written, then the Service itself for what
//! no rule names.

use byrnie_plan::{
    AppProtocol, Backend, BackendTarget, HostPattern, HttpMatch, HttpRule, HttpTable, ObjectName, PathMatch,
    RouteKind, RouteName, Timeouts,
};

use super::compile::Compiled;
use super::table::MATCHES_MAX;
use crate::model::Match;

/// The rule for requests that no route of the profile names.
const DEFAULT: &str = "default";

/// Whether a port may carry requests: a profile says nothing about bytes.
pub(super) fn is_for(protocol: AppProtocol) -> bool {
    !matches!(protocol, AppProtocol::Tcp | AppProtocol::Tls)
}

/// Whether a table of the profile is small enough.
pub(super) fn has_room(route: &Compiled) -> bool {
    route.for_services.iter().map(|rule| rule.matches.len()).sum::<usize>() < MATCHES_MAX
}

/// The profile's table. Not sorted by precedence: of a profile's routes the first that matches counts.
pub(super) fn table(route: &Compiled, service: &ObjectName, port: u16) -> HttpTable {
    let itself = || {
        let target = BackendTarget::Service { service: service.clone(), port, subset: Vec::new() };
        vec![Backend { target, weight: 1, filters: Vec::new() }]
    };
    let mut table = HttpTable::default();
    for (index, compiled) in (0u32..).zip(&route.for_services) {
        table.matches.extend(compiled.matches.iter().map(|way| entry(way, index)));
        table.rules.push(HttpRule { backends: itself(), ..compiled.rule.clone() });
    }
    let rest = Match {
        path: PathMatch::Prefix("/".to_owned()),
        method: None,
        headers: Vec::new(),
        queries: Vec::new(),
    };
    let last = u32::try_from(table.rules.len()).unwrap_or(u32::MAX);
    table.matches.push(entry(&rest, last));
    let rule = DEFAULT.to_owned();
    table.rules.push(HttpRule {
        name: RouteName { kind: RouteKind::Profile, route: route.id.name.clone(), rule },
        filters: Vec::new(),
        backends: itself(),
        timeouts: Timeouts::default(),
        retry: None,
        controls: None,
    });
    table
}

fn entry(way: &Match, rule: u32) -> HttpMatch {
    HttpMatch {
        host_scope: 0,
        host: HostPattern::Any,
        path: way.path.clone(),
        method: way.method.clone(),
        headers: way.headers.clone(),
        queries: way.queries.clone(),
        rule,
    }
}
