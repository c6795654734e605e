//! Values and their origins, as people see them.

use super::*;

const OBJECTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: near, namespace: shop}
spec: {targetRefs: [{kind: Service, name: web}], timeouts: {request: 5s}, retry: {attempts: 1}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: far, namespace: shop}
spec:
  targetRefs: [{kind: Namespace, name: shop}]
  timeouts: {request: 9s, connect: 3s}
  retry: {attempts: 7, backoff: 1ms}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - name: own
    timeouts: {request: 1s}
    retry: {attempts: 3, codes: [503, 504]}
    backendRefs: [{name: web, port: 80}]
  - backendRefs: [{name: web, port: 80}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {name: web-1, namespace: shop}
spec: {serviceAccount: web}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec: {defaultInboundPolicy: deny, proxy: {detectTimeout: 2s}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: outside, namespace: shop}
spec:
  parentRefs: [{name: front, sectionName: http}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: edge, namespace: shop}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}], timeouts: {request: 2s}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {gatewayClassName: byrnie, listeners: [{name: http, port: 8080, protocol: HTTP}]}
";

fn world() -> (World, Vec<Object>) {
    let reading = byrnie_api::read_documents(OBJECTS, "f.yaml");
    assert_eq!(reading.findings, []);
    let objects: Vec<Object> = reading.objects.into_iter().map(|(object, _)| object).collect();
    (World::new(objects.clone()), objects)
}

fn described(index: usize) -> String {
    let (world, objects) = world();
    world.describe(&objects[index].to_value()).unwrap()
}

fn row(text: &str, field: &str) -> String {
    let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{field} ")));
    let words: Vec<&str> =
        line.unwrap_or_else(|| panic!("no {field} in {text}")).split_whitespace().collect();
    words.join(" ")
}

#[test]
fn settings_of_a_service_name_their_policies() {
    let text = described(0);
    for (field, expected) in [
        ("timeouts.request", "timeouts.request 5s TrafficPolicy shop/near (Service shop/web)"),
        ("timeouts.connect", "timeouts.connect 3s TrafficPolicy shop/far (Namespace shop)"),
        ("timeouts.idle", "timeouts.idle none default"),
        ("retry.attempts", "retry.attempts 1 TrafficPolicy shop/near (Service shop/web)"),
        // The nearer policy's retry holds as a whole.
        ("retry.backoff", "retry.backoff 25ms default"),
        ("balancer.type", "balancer.type peakEwma default"),
    ] {
        assert_eq!(row(&text, field), expected);
    }
}

#[test]
fn rules_say_it_themselves_or_take_it_from_afar() {
    let text = described(3);
    let (own, other) = text.split_once("Effective values of rule 1:").unwrap();
    assert!(own.starts_with("Effective values of rule own:\n"), "{own}");
    assert_eq!(row(own, "timeouts.request"), "timeouts.request 1s rule own");
    assert_eq!(row(own, "retry.attempts"), "retry.attempts 3 rule own");
    assert_eq!(row(own, "retry.on"), "retry.on 503, 504, connection errors rule own");
    assert_eq!(row(own, "retry.backoff"), "retry.backoff 25ms default", "the rule's retry is one setting");
    assert_eq!(row(other, "retry.attempts"), "retry.attempts 1 TrafficPolicy shop/near (Service shop/web)");
    assert_eq!(row(other, "retry.backoff"), "retry.backoff 25ms default");
    assert_eq!(
        row(other, "timeouts.request"),
        "timeouts.request 5s TrafficPolicy shop/near (Service shop/web)"
    );
}

#[test]
fn a_gateway_is_nearer_than_the_service_behind_it() {
    let text = described(6);
    let request = "timeouts.request 2s TrafficPolicy shop/edge (Gateway shop/front)";
    assert_eq!(row(&text, "timeouts.request"), request);
    assert_eq!(row(&text, "retry.attempts"), "retry.attempts 1 TrafficPolicy shop/near (Service shop/web)");
    assert_eq!(row(&described(8), "timeouts.request"), request);
}

#[test]
fn what_a_workload_has_of_the_mesh() {
    let text = described(4);
    assert_eq!(row(&text, "identity"), "identity spiffe://cluster.local/ns/shop/sa/web spec.serviceAccount");
    assert_eq!(
        row(&text, "defaultInboundPolicy"),
        "defaultInboundPolicy deny Mesh default spec.defaultInboundPolicy"
    );
    assert_eq!(
        row(&text, "proxy.detectTimeout"),
        "proxy.detectTimeout 2s Mesh default spec.proxy.detectTimeout"
    );
    assert_eq!(row(&text, "certificates.lifetime"), "certificates.lifetime 24h default");
}

const PLACES: &str = "
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  gatewayClassName: byrnie
  listeners: [{name: one, port: 8080, protocol: HTTP}, {name: two, port: 8081, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: front}]
  rules: [{backendRefs: [{name: a, port: 80}, {name: b, port: 80}]}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: two, namespace: shop}
spec: {targetRefs: [{kind: Gateway, name: front, sectionName: two}], timeouts: {request: 2s}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: b, namespace: shop}
spec: {targetRefs: [{kind: Service, name: b}], retry: {attempts: 7}, outlierEjection: {latency: {}}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: RateLimitPolicy
metadata: {name: few, namespace: shop}
spec:
  targetRefs: [{kind: Gateway, name: front, sectionName: one}]
  limits: [{name: few, requests: 5, per: 1m, key: [{type: header, name: x-user}]}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: FaultPolicy
metadata: {name: slow, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: b}]
  faults: [{percent: 10, delay: {fixed: 1s}, abort: {httpStatus: 503}}]
";

/// One rule at two listeners and for two Services: each place has its own values.
#[test]
fn places_that_differ_are_told_apart() {
    let reading = byrnie_api::read_documents(PLACES, "f.yaml");
    assert_eq!(reading.findings, []);
    let objects: Vec<Object> = reading.objects.into_iter().map(|(object, _)| object).collect();
    let world = World::new(objects.clone());
    let described = |index: usize| world.describe(&objects[index].to_value()).unwrap();
    let route = described(3);
    let place = |listener: &str, service: &str| {
        let heading =
            format!("of rule 0 at listener {listener} of Gateway shop/front to Service shop/{service}:\n");
        route
            .split_once(&heading)
            .unwrap_or_else(|| panic!("{heading} {route}"))
            .1
            .split("Effective")
            .next()
            .unwrap()
    };
    let edge = "TrafficPolicy shop/two (listener two of Gateway shop/front)";
    assert_eq!(row(place("one", "a"), "timeouts.request"), "timeouts.request none default");
    assert_eq!(row(place("two", "a"), "timeouts.request"), format!("timeouts.request 2s {edge}"));
    assert_eq!(row(place("two", "a"), "retry.attempts"), "retry.attempts 2 default");
    let of_b = "TrafficPolicy shop/b (Service shop/b)";
    assert_eq!(row(place("two", "b"), "retry.attempts"), format!("retry.attempts 7 {of_b}"));
    assert_eq!(
        row(place("one", "b"), "rateLimits.here.few"),
        "rateLimits.here.few 5 requests per 1m, burst 5 for each header x-user \
        RateLimitPolicy shop/few (listener one of Gateway shop/front)"
    );
    assert!(!place("two", "b").contains("rateLimits"));
    let fault = "faults.here[0] 10 % of them: waits 1s, then answers 503";
    assert!(row(place("two", "b"), "faults.here[0]").starts_with(fault), "{route}");
    let service = described(1);
    assert_eq!(
        row(&service, "outlierEjection.latency.factorPercent"),
        "outlierEjection.latency.factorPercent 300 default"
    );
    assert!(service.contains("faults.outbound[0]") && !service.contains("faults.inbound"), "{service}");
    let gateway = described(2);
    assert!(gateway.contains("Effective values of listener one:"), "{gateway}");
    assert!(gateway.contains("rateLimits.inbound.few"), "{gateway}");
    assert_eq!(row(&gateway, "timeouts.request"), format!("timeouts.request 2s {edge}"));
}
