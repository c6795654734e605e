//! `TrafficPolicy.spec.inbound`: what the policies around one place come to.

use byrnie_api::duration::Duration;
use byrnie_api::kinds as api;
use byrnie_plan::{ForwardedHeaders, InboundOverrides, ObjectName, ProxyHeader};

use super::{Reach, Slot};
use crate::graph::{Place, Target};
use crate::model::{Policy, Says, Service};
use crate::view::View;

/// For all that comes into a Workload's proxy.
pub(crate) fn of_workload(workload: &ObjectName, view: &View<'_>) -> InboundOverrides {
    nearest(&workload_places(workload), view)
}

/// For all that comes into a Gateway.
pub(crate) fn of_gateway(gateway: &ObjectName, view: &View<'_>) -> InboundOverrides {
    nearest(&gateway_places(gateway), view)
}

/// For one port of a Workload: its own, then those of the Services that lead there, by name.
pub(crate) fn of_port(workload: &ObjectName, services: &[&Service], view: &View<'_>) -> InboundOverrides {
    let services = services.iter().map(|service| service.meta.name.clone());
    nearest(&port_places(workload, services), view)
}

/// For calls of a Service, where they come into a proxy: its own alone. What is around the caller counts there, but for
/// what its applications without a proxy want to begin with: that is said around them.
pub(crate) fn of_service(service: &ObjectName, view: &View<'_>) -> InboundOverrides {
    let own = [Target::Service(service.clone())].map(whole);
    let far = [Target::Namespace(service.namespace.clone()), Target::Mesh].map(whole);
    let send_proxy_protocol = nearest(&[own.as_slice(), &far].concat(), view).send_proxy_protocol;
    InboundOverrides { send_proxy_protocol, ..nearest(&own, view) }
}

/// For a port of a Gateway: of its listeners in their order, given where policies of each stand. What is said of the
/// whole Gateway stands with that.
pub(crate) fn of_listeners(places: &[Place], view: &View<'_>) -> InboundOverrides {
    nearest(&without_gateway(places), view)
}

/// Where policies for all that comes into a Workload's proxy stand, the nearest first; as all of these.
pub(super) fn workload_places(workload: &ObjectName) -> Vec<Place> {
    port_places(workload, [].into_iter())
}

pub(super) fn port_places(workload: &ObjectName, services: impl Iterator<Item = ObjectName>) -> Vec<Place> {
    let own = Target::Workload(workload.clone());
    let far = [Target::Namespace(workload.namespace.clone()), Target::Mesh];
    [own].into_iter().chain(services.map(Target::Service)).chain(far).map(whole).collect()
}

pub(super) fn gateway_places(gateway: &ObjectName) -> Vec<Place> {
    let far = [Target::Namespace(gateway.namespace.clone()), Target::Mesh];
    [Target::Gateway(gateway.clone())].into_iter().chain(far).map(whole).collect()
}

pub(super) fn without_gateway(places: &[Place]) -> Vec<Place> {
    let is_whole = |place: &Place| matches!(place.target, Target::Gateway(_)) && place.section.is_none();
    places.iter().filter(|place| !is_whole(place)).cloned().collect()
}

pub(super) fn whole(target: Target) -> Place {
    Place { target, section: None }
}

fn nearest(places: &[Place], view: &View<'_>) -> InboundOverrides {
    nearest_told(places, view, |_, _, _| {})
}

/// What the policies at some places come to, the nearest place first; tells after each policy what it and all nearer
/// ones come to.
pub(super) fn nearest_told(
    places: &[Place],
    view: &View<'_>,
    mut tell: impl FnMut(&Place, &Policy, &InboundOverrides),
) -> InboundOverrides {
    let mut all = InboundOverrides::default();
    for place in places {
        let Some(policy) = view.holder(Slot::Traffic, place) else { continue };
        if let Says::Traffic(spec) = &policy.says
            && let Some(inbound) = &spec.inbound
        {
            all = over(all, inbound, place);
            tell(place, policy, &all);
        }
    }
    all
}

/// Each setting of the nearer policy, else of the farther one, as far as it means something where that stands: the rest
/// is told in its status, and must not look as if it held.
fn over(near: InboundOverrides, far: &api::InboundSettings, place: &Place) -> InboundOverrides {
    let proxy_protocol = far.proxy_protocol.unwrap_or_default();
    let reaches = [Reach::Gateways, Reach::Applications, Reach::Processes];
    let [gateways, applications, processes] = reaches.map(|reach| reach.includes(place));
    InboundOverrides {
        forwarded_headers: near
            .forwarded_headers
            .or(far.forwarded_headers.filter(|_| gateways).map(forwarded)),
        trusted_hops: near.trusted_hops.or(far.trusted_hops.filter(|_| gateways)),
        peer_identity_header: near.peer_identity_header.or(far.peer_identity_header.filter(|_| applications)),
        allow_connect: near.allow_connect.or(far.allow_connect),
        accept_proxy_protocol: near.accept_proxy_protocol.or(proxy_protocol.accept.filter(|_| gateways)),
        send_proxy_protocol: near
            .send_proxy_protocol
            .or(proxy_protocol.send.filter(|_| applications).map(proxy_header)),
        max_header_bytes: near.max_header_bytes.or(far.max_header_bytes),
        max_headers: near.max_headers.or(far.max_headers),
        max_concurrent_streams: near.max_concurrent_streams.or(far.max_concurrent_streams),
        max_connections: near.max_connections.or(far.max_connections.filter(|_| processes)),
        header_timeout: near.header_timeout.or(far.header_timeout.map(Duration::get)),
        client_idle_timeout: near.client_idle_timeout.or(far.client_idle_timeout.map(Duration::get)),
        detect_timeout: near.detect_timeout.or(far.detect_timeout.map(Duration::get)),
    }
}

pub(crate) fn forwarded(mode: api::ForwardedHeaders) -> ForwardedHeaders {
    match mode {
        api::ForwardedHeaders::Append => ForwardedHeaders::Append,
        api::ForwardedHeaders::Replace => ForwardedHeaders::Replace,
        api::ForwardedHeaders::Off => ForwardedHeaders::Off,
    }
}

pub(crate) fn proxy_header(version: api::ProxyProtocolVersion) -> ProxyHeader {
    match version {
        api::ProxyProtocolVersion::Off => ProxyHeader::Off,
        api::ProxyProtocolVersion::V1 => ProxyHeader::V1,
        api::ProxyProtocolVersion::V2 => ProxyHeader::V2,
    }
}
