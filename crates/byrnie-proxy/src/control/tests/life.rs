//! Lives of a proxy whose control plane is away.

use byrnie_net::socket::{DEFAULT_BACKLOG, listen};
use byrnie_plan::{
    AppProtocol, DefaultAction, Endpoints, GatewayListener, GatewayRoutes, HttpTable, InboundPolicy,
    InboundPort, ListenerProtocol, MeshSettings, PortEndpoints, Service, ServicePort, ServicePortRef,
    Upstream, Upstreams,
};

use super::*;
use crate::control::addresses::Addresses;

const HOUR: Duration = Duration::from_secs(3600);

fn inbound(workload: &str, account: &str) -> Resource {
    let port = InboundPort {
        port: 8080,
        name: String::new(),
        address: nobody(),
        protocol: AppProtocol::Http1,
        services: vec![ServicePortRef { service: name("shop/web"), port: 80 }],
        overrides: Default::default(),
    };
    Resource::InboundPolicy(Box::new(InboundPolicy {
        locality: String::new(),
        health_checks: Vec::new(),
        overrides: Default::default(),
        workload: name(workload),
        identity: identity_of(account),
        ports: vec![port],
        authorization: Default::default(),
        default_action: DefaultAction::AllowAuthenticated,
        controls: Vec::new(),
    }))
}

/// All that a sidecar holds which calls one service.
fn sidecar(home: &Home) -> Vec<Resource> {
    let web = name("shop/web");
    let port = ServicePort { name: String::new(), port: 80, protocol: AppProtocol::Http1 };
    vec![
        Resource::TrustBundle(home.bundle()),
        Resource::MeshSettings(Box::new(MeshSettings {
            drain_timeout: Duration::from_secs(1),
            ..MeshSettings::default()
        })),
        inbound("shop/web-1", "web"),
        Resource::Upstreams(Upstreams {
            workload: name("shop/web-1"),
            upstreams: vec![Upstream { service: web.clone(), port: 80 }],
            http_proxy: true,
            overrides: Vec::new(),
        }),
        Resource::Service(Box::new(Service {
            name: web.clone(),
            ports: vec![port],
            settings: Default::default(),
            controls: None,
            overrides: Default::default(),
        })),
        Resource::Endpoints(Endpoints {
            service: web,
            ports: vec![PortEndpoints { port: 80, endpoints: Vec::new() }],
        }),
    ]
}

fn gateway(port: u16) -> Resource {
    let listener = GatewayListener {
        name: "http".into(),
        port,
        addresses: Vec::new(),
        protocol: ListenerProtocol::Http,
        http: HttpTable::default(),
        tcp: Vec::new(),
        overrides: Default::default(),
    };
    Resource::GatewayRoutes(GatewayRoutes { gateway: name("shop/front"), listeners: vec![listener] })
}

#[tokio::test]
async fn a_proxy_with_a_past_serves_without_a_control_plane_and_keeps_its_addresses() {
    let home = Home::new();
    home.snapshot(&sidecar(&home));
    let mut store = FdStore::default();
    store.insert("identity".into(), kept(&home.svid("web", HOUR, SystemTime::now())));
    let mut first = Running::start(&home, "shop/web-1", Role::Sidecar, store);
    first.until(|running| running.ready).await;
    let addresses = Addresses::read(&home.state());
    let (admin, mesh) = (addresses.admin.unwrap(), addresses.mesh.unwrap());
    assert!(addresses.http_proxy.is_some());
    assert_eq!((addresses.upstreams.len(), addresses.upstreams[0].service.port), (1, 80));
    proves(&home, mesh, "web").await.unwrap();
    assert!(proves(&home, mesh, "other").await.is_err());
    assert_eq!(get(admin, "/ready"), (200, "ready\n".into()));
    assert!(get(admin, "/metrics").1.contains("byrnie_certificate_not_after_seconds"));
    assert_eq!(get(admin, "/nothing").0, 403, "what is not free is not even named without the token");
    let store = first.end().await;

    // The sockets of the first life, from the supervisor.
    let mut second = Running::start(&home, "shop/web-1", Role::Sidecar, store);
    second.until(|running| running.ready).await;
    assert_eq!(Addresses::read(&home.state()), addresses);
    proves(&home, mesh, "web").await.unwrap();
    let identity_only =
        second.end().await.duplicates().unwrap().into_iter().filter(|(name, _)| name == "identity");
    let mut store = FdStore::default();
    identity_only.for_each(|(name, fd)| assert!(store.insert(name, fd)));

    // No sockets, but what was written down.
    let mut third = Running::start(&home, "shop/web-1", Role::Sidecar, store);
    third.until(|running| running.ready).await;
    assert_eq!(Addresses::read(&home.state()), addresses);
    third.end().await;
}

#[tokio::test]
async fn an_expired_or_foreign_certificate_serves_nobody() {
    for (account, at) in [("web", SystemTime::now() - HOUR), ("other", SystemTime::now())] {
        let home = Home::new();
        home.snapshot(&sidecar(&home));
        let mut store = FdStore::default();
        store.insert("identity".into(), kept(&home.svid(account, HOUR / 2, at)));
        let mut running = Running::start(&home, "shop/web-1", Role::Sidecar, store);
        running.until(|running| !running.statuses.is_empty()).await;
        assert!(
            running.statuses[0].contains("BYR0367: no certificate and no credential"),
            "{:?}",
            running.statuses
        );
        assert!(!running.ready);
        let addresses = Addresses::read(&home.state());
        assert_eq!(get(addresses.admin.unwrap(), "/ready").0, 503);
        assert_eq!(get(addresses.admin.unwrap(), "/live").0, 200);
        assert!(proves(&home, addresses.mesh.unwrap(), account).await.is_err());
        running.end().await;
    }
}

#[tokio::test]
async fn a_gateway_without_its_port_says_so_and_takes_it_when_it_is_free() {
    let home = Home::new();
    let taken = listen("127.0.0.1:0".parse().unwrap(), DEFAULT_BACKLOG).unwrap();
    let address = taken.local_addr().unwrap();
    home.snapshot(&[
        Resource::TrustBundle(home.bundle()),
        inbound("shop/front", "front-byrnie"),
        gateway(address.port()),
    ]);
    let mut store = FdStore::default();
    store.insert("identity".into(), kept(&home.svid("front-byrnie", HOUR, SystemTime::now())));
    let mut running = Running::start(&home, "shop/front", Role::Gateway, store);
    let named = format!("port {} ", address.port());
    running.until(|running| running.statuses.iter().any(|status| status.contains(&named))).await;
    assert!(!running.ready);
    drop(taken);
    running.until(|running| running.ready).await;
    assert_eq!(get(address, "/").0, 404, "no route, but somebody is there");
    running.end().await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_no_obstacle() {
    let home = Home::new();
    std::fs::write(home.state().join("snapshot.bin"), b"BYRNSNAPnonsense").unwrap();
    std::fs::write(home.state().join("addresses.json"), b"{").unwrap();
    let mut running = Running::start(&home, "shop/web-1", Role::Sidecar, FdStore::default());
    running.until(|running| !running.statuses.is_empty()).await;
    assert!(!running.ready);
    running.end().await;
}
