//! Listeners of one Gateway and of its ListenerSets: what each can serve, and which of two that exclude each other
//! holds.

use byrnie_plan::{HostPattern, ListenerProtocol, RouteKind};

use crate::Finding;
use crate::findings::{self, Code, finding};
use crate::hosts;
use crate::model::{Gateway, Listener, ListenerSet, Meta, Speaks};
use crate::routes::kind_name;
use crate::status::Verdict;
use crate::view::View;

/// A listener and what was found about it.
pub(crate) struct Judged<'a> {
    pub(crate) listener: &'a Listener,
    /// The ListenerSet that added it; `None`: the Gateway's own.
    pub(crate) set: Option<&'a ListenerSet>,
    /// The hosts that it serves; `Any` when it names none.
    pub(crate) host: HostPattern,
    pub(crate) protocol: Option<ListenerProtocol>,
    pub(crate) accepted: Verdict,
    /// Whether another listener of the Gateway excludes it.
    pub(crate) conflicted: Option<Verdict>,
    pub(crate) resolved: Verdict,
    /// What routes may be attached.
    pub(crate) kinds: Vec<RouteKind>,
    /// How many routes are attached; filled in by `attach`.
    pub(crate) attached: usize,
    pub(crate) findings: Vec<Finding>,
}

impl Judged<'_> {
    pub(crate) fn is_served(&self) -> bool {
        self.accepted.holds
    }
}

/// Judges all listeners: the Gateway's own first, then those of its ListenerSets, each in their order. Of two that
/// exclude each other the Gateway's holds, then that of the earlier set; of one owner's none does (Gateway API: "MUST NOT
/// pick one conflicting Listener as the winner").
pub(crate) fn judge<'a>(
    gateway: &'a Gateway,
    sets: &[&'a ListenerSet],
    usable: &Verdict,
    view: &View<'_>,
) -> Vec<Judged<'a>> {
    let mut judged: Vec<Judged<'a>> = Vec::new();
    judge_owner(gateway, None, usable, view, &mut judged);
    for set in sets {
        judge_owner(gateway, Some(set), usable, view, &mut judged);
    }
    judged
}

/// Judges the listeners of a Gateway or of one set, after those of the owners before.
fn judge_owner<'a>(
    gateway: &'a Gateway,
    set: Option<&'a ListenerSet>,
    usable: &Verdict,
    view: &View<'_>,
    judged: &mut Vec<Judged<'a>>,
) {
    let listeners = set.map_or(&gateway.listeners, |set| &set.listeners);
    let meta = set.map_or(&gateway.meta, |set| &set.meta);
    let before = judged.iter().filter(|other| other.conflicted.is_none()).map(|other| other.listener);
    let before: Vec<&Listener> = before.collect();
    let taken: Vec<Option<Verdict>> =
        listeners.iter().map(|listener| conflict(before.iter().copied(), listener)).collect();
    for (index, listener) in listeners.iter().enumerate() {
        let siblings = listeners.iter().zip(&taken).enumerate();
        let siblings = siblings.filter(|(other, (_, taken))| *other != index && taken.is_none());
        let conflicted = match &taken[index] {
            Some(taken) => Some(taken.clone()),
            None => conflict(siblings.map(|(_, (sibling, _))| sibling), listener),
        };
        let path = format!("spec.listeners[{index}]");
        let protocol = listener.protocol.protocol();
        let mut found = Vec::new();
        let (kinds, resolved) = kinds(meta, listener, protocol, &path, &mut found);
        let (accepted, code) = accept(gateway, listener, usable, conflicted.as_ref(), view);
        if let Some(code) = code {
            found.push(finding(code, meta, path, accepted.message.clone()));
        }
        judged.push(Judged {
            listener,
            set,
            host: host(listener),
            protocol,
            accepted,
            conflicted,
            resolved,
            kinds,
            attached: 0,
            findings: found,
        });
    }
}

/// The hosts that a listener serves; `Any` when it names none.
fn host(listener: &Listener) -> HostPattern {
    listener.hostname.clone().unwrap_or(HostPattern::Any)
}

fn accept(
    gateway: &Gateway,
    listener: &Listener,
    usable: &Verdict,
    conflicted: Option<&Verdict>,
    view: &View<'_>,
) -> (Verdict, Option<Code>) {
    if let Speaks::Unsupported(what) = &listener.protocol {
        let message = format!("listener {:?}: {what}; nothing is served in its place", listener.name);
        return (Verdict::no("UnsupportedProtocol", message), Some(findings::LISTENER_UNSUPPORTED));
    }
    if listener.hostname.is_none() {
        let message = format!("listener {:?}: the hostname is malformed", listener.name);
        return (Verdict::no("UnsupportedValue", message), Some(findings::LISTENER_UNSUPPORTED));
    }
    if let Some(conflict) = conflicted {
        return (conflict.clone(), Some(findings::LISTENERS_CONFLICT));
    }
    if !usable.holds {
        // The Gateway's own finding says it already.
        return (Verdict::no("Pending", usable.message.clone()), None);
    }
    let holder = view.port_holders(listener.port).and_then(|port| port.losers.get(&gateway.meta.name));
    if let Some(holder) = holder {
        let message = format!(
            "port {} of Gateway {} is held by Gateway {holder}, which is older",
            listener.port, gateway.meta.name
        );
        return (Verdict::no("PortUnavailable", message), Some(findings::GATEWAY_PORT_TAKEN));
    }
    (Verdict::yes("Accepted"), None)
}

/// What excludes a listener. Listeners share a port when both speak HTTP, or both pass TLS on, and have different
/// hostnames.
fn conflict<'a>(others: impl Iterator<Item = &'a Listener>, listener: &Listener) -> Option<Verdict> {
    let (protocol, own) = (listener.protocol.protocol()?, host(listener));
    // Only those that may hold the port: an unsupported listener opens nothing.
    let mut same_port =
        others.filter(|other| other.port == listener.port && other.protocol.protocol().is_some());
    let found = same_port.find_map(|other| {
        let name = &other.name;
        if other.protocol.protocol() != Some(protocol) {
            Some((
                "ProtocolConflict",
                format!("listener {name:?} speaks another protocol on port {}", listener.port),
            ))
        } else if protocol == ListenerProtocol::Tcp {
            Some(("ProtocolConflict", format!("listener {name:?} has TCP port {}, too", listener.port)))
        } else if host(other) == own {
            let host = hosts::text(&own);
            Some((
                "HostnameConflict",
                format!("listener {name:?} has port {} and host {host}, too", listener.port),
            ))
        } else {
            None
        }
    });
    found.map(|(reason, message)| Verdict::no(reason, message))
}

/// The kinds of routes that a listener takes.
fn kinds(
    meta: &Meta,
    listener: &Listener,
    protocol: Option<ListenerProtocol>,
    path: &str,
    found: &mut Vec<Finding>,
) -> (Vec<RouteKind>, Verdict) {
    let possible: &[RouteKind] = match protocol {
        Some(ListenerProtocol::Http) => &[RouteKind::Http, RouteKind::Grpc],
        Some(ListenerProtocol::Tcp) => &[RouteKind::Tcp],
        Some(ListenerProtocol::TlsPassthrough) => &[RouteKind::Tls],
        None => &[],
    };
    let Some(wanted) = &listener.kinds else {
        return (possible.to_vec(), Verdict::yes("ResolvedRefs"));
    };
    let matches = |kind: RouteKind, (group, name): &(String, String)| {
        group == crate::GATEWAY_GROUP && name == kind_name(kind)
    };
    let kinds = possible.iter().copied().filter(|kind| wanted.iter().any(|w| matches(*kind, w))).collect();
    let wrong = wanted.iter().find(|w| !possible.iter().any(|kind| matches(*kind, w)));
    let resolved = match wrong {
        None => Verdict::yes("ResolvedRefs"),
        Some((group, name)) => {
            let message = format!("listener {:?} cannot take routes of kind {name}.{group}", listener.name);
            let path = format!("{path}.allowedRoutes.kinds");
            found.push(finding(findings::ROUTE_KIND_NOT_ALLOWED, meta, path, message.clone()));
            Verdict::no("InvalidRouteKinds", message)
        }
    };
    (kinds, resolved)
}
