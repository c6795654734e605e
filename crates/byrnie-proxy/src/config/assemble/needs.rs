//! Which resources refer to which.

use std::sync::Arc;

use byrnie_plan::{Backend, BackendTarget, Filter, HttpTable, Key, ObjectName, Resource, TcpRule};

use crate::process::Role;

/// How many ranks there are: see [`rank`].
pub(super) const RANKS: usize = 3;

/// In which order resources come in force: what others refer to comes first.
pub(super) fn rank(key: &Key) -> usize {
    match key {
        Key::Routes { .. } => 1,
        Key::Upstreams(_) | Key::GatewayRoutes(_) => 2,
        _ => 0,
    }
}

/// What every proxy subscribes to.
pub(super) fn of_proxy(own: &ObjectName, role: Role) -> [Key; 4] {
    let calls = match role {
        Role::Sidecar => Key::Upstreams(own.clone()),
        Role::Gateway => Key::GatewayRoutes(own.clone()),
    };
    [Key::InboundPolicy(own.clone()), calls, Key::TrustBundle, Key::MeshSettings]
}

/// What a resource refers to.
pub(super) fn of_resource(resource: &Resource, own_namespace: &Arc<str>) -> Vec<Key> {
    let mut keys = Vec::new();
    match resource {
        Resource::Upstreams(upstreams) => {
            for upstream in &upstreams.upstreams {
                push_called(&mut keys, &upstream.service, own_namespace);
            }
            for target in upstreams.overrides.iter().flat_map(|one| &one.targets) {
                push_service(&mut keys, &target.service);
            }
        }
        Resource::Routes(routes) => {
            for port in &routes.ports {
                port.http.iter().for_each(|table| of_table(&mut keys, table));
                port.tcp.iter().for_each(|(_, rule)| of_rule(&mut keys, rule));
            }
        }
        Resource::GatewayRoutes(gateway) => {
            for listener in &gateway.listeners {
                of_table(&mut keys, &listener.http);
                listener.tcp.iter().for_each(|(_, rule)| of_rule(&mut keys, rule));
            }
        }
        _ => {}
    }
    keys
}

/// What must be known of a service to call it.
pub(super) fn push_called(keys: &mut Vec<Key>, service: &ObjectName, own_namespace: &Arc<str>) {
    let routes = |client_namespace| Key::Routes { service: service.clone(), client_namespace };
    push_service(keys, service);
    keys.extend([routes(None), routes(Some(Arc::clone(own_namespace)))]);
}

fn of_table(keys: &mut Vec<Key>, table: &HttpTable) {
    for rule in &table.rules {
        of_filters(keys, &rule.filters);
        of_backends(keys, &rule.backends);
    }
}

fn of_rule(keys: &mut Vec<Key>, rule: &TcpRule) {
    of_backends(keys, &rule.backends);
}

fn of_backends(keys: &mut Vec<Key>, backends: &[Backend]) {
    for backend in backends {
        of_target(keys, &backend.target);
        of_filters(keys, &backend.filters);
    }
}

fn of_filters(keys: &mut Vec<Key>, filters: &[Filter]) {
    for filter in filters {
        if let Filter::Mirror(mirror) = filter {
            of_target(keys, &mirror.target);
        }
    }
}

fn of_target(keys: &mut Vec<Key>, target: &BackendTarget) {
    if let BackendTarget::Service { service, .. } = target {
        push_service(keys, service);
    }
}

fn push_service(keys: &mut Vec<Key>, service: &ObjectName) {
    keys.extend([Key::Service(service.clone()), Key::Endpoints(service.clone())]);
}
