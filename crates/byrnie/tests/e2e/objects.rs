//! Objects of a running control plane: apply, get, describe, delete, watch, refusals.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::harness::Mesh;

const SHOP: &str = "\
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {name: web-1, namespace: shop, labels: {app: web, version: v1}}
spec:
  serviceAccount: web
  ports: [{name: http, port: 18081}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]
";

#[test]
fn an_object_from_apply_to_delete() {
    let mesh = Mesh::control_plane();
    mesh.sandbox.file("shop.yaml", SHOP);
    let run = mesh.byrnie(&["apply", "-f", "shop.yaml"]);
    assert!(run.stderr.contains(&format!("mesh: {}", mesh.data_dir().display())), "{run:?}");
    let created = "namespace/shop created\nworkload/shop/web-1 created\nservice/shop/web created\n";
    assert_eq!(run.ok(), created);
    let again = mesh.byrnie(&["apply", "-f", "shop.yaml"]).ok();
    assert_eq!(again, "workload/shop/web-1 unchanged\nservice/shop/web unchanged\n");

    let table = mesh.byrnie(&["get", "services"]).ok();
    assert!(
        table.starts_with(
            "NAMESPACE   NAME   TYPE        PORTS     AGE\nshop        web    ClusterIP   80/http"
        )
    );
    let table = mesh.byrnie(&["get", "svc/web", "-n", "shop"]).ok();
    assert!(table.starts_with("NAME   TYPE        PORTS     AGE\n"), "{table}");
    assert_eq!(mesh.byrnie(&["get", "svc", "-o", "name"]).ok(), "service/web\n");
    let object = mesh.byrnie(&["get", "svc", "web", "-o", "json"]).json();
    assert_eq!(object["spec"]["ports"][0]["port"], 80);
    assert_eq!(object["metadata"]["generation"], 1);
    let list = mesh.byrnie(&["get", "workloads", "-l", "app=web,version!=v2", "-o", "json"]).json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert!(mesh.byrnie(&["get", "workload", "web-1", "-o", "yaml"]).ok().contains("serviceAccount: web\n"));
    let described = mesh.byrnie(&["describe", "service/web"]).ok();
    assert!(described.contains("Name:         web\n") && described.contains("web-1"), "{described}");

    let run = mesh.byrnie(&["delete", "svc", "web"]);
    assert_eq!(run.ok(), "service/shop/web deleted\n");
    let stderr = mesh.byrnie(&["get", "svc", "web"]).refused(1);
    assert!(stderr.starts_with("error[BYR0444]: there is no svc `web`"), "{stderr}");
    assert!(mesh.byrnie(&["delete", "svc", "web"]).refused(1).contains("BYR0444"));
    mesh.byrnie(&["delete", "svc", "web", "--ignore-not-found"]).ok();
    assert_eq!(
        mesh.byrnie(&["delete", "-f", "shop.yaml", "--ignore-not-found"]).ok(),
        "workload/shop/web-1 deleted\n"
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let mesh = Mesh::control_plane();
    let run = mesh.sandbox.run_with_input(&["apply", "-f", "-", "--dry-run"], SHOP);
    assert_eq!(
        run.ok(),
        "namespace/shop created (dry run)\nworkload/shop/web-1 created (dry run)\nservice/shop/web created (dry run)\n"
    );
    assert_eq!(mesh.items(&["get", "svc", "-o", "json"]), Some(Vec::new()));
}

#[test]
fn a_refusal_names_file_line_field_code_and_what_to_do_and_applies_nothing() {
    let mesh = Mesh::control_plane();
    let bad =
        format!("{SHOP}---\napiVersion: v1\nkind: Service\nmetadata: {{name: b}}\nspec: {{prots: []}}\n");
    mesh.sandbox.file("bad.yaml", &bad);
    let stderr = mesh.byrnie(&["apply", "-f", "bad.yaml"]).refused(1);
    assert!(stderr.contains("error[BYR00") && stderr.contains("bad.yaml:18"), "{stderr}");
    assert!(stderr.contains("prots") && stderr.contains("help: "), "{stderr}");
    assert_eq!(mesh.items(&["get", "svc", "-o", "json"]), Some(Vec::new()));
}

#[test]
fn an_unknown_kind_is_refused() {
    let mesh = Mesh::control_plane();
    assert!(mesh.byrnie(&["get", "sevrices"]).refused(1).contains("BYR0443"));
    let run = mesh
        .sandbox
        .run_with_input(&["apply", "-f", "-"], "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n");
    assert!(run.refused(1).contains("Pod"));
}

#[test]
fn a_watch_begins_with_what_is_there_and_goes_on() {
    let mesh = Mesh::control_plane();
    mesh.sandbox.run_with_input(&["apply", "-f", "-"], SHOP).ok();
    let mut command = mesh.sandbox.command(&["get", "services", "--watch", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let mut seen = next();
    assert_eq!((&seen["type"], &seen["object"]["metadata"]["name"]), (&"ADDED".into(), &"web".into()));
    mesh.sandbox.run_with_input(&["apply", "-f", "-"], &SHOP.replace("port: 80,", "port: 81,")).ok();
    while seen["object"]["spec"]["ports"][0]["port"] != 81 {
        seen = next();
    }
    assert_eq!(seen["type"], "MODIFIED");
    mesh.byrnie(&["delete", "svc", "web"]).ok();
    while seen["type"] != "DELETED" {
        seen = next();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn two_namespaces_with_one_name() {
    let mesh = Mesh::control_plane();
    mesh.sandbox.run_with_input(&["apply", "-f", "-"], SHOP).ok();
    mesh.sandbox.run_with_input(&["apply", "-f", "-"], &SHOP.replace("shop", "other")).ok();
    let list = mesh.byrnie(&["get", "svc", "web", "-o", "name"]).ok();
    assert_eq!(list, "service/web\nservice/web\n");
    let stderr = mesh.byrnie(&["delete", "svc", "web"]).refused(1);
    assert!(stderr.contains("other, shop"), "{stderr}");
    mesh.byrnie(&["delete", "svc", "web", "-n", "other"]).ok();
    assert_eq!(mesh.byrnie(&["get", "svc", "web", "-o", "json"]).json()["metadata"]["namespace"], "shop");
    let run = mesh
        .sandbox
        .run_with_input(&["apply", "-f", "-"], "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n");
    assert_eq!(run.ok(), "namespace/default created\nserviceaccount/default/a created\n");
}

#[test]
fn state_outlives_the_control_plane() {
    let mut mesh = Mesh::control_plane();
    mesh.sandbox.run_with_input(&["apply", "-f", "-"], SHOP).ok();
    mesh.signal(rustix::process::Signal::KILL);
    mesh.wait_exit();
    assert!(mesh.byrnie(&["get", "svc"]).refused(1).starts_with("error[BYR0440]"));
    mesh.restart(&["control-plane"]);
    mesh.wait_running();
    assert_eq!(mesh.byrnie(&["get", "svc", "-o", "name"]).ok(), "service/web\n");
}

#[test]
fn sight_without_traffic_explains_itself() {
    let mesh = Mesh::control_plane();
    for args in [&["edges"][..], &["routes"], &["proxy-status"], &["get", "proxies"]] {
        let run = mesh.byrnie(args);
        assert!(!run.stderr.is_empty(), "{args:?}");
        assert_eq!(run.ok(), "", "{args:?}");
    }
    for args in [&["edges", "-o", "json"][..], &["routes", "-o", "json"], &["get", "proxies", "-o", "json"]] {
        assert_eq!(mesh.byrnie(args).json(), serde_json::json!({"items": []}), "{args:?}");
    }
    let check = mesh.byrnie(&["check"]).ok();
    assert!(check.contains("√ a control plane answers"), "{check}");
}
