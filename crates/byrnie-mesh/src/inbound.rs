//! `InboundPolicy`: what a workload or Gateway accepts, and from whom.

use std::net::SocketAddr;

use byrnie_plan::{AppProtocol, InboundPolicy, InboundPort, ObjectName, Resource, ServicePortRef};

use crate::Finding;
use crate::findings::{self, finding};
use crate::model::{Service, ServicePort, ServiceShape, Workload, WorkloadPort};
use crate::outputs::Product;
use crate::policy;
use crate::view::View;
use crate::{authorization, workload as names};

/// `Key::InboundPolicy` of a Workload with a proxy.
pub(crate) fn workload(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let workload = view.workload(name)?;
    if !workload.meshed || !names::holds_its_name(workload, view) {
        return Some(Product::default());
    }
    let services = services_of(workload, view);
    let mut findings = Vec::new();
    let ports = workload
        .ports
        .iter()
        .map(|port| inbound_port(workload, port, &services, &mut findings, view))
        .collect();
    let compiled = InboundPolicy {
        workload: name.clone(),
        identity: view.identity(&name.namespace, &workload.service_account),
        ports,
        authorization: authorization::for_workload(workload, &services, view).into(),
        default_action: view.mesh().default_action,
        controls: policy::of_workload(name, &services, view),
        locality: workload.locality.clone(),
        health_checks: workload.health_checks.clone(),
        overrides: policy::inbound::of_workload(name, view),
    };
    Some(Product {
        resources: vec![Resource::InboundPolicy(Box::new(compiled))],
        findings,
        ..Product::default()
    })
}

/// `Key::InboundPolicy` of a Gateway of ours.
pub(crate) fn gateway(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let gateway = view.gateway(name)?;
    if !view.is_our_class(&gateway.class) || !names::gateway_holds_its_name(gateway, view) {
        return Some(Product::default());
    }
    let compiled = InboundPolicy {
        workload: name.clone(),
        identity: view.identity(&name.namespace, &gateway_account(&name.name)),
        ports: Vec::new(),
        authorization: authorization::for_gateway(gateway, view).into(),
        default_action: view.mesh().default_action,
        // They stand with the rules that the Gateway follows.
        controls: Vec::new(),
        locality: gateway.locality.clone(),
        health_checks: Vec::new(),
        overrides: policy::inbound::of_gateway(name, view),
    };
    Some(Product { resources: vec![Resource::InboundPolicy(Box::new(compiled))], ..Product::default() })
}

/// The service account of a Gateway's proxy.
pub(crate) fn gateway_account(gateway: &str) -> String {
    format!("{gateway}-byrnie")
}

/// The Services that lead to a workload, by name.
pub(crate) fn services_of<'a>(workload: &Workload, view: &View<'a>) -> Vec<&'a Service> {
    let mut services = view.services_selecting(&workload.meta.name.namespace, &workload.meta.labels);
    services.retain(|service| service.shape != ServiceShape::External);
    services
}

fn inbound_port(
    workload: &Workload,
    port: &WorkloadPort,
    services: &[&Service],
    findings: &mut Vec<Finding>,
    view: &View<'_>,
) -> InboundPort {
    let leading: Vec<(&Service, &ServicePort)> = services
        .iter()
        .flat_map(|service| service.ports.iter().map(move |p| (*service, p)))
        .filter(|(_, p)| workload.target(&p.target).is_some_and(|target| target.port == port.port))
        .collect();
    let behind: Vec<&Service> = leading.iter().map(|(service, _)| *service).collect();
    InboundPort {
        port: port.port,
        name: port.name.clone(),
        address: SocketAddr::new(workload.address, port.port),
        protocol: port.protocol.unwrap_or_else(|| agreed(workload, port, &leading, findings)),
        services: leading
            .iter()
            .map(|(service, p)| ServicePortRef { service: service.meta.name.clone(), port: p.port })
            .collect(),
        overrides: policy::inbound::of_port(&workload.meta.name, &behind, view),
    }
}

/// What the Services say that the application speaks: the first declared one by name wins.
fn agreed(
    workload: &Workload,
    port: &WorkloadPort,
    leading: &[(&Service, &ServicePort)],
    findings: &mut Vec<Finding>,
) -> AppProtocol {
    let mut declared = leading.iter().filter(|(_, p)| p.protocol != AppProtocol::Detect);
    let Some((first, chosen)) = declared.next() else {
        return AppProtocol::Detect;
    };
    if let Some((other, different)) = declared.find(|(_, p)| p.protocol != chosen.protocol) {
        let message = format!(
            "Services {} and {} lead to port {} and say it speaks {:?} and {:?}; the first \
             holds. Set appProtocol on the Workload's port",
            first.meta.name, other.meta.name, port.port, chosen.protocol, different.protocol,
        );
        findings.push(finding(findings::PROTOCOLS_DIFFER, &workload.meta, "spec.ports", message));
    }
    chosen.protocol
}
