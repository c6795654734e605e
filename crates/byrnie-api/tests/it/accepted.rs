//! What is good input, and what becomes of it.

use byrnie_api::codes;
use byrnie_api::duration::Duration;
use byrnie_api::generated::{FromNamespaces, PathMatchType};
use byrnie_api::kinds::{DefaultInboundPolicy, ProxyMode};
use byrnie_api::meta::IntOrString;
use byrnie_api::{Kind, Object, Reading, Severity, Typed, read_documents, read_value};
use serde_json::{Value, json};

fn read(text: &str) -> Reading {
    read_documents(text, "mesh.yaml")
}

fn read_good(text: &str) -> Vec<Object> {
    let reading = read(text);
    assert!(!reading.has_errors(), "{:#?}", reading.findings);
    reading.objects.into_iter().map(|(object, _)| object).collect()
}

const ISSUE: &str = r#"apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {name: web-1, namespace: shop, labels: {app: web, version: v1}}
spec:
  serviceAccount: web
  address: 127.0.0.1
  ports: [{name: http, port: 18081}]
  command: [python3, -m, http.server, "18081", --bind, 127.0.0.1]   # optional: `up` starts it; without it the process is somebody else's
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  gatewayClassName: byrnie
  listeners: [{name: http, port: 18080, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: front, namespace: shop}
spec:
  parentRefs: [{name: front}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
"#;

#[test]
fn the_file_of_the_readme() {
    let reading = read(ISSUE);
    assert_eq!(reading.findings, []);
    let lines: Vec<u32> = reading.objects.iter().map(|(_, location)| location.line).collect();
    assert_eq!(lines, [1, 10, 17, 24]);
    let keys: Vec<String> = reading.objects.iter().map(|(object, _)| object.key().to_string()).collect();
    assert_eq!(
        keys,
        ["Workload shop/web-1", "Service shop/web", "Gateway shop/front", "HTTPRoute shop/front"]
    );

    let Typed::Workload(workload) = reading.objects[0].0.typed() else { panic!() };
    assert_eq!(workload.spec.service_account, "web");
    assert_eq!(workload.spec.ports[0].port, 18081);
    assert_eq!(workload.spec.command[3], "18081");
    assert_eq!((workload.spec.proxy, workload.spec.weight), (ProxyMode::Sidecar, 1));
    assert_eq!(workload.spec.upstreams, None);
    let Typed::Service(service) = reading.objects[1].0.typed() else { panic!() };
    assert_eq!(service.spec.ports[0].target_port, Some(IntOrString::String("http".to_owned())));
    let Typed::Gateway(gateway) = reading.objects[2].0.typed() else { panic!() };
    let allowed = gateway.spec.listeners[0].allowed_routes.namespaces.from;
    assert_eq!(allowed, FromNamespaces::Same);
    let Typed::HTTPRoute(route) = reading.objects[3].0.typed() else { panic!() };
    assert_eq!(route.spec.parent_refs[0].kind, "Gateway");
    let rule = &route.spec.rules[0];
    assert_eq!(
        (rule.matches[0].path.type_, rule.matches[0].path.value.as_str()),
        (PathMatchType::PathPrefix, "/")
    );
    assert_eq!((rule.backend_refs[0].weight, rule.backend_refs[0].kind.as_str()), (1, "Service"));
    // Defaults are in the typed form only: what was written is what is printed.
    assert_eq!(
        reading.objects[3].0.to_value()["spec"],
        json!({
            "parentRefs": [{"name": "front"}], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}],
        })
    );
}

const CLUSTER_SERVICE: &str = r#"apiVersion: v1
kind: Service
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"v1","kind":"Service","metadata":{"annotations":{},"name":"web","namespace":"shop"}}
  creationTimestamp: "2026-11-02T09:14:03Z"
  finalizers:
  - service.kubernetes.io/load-balancer-cleanup
  labels:
    app.kubernetes.io/name: web
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1:
      f:spec:
        f:ports:
          .: {}
          k:{"port":80,"protocol":"TCP"}:
            .: {}
            f:port: {}
    manager: kubectl-client-side-apply
    operation: Update
    time: "2026-11-02T09:14:03Z"
  name: web
  namespace: shop
  resourceVersion: "84512"
  uid: 0d3f6f0b-7a3e-4d0b-9f7e-5f4d5c2b1a00
spec:
  allocateLoadBalancerNodePorts: true
  clusterIP: 10.96.121.7
  clusterIPs:
  - 10.96.121.7
  externalTrafficPolicy: Cluster
  internalTrafficPolicy: Cluster
  ipFamilies:
  - IPv4
  ipFamilyPolicy: SingleStack
  ports:
  - appProtocol: kubernetes.io/h2c
    name: grpc
    nodePort: 31042
    port: 80
    protocol: TCP
    targetPort: 8080
  selector:
    app: web
  sessionAffinity: None
  type: LoadBalancer
status:
  loadBalancer:
    ingress:
    - ip: 203.0.113.7
      ipMode: VIP
"#;

#[test]
fn a_service_printed_by_a_cluster() {
    let reading = read(CLUSTER_SERVICE);
    assert!(reading.findings.iter().all(|f| f.severity == Severity::Info && f.code == codes::NOT_ACTED_ON));
    let fields: Vec<&str> = reading.findings.iter().map(|finding| finding.field.as_str()).collect();
    assert!(fields.contains(&"spec.clusterIPs") && fields.contains(&"spec.ports[0].nodePort"), "{fields:?}");
    assert!(fields.contains(&"metadata.finalizers"), "{fields:?}");
    let value = reading.objects[0].0.to_value();
    assert_eq!(value.get("status"), None);
    let metadata: Vec<&String> = value["metadata"].as_object().unwrap().keys().collect();
    assert_eq!(metadata, ["annotations", "finalizers", "labels", "name", "namespace"]);
    assert_eq!(value["spec"]["clusterIPs"], json!(["10.96.121.7"]));
    assert_eq!(value["spec"]["ports"][0]["nodePort"], 31042);
}

#[test]
fn lists_and_json() {
    let list = format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{}",
        indent(CLUSTER_SERVICE)
    );
    assert_eq!(read_good(&list)[0].key().to_string(), "Service shop/web");
    let json = r#"{
  "kind": "ServiceList", "apiVersion": "v1",
  "items": [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a\u003cb".replace}}]
}"#;
    // Not JSON, not YAML: refused, not read half.
    assert!(read(json).has_errors());
    let json = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"shop\", \"annotations\": {\"a\": \"\\u003c\\/\"}}\n}\n";
    let objects = read_good(json);
    assert_eq!(objects[0].metadata().annotations["a"], "</");
    let items = json!({"apiVersion": "v1", "kind": "List", "items": [objects[0].to_value()]});
    assert_eq!(read_value(items).objects[0].0, objects[0]);
}

fn indent(text: &str) -> String {
    let lines = text.lines().enumerate();
    lines.map(|(index, line)| format!("{} {line}\n", if index == 0 { "-" } else { " " })).collect()
}

#[test]
fn anchors_empty_documents_nulls_and_octal_numbers() {
    let text = "---\n---\n# nothing\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: &m\n  name: a\n  labels: {app: x}\n  creationTimestamp: null\n---\napiVersion: mesh.byrnie.dev/v1alpha1\nkind: Workload\nmetadata: {name: b, labels: &l {app: x}}\nspec:\n  weight: 0012\n  address: null\n  env: {A: b}\n  ports: [{port: 80, name: &n http, appProtocol: *n}]\n";
    let objects = read_good(text);
    assert_eq!(
        objects[0].to_value()["metadata"],
        json!({"name": "a", "namespace": "default", "labels": {"app": "x"}})
    );
    let Typed::Workload(workload) = objects[1].typed() else { panic!() };
    assert_eq!(workload.spec.weight, 10);
    assert_eq!(workload.spec.address, None);
    assert_eq!((workload.spec.env[0].name.as_str(), workload.spec.env[0].value.as_str()), ("A", "b"));
    assert_eq!(workload.spec.ports[0].app_protocol.as_deref(), Some("http"));
    assert_eq!(objects[1].to_value()["spec"]["env"], json!({"A": "b"}));
}

/// One object of every kind, with many of its fields.
fn every_kind() -> Vec<Value> {
    let gateway = "gateway.networking.k8s.io/v1";
    let mesh = "mesh.byrnie.dev/v1alpha1";
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}, "spec": {"finalizers": ["kubernetes"]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"ports": [{"port": 80}], "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "shop"},
            "automountServiceAccountToken": false, "imagePullSecrets": [{"name": "x"}]}),
        json!({"apiVersion": gateway, "kind": "GatewayClass", "metadata": {"name": "byrnie"},
            "spec": {"controllerName": "byrnie.dev/gateway"}}),
        json!({"apiVersion": gateway, "kind": "Gateway", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"gatewayClassName": "byrnie", "addresses": [{"value": "127.0.0.1"}], "listeners": [
                {"name": "a", "port": 80, "protocol": "HTTP", "hostname": "*.example.com",
                 "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}}},
                {"name": "b", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c"}]}}]}}),
        json!({"apiVersion": gateway, "kind": "ListenerSet", "metadata": {"name": "more", "namespace": "shop"},
            "spec": {"parentRef": {"name": "front"}, "listeners": [{"name": "a", "port": 80, "protocol": "HTTP"}]}}),
        json!({"apiVersion": gateway, "kind": "HTTPRoute", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"parentRefs": [{"name": "front", "sectionName": "a"}], "hostnames": ["a.example.com"], "rules": [
                {"name": "one", "matches": [{"path": {"type": "PathPrefix", "value": "/v1"}, "method": "GET",
                    "headers": [{"name": "x", "value": "a.*", "type": "RegularExpression"}],
                    "queryParams": [{"name": "q", "value": "1"}]}],
                 "filters": [
                    {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}], "remove": ["c"]}},
                    {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}},
                    {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "m", "port": 80}, "percent": 10}}],
                 "timeouts": {"request": "1m30s", "backendRequest": "500ms"},
                 "backendRefs": [{"name": "web", "port": 80, "weight": 9}, {"name": "web2", "port": 80, "namespace": "x"}]},
                {"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]}]}}),
        json!({"apiVersion": gateway, "kind": "GRPCRoute", "metadata": {"name": "g", "namespace": "shop"},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}], "rules": [
                {"matches": [{"method": {"service": "a.b.C", "method": "D"}}], "backendRefs": [{"name": "web", "port": 80}]}]}}),
        json!({"apiVersion": gateway, "kind": "TCPRoute", "metadata": {"name": "t", "namespace": "shop"},
            "spec": {"parentRefs": [{"name": "front"}], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}),
        json!({"apiVersion": gateway, "kind": "TLSRoute", "metadata": {"name": "t", "namespace": "shop"},
            "spec": {"hostnames": ["a.example.com"], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}),
        json!({"apiVersion": gateway, "kind": "UDPRoute", "metadata": {"name": "u", "namespace": "shop"},
            "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}),
        json!({"apiVersion": gateway, "kind": "ReferenceGrant", "metadata": {"name": "r", "namespace": "shop"},
            "spec": {"from": [{"group": gateway.split('/').next(), "kind": "HTTPRoute", "namespace": "a"}],
                     "to": [{"group": "", "kind": "Service"}]}}),
        json!({"apiVersion": gateway, "kind": "BackendTLSPolicy", "metadata": {"name": "b", "namespace": "shop"},
            "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "web"}],
                     "validation": {"hostname": "a.example.com", "wellKnownCACertificates": "System"}}}),
        json!({"apiVersion": mesh, "kind": "Mesh", "metadata": {"name": "default"},
            "spec": {"defaultInboundPolicy": "all-authenticated", "certificates": {"lifetime": "10s"},
                     "telemetry": {"accessLog": "all", "accessLogFormat": "text"}, "proxy": {"maxHeaders": 64}}}),
        json!({"apiVersion": mesh, "kind": "Workload", "metadata": {"name": "w", "namespace": "shop"},
            "spec": {"upstreams": [{"service": "x/voting", "port": 80}, {"service": "web", "namespace": "y"}],
                     "env": [{"name": "A", "value": ""}], "httpProxy": true, "proxy": "none", "locality": "a/b", "weight": 0}}),
        json!({"apiVersion": mesh, "kind": "TrafficPolicy", "metadata": {"name": "t", "namespace": "shop"},
            "spec": {"targetRefs": [{"kind": "Service", "name": "web"}],
                     "balancer": {"type": "maglev", "hashKey": {"type": "header", "name": "x-user"}},
                     "timeouts": {"connect": "1s", "request": "10s"}, "slowStart": "30s",
                     "retry": {"attempts": 3, "on": {"statuses": [503], "grpcCodes": [14]}, "budget": {"percent": 10}},
                     "limits": {"maxInFlight": 10}, "outlierEjection": {"consecutiveFailures": 5},
                     "override": {"from": ["shop/tester"], "to": [{"name": "staged", "namespace": "lab", "port": 80}]}}}),
        json!({"apiVersion": mesh, "kind": "AuthorizationPolicy", "metadata": {"name": "a", "namespace": "shop"},
            "spec": {"targetRefs": [{"group": "mesh.byrnie.dev", "kind": "Workload", "name": "w"}], "action": "DENY", "dryRun": true,
                     "selector": {"matchLabels": {"app": "web"}},
                     "rules": [{"from": [{"identities": ["spiffe://cluster.local/ns/shop/sa/web", "shop/*", "shop/web", "*"],
                                          "notNamespaces": ["kube-*"]}],
                                "to": [{"methods": ["GET"], "paths": ["/a/*", "*.png"], "notPorts": [22]}]}, {}]}}),
        json!({"apiVersion": "linkerd.io/v1alpha2", "kind": "ServiceProfile",
            "metadata": {"name": "web.shop.svc.cluster.local", "namespace": "shop"},
            "spec": {"routes": [{"name": "GET /a", "condition": {"method": "GET", "pathRegex": "/a"}}]}}),
        json!({"apiVersion": mesh, "kind": "ServiceSubset", "metadata": {"name": "web-v2", "namespace": "shop"},
            "spec": {"service": "web", "labels": {"version": "v2"}}}),
    ];
    objects.extend(limits_and_faults(mesh));
    objects
}

fn limits_and_faults(mesh: &str) -> [Value; 2] {
    [
        json!({"apiVersion": mesh, "kind": "RateLimitPolicy", "metadata": {"name": "r", "namespace": "shop"},
            "spec": {"targetRefs": [{"kind": "TCPRoute", "name": "t", "sectionName": "0"}, {"kind": "Workload", "name": "w"}],
                     "direction": "outbound", "shadow": true, "responseHeaders": false,
                     "limits": [{"connections": 5, "per": "100ms", "burst": 9, "key": [{"type": "identity"}],
                                 "matches": [{"identities": ["shop/web"]}]},
                                {"requests": 1, "key": [{"type": "header", "name": "x-user"}], "maxKeys": 64,
                                 "matches": [{"path": {"type": "Exact", "value": "/a"}, "method": "GET",
                                              "headers": [{"name": "a", "value": "b"}],
                                              "queryParams": [{"type": "RegularExpression", "name": "q", "value": "[0-9]"}]}]}]}}),
        json!({"apiVersion": mesh, "kind": "FaultPolicy", "metadata": {"name": "f", "namespace": "shop"},
            "spec": {"targetRefs": [{"kind": "Namespace", "name": "shop"}], "direction": "inbound", "expires": "2030-01-01T00:00:00Z",
                     "faults": [{"percent": 0.01, "delay": {"normal": {"mean": "1s", "deviation": "10ms", "max": "2s"}},
                                 "abort": {"grpcStatus": 14}},
                                {"percent": 33.3, "delay": {"exponential": {"mean": "1s", "max": "5s"}}},
                                {"percent": 7, "abort": {"reset": true}, "matches": [{"identities": ["shop/web"]}]}]}}),
    ]
}

#[test]
fn every_kind_round_trips() {
    let values = every_kind();
    let kinds: Vec<Kind> = values
        .iter()
        .map(|value| {
            let reading = read_value(value.clone());
            assert!(!reading.has_errors(), "{:#?}", reading.findings);
            let object = &reading.objects[0].0;
            assert_eq!(&object.to_value(), value);
            // Stored and read back, and rebuilt from the typed form, it is the same.
            let stored = Object::from_value(object.to_value()).unwrap();
            assert_eq!(&stored, object);
            let typed = Object::from_typed(object.typed().clone()).unwrap();
            assert_eq!(typed.typed(), object.typed());
            let again = read_value(typed.to_value());
            assert!(!again.has_errors(), "{:#?}", again.findings);
            assert_eq!(again.objects[0].0.typed(), object.typed());
            object.kind()
        })
        .collect();
    let all: Vec<Kind> = byrnie_api::KINDS.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, all);
}

#[test]
fn metadata_and_status_change_without_touching_the_rest() {
    let object = read_good(ISSUE).remove(3);
    let stored = object
        .with_metadata(|metadata| {
            metadata.uid = Some("u".to_owned());
            metadata.generation = Some(1);
        })
        .unwrap();
    assert!(stored.same_spec(&object) && stored != object);
    let with_status = stored.with_status(Some(json!({"parents": []}))).unwrap();
    assert_eq!(with_status.status(), Some(&json!({"parents": []})));
    assert_eq!(with_status.metadata().uid.as_deref(), Some("u"));
    assert_eq!(with_status.to_value()["spec"], object.to_value()["spec"]);
    assert_eq!(with_status.with_status(None).unwrap(), stored);
    // What a store gave back is good input again.
    assert_eq!(read_value(with_status.to_value()).objects[0].0, object);
}

#[test]
fn defaults_of_the_mesh() {
    let object =
        read_good("{apiVersion: mesh.byrnie.dev/v1alpha1, kind: Mesh, metadata: {name: default}}").remove(0);
    let Typed::Mesh(mesh) = object.typed() else { panic!() };
    assert_eq!(mesh.spec.trust_domain, "cluster.local");
    assert_eq!(mesh.spec.default_inbound_policy, DefaultInboundPolicy::AllUnauthenticated);
    assert_eq!(mesh.spec.certificates.lifetime, Duration::from_secs(86_400));
    assert_eq!(mesh.spec.proxy.upstream_limit, 64);
    let upstream =
        byrnie_api::kinds::WorkloadUpstream { service: "a/b".to_owned(), namespace: None, port: Some(80) };
    assert_eq!(upstream.target("own"), ("a", "b"));
}

#[test]
fn fields_that_are_kept_but_not_acted_on() {
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec:\n  rules:\n  - filters:\n    - type: ExtensionRef\n      extensionRef: {group: a.b, kind: A, name: a}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: UDPRoute\nmetadata: {name: u}\nspec: {rules: [{backendRefs: [{name: a, port: 1}]}]}\n";
    let reading = read(text);
    let said: Vec<_> = reading
        .findings
        .iter()
        .map(|f| (f.severity, f.code, f.field.as_str(), f.location.as_ref().unwrap().line))
        .collect();
    assert_eq!(
        said,
        [
            (Severity::Warning, codes::NOT_ACTED_ON, "spec.rules[0].filters[0].extensionRef", 8),
            (Severity::Warning, codes::NOT_ACTED_ON, "spec", 13),
        ]
    );
    assert_eq!(
        reading.objects[0].0.to_value()["spec"]["rules"][0]["filters"][0]["extensionRef"],
        json!({"group": "a.b", "kind": "A", "name": "a"})
    );
}
