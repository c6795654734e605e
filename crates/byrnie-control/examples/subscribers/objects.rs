//! The mesh: one service that all proxies call, with a route and some endpoints.

use serde_json::{Value, json};

/// Where everything is.
pub const NAMESPACE: &str = "scale";
/// The key of what [`route`] changes.
pub const ROUTES: &str = "Routes/scale/web";
/// The key of what [`endpoint`] changes.
pub const ENDPOINTS: &str = "Endpoints/scale/web";
/// Endpoints of the service.
pub const ENDPOINT_COUNT: usize = 10;

/// All objects.
pub fn mesh(proxies: usize) -> Vec<Value> {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}],
        },
    });
    let callers = (0..proxies).map(|number| {
        json!({
            "apiVersion": "mesh.byrnie.dev/v1alpha1",
            "kind": "Workload",
            "metadata": {"name": caller_name(number), "namespace": NAMESPACE, "labels": {"app": "caller"}},
            "spec": {"serviceAccount": "caller", "upstreams": [{"service": "web"}]},
        })
    });
    [service, route(usize::MAX)].into_iter().chain((0..ENDPOINT_COUNT).map(endpoint)).chain(callers).collect()
}

/// Who calls.
pub fn caller_name(number: usize) -> String {
    format!("caller-{number}")
}

/// Who is called.
pub fn endpoint_name(number: usize) -> String {
    format!("web-{number}")
}

/// One endpoint of the service, outside the mesh, so that it needs no proxy to be one.
pub fn endpoint(number: usize) -> Value {
    json!({
        "apiVersion": "mesh.byrnie.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": endpoint_name(number), "namespace": NAMESPACE, "labels": {"app": "web"}},
        "spec": {"address": "127.0.0.1", "ports": [{"name": "http", "port": 20000 + number}], "proxy": "none"},
    })
}

/// The service's route; each number another one.
pub fn route(number: usize) -> Value {
    let set = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {
        "set": [{"name": "x-change", "value": number.to_string()}],
    }});
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}],
            "rules": [{"filters": [set], "backendRefs": [{"name": "web", "port": 80}]}],
        },
    })
}
