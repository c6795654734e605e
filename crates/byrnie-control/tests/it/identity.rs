//! Who gets which certificate, and what it opens.

use byrnie_wire::Role;
use byrnie_wire::identity::SignError;
use tokio::io::AsyncWriteExt;

use crate::harness::{Mesh, SHOP};

fn refused(result: Result<byrnie_identity::Svid, SignError>) -> String {
    match result {
        Err(SignError::Refused(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(svid) => panic!("a certificate for {}", svid.identity()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_good_once_and_for_one_identity() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    let svid = mesh.redeem(&token).await.unwrap();
    assert_eq!(svid.identity().to_string(), "spiffe://cluster.local/ns/shop/sa/web");
    assert!(refused(mesh.redeem(&token).await).contains("BYR0320"), "a second time");
    assert!(refused(mesh.redeem("no-such-credential").await).contains("BYR0320"));
    assert!(refused(mesh.redeem("").await).contains("BYR0324"), "neither credential nor certificate");
    let gateway = mesh.credential("shop/front", Role::Gateway).await.unwrap();
    let gateway = mesh.redeem(&gateway).await.unwrap();
    assert_eq!(gateway.identity().to_string(), "spiffe://cluster.local/ns/shop/sa/front-byrnie");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_credential_for_what_does_not_exist() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    for (workload, role) in
        [("shop/nobody", Role::Sidecar), ("shop/web-1", Role::Gateway), ("shop/front", Role::Sidecar)]
    {
        assert_eq!(mesh.credential(workload, role).await.unwrap_err().code, "BYR0341", "{workload}");
    }
    let plain =
        SHOP.replace("\"serviceAccount\": \"web\",", "\"serviceAccount\": \"web\", \"proxy\": \"none\",");
    mesh.apply(&plain).await;
    assert_eq!(
        mesh.credential("shop/web-1", Role::Sidecar).await.unwrap_err().code,
        "BYR0341",
        "outside the mesh"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_gives_the_same_identity_while_somebody_has_it() {
    let mesh = Mesh::start().await;
    let short = r#"[{"apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "default"},
                     "spec": {"certificates": {"lifetime": "10s"}}}]"#;
    mesh.apply(short).await;
    mesh.apply(SHOP).await;
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    let first = mesh.redeem(&token).await.unwrap();
    let life = first.not_after().duration_since(std::time::SystemTime::now()).unwrap();
    assert!(life.as_secs() <= 10, "{life:?}");
    let second = mesh.renew(&first).await.unwrap();
    assert_eq!(second.identity(), first.identity());
    mesh.client.delete("workload", "shop", "web-1").await.unwrap();
    assert!(refused(mesh.renew(&second).await).contains("BYR0326"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_dies_with_its_workload() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    mesh.client.delete("workload", "shop", "web-1").await.unwrap();
    assert!(refused(mesh.redeem(&token).await).contains("BYR0326"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_opens_only_its_own_workload() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    let svid = mesh.redeem(&token).await.unwrap();
    for (workload, role) in
        [("shop/front", Role::Gateway), ("shop/nobody", Role::Sidecar), ("shop/web-1", Role::Gateway)]
    {
        let mut proxy = mesh.proxy_as(workload, role, &svid);
        let reason = proxy.disconnected().await;
        assert!(reason.contains("BYR0364"), "{workload}: {reason}");
    }
    for key in [
        "InboundPolicy/shop/front",
        "GatewayRoutes/shop/front",
        "Upstreams/shop/other",
        "Routes/shop/web@other",
    ] {
        let mut proxy = mesh.proxy_as("shop/web-1", Role::Sidecar, &svid);
        proxy.subscribe(&[key]);
        let reason = proxy.disconnected().await;
        assert!(reason.contains("may not see"), "{key}: {reason}");
    }
    assert!(mesh.client.metrics().await.unwrap().contains("byrnie_control_streams_refused_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_the_port_harms_nobody() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let mut silent = Vec::new();
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 4096], b""] {
        let mut stream = tokio::net::TcpStream::connect(mesh.xds()).await.unwrap();
        stream.write_all(noise).await.unwrap();
        silent.push(stream);
    }
    let mut web = mesh.proxy("shop/web-1", Role::Sidecar).await;
    web.subscribe(&["InboundPolicy/shop/web-1"]);
    web.until("InboundPolicy/shop/web-1", |r| r.is_some()).await;
    // Whoever shows no certificate gets no stream.
    let node = byrnie_wire::NodeInfo {
        workload: "shop/web-1".parse().unwrap(),
        role: Role::Sidecar,
        version: String::new(),
        run: String::new(),
        pid: 1,
        generation: 1,
        retiring: false,
    };
    let (_handle, mut events, driver) = byrnie_wire::client::client(byrnie_wire::client::ClientOptions {
        node,
        connector: mesh.bootstrap(),
        backoff: Default::default(),
    });
    let driver = tokio::spawn(driver.run());
    let reason = loop {
        if let Some(byrnie_wire::client::Event::Disconnected { reason }) = events.recv().await {
            break reason;
        }
    };
    assert!(reason.contains("BYR0365"), "{reason}");
    driver.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trust_domain_is_chosen_before_the_first_workload() {
    let mut mesh = Mesh::start().await;
    let with = |domain: &str| {
        format!(
            r#"[{{"apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "Mesh", "metadata": {{"name": "default"}},
                 "spec": {{"trustDomain": "{domain}"}}}}, {}"#,
            SHOP.trim_start_matches('[')
        )
    };
    mesh.apply(&with("example.org")).await;
    assert_eq!(mesh.bundle().trust_domain, "example.org");
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    let svid = mesh.redeem(&token).await.unwrap();
    assert_eq!(svid.identity().to_string(), "spiffe://example.org/ns/shop/sa/web");
    let request = byrnie_control::api::ApplyRequest {
        objects: crate::harness::objects(&with("other.org")),
        ..Default::default()
    };
    assert_eq!(mesh.try_apply(request).await.unwrap_err().code, "BYR0327");
    mesh.restart("run-1").await;
    assert_eq!(mesh.bundle().trust_domain, "example.org");
    assert_eq!(mesh.renew(&svid).await.unwrap().identity(), svid.identity());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_outlive_its_certificate() {
    let mesh = Mesh::start().await;
    let short = r#"[{"apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "default"},
                     "spec": {"certificates": {"lifetime": "10s"}}}]"#;
    mesh.apply(short).await;
    mesh.apply(SHOP).await;
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    let svid = mesh.redeem(&token).await.unwrap();
    let mut proxy = mesh.proxy_as("shop/web-1", Role::Sidecar, &svid);
    proxy.subscribe(&["InboundPolicy/shop/web-1"]);
    proxy.until("InboundPolicy/shop/web-1", |policy| policy.is_some()).await;
    let reason = proxy.disconnected().await;
    assert!(std::time::SystemTime::now() >= svid.not_after(), "{reason}");
    assert!(reason.contains("BYR0332"), "{reason}");
    let again = proxy.disconnected().await;
    assert!(!again.contains("BYR0332"), "with the same certificate it gets no stream any more: {again}");
    // A renewed one opens a stream again.
    let token = mesh.credential("shop/web-1", Role::Sidecar).await.unwrap();
    let svid = mesh.redeem(&token).await.unwrap();
    let mut proxy = mesh.proxy_as("shop/web-1", Role::Sidecar, &svid);
    proxy.subscribe(&["InboundPolicy/shop/web-1"]);
    proxy.until("InboundPolicy/shop/web-1", |policy| policy.is_some()).await;
}
