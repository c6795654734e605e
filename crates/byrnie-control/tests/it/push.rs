//! apply → store → compile → push → ack.

use byrnie_control::api::SyncState;
use byrnie_plan::Resource;
use byrnie_wire::Role;
use byrnie_wire::client::Event;

use crate::harness::{Mesh, SHOP, endpoints, name};

const WEB_KEYS: &[&str] =
    &["InboundPolicy/shop/web-1", "Upstreams/shop/web-1", "TrustBundle", "MeshSettings"];
const FRONT_KEYS: &[&str] =
    &["GatewayRoutes/shop/front", "Endpoints/shop/web", "Routes/shop/web", "TrustBundle"];

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_the_proxies_and_wait_says_so() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let mut front = mesh.proxy("shop/front", Role::Gateway).await;
    front.subscribe(FRONT_KEYS);
    front.until("GatewayRoutes/shop/front", |r| r.is_some()).await;
    front.until("Endpoints/shop/web", |r| r.is_some()).await;
    assert!(front.until("Routes/shop/web", |_| true).await.is_none(), "no route is attached to the Service");

    // The workload's proxy says where it is: now it is an endpoint.
    let mut web = mesh.proxy("shop/web-1", Role::Sidecar).await;
    web.subscribe(WEB_KEYS);
    web.say("127.0.0.1:40001");
    web.until("InboundPolicy/shop/web-1", |r| r.is_some()).await;
    let web = web.run();
    front.until("Endpoints/shop/web", |r| endpoints(r) == ["127.0.0.1:40001".parse().unwrap()]).await;
    let workload = mesh.until("workload", "shop", "web-1", |o| !o["status"]["proxy"].is_null()).await;
    assert_eq!(workload["status"]["proxy"]["meshAddress"], "127.0.0.1:40001");
    let conditions = workload["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&"True".into(), &"ProxyReady".into()));
    let front = front.run();

    let response = mesh.wait().await;
    assert!(response.rejected.is_empty() && response.pending.is_empty(), "{response:?}");
    assert_eq!(response.synced, 2);
    let proxies = mesh.client.proxies().await.unwrap().items;
    let seen: Vec<_> = proxies.iter().map(|p| (p.workload.as_str(), p.role.as_str(), p.sync)).collect();
    assert_eq!(seen, [("front", "gateway", SyncState::Synced), ("web-1", "sidecar", SyncState::Synced)]);
    assert_eq!(proxies[1].admin, "127.0.0.1:15000");
    assert_eq!(proxies[1].not_after, "2096-10-02T07:06:40Z");
    let json = serde_json::to_value(&proxies[1]).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().take(6).collect();
    assert_eq!(keys, ["namespace", "workload", "pid", "admin", "sync", "notAfter"]);
    web.abort();
    front.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_waits_for_an_answer_and_tells_of_a_refusal() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let mut front = mesh.proxy("shop/front", Role::Gateway).await;
    front.refuse = Some("GatewayRoutes/shop/front".parse().unwrap());
    front.subscribe(FRONT_KEYS);
    front.until("TrustBundle", |r| r.is_some()).await;
    while mesh.client.proxies().await.unwrap().items[0].rejected.is_empty() {
        // Each answer of the proxy was sent; it is on its way to the control plane.
        tokio::task::yield_now().await;
    }
    let response = mesh.wait().await;
    assert_eq!(response.rejected.len(), 1, "{response:?}");
    assert_eq!(response.rejected[0].resource, "GatewayRoutes/shop/front");
    assert_eq!(response.rejected[0].reason, "BYR0299 not today");
    let item = mesh.client.proxies().await.unwrap().items.remove(0);
    assert_eq!(item.sync, SyncState::Rejected);
    assert_eq!(item.rejected, ["GatewayRoutes/shop/front: BYR0299 not today"]);

    let programmed = |object: &serde_json::Value| object["status"]["conditions"][1].clone();
    let gateway = mesh.until("gateway", "shop", "front", |o| programmed(o)["status"] == "False").await;
    assert_eq!(programmed(&gateway)["type"], "Programmed");
    assert!(programmed(&gateway)["message"].as_str().unwrap().ends_with("BYR0299 not today"), "{gateway}");

    // A later state that it obeys makes it good. Until it answers, wait waits.
    front.refuse = None;
    mesh.apply(&SHOP.replace("18080", "18090")).await;
    let wait = tokio::spawn({
        let client = mesh.client.clone();
        async move { client.wait(&Default::default()).await.unwrap() }
    });
    front.until("GatewayRoutes/shop/front", |r| r.is_some()).await;
    let front = front.run();
    let response = wait.await.unwrap();
    assert_eq!((response.synced, response.rejected.len(), response.pending.len()), (1, 0, 0));
    mesh.until("gateway", "shop", "front", |o| programmed(o)["status"] == "True").await;
    front.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_names_who_is_late_and_who_is_absent() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let front = mesh.proxy("shop/front", Role::Gateway).await;
    front.subscribe(&["TrustBundle"]);
    let request =
        byrnie_control::api::WaitRequest { timeout_ms: Some(10_000), proxies: vec!["shop/front".to_owned()] };
    // Nobody takes the events of this proxy, so it never answers.
    let request_short =
        byrnie_control::api::WaitRequest { timeout_ms: Some(200), proxies: vec!["shop/web-1".to_owned()] };
    let response = mesh.client.wait(&request_short).await.unwrap();
    assert!(response.pending.iter().any(|p| p.workload == "web-1" && p.resource.is_empty()), "{response:?}");
    let front = front.run();
    let response = mesh.client.wait(&request).await.unwrap();
    assert_eq!((response.synced, response.pending.len()), (1, 0), "{response:?}");
    front.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything_and_resends_nothing() {
    let mut mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let mut web = mesh.proxy("shop/web-1", Role::Sidecar).await;
    web.say("127.0.0.1:40001");
    web.subscribe(&["Endpoints/shop/web", "InboundPolicy/shop/web-1"]);
    web.until("Endpoints/shop/web", |r| !endpoints(r).is_empty()).await;
    web.until("InboundPolicy/shop/web-1", |r| r.is_some()).await;
    let (xds, bundle) = (mesh.xds(), mesh.bundle());
    mesh.restart("run-1").await;
    assert_eq!(mesh.xds(), xds, "the port of the run before");
    assert_eq!(mesh.bundle(), bundle, "the authority of the run before");
    let mut unchanged = 0;
    while unchanged < 2 {
        match web.step().await {
            Event::Unchanged(_) => unchanged += 1,
            Event::Update { key, .. } => panic!("{key} was sent again"),
            _ => {}
        }
    }
    // Another run of the supervisor makes addresses of older ones void.
    mesh.restart("run-2").await;
    web.until("Endpoints/shop/web", |r| r.is_some() && endpoints(r).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workload_is_no_endpoint_and_its_proxy_is_cut_off() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let mut web = mesh.proxy("shop/web-1", Role::Sidecar).await;
    web.say("127.0.0.1:40001");
    let mut front = mesh.proxy("shop/front", Role::Gateway).await;
    front.subscribe(FRONT_KEYS);
    front.until("Endpoints/shop/web", |r| !endpoints(r).is_empty()).await;
    mesh.client.delete("workload", "shop", "web-1").await.unwrap();
    front.until("Endpoints/shop/web", |r| endpoints(r).is_empty()).await;
    let reason = web.disconnected().await;
    assert!(reason.contains("BYR0366"), "{reason}");
    // It comes back and is told that there is no such workload.
    let reason = web.disconnected().await;
    assert!(reason.contains("no meshed workload shop/web-1"), "{reason}");
    assert!(mesh.client.proxies().await.unwrap().items.iter().all(|p| p.workload != "web-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_drains_is_nobodys_endpoint() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let mut web = mesh.proxy("shop/web-1", Role::Sidecar).await;
    web.say("127.0.0.1:40001");
    web.subscribe(&["Endpoints/shop/web"]);
    web.until("Endpoints/shop/web", |r| !endpoints(r).is_empty()).await;
    web.handle.status(byrnie_wire::NodeStatus {
        unhealthy: String::new(),
        pid: 4711,
        admin: None,
        mesh: Some("127.0.0.1:40001".parse().unwrap()),
        http_proxy: None,
        address: None,
        rules_restored: 0,
        version: String::new(),
        not_after: None,
        upstreams: Vec::new(),
        draining: true,
        run: "run-1".to_owned(),
    });
    web.until("Endpoints/shop/web", |r| endpoints(r).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_stream_of_a_workload_replaces_the_older() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    let svid = mesh.redeem(&token).await.unwrap();
    let mut old = mesh.proxy_as("shop/web-1", Role::Sidecar, &svid);
    old.subscribe(&["InboundPolicy/shop/web-1"]);
    let policy = old.until("InboundPolicy/shop/web-1", |r| r.is_some()).await;
    let Some(Resource::InboundPolicy(policy)) = policy else { panic!("{policy:?}") };
    assert_eq!(policy.workload, name("shop/web-1"));
    let new = mesh.proxy_as("shop/web-1", Role::Sidecar, &svid);
    let reason = old.disconnected().await;
    assert!(reason.contains("BYR0366"), "{reason}");
    old.handle.close();
    drop(new);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_get_a_change_and_a_stalled_one_holds_up_nobody() {
    let mesh = Mesh::start().await;
    let mut batch: Vec<serde_json::Value> = crate::harness::objects(SHOP);
    for i in 2..100 {
        let mut workload = batch[0].clone();
        workload["metadata"]["name"] = format!("web-{i}").into();
        batch.push(workload);
    }
    mesh.try_apply(byrnie_control::api::ApplyRequest { objects: batch, ..Default::default() }).await.unwrap();
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    // They share one account, so one certificate will do.
    let svid = mesh.redeem(&token).await.unwrap();
    let stalled = mesh.proxy_as("shop/web-1", Role::Sidecar, &svid);
    stalled.subscribe(&["Endpoints/shop/web"]);
    let mut proxies = Vec::new();
    for i in 2..100 {
        let mut proxy = mesh.proxy_as(&format!("shop/web-{i}"), Role::Sidecar, &svid);
        proxy.subscribe(&["Endpoints/shop/web"]);
        proxy.until("Endpoints/shop/web", |r| r.is_some()).await;
        proxies.push(proxy);
    }
    proxies[0].say("127.0.0.1:40001");
    for proxy in &mut proxies {
        proxy.until("Endpoints/shop/web", |r| !endpoints(r).is_empty()).await;
    }
    let running: Vec<_> = proxies.into_iter().map(super::harness::Proxy::run).collect();
    let request = byrnie_control::api::WaitRequest { timeout_ms: Some(2_000), proxies: Vec::new() };
    let response = mesh.client.wait(&request).await.unwrap();
    assert_eq!((response.synced, response.pending.len()), (98, 1), "{response:?}");
    assert_eq!(response.pending[0].workload, "web-1");
    running.iter().for_each(tokio::task::JoinHandle::abort);
}
