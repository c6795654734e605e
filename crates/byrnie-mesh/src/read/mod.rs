//! From the API's types to what the compiler understands. Nothing here refuses an object: what cannot be
//! understood becomes a finding, a condition, or a closed door.

mod filters;
mod gateway;
mod policy;
mod profile;
mod route;
pub(crate) mod rules;
mod service;
mod workload;

pub use workload::health_checks;

use byrnie_api::kinds::{DefaultInboundPolicy, Mesh};
use byrnie_api::meta::ObjectMeta;
use byrnie_api::{Kind, Object, ObjectKey, Typed};
use byrnie_plan::{
    AccessLog, AccessLogFormat, DefaultAction, DnsSettings, MeshSettings, ObjectName, RouteKind,
};

use crate::graph::{PolicyId, PolicyKind, Ref, Refused, RouteId};
use crate::inputs::Model;
use crate::mesh::Effective;
use crate::model::{self, Age, Meta};
use crate::policy::inbound;
use crate::view::Context;

/// The object that a key means here; `None` for kinds that nothing is compiled from.
pub(crate) fn reference(key: &ObjectKey) -> Option<Ref> {
    let name = ObjectName::new(key.namespace.as_str(), key.name.as_str());
    let route = |kind, name| Some(Ref::Route(RouteId { kind, name }));
    let policy = |kind, name| Some(Ref::Policy(PolicyId { kind, name }));
    match key.kind {
        Kind::Mesh => Some(Ref::Mesh(key.name.clone())),
        Kind::GatewayClass => Some(Ref::Class(key.name.clone())),
        Kind::Namespace => Some(Ref::Namespace(key.name.clone())),
        Kind::Service => Some(Ref::Service(name)),
        Kind::Workload => Some(Ref::Workload(name)),
        Kind::Gateway => Some(Ref::Gateway(name)),
        Kind::HTTPRoute => route(RouteKind::Http, name),
        Kind::GRPCRoute => route(RouteKind::Grpc, name),
        Kind::TCPRoute => route(RouteKind::Tcp, name),
        Kind::TLSRoute => route(RouteKind::Tls, name),
        Kind::ServiceProfile => route(RouteKind::Profile, name),
        Kind::TrafficPolicy => policy(PolicyKind::Traffic, name),
        Kind::RateLimitPolicy => policy(PolicyKind::RateLimit, name),
        Kind::FaultPolicy => policy(PolicyKind::Fault, name),
        Kind::AuthorizationPolicy => Some(Ref::Authorization(name)),
        Kind::ReferenceGrant => Some(Ref::Grant(name)),
        Kind::ServiceSubset => Some(Ref::Subset(name)),
        Kind::ListenerSet => Some(Ref::ListenerSet(name)),
        Kind::UDPRoute => Some(Ref::Refused(Refused::UdpRoute(name))),
        Kind::BackendTLSPolicy => Some(Ref::Refused(Refused::BackendTls(name))),
        Kind::ServiceAccount => None,
    }
}

/// Reads an object.
pub(crate) fn model(object: &Object, context: &Context) -> Option<Model> {
    let meta = meta(object.key(), object.metadata());
    Some(match object.typed() {
        Typed::Mesh(mesh) => Model::Mesh(model::Mesh { meta, effective: effective(mesh) }),
        Typed::GatewayClass(class) => {
            let parameters = class.spec.parameters_ref.as_ref();
            let parameters = parameters.map(|wanted| format!("{}.{}", wanted.kind, wanted.group));
            let controller = class.spec.controller_name.clone();
            Model::Class(model::GatewayClass { meta, controller, parameters })
        }
        Typed::Namespace(_) => Model::Namespace(model::Namespace { meta }),
        Typed::Service(service) => Model::Service(service::service(meta, service, context.transparent)),
        Typed::Workload(workload) => Model::Workload(workload::workload(meta, workload, &context.run_id)),
        Typed::Gateway(gateway) => Model::Gateway(Box::new(gateway::gateway(meta, gateway))),
        Typed::HTTPRoute(route) => Model::Route(Box::new(route::http(meta, route))),
        Typed::GRPCRoute(route) => Model::Route(Box::new(route::grpc(meta, route))),
        Typed::TCPRoute(route) => Model::Route(Box::new(route::tcp(meta, route))),
        Typed::TLSRoute(route) => Model::Route(Box::new(route::tls(meta, route))),
        Typed::ServiceProfile(profile) => Model::Route(Box::new(profile::profile(meta, profile))),
        Typed::TrafficPolicy(policy) => Model::Policy(Box::new(policy::traffic(meta, policy))),
        Typed::RateLimitPolicy(policy) => Model::Policy(Box::new(policy::rate_limit(meta, policy))),
        Typed::FaultPolicy(policy) => Model::Policy(Box::new(policy::fault(meta, policy))),
        Typed::AuthorizationPolicy(policy) => {
            Model::Authorization(Box::new(policy::authorization(meta, policy)))
        }
        Typed::ReferenceGrant(grant) => Model::Grant(gateway::grant(meta, grant)),
        Typed::ServiceSubset(subset) => Model::Subset(service::subset(meta, subset)),
        Typed::ListenerSet(set) => Model::ListenerSet(Box::new(gateway::listener_set(meta, set))),
        Typed::UDPRoute(route) => Model::Refused(route::udp(meta, route)),
        Typed::BackendTLSPolicy(policy) => Model::Refused(policy::backend_tls(meta, policy)),
        Typed::ServiceAccount(_) => return None,
    })
}

fn meta(key: ObjectKey, meta: &ObjectMeta) -> Meta {
    let name = ObjectName::new(key.namespace.as_str(), key.name.as_str());
    let created = meta.creation_timestamp.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    Meta {
        age: Age { never_stored: created.is_none(), created, name: name.clone() },
        key,
        name,
        uid: meta.uid.clone(),
        generation: meta.generation,
        labels: meta.labels.clone(),
    }
}

fn effective(mesh: &Mesh) -> Effective {
    use byrnie_api::kinds as api;
    let (telemetry, proxy) = (&mesh.spec.telemetry, &mesh.spec.proxy);
    Effective {
        trust_domain: mesh.spec.trust_domain.to_ascii_lowercase(),
        default_action: match mesh.spec.default_inbound_policy {
            DefaultInboundPolicy::AllUnauthenticated => DefaultAction::AllowAll,
            DefaultInboundPolicy::AllAuthenticated => DefaultAction::AllowAuthenticated,
            DefaultInboundPolicy::Deny => DefaultAction::Deny,
        },
        upstream_limit: usize::try_from(proxy.upstream_limit).unwrap_or(usize::MAX),
        settings: MeshSettings {
            access_log: match telemetry.access_log {
                api::AccessLog::Off => AccessLog::Off,
                api::AccessLog::Failed => AccessLog::Failed,
                api::AccessLog::All => AccessLog::All,
            },
            access_log_format: match telemetry.access_log_format {
                api::AccessLogFormat::Json => AccessLogFormat::Json,
                api::AccessLogFormat::Text => AccessLogFormat::Text,
            },
            show_policy_in_response: proxy.show_policy_in_response,
            detect_timeout: proxy.detect_timeout.get(),
            drain_timeout: proxy.drain_timeout.get(),
            max_header_bytes: proxy.max_header_bytes,
            max_headers: proxy.max_headers,
            max_concurrent_streams: proxy.max_concurrent_streams,
            max_connections: proxy.max_connections,
            header_timeout: proxy.header_timeout.get(),
            client_idle_timeout: proxy.client_idle_timeout.get(),
            upstream_idle_timeout: proxy.upstream_idle_timeout.get(),
            upstream_max_age: proxy.upstream_max_age.get(),
            refuse_unknown_destinations: mesh.spec.egress == api::Egress::Deny,
            accept_plaintext: mesh.spec.mtls == api::MtlsMode::Permissive,
            peer_timeout: proxy.peer_timeout.get(),
            dns: DnsSettings {
                ttl: proxy.dns.ttl.get(),
                timeout: proxy.dns.timeout.get(),
                max_queries: proxy.dns.max_queries,
            },
            restart_timeout: proxy.restart_timeout.get(),
            max_requests: proxy.max_requests,
            drain_percent: proxy.overload.drain_percent,
            shed_percent: proxy.overload.shed_percent,
            buffer_percent: proxy.overload.buffer_percent,
            adaptive_concurrency: proxy.adaptive_concurrency,
            forwarded_headers: inbound::forwarded(proxy.forwarded_headers),
            trusted_hops: proxy.trusted_hops,
            peer_identity_header: proxy.peer_identity_header,
            allow_connect: proxy.allow_connect,
            accept_proxy_protocol: proxy.proxy_protocol.accept.unwrap_or_default(),
            send_proxy_protocol: inbound::proxy_header(proxy.proxy_protocol.send.unwrap_or_default()),
        },
    }
}
