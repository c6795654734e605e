//! `InboundPolicy` with its authorization policies.

use byrnie_plan::{
    Action, AuthorizationPolicy, AuthorizationRule, DefaultAction, InboundPolicy, InboundPort, Operation,
    ServicePortRef, Source, TextMatch,
};

use super::controls::{inbound_controls_from_proto, inbound_controls_to_proto};
use super::field::{
    MAX_LIST, address, address_to_proto, at, filled, identity, list, name, port, required, same_names, short,
};
use super::health;
use super::overrides;
use super::service::{protocol_from_proto, protocol_to_proto};
use crate::error::DecodeError;
use crate::generated as pb;
use pb::text_match::Match;

same_names!(
    default_to_proto,
    default_from_proto,
    DefaultAction,
    pb::DefaultAction,
    [AllowAll, AllowAuthenticated, Deny]
);
same_names!(action_to_proto, action_from_proto, Action, pb::Action, [Allow, Deny, Audit]);

pub(super) fn inbound_to_proto(policy: &InboundPolicy) -> pb::InboundPolicy {
    pb::InboundPolicy {
        workload: policy.workload.to_string(),
        identity: policy.identity.to_string(),
        ports: policy.ports.iter().map(port_to_proto).collect(),
        authorization: policy.authorization.iter().map(policy_to_proto).collect(),
        default_action: default_to_proto(policy.default_action),
        controls: policy.controls.iter().map(inbound_controls_to_proto).collect(),
        locality: policy.locality.clone(),
        health_checks: policy.health_checks.iter().map(health::to_proto).collect(),
        overrides: overrides::to_proto(&policy.overrides),
    }
}

pub(super) fn inbound_from_proto(wire: pb::InboundPolicy) -> Result<InboundPolicy, DecodeError> {
    Ok(InboundPolicy {
        workload: at("workload", name(&wire.workload))?,
        identity: at("identity", identity(&wire.identity))?,
        ports: list("ports", wire.ports, MAX_LIST, port_from_proto)?,
        authorization: list("authorization", wire.authorization, MAX_LIST, policy_from_proto)?.into(),
        default_action: at("default_action", default_from_proto(wire.default_action))?,
        controls: list("controls", wire.controls, MAX_LIST, inbound_controls_from_proto)?,
        locality: at("locality", short(wire.locality))?,
        health_checks: list("health_checks", wire.health_checks, MAX_LIST, health::from_proto)?,
        overrides: at("overrides", overrides::from_proto(wire.overrides))?,
    })
}

fn port_to_proto(port: &InboundPort) -> pb::InboundPort {
    pb::InboundPort {
        port: port.port.into(),
        name: port.name.clone(),
        address: Some(address_to_proto(port.address)),
        protocol: protocol_to_proto(port.protocol),
        services: port
            .services
            .iter()
            .map(|service| pb::ServicePortRef {
                service: service.service.to_string(),
                port: service.port.into(),
            })
            .collect(),
        overrides: overrides::to_proto(&port.overrides),
    }
}

fn port_from_proto(wire: pb::InboundPort) -> Result<InboundPort, DecodeError> {
    Ok(InboundPort {
        port: at("port", port(wire.port))?,
        name: at("name", short(wire.name))?,
        address: required("address", wire.address, address)?,
        protocol: at("protocol", protocol_from_proto(wire.protocol))?,
        services: list("services", wire.services, MAX_LIST, |service| {
            Ok(ServicePortRef {
                service: at("service", name(&service.service))?,
                port: at("port", port(service.port))?,
            })
        })?,
        overrides: at("overrides", overrides::from_proto(wire.overrides))?,
    })
}

fn policy_to_proto(policy: &AuthorizationPolicy) -> pb::AuthorizationPolicy {
    pb::AuthorizationPolicy {
        name: policy.name.clone(),
        action: action_to_proto(policy.action),
        rules: policy.rules.iter().map(rule_to_proto).collect(),
        dry_run: policy.dry_run,
    }
}

fn policy_from_proto(wire: pb::AuthorizationPolicy) -> Result<AuthorizationPolicy, DecodeError> {
    Ok(AuthorizationPolicy {
        name: at("name", filled(wire.name))?,
        action: at("action", action_from_proto(wire.action))?,
        rules: list("rules", wire.rules, MAX_LIST, rule_from_proto)?,
        dry_run: wire.dry_run,
    })
}

fn rule_to_proto(rule: &AuthorizationRule) -> pb::AuthorizationRule {
    pb::AuthorizationRule {
        from: rule.from.iter().map(source_to_proto).collect(),
        to: rule.to.iter().map(operation_to_proto).collect(),
    }
}

fn rule_from_proto(wire: pb::AuthorizationRule) -> Result<AuthorizationRule, DecodeError> {
    Ok(AuthorizationRule {
        from: list("from", wire.from, MAX_LIST, source_from_proto)?,
        to: list("to", wire.to, MAX_LIST, operation_from_proto)?,
    })
}

fn source_to_proto(source: &Source) -> pb::Source {
    pb::Source {
        identities: texts_to_proto(&source.identities),
        not_identities: texts_to_proto(&source.not_identities),
        namespaces: texts_to_proto(&source.namespaces),
        not_namespaces: texts_to_proto(&source.not_namespaces),
    }
}

fn source_from_proto(wire: pb::Source) -> Result<Source, DecodeError> {
    Ok(Source {
        identities: texts("identities", wire.identities)?,
        not_identities: texts("not_identities", wire.not_identities)?,
        namespaces: texts("namespaces", wire.namespaces)?,
        not_namespaces: texts("not_namespaces", wire.not_namespaces)?,
    })
}

fn operation_to_proto(operation: &Operation) -> pb::Operation {
    let ports = |ports: &[u16]| ports.iter().map(|port| u32::from(*port)).collect();
    pb::Operation {
        methods: operation.methods.clone(),
        not_methods: operation.not_methods.clone(),
        paths: texts_to_proto(&operation.paths),
        not_paths: texts_to_proto(&operation.not_paths),
        ports: ports(&operation.ports),
        not_ports: ports(&operation.not_ports),
    }
}

fn operation_from_proto(wire: pb::Operation) -> Result<Operation, DecodeError> {
    Ok(Operation {
        methods: list("methods", wire.methods, MAX_LIST, filled)?,
        not_methods: list("not_methods", wire.not_methods, MAX_LIST, filled)?,
        paths: texts("paths", wire.paths)?,
        not_paths: texts("not_paths", wire.not_paths)?,
        ports: list("ports", wire.ports, MAX_LIST, port)?,
        not_ports: list("not_ports", wire.not_ports, MAX_LIST, port)?,
    })
}

pub(super) fn texts_to_proto(texts: &[TextMatch]) -> Vec<pb::TextMatch> {
    let one = |text: &TextMatch| match text {
        TextMatch::Exact(text) => Match::Exact(text.clone()),
        TextMatch::Prefix(text) => Match::Prefix(text.clone()),
        TextMatch::Suffix(text) => Match::Suffix(text.clone()),
        TextMatch::Present => Match::Present(pb::Flag {}),
    };
    texts.iter().map(|text| pb::TextMatch { r#match: Some(one(text)) }).collect()
}

/// An empty prefix or suffix would match everything, also nothing: only `Present` may say so.
pub(super) fn texts(field: &str, wire: Vec<pb::TextMatch>) -> Result<Vec<TextMatch>, DecodeError> {
    list(field, wire, MAX_LIST, |text| {
        required("match", text.r#match, |text| match text {
            Match::Exact(text) => short(text).map(TextMatch::Exact),
            Match::Prefix(text) => filled(text).map(TextMatch::Prefix),
            Match::Suffix(text) => filled(text).map(TextMatch::Suffix),
            Match::Present(_) => Ok(TextMatch::Present),
        })
    })
}
