//! The mesh whose proxies' memory is measured: one server behind many services, and a client that calls them all.

use std::fmt::Write;

use super::SERVICES;
use crate::bench::origin::Origin;

/// The name of one of them.
pub fn service(number: usize) -> String {
    format!("service-{number}")
}

/// All of it, with limits that ten thousand connections do not reach.
pub fn text(origin: &Origin) -> String {
    let mut text = "apiVersion: mesh.byrnie.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec: {proxy: {maxConnections: 30000}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: many, namespace: bench}
spec:
  targetRefs: [{kind: Service, name: opaque}, {kind: Service, name: service-0}]
  limits: {maxConnections: 30000, maxInFlight: 30000}
---
"
    .to_owned();
    let mut calls = String::from("{service: opaque}");
    add(&mut text, "opaque", "tcp");
    for number in 0..SERVICES {
        add(&mut text, &service(number), "http");
        let _ = write!(calls, ", {{service: {}}}", service(number));
    }
    // Both names lead to the same port of the origin: what is opaque is said by the service.
    let _ = write!(
        text,
        "apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: server, namespace: bench, labels: {{app: server}}}}
spec: {{address: 127.0.0.1, ports: [{{name: http, port: {}}}, {{name: tcp, port: {}}}], upstreams: []}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: client, namespace: bench}}
spec: {{upstreams: [{calls}]}}
",
        origin.http.port(),
        origin.opaque.port()
    );
    text
}

fn add(text: &mut String, name: &str, protocol: &str) {
    let _ = write!(
        text,
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: bench}}
spec: {{selector: {{app: server}}, ports: [{{port: 80, targetPort: {protocol}, appProtocol: {protocol}}}]}}
---
"
    );
}
