//! What a `backendRef` comes to.

use std::collections::BTreeMap;

use byrnie_api::MESH_GROUP;
use byrnie_plan::{BackendTarget, InvalidBackend, ObjectName, RouteKind};

use crate::findings;
use crate::graph::RouteId;
use crate::model::{BackendRef, Service, ServiceShape};
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
        Ok(target) => target,
        Err((invalid, reason, code, message)) => {
            problems.push(RefProblem { reason, code, message, path: path.to_owned() });
            BackendTarget::Invalid(invalid)
        }
    }
}

type Refusal = (InvalidBackend, &'static str, findings::Code, String);

fn find(
    route: &RouteId,
    purpose: Purpose,
    reference: &BackendRef,
    view: &View<'_>,
) -> Result<BackendTarget, Refusal> {
    let (name, kind) = (&reference.name, reference.kind.as_str());
    let is_subset = match (reference.group.as_str(), kind) {
        ("", "Service") => false,
        (MESH_GROUP, "ServiceSubset") => true,
        (group, kind) => {
            let message = format!("a backend is a Service or a ServiceSubset, not a {kind}.{group}");
            return Err((InvalidBackend::InvalidKind, "InvalidKind", findings::BACKEND_KIND, message));
        }
    };
    if purpose == Purpose::Gateway
        && name.namespace != route.name.namespace
        && !is_granted(route, reference, view)
    {
        let message = format!(
            "{kind} {name} is in another namespace and no ReferenceGrant there lets {} of \
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
    let (name, labels) = if is_subset {
        let subset = view.subset(name).ok_or_else(|| missing(format!("there is no ServiceSubset {name}")))?;
        (&subset.service, subset.labels.clone())
    } else {
        (name, BTreeMap::new())
    };
    let port = port(route, purpose, name, reference.port, view)?;
    Ok(BackendTarget::Service { service: name.clone(), port, subset: labels.into_iter().collect() })
}

fn missing(message: String) -> Refusal {
    (InvalidBackend::NotFound, "BackendNotFound", findings::BACKEND_MISSING, message)
}

/// The port of the Service that is meant, if requests can go there.
fn port(
    route: &RouteId,
    purpose: Purpose,
    name: &ObjectName,
    wanted: Option<u16>,
    view: &View<'_>,
) -> Result<u16, Refusal> {
    let service = view.service(name).ok_or_else(|| missing(format!("there is no Service {name}")))?;
    if service.shape == ServiceShape::External {
        let message = format!("Service {name} is an ExternalName, which cannot be a backend");
        return Err((InvalidBackend::InvalidKind, "InvalidKind", findings::BACKEND_KIND, message));
    }
    let Some(port) = wanted else {
        let ports = ports_of(service);
        return Err(missing(format!("a backendRef needs a port; Service {name} has {ports}")));
    };
    if service.port(port).is_none() {
        return Err(missing(format!("Service {name} has no port {port}, only {}", ports_of(service))));
    }
    match encrypted_by(route, purpose, service, port, view) {
        Some(policy) => {
            let message = format!(
                "BackendTLSPolicy {policy} asks for TLS to Service {name}, which is not supported yet; \
                 nothing is sent unencrypted"
            );
            let invalid = InvalidBackend::TlsUnsupported;
            Err((invalid, "UnsupportedProtocol", findings::BACKEND_TLS_UNSUPPORTED, message))
        }
        None => Ok(port),
    }
}

/// The policy that asks a Gateway to encrypt what it sends to a Service's port. The bytes of a TLSRoute are encrypted
/// by the client already.
fn encrypted_by<'a>(
    route: &RouteId,
    purpose: Purpose,
    service: &Service,
    port: u16,
    view: &View<'a>,
) -> Option<&'a ObjectName> {
    if purpose == Purpose::Mesh || route.kind == RouteKind::Tls {
        return None;
    }
    let port = service.port(port)?;
    let name = &service.meta.name;
    let is_meant = |(target, section): &(ObjectName, Option<String>)| {
        target == name && section.as_ref().is_none_or(|section| *section == port.name)
    };
    let mut policies = view.backend_tls_on(name).into_iter();
    policies.find(|policy| policy.services.iter().any(is_meant)).map(|policy| &policy.meta.name)
}

fn ports_of(service: &Service) -> String {
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
