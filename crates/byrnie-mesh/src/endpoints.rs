//! `Endpoints`: the workloads behind each port of a Service.

use std::net::SocketAddr;

use std::sync::Arc;

use byrnie_plan::{Dialect, Endpoint, Endpoints, Hop, ObjectName, PortEndpoints, Resource};

use crate::Finding;
use crate::findings::{self, finding};
use crate::model::{Service, ServicePort, ServiceShape, TargetPort, Workload};
use crate::outputs::Product;
use crate::view::View;

/// `Key::Endpoints`.
pub(crate) fn endpoints(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let service = view.service(name)?;
    let workloads = match service.shape {
        ServiceShape::External => Vec::new(),
        ServiceShape::Virtual | ServiceShape::Headless => {
            view.workloads_with(&name.namespace, &service.selector)
        }
    };
    let ports = service.ports.iter().map(|port| PortEndpoints {
        port: port.port,
        endpoints: workloads
            .iter()
            .filter_map(|workload| endpoint(workload, port, view))
            .map(Arc::new)
            .collect(),
    });
    let ports = ports.collect();
    Some(Product {
        resources: vec![Resource::Endpoints(Endpoints { service: name.clone(), ports })],
        findings: findings_of(service, &workloads),
        ..Product::default()
    })
}

/// `None`: the workload lacks the port, is not ready, or its proxy has not said in this run where it is.
fn endpoint(workload: &Workload, port: &ServicePort, view: &View<'_>) -> Option<Endpoint> {
    let target = workload.target(&port.target)?;
    if workload.unready {
        return None;
    }
    let (address, hop) = if workload.meshed {
        if !crate::workload::holds_its_name(workload, view) {
            return None;
        }
        let identity = view.identity(&workload.meta.name.namespace, &workload.service_account);
        (workload.mesh_address?, Hop::Mesh { identity, dialect: Dialect::Byrnie })
    } else {
        (SocketAddr::new(workload.address, target.port), Hop::Plaintext)
    };
    Some(Endpoint {
        workload: workload.meta.name.clone(),
        address,
        app_port: target.port,
        hop,
        weight: workload.weight,
        locality: workload.locality.clone(),
        labels: workload.meta.labels.clone().into_iter().collect(),
        uid: workload.meta.uid.clone().unwrap_or_default(),
    })
}

fn findings_of(service: &Service, workloads: &[&Workload]) -> Vec<Finding> {
    if service.shape == ServiceShape::External {
        let message = "an ExternalName Service has no endpoints in the mesh; callers get 503".to_owned();
        return vec![finding(findings::SERVICE_WITHOUT_WORKLOADS, &service.meta, "spec.type", message)];
    }
    if workloads.is_empty() {
        let message = format!(
            "no Workload in namespace {} has the labels of the selector; callers get 503",
            service.meta.name.namespace
        );
        return vec![finding(findings::SERVICE_WITHOUT_WORKLOADS, &service.meta, "spec.selector", message)];
    }
    service
        .ports
        .iter()
        .enumerate()
        .filter_map(|(i, port)| unknown_target(service, i, port, workloads))
        .collect()
}

fn unknown_target(
    service: &Service,
    index: usize,
    port: &ServicePort,
    workloads: &[&Workload],
) -> Option<Finding> {
    let missing: Vec<&str> = workloads
        .iter()
        .filter(|workload| workload.target(&port.target).is_none())
        .map(|workload| workload.meta.name.name.as_str())
        .collect();
    let first = missing.first()?;
    let target = match &port.target {
        TargetPort::Number(number) => number.to_string(),
        TargetPort::Name(name) => format!("{name:?}"),
    };
    let message = format!(
        "port {}: {} of {} Workloads behind the Service declare no port {target} (first: {first}); \
         they are no endpoints",
        port.port,
        missing.len(),
        workloads.len(),
    );
    Some(finding(
        findings::TARGET_PORT_UNKNOWN,
        &service.meta,
        format!("spec.ports[{index}].targetPort"),
        message,
    ))
}
