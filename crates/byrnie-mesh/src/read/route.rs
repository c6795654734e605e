//! Routes: parents and hostnames. Their rules are read in `rules`.

use byrnie_api::GATEWAY_GROUP;
use byrnie_api::generated as api;
use byrnie_plan::{HostPattern, ObjectName, RouteKind};

use super::rules;
use crate::graph::{Parent, Refused, RouteId};
use crate::hosts;
use crate::model::{Meta, ParentRef, RefusedObject, Route, Rule};

pub(super) fn http(meta: Meta, route: &api::HTTPRoute) -> Route {
    let spec = &route.spec;
    let rules = spec.rules.iter().enumerate().map(|(i, rule)| rules::http(&meta, i, rule)).collect();
    build(meta, RouteKind::Http, &spec.parent_refs, &spec.hostnames, rules)
}

pub(super) fn grpc(meta: Meta, route: &api::GRPCRoute) -> Route {
    let spec = &route.spec;
    let rules = spec.rules.iter().enumerate().map(|(i, rule)| rules::grpc(&meta, i, rule)).collect();
    build(meta, RouteKind::Grpc, &spec.parent_refs, &spec.hostnames, rules)
}

pub(super) fn tcp(meta: Meta, route: &api::TCPRoute) -> Route {
    let spec = &route.spec;
    let rules = spec.rules.iter().enumerate().map(|(i, rule)| rules::tcp(&meta, i, rule)).collect();
    build(meta, RouteKind::Tcp, &spec.parent_refs, &[], rules)
}

pub(super) fn tls(meta: Meta, route: &api::TLSRoute) -> Route {
    let spec = &route.spec;
    let rules = spec.rules.iter().enumerate().map(|(i, rule)| rules::tls(&meta, i, rule)).collect();
    build(meta, RouteKind::Tls, &spec.parent_refs, &spec.hostnames, rules)
}

/// UDPRoutes are read so far that their status says what there is not.
pub(super) fn udp(meta: Meta, route: &api::UDPRoute) -> RefusedObject {
    RefusedObject {
        id: Refused::UdpRoute(meta.name.clone()),
        parents: route.spec.parent_refs.iter().map(|parent| parent_ref(&meta, parent)).collect(),
        services: Vec::new(),
        meta,
    }
}

fn build(
    meta: Meta,
    kind: RouteKind,
    parents: &[api::ParentReference],
    hostnames: &[String],
    rules: Vec<Rule>,
) -> Route {
    let parsed: Vec<Option<HostPattern>> = hostnames.iter().map(|text| hosts::parse(text)).collect();
    let bad = parsed.iter().position(Option::is_none);
    Route {
        id: RouteId { kind, name: meta.name.clone() },
        parents: parents.iter().map(|parent| parent_ref(&meta, parent)).collect(),
        hostnames: parsed.into_iter().flatten().collect(),
        rules,
        unsupported: bad.map(|i| format!("spec.hostnames[{i}]: {:?} is no hostname", hostnames[i])),
        findings: Vec::new(),
        meta,
    }
}

fn parent_ref(meta: &Meta, parent: &api::ParentReference) -> ParentRef {
    let namespace = parent.namespace.as_deref().unwrap_or(&meta.name.namespace);
    let name = ObjectName::new(namespace, parent.name.as_str());
    ParentRef {
        parent: match (parent.group.as_str(), parent.kind.as_str()) {
            (GATEWAY_GROUP, "Gateway") => Some(Parent::Gateway(name)),
            (GATEWAY_GROUP, "ListenerSet") => Some(Parent::ListenerSet(name)),
            ("" | "core", "Service") => Some(Parent::Service(name)),
            _ => None,
        },
        section: parent.section_name.clone(),
        port: parent.port,
        // The shape is a plain struct, which always serialises.
        written: serde_json::to_value(parent).unwrap_or_default(),
    }
}
