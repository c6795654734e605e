//! `Service`: ports, protocols and the traffic settings that callers keep to.

use byrnie_plan::{ObjectName, Resource, Service, ServicePort};

use crate::outputs::Product;
use crate::policy;
use crate::view::View;

/// `Key::Service`.
pub(crate) fn service(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let service = view.service(name)?;
    let ports = service.ports.iter().map(|port| ServicePort {
        name: port.name.clone(),
        port: port.port,
        protocol: port.protocol,
    });
    let compiled = Service {
        name: name.clone(),
        ports: ports.collect(),
        settings: policy::settings(name, view).into(),
        controls: policy::of_service(name, view),
        overrides: policy::inbound::of_service(name, view),
    };
    Some(Product {
        resources: vec![Resource::Service(Box::new(compiled))],
        findings: service.findings.clone(),
        ..Product::default()
    })
}
