//! What the operator sees of traffic: stat, tap, top, why; and a denied caller.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Mesh, Origin, Response, free_port, get, until};

/// A gateway in front of `web`, which two workloads serve: `web-1` meshed, `web-2` outside of the mesh.
fn shop(gateway: u16, meshed: u16, plain: u16) -> String {
    format!(
        "\
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: web-1, namespace: shop, labels: {{app: web}}}}
spec: {{serviceAccount: web, ports: [{{name: http, port: {meshed}}}]}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: legacy, namespace: shop, labels: {{app: legacy}}}}
spec: {{proxy: none, address: 127.0.0.1, ports: [{{name: http, port: {plain}}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http, appProtocol: http}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: legacy, namespace: shop}}
spec: {{selector: {{app: legacy}}, ports: [{{name: http, port: 80, targetPort: http, appProtocol: http}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: front, namespace: shop}}
spec: {{gatewayClassName: byrnie, listeners: [{{name: http, port: {gateway}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: front, namespace: shop}}
spec:
  parentRefs: [{{name: front}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /legacy}}}}]
    backendRefs: [{{name: legacy, port: 80}}]
  - backendRefs: [{{name: web, port: 80}}]
"
    )
}

struct Shop {
    mesh: Mesh,
    web: Origin,
    _legacy: Origin,
    gateway: u16,
}

impl Shop {
    fn open() -> Self {
        let (web, legacy, gateway) = (Origin::start("web"), Origin::start("legacy"), free_port());
        let mesh = Mesh::start(&shop(gateway, web.port, legacy.port));
        let shop = Self { mesh, web, _legacy: legacy, gateway };
        until("the gateway serves both routes", || {
            (shop.get("/")?.status == 200 && shop.get("/legacy")?.status == 200).then_some(())
        });
        shop
    }

    fn get(&self, path: &str) -> Option<Response> {
        get(&format!("127.0.0.1:{}", self.gateway), path, &[]).ok()
    }

    /// The item of a list of which this field has this value.
    fn item(&self, args: &[&str], field: &str, value: &str) -> Option<Value> {
        self.mesh.items(args)?.into_iter().find(|item| item[field] == value)
    }
}

#[test]
fn stat_and_routes_tell_the_failing_service() {
    let shop = Shop::open();
    shop.web.fail(true);
    until("the failures are seen", || {
        shop.get("/")?;
        let web = shop.item(&["stat", "services", "-o", "json"], "name", "web")?;
        (web["success"].as_f64()? < 1.0 && web["meshed"] == 1 && web["secured"] == true).then_some(())
    });
    let legacy = shop.item(&["stat", "services", "-o", "json"], "name", "legacy").unwrap();
    assert_eq!(
        (&legacy["meshed"], &legacy["total"], &legacy["secured"]),
        (&0.into(), &1.into(), &false.into())
    );
    let route = shop.item(&["routes", "-o", "json"], "service", "web").unwrap();
    assert!(route["success"].as_f64().unwrap() < 1.0, "{route}");
    let table = shop.mesh.byrnie(&["stat", "svc/web", "-n", "shop"]).ok();
    let header = "NAME   MESHED   SUCCESS      RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99   TCP_CONN";
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(table.lines().next().unwrap()), words(header), "{table}");
}

#[test]
fn an_edge_to_a_plain_endpoint_is_not_secured_and_says_why() {
    let shop = Shop::open();
    let edge = until("the edge is seen", || shop.item(&["edges", "-o", "json"], "dst", "legacy"));
    assert_eq!(edge["secured"], false, "{edge}");
    assert_ne!(edge["why"], "", "{edge}");
    assert_eq!(edge["serverId"], "", "{edge}");
    let edges = shop.mesh.items(&["edges", "-o", "json"]).unwrap();
    assert!(
        edges.iter().all(|edge| edge["src"] == "front"),
        "callers outside the mesh are no edge: {edges:?}"
    );
}

#[test]
fn tap_shows_a_request_from_its_beginning_to_its_end() {
    let shop = Shop::open();
    let mut command: Command =
        shop.mesh.sandbox.command(&["tap", "front", "--path", "/tapped", "-o", "json"]);
    let child = command.args(["--limit", "3"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = child;
    until("three lines are seen", || {
        shop.get("/tapped");
        child.try_wait().unwrap()
    });
    let output = child.wait_with_output().unwrap();
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["phase"], "req");
    assert_eq!((&lines[0]["method"], &lines[0]["path"]), (&"GET".into(), &"/tapped".into()));
}

#[test]
fn top_counts_by_method_and_path() {
    let shop = Shop::open();
    let mut command = shop.mesh.sandbox.command(&["top", "--duration", "3s"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    until("top has looked", || {
        shop.get("/counted?x=1");
        child.try_wait().unwrap()
    });
    let table = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(table.starts_with("Source"), "{table}");
    assert!(table.lines().any(|line| line.contains("GET") && line.contains(" /counted ")), "{table}");
}

#[test]
fn a_denied_caller_is_refused_and_why_names_the_policy() {
    let shop = Shop::open();
    let why = |path: &str| shop.mesh.byrnie(&["why", "front", "web", "--path", path, "-o", "json"]).json();
    assert_eq!(why("/admin")["verdict"], "allowed");
    shop.mesh.apply(
        "\
apiVersion: mesh.byrnie.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: web}]
  action: DENY
  rules:
  - from: [{identities: [shop/front-byrnie]}]
    to: [{paths: [/admin]}]
",
    );
    assert_eq!(shop.get("/admin").unwrap().status, 403);
    assert_eq!(shop.get("/other").unwrap().status, 200);
    let answer = why("/admin");
    assert_eq!(answer["verdict"], "denied");
    let text = shop.mesh.byrnie(&["why", "front", "web", "--path", "/admin"]).ok();
    assert!(text.contains("× policy") && text.contains("no-admin"), "{text}");
    assert_eq!(why("/other")["verdict"], "allowed");
    shop.mesh.byrnie(&["delete", "authorizationpolicy", "no-admin"]).ok();
    until("the policy is gone", || (shop.get("/admin")?.status == 200).then_some(()));
}
