//! `Routes` and `GatewayRoutes`: tables, listeners and rules.

use byrnie_plan::{
    Backend, BackendTarget, GatewayListener, GatewayRoutes, HostPattern, HttpMatch, HttpRule, HttpTable,
    InvalidBackend, ListenerProtocol, PortRoutes, Routes, TcpRule, Timeouts,
};

use super::controls::{controls_from_proto, controls_to_proto};
use super::field::{
    MAX_LIST, ascending, at, filled, ip, ip_bytes, labels, labels_to_proto, list, maybe, maybe_duration,
    maybe_nanos, name, port, required, same_names, short,
};
use super::overrides;
use super::route_parts::{
    filter_from_proto, filter_to_proto, header_from_proto, header_to_proto, host_from_proto, host_to_proto,
    path_from_proto, path_to_proto, query_from_proto, query_to_proto, route_name_from_proto,
    route_name_to_proto,
};
use super::service::{retry_from_proto, retry_to_proto};
use crate::error::{DecodeError, Problem};
use crate::generated as pb;
use pb::backend_target::Target;

same_names!(
    listener_to_proto,
    listener_from_proto,
    ListenerProtocol,
    pb::ListenerProtocol,
    [Http, Tcp, TlsPassthrough]
);
same_names!(
    invalid_to_proto,
    invalid_from_proto,
    InvalidBackend,
    pb::InvalidBackend,
    [NotFound, InvalidKind, NotPermitted, UnsupportedFilter, TlsUnsupported]
);

pub(super) fn to_proto(routes: &Routes) -> pb::Routes {
    pb::Routes {
        service: routes.service.to_string(),
        client_namespace: routes.client_namespace.as_deref().map(str::to_owned),
        ports: routes
            .ports
            .iter()
            .map(|port| pb::PortRoutes {
                port: port.port.into(),
                http: port.http.as_ref().map(table_to_proto),
                tcp: port.tcp.iter().map(sni_to_proto).collect(),
            })
            .collect(),
    }
}

pub(super) fn from_proto(wire: pb::Routes) -> Result<Routes, DecodeError> {
    let ports = list("ports", wire.ports, MAX_LIST, |routes| {
        Ok(PortRoutes {
            port: at("port", port(routes.port))?,
            http: maybe("http", routes.http, table_from_proto)?,
            tcp: list("tcp", routes.tcp, MAX_LIST, sni_from_proto)?,
        })
    })?;
    ascending("ports", &ports, |port| port.port)?;
    Ok(Routes {
        service: at("service", name(&wire.service))?,
        client_namespace: maybe("client_namespace", wire.client_namespace, filled)?.map(Into::into),
        ports,
    })
}

pub(super) fn gateway_to_proto(routes: &GatewayRoutes) -> pb::GatewayRoutes {
    pb::GatewayRoutes {
        gateway: routes.gateway.to_string(),
        listeners: routes
            .listeners
            .iter()
            .map(|listener| pb::GatewayListener {
                name: listener.name.clone(),
                port: listener.port.into(),
                addresses: listener.addresses.iter().map(|ip| ip_bytes(*ip)).collect(),
                protocol: listener_to_proto(listener.protocol),
                http: Some(table_to_proto(&listener.http)),
                tcp: listener.tcp.iter().map(sni_to_proto).collect(),
                overrides: overrides::to_proto(&listener.overrides),
            })
            .collect(),
    }
}

pub(super) fn gateway_from_proto(wire: pb::GatewayRoutes) -> Result<GatewayRoutes, DecodeError> {
    let listeners = list("listeners", wire.listeners, MAX_LIST, |listener| {
        Ok(GatewayListener {
            name: at("name", short(listener.name))?,
            port: at("port", port(listener.port))?,
            addresses: list("addresses", listener.addresses, MAX_LIST, |bytes| ip(&bytes))?,
            protocol: at("protocol", listener_from_proto(listener.protocol))?,
            http: required("http", listener.http, table_from_proto)?,
            tcp: list("tcp", listener.tcp, MAX_LIST, sni_from_proto)?,
            overrides: at("overrides", overrides::from_proto(listener.overrides))?,
        })
    })?;
    Ok(GatewayRoutes { gateway: at("gateway", name(&wire.gateway))?, listeners })
}

fn sni_to_proto((host, rule): &(HostPattern, TcpRule)) -> pb::SniRule {
    pb::SniRule { host: Some(host_to_proto(host)), rule: Some(tcp_to_proto(rule)) }
}

fn sni_from_proto(wire: pb::SniRule) -> Result<(HostPattern, TcpRule), DecodeError> {
    Ok((required("host", wire.host, host_from_proto)?, required("rule", wire.rule, tcp_from_proto)?))
}

fn tcp_to_proto(rule: &TcpRule) -> pb::TcpRule {
    pb::TcpRule {
        name: rule.name.as_ref().map(route_name_to_proto),
        backends: rule.backends.iter().map(backend_to_proto).collect(),
        controls: controls_to_proto(rule.controls.as_deref()),
    }
}

fn tcp_from_proto(wire: pb::TcpRule) -> Result<TcpRule, DecodeError> {
    Ok(TcpRule {
        name: maybe("name", wire.name, route_name_from_proto)?,
        backends: list("backends", wire.backends, MAX_LIST, backend_from_proto)?,
        controls: controls_from_proto(wire.controls)?,
    })
}

fn table_to_proto(table: &HttpTable) -> pb::HttpTable {
    pb::HttpTable {
        matches: table.matches.iter().map(match_to_proto).collect(),
        rules: table.rules.iter().map(rule_to_proto).collect(),
        scopes: table.scopes.iter().map(host_to_proto).collect(),
    }
}

fn table_from_proto(wire: pb::HttpTable) -> Result<HttpTable, DecodeError> {
    let rules = list("rules", wire.rules, MAX_LIST, rule_from_proto)?;
    let scopes = list("scopes", wire.scopes, MAX_LIST, host_from_proto)?;
    let matches = list("matches", wire.matches, MAX_LIST, |matching| {
        at("rule", index(matching.rule, rules.len()))?;
        at("host_scope", index(matching.host_scope, scopes.len().max(1)))?;
        match_from_proto(matching)
    })?;
    Ok(HttpTable { matches, rules, scopes })
}

/// An index into a list of `len`, so that nobody behind this reader can step outside.
fn index(index: u32, len: usize) -> Result<(), DecodeError> {
    match usize::try_from(index) {
        Ok(at) if at < len => Ok(()),
        _ => {
            let max = u64::try_from(len).unwrap_or(u64::MAX).saturating_sub(1);
            Err(DecodeError::new(Problem::OutOfRange { value: index.into(), min: 0, max }))
        }
    }
}

pub(super) fn match_to_proto(matching: &HttpMatch) -> pb::HttpMatch {
    pb::HttpMatch {
        host_scope: matching.host_scope,
        host: Some(host_to_proto(&matching.host)),
        path: Some(path_to_proto(&matching.path)),
        method: matching.method.clone(),
        headers: matching.headers.iter().map(header_to_proto).collect(),
        queries: matching.queries.iter().map(query_to_proto).collect(),
        rule: matching.rule,
    }
}

pub(super) fn match_from_proto(wire: pb::HttpMatch) -> Result<HttpMatch, DecodeError> {
    Ok(HttpMatch {
        host_scope: wire.host_scope,
        host: required("host", wire.host, host_from_proto)?,
        path: required("path", wire.path, path_from_proto)?,
        method: maybe("method", wire.method, filled)?,
        headers: list("headers", wire.headers, MAX_LIST, header_from_proto)?,
        queries: list("queries", wire.queries, MAX_LIST, query_from_proto)?,
        rule: wire.rule,
    })
}

fn rule_to_proto(rule: &HttpRule) -> pb::HttpRule {
    pb::HttpRule {
        name: Some(route_name_to_proto(&rule.name)),
        filters: rule.filters.iter().map(filter_to_proto).collect(),
        backends: rule.backends.iter().map(backend_to_proto).collect(),
        request_timeout_ns: maybe_nanos(rule.timeouts.request),
        backend_request_timeout_ns: maybe_nanos(rule.timeouts.backend_request),
        retry: rule.retry.as_ref().map(retry_to_proto),
        controls: controls_to_proto(rule.controls.as_deref()),
    }
}

fn rule_from_proto(wire: pb::HttpRule) -> Result<HttpRule, DecodeError> {
    Ok(HttpRule {
        name: required("name", wire.name, route_name_from_proto)?,
        filters: list("filters", wire.filters, MAX_LIST, filter_from_proto)?,
        backends: list("backends", wire.backends, MAX_LIST, backend_from_proto)?,
        timeouts: Timeouts {
            request: maybe_duration(wire.request_timeout_ns),
            backend_request: maybe_duration(wire.backend_request_timeout_ns),
        },
        retry: maybe("retry", wire.retry, retry_from_proto)?,
        controls: controls_from_proto(wire.controls)?,
    })
}

fn backend_to_proto(backend: &Backend) -> pb::Backend {
    pb::Backend {
        target: Some(target_to_proto(&backend.target)),
        weight: backend.weight,
        filters: backend.filters.iter().map(filter_to_proto).collect(),
    }
}

fn backend_from_proto(wire: pb::Backend) -> Result<Backend, DecodeError> {
    Ok(Backend {
        target: required("target", wire.target, target_from_proto)?,
        weight: wire.weight,
        filters: list("filters", wire.filters, MAX_LIST, filter_from_proto)?,
    })
}

pub(super) fn target_to_proto(target: &BackendTarget) -> pb::BackendTarget {
    let target = match target {
        BackendTarget::Service { service, port, subset } => Target::Service(pb::ServiceTarget {
            service: service.to_string(),
            port: (*port).into(),
            subset: labels_to_proto(subset),
        }),
        BackendTarget::Invalid(why) => Target::Invalid(invalid_to_proto(*why)),
    };
    pb::BackendTarget { target: Some(target) }
}

pub(super) fn target_from_proto(wire: pb::BackendTarget) -> Result<BackendTarget, DecodeError> {
    match wire.target {
        None => Err(DecodeError::new(Problem::Missing).within("target")),
        Some(Target::Service(target)) => Ok(BackendTarget::Service {
            service: at("service", name(&target.service))?,
            port: at("port", port(target.port))?,
            subset: labels("subset", target.subset)?,
        }),
        Some(Target::Invalid(why)) => at("invalid", invalid_from_proto(why)).map(BackendTarget::Invalid),
    }
}
