//! Virtual addresses: given with the Service, the same over restarts, not reused at once, moved with the range.

use byrnie_control::api::ListQuery;
use byrnie_plan::{Key, Resource, name_shard};
use byrnie_wire::Role;
use serde_json::{Value, json};

use crate::harness::{Mesh, SHOP};

async fn transparent() -> Mesh {
    let mut mesh = Mesh::start().await;
    mesh.transparent = true;
    mesh.restart("run-2").await;
    mesh
}

fn services(names: &[&str]) -> String {
    let services: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
                "spec": {"ports": [{"port": 80}]}})
        })
        .collect();
    json!(services).to_string()
}

fn range(ipv4: &str, ipv6: &str) -> String {
    json!([{"apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "default"},
        "spec": {"virtualAddresses": {"ipv4Range": ipv4, "ipv6Range": ipv6}}}])
    .to_string()
}

async fn addresses(mesh: &Mesh, name: &str) -> Vec<String> {
    let service = mesh.get("Service", "shop", name).await.unwrap();
    let list = service["status"]["virtualAddresses"].as_array().cloned().unwrap_or_default();
    list.iter().map(|address| address.as_str().unwrap().to_owned()).collect()
}

async fn all(mesh: &Mesh) -> Vec<(String, Value)> {
    let list = mesh.client.list("Service", &ListQuery::default()).await.unwrap().items;
    let pair = |service: &Value| {
        (
            service["metadata"]["name"].as_str().unwrap().to_owned(),
            service["status"]["virtualAddresses"].clone(),
        )
    };
    list.iter().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_its_address_when_apply_answers_and_keeps_it() {
    let mut mesh = transparent().await;
    mesh.apply(SHOP).await;
    let first = addresses(&mesh, "web").await;
    assert_eq!(first.len(), 2, "{first:?}");
    assert!(first[0].starts_with("240.240.") && first[1].starts_with("2001:2::"), "{first:?}");
    mesh.apply(&services(&["a", "b", "c"])).await;
    let before = all(&mesh).await;
    mesh.restart("run-3").await;
    assert_eq!(all(&mesh).await, before);
    // A change of the Service is no reason for another address.
    mesh.apply(&SHOP.replace("\"port\": 80,", "\"port\": 81,")).await;
    assert_eq!(addresses(&mesh, "web").await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_hear_of_the_names_with_what_the_store_has() {
    let mesh = transparent().await;
    mesh.apply(SHOP).await;
    let mut proxy = mesh.proxy("shop/web-1", Role::Sidecar).await;
    let key = Key::Names(name_shard("shop", "web")).to_string();
    proxy.subscribe(&[&key]);
    let Some(Resource::Names(names)) = proxy.until(&key, |held| held.is_some()).await else { panic!() };
    let web = names.names.iter().find(|name| name.service.name == "web").unwrap();
    let told: Vec<String> = web.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(told, addresses(&mesh, "web").await);
    assert_eq!(web.ports, [80]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_rests_and_its_own_service_gets_it_back() {
    let mut mesh = transparent().await;
    mesh.apply(&range("10.77.0.0/28", "")).await;
    let names: Vec<String> = (0..14).map(|i| format!("s{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    mesh.apply(&services(&names)).await;
    let had = addresses(&mesh, "s5").await;
    assert_eq!(had.len(), 1);
    mesh.client.delete("Service", "shop", "s5").await.unwrap();
    let response = mesh.apply(&services(&["late"])).await;
    let codes: Vec<&str> = response.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert!(codes.contains(&"BYR0494"), "{codes:?}");
    assert_eq!(addresses(&mesh, "late").await, Vec::<String>::new());
    // The rest outlives the process.
    mesh.restart("run-3").await;
    let late = mesh.get("Service", "shop", "late").await.unwrap();
    assert_eq!(late["status"]["conditions"][0]["reason"], "Exhausted");
    mesh.apply(&services(&["s5"])).await;
    assert_eq!(addresses(&mesh, "s5").await, had);
    // Room again: the one that waited gets an address without being touched.
    mesh.apply(&range("10.78.0.0/24", "fd00::/64")).await;
    let late =
        mesh.until("Service", "shop", "late", |late| late["status"]["virtualAddresses"].is_array()).await;
    assert_eq!(late["status"]["conditions"], Value::Null);
    for (name, addresses) in all(&mesh).await {
        assert!(addresses[0].as_str().unwrap().starts_with("10.78.0."), "{name}: {addresses}");
        assert!(addresses[1].as_str().unwrap().starts_with("fd00::"), "{name}: {addresses}");
    }
    assert!(mesh.client.findings().await.unwrap().items.iter().all(|finding| finding.code != "BYR0494"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_has_none_and_without_capture_nobody_has() {
    let mesh = transparent().await;
    mesh.apply(&services(&["db"])).await;
    assert_eq!(addresses(&mesh, "db").await.len(), 2);
    let alias = json!([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"type": "ExternalName", "externalName": "db.example.com"}}]);
    mesh.apply(&alias.to_string()).await;
    assert_eq!(addresses(&mesh, "db").await, Vec::<String>::new());
    let plain = Mesh::start().await;
    plain.apply(&services(&["db"])).await;
    assert_eq!(plain.get("Service", "shop", "db").await.unwrap().get("status"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_cannot_be_is_refused() {
    let mesh = transparent().await;
    let request = byrnie_control::api::ApplyRequest {
        objects: crate::harness::objects(&range("127.0.0.0/8", "")),
        ..Default::default()
    };
    let refusal = mesh.try_apply(request).await.unwrap_err();
    let finding = &refusal.findings[0];
    assert_eq!(
        (finding.code.as_str(), finding.path.as_str()),
        ("BYR0044", "spec.virtualAddresses.ipv4Range")
    );
}
