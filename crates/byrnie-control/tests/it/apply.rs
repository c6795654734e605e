//! Objects through the API.

use std::time::{Duration, Instant};

use byrnie_control::api::{ApplyAction, ApplyRequest, ListQuery, WatchEventType};
use byrnie_control::client::Client;
use serde_json::{Value, json};

use crate::harness::{Mesh, SHOP, objects};

fn actions(results: &[byrnie_control::api::ApplyResult]) -> Vec<(String, ApplyAction)> {
    results.iter().map(|r| (format!("{} {}/{}", r.kind, r.namespace, r.name), r.action)).collect()
}

fn named(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_creates_configures_and_leaves_alone() {
    let mesh = Mesh::start().await;
    let first = mesh.apply(SHOP).await;
    assert!(first.results.iter().all(|r| r.action == ApplyAction::Created), "{first:?}");
    assert_eq!(first.results[0].kind, "Namespace", "it came into being");
    let second = mesh.apply(SHOP).await;
    assert!(second.results.iter().all(|r| r.action == ApplyAction::Unchanged), "{second:?}");
    let third = mesh.apply(&SHOP.replace("\"port\": 80,", "\"port\": 81,")).await;
    let changed: Vec<_> = third.results.iter().filter(|r| r.action == ApplyAction::Configured).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].kind, "Service");
    let service = mesh.get("svc", "shop", "web").await.unwrap();
    assert_eq!(service["metadata"]["generation"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_object_refuses_the_batch() {
    let mesh = Mesh::start().await;
    let mut batch = objects(SHOP);
    batch[1]["spec"]["selectr"] = json!({"app": "web"});
    let refused = mesh.try_apply(ApplyRequest { objects: batch, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code, "BYR0449");
    let finding = refused.findings.iter().find(|f| f.severity == "error").unwrap();
    assert_eq!((finding.index, finding.kind.as_str()), (Some(1), "Service"));
    assert!(finding.path.contains("selectr"), "{finding:?}");
    assert!(mesh.get("workload", "shop", "web-1").await.is_none(), "nothing was applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_changes_nothing() {
    let mesh = Mesh::start().await;
    let request = ApplyRequest { objects: objects(SHOP), dry_run: true, ..Default::default() };
    let response = mesh.try_apply(request).await.unwrap();
    assert!(response.results.iter().all(|r| r.action == ApplyAction::Created));
    assert!(mesh.client.list("workloads", &ListQuery::default()).await.unwrap().items.is_empty());
    mesh.apply(SHOP).await;
    let request = ApplyRequest {
        objects: objects(&SHOP.replace("18080", "18090")),
        dry_run: true,
        ..Default::default()
    };
    let response = mesh.try_apply(request).await.unwrap();
    let changed = response.results.iter().filter(|r| r.action == ApplyAction::Configured).count();
    assert_eq!((changed, response.results.len()), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_removes_what_its_source_created_and_nothing_else() {
    let mesh = Mesh::start().await;
    let from = |objects: Vec<Value>, prune| ApplyRequest {
        objects,
        source: Some("/tmp/a.yaml".to_owned()),
        prune,
        dry_run: false,
    };
    let account = |n| named("ServiceAccount", n);
    mesh.try_apply(ApplyRequest { objects: vec![account("by-hand")], ..Default::default() }).await.unwrap();
    mesh.try_apply(from(vec![account("a"), account("b"), account("by-hand")], false)).await.unwrap();
    mesh.try_apply(from(vec![account("a")], false)).await.unwrap();
    assert!(mesh.get("sa", "shop", "b").await.is_some(), "without prune nothing goes");
    let response = mesh.try_apply(from(vec![account("a")], true)).await.unwrap();
    assert_eq!(
        actions(&response.results),
        [
            ("ServiceAccount shop/a".to_owned(), ApplyAction::Unchanged),
            ("ServiceAccount shop/b".to_owned(), ApplyAction::Pruned),
        ]
    );
    assert!(mesh.get("sa", "shop", "b").await.is_none());
    assert!(mesh.get("sa", "shop", "by-hand").await.is_some(), "another one created it");
    assert!(mesh.get("namespace", "", "shop").await.is_some(), "namespaces belong to no source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_what_is_in_it() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let deleted = mesh.client.delete("namespace", "", "shop").await.unwrap().deleted;
    assert_eq!(deleted.len(), 5);
    assert_eq!(deleted[0].kind, "Namespace");
    for kind in ["workloads", "services", "gateways", "httproutes", "namespaces"] {
        assert!(mesh.client.list(kind, &ListQuery::default()).await.unwrap().items.is_empty(), "{kind}");
    }
    let error = mesh.client.delete("namespace", "", "shop").await.unwrap_err();
    assert_eq!(error.code, "BYR0444");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_is_there_and_what_happens() {
    let mesh = Mesh::start().await;
    mesh.try_apply(ApplyRequest { objects: vec![named("ServiceAccount", "a")], ..Default::default() })
        .await
        .unwrap();
    let query = ListQuery {
        namespace: Some("shop".to_owned()),
        label_selector: Some("!hidden".to_owned()),
        ..Default::default()
    };
    let mut lines = mesh.client.watch("serviceaccounts", &query).await.unwrap();
    let mut next = async || {
        let line = lines.next().await.unwrap().unwrap();
        (line.event, line.object["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(next().await, (WatchEventType::Added, "a".to_owned()));
    assert_eq!(next().await, (WatchEventType::Bookmark, String::new()));
    let apply = async |object: Value| {
        mesh.try_apply(ApplyRequest { objects: vec![object], ..Default::default() }).await.unwrap();
    };
    apply(named("ServiceAccount", "b")).await;
    assert_eq!(next().await, (WatchEventType::Added, "b".to_owned()));
    let mut labelled = named("ServiceAccount", "b");
    labelled["metadata"]["labels"] = json!({"x": "y"});
    apply(labelled.clone()).await;
    assert_eq!(next().await, (WatchEventType::Modified, "b".to_owned()));
    labelled["metadata"]["labels"] = json!({"hidden": "y"});
    apply(labelled).await;
    assert_eq!(next().await, (WatchEventType::Deleted, "b".to_owned()), "it no longer matches");
    mesh.client.delete("sa", "shop", "a").await.unwrap();
    assert_eq!(next().await, (WatchEventType::Deleted, "a".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_keep_their_time_while_their_status_is_the_same() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let accepted = |object: &Value| object["status"]["conditions"][0].clone();
    let first = mesh.until("gateway", "shop", "front", |o| !accepted(o).is_null()).await;
    let time = accepted(&first)["lastTransitionTime"].as_str().unwrap().to_owned();
    assert!(time.ends_with('Z'), "{time}");
    mesh.apply(&SHOP.replace("18080", "18090")).await;
    let second = mesh.until("gateway", "shop", "front", |o| accepted(o)["observedGeneration"] == 2).await;
    assert_eq!(accepted(&second)["lastTransitionTime"], time.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_coded() {
    let mesh = Mesh::start().await;
    let error = mesh.client.list("nonsense", &ListQuery::default()).await.unwrap_err();
    assert_eq!(error.code, "BYR0443");
    let query = ListQuery { label_selector: Some("a b".to_owned()), ..Default::default() };
    assert_eq!(mesh.client.list("services", &query).await.unwrap_err().code, "BYR0448");
    let version = mesh.client.version().await.unwrap();
    assert_eq!((version.trust_domain.as_str(), version.version.as_str()), ("cluster.local", "test"));
    assert!(mesh.client.metrics().await.unwrap().contains("byrnie_control_proxies 0"));
}

#[tokio::test]
async fn no_mesh_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let error = Client::new(dir.path()).version().await.unwrap_err();
    assert_eq!(error.code, "BYR0440");
    assert!(error.remedy.contains("byrnie up"));
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_data_directory_works() {
    let mut mesh = Mesh::start().await;
    mesh.stop().await;
    let deep = mesh.dir.path().join("d".repeat(120));
    let options = byrnie_control::ControlPlaneOptions {
        data_dir: deep.clone(),
        run_id: String::new(),
        xds_listener: None,
        version: "test".to_owned(),
        transparent: false,
    };
    let plane = byrnie_control::ControlPlane::start(options).await.unwrap();
    assert_eq!(Client::new(&deep).version().await.unwrap().xds, plane.xds().to_string());
    plane.stop().await;
}

/// The one rule of the Gateway API between an object and what was there before.
#[tokio::test(flavor = "multi_thread")]
async fn the_controller_of_a_class_is_fixed() {
    let mesh = Mesh::start().await;
    let class = |controller: &str, description: &str| {
        format!(
            r#"[{{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
                "metadata": {{"name": "edge"}},
                "spec": {{"controllerName": "{controller}", "description": "{description}"}}}}]"#
        )
    };
    mesh.apply(&class("byrnie.dev/gateway-controller", "one")).await;
    mesh.apply(&class("byrnie.dev/gateway-controller", "two")).await;
    let refused = mesh
        .try_apply(ApplyRequest {
            objects: objects(&class("other.example/controller", "two")),
            ..ApplyRequest::default()
        })
        .await
        .unwrap_err();
    let text = serde_json::to_string(&refused).unwrap();
    assert!(
        text.contains("spec.controllerName") && text.contains("fixed when the class is created"),
        "{text}"
    );
    let class_now = mesh.get("GatewayClass", "", "edge").await.unwrap();
    assert_eq!(class_now["spec"]["controllerName"], "byrnie.dev/gateway-controller");
    // One that is deleted and made anew may have another.
    mesh.client.delete("gatewayclass", "", "edge").await.unwrap();
    mesh.apply(&class("other.example/controller", "two")).await;
}
