//! What people see of the traffic, and why.

use byrnie_control::api::{SightQuery, TapPhase, TapQuery, WhyQuery, WhyVerdict};
use byrnie_plan::{RouteKind, RouteName};
use byrnie_wire::Role;
use byrnie_wire::client::Event;
use byrnie_wire::report::{
    Direction, Histogram, Peers, Report, RequestCell, TapEnd, TapEvent, TapResponse, TapStart, TapWhat,
    TcpCell,
};

use crate::harness::{Mesh, SHOP, endpoints, name};

fn peers() -> Peers {
    Peers {
        direction: Direction::Outbound,
        service: Some(name("shop/web")),
        route: Some(RouteName { kind: RouteKind::Http, route: name("shop/front"), rule: "0".to_owned() }),
        source: Some(name("other/liar")),
        destination: Some(name("shop/web-1")),
        peer_identity: Some("spiffe://cluster.local/ns/shop/sa/web".parse().unwrap()),
        self_identity: Some("spiffe://cluster.local/ns/shop/sa/front-byrnie".parse().unwrap()),
        secured: true,
        why: String::new(),
        error: String::new(),
        policy: String::new(),
    }
}

fn requests(status: u16, count: u64) -> RequestCell {
    RequestCell {
        peers: peers(),
        status,
        grpc_status: None,
        count,
        retries: 0,
        request_bytes: 0,
        response_bytes: 0,
        latency: Histogram { sum_us: 1000 * count, buckets: vec![(40, count)] },
    }
}

fn report(requests: Vec<RequestCell>, connections: Vec<TcpCell>) -> Report {
    Report {
        interval_ms: 1000,
        histogram_layout: byrnie_telemetry::HISTOGRAM_LAYOUT,
        dropped_cells: 0,
        requests,
        connections,
        pools: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_become_edges_routes_and_numbers() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let mut front = mesh.proxy("shop/front", Role::Gateway).await;
    front.subscribe(&["TrustBundle"]);
    front.until("TrustBundle", |r| r.is_some()).await;
    let tcp = TcpCell { peers: peers(), opened: 3, closed: 1, received_bytes: 5, sent_bytes: 6 };
    front.handle.report(report(vec![requests(200, 30), requests(503, 10)], vec![tcp]));
    let query = SightQuery::default();
    let routes = loop {
        let routes = mesh.client.routes(&query).await.unwrap().items;
        if !routes.is_empty() {
            break routes;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(routes.len(), 1);
    assert_eq!((routes[0].service.as_str(), routes[0].route.as_str()), ("web", "front/0"));
    assert!((routes[0].success - 0.75).abs() < 1e-9 && routes[0].p99_ms > 0.0, "{routes:?}");

    let edges = mesh.client.edges(&query).await.unwrap().items;
    assert_eq!(edges.len(), 1, "{edges:?}");
    let edge = &edges[0];
    assert_eq!((edge.src.as_str(), edge.dst.as_str()), ("front", "web-1"), "a proxy speaks for itself only");
    assert!(edge.secured && edge.why.is_empty());
    assert_eq!(edge.client_id, "spiffe://cluster.local/ns/shop/sa/front-byrnie");
    assert_eq!(edge.server_id, "spiffe://cluster.local/ns/shop/sa/web");

    let stat = mesh.client.stat(&query).await.unwrap().items;
    let rows: Vec<_> =
        stat.iter().map(|row| (row.kind.as_str(), row.name.as_str(), row.meshed, row.total)).collect();
    assert_eq!(rows, [("Service", "web", 0, 0), ("Gateway", "front", 1, 1)]);
    assert_eq!(stat[0].tcp_connections, 2);
    assert_eq!(stat[0].secured, Some(true));
    let top = mesh.client.top(&query).await.unwrap().items;
    assert_eq!((top.len(), top[0].count, top[0].src.as_str()), (1, 40, "front"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_asks_the_proxies_concerned_and_ends_with_its_client() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let mut front = mesh.proxy("shop/front", Role::Gateway).await;
    front.subscribe(&["TrustBundle"]);
    front.until("TrustBundle", |r| r.is_some()).await;
    let query =
        TapQuery { name: Some("web".to_owned()), method: Some("get".to_owned()), ..Default::default() };
    let mut lines = mesh.client.tap(&query).await.unwrap();
    let tap = loop {
        if let Event::TapRequest(tap) = front.step().await {
            break tap;
        }
    };
    assert_eq!((tap.filter.service, tap.filter.method.as_deref()), (Some(name("shop/web")), Some("GET")));
    let event = |what| TapEvent { tap: tap.id, request: 7, at_ms: 1_000, what };
    let start = TapStart {
        direction: Direction::Outbound,
        source: None,
        destination: Some(name("shop/web-1")),
        service: Some(name("shop/web")),
        peer_identity: None,
        secured: true,
        protocol: "HTTP/1.1".to_owned(),
        method: "GET".to_owned(),
        host: "web".to_owned(),
        path: "/a".to_owned(),
        route: "front/0".to_owned(),
    };
    front.handle.tap([
        event(TapWhat::Start(start)),
        event(TapWhat::Response(TapResponse { status: 200, since_start_us: 5 })),
        event(TapWhat::End(TapEnd {
            since_start_us: 9,
            response_bytes: 3,
            grpc_status: None,
            error: String::new(),
            delayed_us: 4,
        })),
    ]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(lines.next().await.unwrap().unwrap());
    }
    assert_eq!(
        seen.iter().map(|e| e.phase).collect::<Vec<_>>(),
        [TapPhase::Req, TapPhase::Rsp, TapPhase::End]
    );
    assert!(
        seen.iter().all(|e| e.src == "shop/front" && e.dst == "shop/web-1" && e.tls && e.id == 7),
        "{seen:?}"
    );
    assert_eq!(seen[2].delayed_micros, Some(4));
    assert_eq!((seen[0].path.as_str(), seen[1].status, seen[2].response_bytes), ("/a", Some(200), Some(3)));
    drop(lines);
    while !matches!(front.step().await, Event::TapStop(id) if id == tap.id) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_rule_that_decides() {
    let mesh = Mesh::start().await;
    mesh.apply(SHOP).await;
    let query = WhyQuery {
        namespace: "shop".to_owned(),
        src: "front".to_owned(),
        dst_namespace: "shop".to_owned(),
        dst: "web".to_owned(),
        path: Some("/cart".to_owned()),
        ..Default::default()
    };
    let why = mesh.client.why(&query).await.unwrap();
    assert_eq!(why.verdict, WhyVerdict::Unreachable, "its proxy has not said where it is: {why:?}");

    let mut web = mesh.proxy("shop/web-1", Role::Sidecar).await;
    web.say("127.0.0.1:40001");
    web.subscribe(&["Endpoints/shop/web"]);
    web.until("Endpoints/shop/web", |r| !endpoints(r).is_empty()).await;
    let why = mesh.client.why(&query).await.unwrap();
    assert_eq!(why.verdict, WhyVerdict::Allowed, "{why:?}");
    let step = |name: &str| why.steps.iter().find(|step| step.step == name).unwrap();
    assert_eq!(step("identity").rule, "spiffe://cluster.local/ns/shop/sa/front-byrnie");
    assert_eq!(step("route").rule, "front/0");
    assert_eq!(step("endpoint").rule, "shop/web:80");
    assert_eq!(step("certificate").rule, "spiffe://cluster.local/ns/shop/sa/web");

    let deny = r#"[{"apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "no-cart", "namespace": "shop"},
        "spec": {"targetRefs": [{"kind": "Service", "name": "web"}], "action": "DENY",
                 "rules": [{"to": [{"paths": ["/cart*"]}]}]}}]"#;
    mesh.apply(deny).await;
    let why = mesh.client.why(&query).await.unwrap();
    assert_eq!(why.verdict, WhyVerdict::Denied);
    assert!(why.summary.contains("shop/no-cart"), "{}", why.summary);
    let other = WhyQuery { path: Some("/list".to_owned()), ..query.clone() };
    assert_eq!(mesh.client.why(&other).await.unwrap().verdict, WhyVerdict::Allowed);
    let unknown = WhyQuery { src: "nobody".to_owned(), ..query };
    assert_eq!(mesh.client.why(&unknown).await.unwrap_err().code, "BYR0453");
}
