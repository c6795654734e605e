//! Rules of a Service, as the API server of Kubernetes checks them.

use super::Issues;
use crate::codes;
use crate::kinds::{ServiceSpec, ServiceSubsetSpec, ServiceType};
use crate::meta::IntOrString;
use crate::names::{is_dns_label, is_label_key, is_label_value};

pub(super) fn service(spec: &ServiceSpec, issues: &mut Issues) {
    if spec.ports.is_empty()
        && spec.type_ != Some(ServiceType::ExternalName)
        && spec.cluster_ip.as_deref() != Some("None")
    {
        issues.error(codes::MISSING, "spec.ports", "a Service needs at least one port");
    }
    for (index, port) in spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        match &port.name {
            None if spec.ports.len() > 1 => {
                issues.error(codes::PORT_NAMES, path.clone(), "this port has no name")
            }
            Some(name) if !is_dns_label(name) => {
                issues.error(codes::BAD_NAME, format!("{path}.name"), format!("{name:.64?} is no DNS label"));
            }
            _ => {}
        }
        let target_is_good = match &port.target_port {
            None => true,
            Some(IntOrString::Int(number)) => (1..=65535).contains(number),
            Some(IntOrString::String(name)) => is_port_name(name),
        };
        if !target_is_good {
            let message = "a port number of 1 to 65535, or a port's name (at most 15 of a-z, 0-9 and '-')";
            issues.error(codes::BAD_FORMAT, format!("{path}.targetPort"), message);
        }
        if port.app_protocol.as_ref().is_some_and(|protocol| !is_label_key(protocol)) {
            issues.error(
                codes::BAD_FORMAT,
                format!("{path}.appProtocol"),
                "no protocol name such as http or grpc",
            );
        }
    }
    let ports = spec.ports.iter().enumerate();
    let names = ports.clone().map(|(index, port)| (port.name.as_ref(), format!("spec.ports[{index}].name")));
    issues.unique(codes::PORT_CONFLICT, names, "name");
    let numbers = ports.map(|(index, port)| {
        let protocol = port.protocol.unwrap_or_default() as u8;
        (Some((port.port, protocol)), format!("spec.ports[{index}].port"))
    });
    issues.unique(codes::PORT_CONFLICT, numbers, "number and protocol");
}

pub(super) fn subset(spec: &ServiceSubsetSpec, issues: &mut Issues) {
    if !is_dns_label(&spec.service) {
        issues.error(
            codes::BAD_NAME,
            "spec.service",
            format!("{:.64?} is no name of a Service", spec.service),
        );
    }
    for (key, value) in &spec.labels {
        if !is_label_key(key) || !is_label_value(value) {
            let message = format!("{key:.64}={value:.64} is no label");
            issues.error(codes::BAD_LABEL, "spec.labels", message);
        }
    }
}

/// IANA_SVC_NAME: at most 15 characters, at least one letter, no `-` at the ends or twice in a row.
fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && is_dns_label(name)
        && !name.contains("--")
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}
