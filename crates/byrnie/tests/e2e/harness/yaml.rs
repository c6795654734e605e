//! The resources that most tests need, as text, all in the namespace `shop`.

/// A Workload that serves one port under the label `app: APP`; `more` is spliced into its spec.
pub fn workload(name: &str, app: &str, port: u16, more: &str) -> String {
    format!(
        "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}
spec: {{serviceAccount: {app}, ports: [{{name: main, port: {port}}}]{}}}
",
        spliced(more)
    )
}

/// A Workload that only calls.
pub fn caller(name: &str, more: &str) -> String {
    format!(
        "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop}}
spec: {{serviceAccount: {name}{}}}
",
        spliced(more)
    )
}

/// A Service of the Workloads with `app: NAME`, at port 80.
pub fn service(name: &str, protocol: &str) -> String {
    let port = format!("{{name: main, port: 80, targetPort: main, appProtocol: {protocol}}}");
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{port}]}}
"
    )
}

/// A Gateway with these HTTP listeners.
pub fn gateway(name: &str, ports: &[u16]) -> String {
    let listener = |port: &u16| format!("{{name: http-{port}, port: {port}, protocol: HTTP}}");
    let listeners: Vec<String> = ports.iter().map(listener).collect();
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec: {{gatewayClassName: byrnie, listeners: [{}]}}
",
        listeners.join(", ")
    )
}

/// An HTTPRoute on a Gateway with these rules, as a list in flow style.
pub fn route(name: &str, gateway: &str, rules: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: shop}}
spec: {{parentRefs: [{{name: {gateway}}}], rules: [{rules}]}}
"
    )
}

/// An HTTPRoute on a Gateway with everything for one Service.
pub fn route_to(service: &str, gateway: &str) -> String {
    route(service, gateway, &format!("{{backendRefs: [{{name: {service}, port: 80}}]}}"))
}

/// A policy of ours in `shop` at a target, as a map in flow style, with the rest of its spec.
pub fn policy(kind: &str, name: &str, target: &str, spec: &str) -> String {
    format!(
        "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec: {{targetRefs: [{target}], {spec}}}
"
    )
}

/// The settings of the whole mesh.
pub fn settings(spec: &str) -> String {
    format!(
        "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Mesh
metadata: {{name: default}}
spec: {{{spec}}}
"
    )
}

fn spliced(more: &str) -> String {
    if more.is_empty() { String::new() } else { format!(", {more}") }
}
