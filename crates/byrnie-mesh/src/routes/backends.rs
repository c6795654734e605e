//! What a `backendRef` comes to.

use byrnie_plan::{BackendTarget, InvalidBackend, RouteKind};

use crate::findings;
use crate::graph::RouteId;
use crate::model::{BackendRef, ServiceShape};
use crate::view::View;

/// Whose traffic a route is for: references cross namespaces freely within the mesh, and from a Gateway only
/// where a ReferenceGrant says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Gateway,
    Mesh,
}

/// Why a reference does not resolve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RefProblem {
    pub(crate) reason: &'static str,
    pub(crate) code: findings::Code,
    pub(crate) message: String,
    /// Within the route, for example `spec.rules[0].backendRefs[1]`.
    pub(crate) path: String,
}

/// Resolves one reference; a problem is noted and answered with 500 for the reference's share.
pub(crate) fn resolve(
    route: &RouteId,
    purpose: Purpose,
    reference: &BackendRef,
    path: &str,
    view: &View<'_>,
    problems: &mut Vec<RefProblem>,
) -> BackendTarget {
    match find(route, purpose, reference, view) {
        Ok(port) => BackendTarget::Service { service: reference.name.clone(), port, subset: Vec::new() },
        Err((invalid, reason, code, message)) => {
            problems.push(RefProblem { reason, code, message, path: path.to_owned() });
            BackendTarget::Invalid(invalid)
        }
    }
}

type Refusal = (InvalidBackend, &'static str, findings::Code, String);

fn find(route: &RouteId, purpose: Purpose, reference: &BackendRef, view: &View<'_>) -> Result<u16, Refusal> {
    let name = &reference.name;
    if !reference.group.is_empty() || reference.kind != "Service" {
        let message = format!("a backend is a Service, not a {}.{}", reference.kind, reference.group);
        return Err((InvalidBackend::InvalidKind, "InvalidKind", findings::BACKEND_KIND, message));
    }
    if purpose == Purpose::Gateway
        && name.namespace != route.name.namespace
        && !is_granted(route, reference, view)
    {
        let message = format!(
            "Service {name} is in another namespace and no ReferenceGrant there lets {} of \
             namespace {} refer to it",
            kind_name(route.kind),
            route.name.namespace
        );
        return Err((
            InvalidBackend::NotPermitted,
            "RefNotPermitted",
            findings::BACKEND_NOT_PERMITTED,
            message,
        ));
    }
    let missing =
        |message| Err((InvalidBackend::NotFound, "BackendNotFound", findings::BACKEND_MISSING, message));
    let Some(service) = view.service(name) else {
        return missing(format!("there is no Service {name}"));
    };
    if service.shape == ServiceShape::External {
        let message = format!("Service {name} is an ExternalName, which cannot be a backend");
        return Err((InvalidBackend::InvalidKind, "InvalidKind", findings::BACKEND_KIND, message));
    }
    match reference.port {
        None => missing(format!(
            "a backendRef to a Service needs a port; Service {name} has {}",
            ports_of(service)
        )),
        Some(port) if service.port(port).is_none() => {
            missing(format!("Service {name} has no port {port}, only {}", ports_of(service)))
        }
        Some(port) => Ok(port),
    }
}

fn ports_of(service: &crate::model::Service) -> String {
    let ports: Vec<String> = service.ports.iter().map(|port| port.port.to_string()).collect();
    if ports.is_empty() { "none".to_owned() } else { ports.join(", ") }
}

fn is_granted(route: &RouteId, reference: &BackendRef, view: &View<'_>) -> bool {
    let kind = kind_name(route.kind);
    view.grants_in(&reference.name.namespace).iter().any(|grant| {
        let from = grant.from.iter().any(|(group, from_kind, namespace)| {
            group == crate::GATEWAY_GROUP && from_kind == kind && *namespace == route.name.namespace
        });
        let to = grant.to.iter().any(|(group, to_kind, name)| {
            *group == reference.group
                && *to_kind == reference.kind
                && name.as_ref().is_none_or(|name| *name == reference.name.name)
        });
        from && to
    })
}

/// The kind as it is written.
pub(crate) fn kind_name(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Http => "HTTPRoute",
        RouteKind::Grpc => "GRPCRoute",
        RouteKind::Tcp => "TCPRoute",
        RouteKind::Tls => "TLSRoute",
        RouteKind::Profile => "ServiceProfile",
    }
}
