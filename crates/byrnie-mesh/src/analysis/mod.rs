//! What is odd about objects that are each in order: rules that no request reaches, hosts that overlap, retries that
//! multiply. Looked for only when somebody asks (`byrnie analyze`), in what the compiler has made of the objects;
//! what a computation notices by itself is a finding of that computation.

mod hosts;
mod identities;
mod listeners;
mod protocols;
mod retries;
mod shadow;

use byrnie_api::{Kind, ObjectKey};
use byrnie_plan::{BackendTarget, HttpRule, HttpTable, Key, ObjectName, Resource, RouteKind, RouteName};

use crate::findings::{Code, severity};
use crate::graph::{Ref, RouteId};
use crate::inputs::Model;
use crate::model::Route;
use crate::{Compiler, Finding};

/// Findings of each analysis at most; a mesh with more has one cause.
const FINDINGS: usize = 1_000;

impl Compiler {
    /// What is odd about the objects as a whole, in a stable order. Work is linear in the size of the tables.
    pub fn analyze(&self) -> Vec<Finding> {
        let analyses = [
            shadow::analyze(self),
            hosts::analyze(self),
            retries::analyze(self),
            protocols::analyze(self),
            listeners::analyze(self),
            identities::analyze(self),
        ];
        let mut all: Vec<Finding> = Vec::new();
        for mut found in analyses {
            found.sort_by(|a, b| {
                (a.code, &a.object, &a.field, &a.message).cmp(&(b.code, &b.object, &b.field, &b.message))
            });
            found.dedup();
            found.truncate(FINDINGS);
            all.extend(found);
        }
        all
    }

    fn route(&self, name: &RouteName) -> Option<&Route> {
        let id = RouteId { kind: name.kind, name: name.route.clone() };
        match self.model(&Ref::Route(id)) {
            Some(Model::Route(route)) => Some(route),
            _ => None,
        }
    }

    /// Every table of requests, with the words for where it holds.
    fn tables(&self) -> Vec<(String, &HttpTable)> {
        let mut tables = Vec::new();
        for resource in self.resources() {
            match resource {
                Resource::Routes(routes) => {
                    let of = match &routes.client_namespace {
                        None => String::new(),
                        Some(client) => format!(" for callers of namespace {client}"),
                    };
                    for port in &routes.ports {
                        let place = format!("port {} of Service {}{of}", port.port, routes.service);
                        tables.extend(port.http.iter().map(|table| (place.clone(), table)));
                    }
                }
                Resource::GatewayRoutes(routes) => {
                    for listener in &routes.listeners {
                        let place = format!("port {} of Gateway {}", listener.port, routes.gateway);
                        tables.push((place, &listener.http));
                    }
                }
                _ => {}
            }
        }
        tables
    }

    fn service_settings(&self, name: &ObjectName) -> Option<&byrnie_plan::TrafficSettings> {
        match self.resource(&Key::Service(name.clone())) {
            Some(Resource::Service(service)) => Some(&service.settings),
            _ => None,
        }
    }
}

/// A finding about a rule of a route, or about a part of it.
fn about_rule(compiler: &Compiler, code: Code, name: &RouteName, part: &str, message: String) -> Finding {
    let index =
        compiler.route(name).and_then(|route| route.rules.iter().position(|rule| rule.name == name.rule));
    let list = if name.kind == RouteKind::Profile { "spec.routes" } else { "spec.rules" };
    let field = match index {
        Some(index) => format!("{list}[{index}]{part}"),
        None => list.to_owned(),
    };
    about(code, route_key(name), field, message)
}

fn about(code: Code, object: ObjectKey, field: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding::new(code, severity(code), message).about(object).field(field)
}

fn route_key(name: &RouteName) -> ObjectKey {
    let kind = match name.kind {
        RouteKind::Http => Kind::HTTPRoute,
        RouteKind::Grpc => Kind::GRPCRoute,
        RouteKind::Tcp => Kind::TCPRoute,
        RouteKind::Tls => Kind::TLSRoute,
        RouteKind::Profile => Kind::ServiceProfile,
    };
    ObjectKey::new(kind, name.route.namespace.as_str(), name.route.name.as_str())
}

/// The Services that a rule sends requests to.
fn services(rule: &HttpRule) -> impl Iterator<Item = (&ObjectName, u16)> {
    rule.backends.iter().filter(|backend| backend.weight > 0).filter_map(|backend| match &backend.target {
        BackendTarget::Service { service, port, .. } => Some((service, *port)),
        BackendTarget::Invalid(_) => None,
    })
}
