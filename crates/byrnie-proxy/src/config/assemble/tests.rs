//! What is reused, what is swapped, what waits, what is refused.

use byrnie_plan::{
    AppProtocol, AuthorizationPolicy, Backend, BackendTarget, ConnectionLimits, DefaultAction, Dialect,
    Endpoints, Filter, GatewayListener, HeaderModifier, Hop, HostPattern, HttpMatch, HttpRule, HttpTable,
    InboundPort, ListenerProtocol, PathMatch, PortEndpoints, PortRoutes, RouteKind, RouteName, Routes,
    Service, ServicePort, ServicePortRef, Timeouts, Upstream, WorkloadIdentity,
};

use super::*;
use crate::config::{Cluster, Destination};

mod apart;

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

fn port_of(service: &str) -> ServicePortRef {
    ServicePortRef { service: name(service), port: 80 }
}

fn identity(account: &str) -> WorkloadIdentity {
    format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap()
}

fn service(service: &str, protocol: AppProtocol) -> Resource {
    let port = ServicePort { name: "main".into(), port: 80, protocol };
    Resource::Service(Box::new(Service {
        name: name(service),
        ports: vec![port],
        settings: Default::default(),
        controls: None,
        overrides: Default::default(),
    }))
}

/// `port@version`: an endpoint of version v1, v2, ….
fn endpoints(service: &str, list: &[(u16, &str)]) -> Resource {
    let endpoint = |(port, version): &(u16, &str)| byrnie_plan::Endpoint {
        workload: name("shop/web-1"),
        address: ([127, 0, 0, 1], *port).into(),
        app_port: 8080,
        hop: Hop::Mesh { identity: identity("web"), dialect: Dialect::Byrnie },
        weight: 1,
        locality: String::new(),
        uid: String::new(),
        labels: vec![("version".into(), (*version).into())],
    };
    let ports =
        vec![PortEndpoints { port: 80, endpoints: list.iter().map(endpoint).map(Arc::new).collect() }];
    Resource::Endpoints(Endpoints { service: name(service), ports })
}

fn upstreams(services: &[&str]) -> Resource {
    let upstreams = services.iter().map(|service| Upstream { service: name(service), port: 80 });
    Resource::Upstreams(Upstreams {
        workload: name("shop/bot"),
        upstreams: upstreams.collect(),
        http_proxy: false,
        overrides: Vec::new(),
    })
}

fn backend(service: &str, version: Option<&str>) -> Backend {
    let subset = version.map(|version| ("version".to_owned(), version.to_owned()));
    let target =
        BackendTarget::Service { service: name(service), port: 80, subset: subset.into_iter().collect() };
    Backend { target, weight: 1, filters: Vec::new() }
}

fn table(kind: RouteKind, path: PathMatch, backends: Vec<Backend>) -> HttpTable {
    let rule = HttpRule {
        name: RouteName { kind, route: name("shop/route"), rule: "0".into() },
        filters: Vec::new(),
        backends,
        timeouts: Timeouts::default(),
        retry: None,
        controls: None,
    };
    let http_match = HttpMatch {
        host_scope: 0,
        host: HostPattern::Any,
        path,
        method: None,
        headers: Vec::new(),
        queries: Vec::new(),
        rule: 0,
    };
    HttpTable { matches: vec![http_match], rules: vec![rule], scopes: Vec::new() }
}

fn everything() -> PathMatch {
    PathMatch::Prefix("/".into())
}

fn routes(service: &str, client: Option<&str>, table: HttpTable) -> Resource {
    let ports = vec![PortRoutes { port: 80, http: Some(table), tcp: Vec::new() }];
    Resource::Routes(Routes { service: name(service), client_namespace: client.map(Into::into), ports })
}

fn inbound(ports: &[u16], authorization: Vec<AuthorizationPolicy>) -> Resource {
    let port = |port: &u16| InboundPort {
        port: *port,
        name: String::new(),
        address: ([127, 0, 0, 1], *port).into(),
        protocol: AppProtocol::Http1,
        services: vec![port_of("shop/bot")],
        overrides: Default::default(),
    };
    Resource::InboundPolicy(Box::new(InboundPolicy {
        locality: String::new(),
        health_checks: Vec::new(),
        overrides: Default::default(),
        workload: name("shop/bot"),
        identity: identity("bot"),
        ports: ports.iter().map(port).collect(),
        authorization: authorization.into(),
        default_action: DefaultAction::AllowAuthenticated,
        controls: Vec::new(),
    }))
}

/// An assembler with its control plane: what is offered is in force, or waits, when `offer` returns.
struct Bench {
    assembler: Assembler,
    /// As swapped in last.
    config: Arc<Config>,
    swaps: usize,
    vanished: Vec<Arc<Endpoint>>,
    in_force: Vec<String>,
    /// What the clock says.
    now: Time,
}

impl Bench {
    fn new(role: Role) -> Self {
        let assembler = Assembler::new(name("shop/bot"), role);
        let config = Arc::default();
        Self { assembler, config, swaps: 0, vanished: Vec::new(), in_force: Vec::new(), now: Time::ZERO }
    }

    /// A sidecar that calls shop/web, with two endpoints and no routes.
    fn calling_web() -> Self {
        let mut bench = Self::new(Role::Sidecar);
        bench.offer(upstreams(&["shop/web"]));
        bench.offer(service("shop/web", AppProtocol::Detect));
        bench.offer(endpoints("shop/web", &[(1, "v1"), (2, "v2")]));
        bench.absent("Routes/shop/web");
        bench.absent("Routes/shop/web@shop");
        bench
    }

    fn offer(&mut self, resource: Resource) {
        self.try_offer(resource).unwrap();
    }

    fn try_offer(&mut self, resource: Resource) -> Result<(), Refusal> {
        let offered = self.assembler.offer(resource.key(), Some(resource));
        self.settle();
        offered
    }

    fn absent(&mut self, key: &str) {
        self.assembler.offer(key.parse().unwrap(), None).unwrap();
        self.settle();
    }

    fn settle(&mut self) {
        let settled = self.assembler.settle(self.now);
        self.in_force = settled.in_force.iter().map(Key::to_string).collect();
        self.vanished.extend(settled.vanished);
        if let Some(config) = settled.config {
            self.config = config;
            self.swaps += 1;
        }
    }

    fn destination(&self, service: &str) -> Option<Arc<Destination>> {
        self.config.destinations.get(&port_of(service)).cloned()
    }

    fn cluster(&self, service: &str) -> Arc<Cluster> {
        Arc::clone(&self.destination(service).unwrap().cluster)
    }

    fn needs(&self, key: &str) -> bool {
        self.assembler.needed_keys().contains(&key.parse().unwrap())
    }
}

fn ports(cluster: &Cluster) -> Vec<u16> {
    cluster.endpoints.load().endpoints.iter().map(|endpoint| endpoint.plan.address.port()).collect()
}

fn first(cluster: &Cluster) -> Arc<Endpoint> {
    Arc::clone(&cluster.endpoints.load().endpoints[0])
}

#[test]
fn what_is_needed_follows_from_what_is_held() {
    let mut sidecar = Bench::new(Role::Sidecar);
    let keys: Vec<String> = sidecar.assembler.needed_keys().iter().map(Key::to_string).collect();
    assert_eq!(keys, ["InboundPolicy/shop/bot", "Upstreams/shop/bot", "TrustBundle", "MeshSettings"]);
    assert!(Bench::new(Role::Gateway).needs("GatewayRoutes/shop/bot"));
    assert!(sidecar.assembler.changed_needs().is_some());
    sidecar.offer(upstreams(&["shop/web"]));
    assert!(sidecar.assembler.changed_needs().is_some());
    assert!(sidecar.assembler.changed_needs().is_none(), "nothing new");
    for key in ["Service/shop/web", "Endpoints/shop/web", "Routes/shop/web", "Routes/shop/web@shop"] {
        assert!(sidecar.needs(key), "{key}");
    }
    assert!(!sidecar.needs("Service/shop/other"));
    sidecar.offer(routes(
        "shop/web",
        None,
        table(RouteKind::Http, everything(), vec![backend("shop/other", None)]),
    ));
    assert!(sidecar.needs("Service/shop/other") && sidecar.needs("Endpoints/shop/other"));
    assert!(!sidecar.needs("Routes/shop/other"), "a backend is a service's endpoints, not its routes");
}

#[test]
fn upstreams_wait_for_what_they_refer_to() {
    let mut bench = Bench::new(Role::Sidecar);
    bench.offer(upstreams(&["shop/web"]));
    assert!(bench.in_force.is_empty() && bench.assembler.upstreams().is_none());
    bench.offer(service("shop/web", AppProtocol::Http1));
    bench.offer(endpoints("shop/web", &[(1, "v1")]));
    bench.absent("Routes/shop/web@shop");
    assert!(bench.destination("shop/web").is_none(), "its routes are still on their way");
    bench.absent("Routes/shop/web");
    assert_eq!(bench.in_force, ["Routes/shop/web", "Upstreams/shop/bot"]);
    assert_eq!(ports(&bench.cluster("shop/web")), [1]);
}

#[test]
fn endpoints_are_swapped_in_place_and_keep_their_state() {
    let mut bench = Bench::calling_web();
    let (cluster, kept, swaps) = (bench.cluster("shop/web"), first(&bench.cluster("shop/web")), bench.swaps);
    bench.offer(endpoints("shop/web", &[(3, "v1"), (1, "v1")]));
    assert_eq!(bench.swaps, swaps, "no new configuration");
    assert_eq!(ports(&cluster), [3, 1]);
    assert!(Arc::ptr_eq(&cluster.endpoints.load().endpoints[1], &kept));
    let gone: Vec<u16> = bench.vanished.iter().map(|endpoint| endpoint.plan.address.port()).collect();
    assert_eq!(gone, [2]);
    let set = cluster.endpoints.load_full();
    bench.offer(endpoints("shop/web", &[(3, "v1"), (1, "v1")]));
    assert!(Arc::ptr_eq(&set, &cluster.endpoints.load_full()), "the same endpoints: not even a swap");
    bench.absent("Endpoints/shop/web");
    assert_eq!(ports(&cluster), Vec::<u16>::new(), "down to zero at once");
    assert_eq!(bench.vanished.len(), 3);
    assert!(!kept.gone.is_cancelled(), "whoever swaps cancels, after the swap");
}

#[test]
fn an_endpoint_by_itself_is_one_for_all_who_call_it() {
    let mut bench = Bench::calling_web();
    let cluster = bench.cluster("shop/web");
    let alone = cluster.alone(&first(&cluster));
    assert!(
        Arc::ptr_eq(&alone, &cluster.alone(&first(&cluster))),
        "who waits for it is counted in one place"
    );
    assert_eq!(ports(&alone), [1]);
    bench.offer(endpoints("shop/web", &[(3, "v1")]));
    assert_eq!(ports(&cluster.alone(&first(&cluster))), [3]);
    assert_eq!(Arc::strong_count(&alone), 1, "one that is gone is let go");
}

#[test]
fn an_endpoint_with_another_identity_is_another_one() {
    let mut bench = Bench::calling_web();
    let before = first(&bench.cluster("shop/web"));
    let Resource::Endpoints(mut changed) = endpoints("shop/web", &[(1, "v1"), (2, "v2")]) else { panic!() };
    Arc::make_mut(&mut changed.ports[0].endpoints[0]).hop =
        Hop::Mesh { identity: identity("thief"), dialect: Dialect::Byrnie };
    bench.offer(Resource::Endpoints(changed));
    assert!(!Arc::ptr_eq(&before, &first(&bench.cluster("shop/web"))));
    assert!(Arc::ptr_eq(&before, &bench.vanished[0]));
}

#[test]
fn a_cluster_is_replaced_only_for_other_settings_or_protocol() {
    let mut bench = Bench::calling_web();
    let (before, destination) = (bench.cluster("shop/web"), bench.destination("shop/web").unwrap());
    bench.offer(service("shop/web", AppProtocol::Detect));
    assert!(Arc::ptr_eq(&before, &bench.cluster("shop/web")));
    assert!(Arc::ptr_eq(&destination, &bench.destination("shop/web").unwrap()));
    let Resource::Service(mut changed) = service("shop/web", AppProtocol::Detect) else { panic!() };
    Arc::make_mut(&mut changed.settings).limits =
        ConnectionLimits { max_connections: 1, ..ConnectionLimits::default() };
    bench.offer(Resource::Service(changed));
    let after = bench.cluster("shop/web");
    assert!(!Arc::ptr_eq(&before, &after));
    assert_eq!(after.settings.limits.max_connections, 1);
    assert!(Arc::ptr_eq(&before.budget, &after.budget), "retries count on");
    assert!(Arc::ptr_eq(&first(&before), &first(&after)), "connections stay");
    bench.offer(endpoints("shop/web", &[(9, "v1")]));
    assert_eq!((ports(&after), ports(&before)), (vec![9], vec![1, 2]), "the old one is nobody's any more");
    bench.absent("Service/shop/web");
    assert!(bench.destination("shop/web").is_none());
}

#[test]
fn routes_are_compiled_again_only_when_they_or_their_clusters_change() {
    let mut bench = Bench::calling_web();
    bench.offer(routes(
        "shop/web",
        None,
        table(RouteKind::Http, everything(), vec![backend("shop/web", None)]),
    ));
    let before = bench.destination("shop/web").unwrap().http.clone().unwrap();
    bench.offer(inbound(&[8080], Vec::new()));
    bench.offer(endpoints("shop/web", &[(7, "v1")]));
    assert!(Arc::ptr_eq(&before, bench.destination("shop/web").unwrap().http.as_ref().unwrap()));
    assert_eq!(ports(before.rules[0].backends[0].cluster.as_ref().unwrap()), [7]);
    bench.offer(service("shop/web", AppProtocol::Http2));
    let after = bench.destination("shop/web").unwrap().http.clone().unwrap();
    assert!(!Arc::ptr_eq(&before, &after));
    assert!(Arc::ptr_eq(after.rules[0].backends[0].cluster.as_ref().unwrap(), &bench.cluster("shop/web")));
}

#[test]
fn a_subset_shares_endpoints_and_budget_with_the_whole() {
    let mut bench = Bench::calling_web();
    let split =
        vec![backend("shop/web", Some("v1")), backend("shop/web", Some("v2")), backend("shop/web", None)];
    bench.offer(routes("shop/web", None, table(RouteKind::Http, everything(), split)));
    let http = bench.destination("shop/web").unwrap().http.clone().unwrap();
    let clusters: Vec<_> = http.rules[0].backends.iter().map(|b| b.cluster.clone().unwrap()).collect();
    assert_eq!(
        clusters.iter().map(|cluster| ports(cluster)).collect::<Vec<_>>(),
        [vec![1], vec![2], vec![1, 2]]
    );
    assert!(Arc::ptr_eq(&first(&clusters[0]), &first(&clusters[2])));
    assert!(clusters.iter().all(|cluster| Arc::ptr_eq(&cluster.budget, &clusters[2].budget)));
    bench.offer(endpoints("shop/web", &[(2, "v2"), (5, "v1"), (6, "v1")]));
    assert_eq!(
        clusters.iter().map(|cluster| ports(cluster)).collect::<Vec<_>>(),
        [vec![5, 6], vec![2], vec![2, 5, 6]]
    );
}

#[test]
fn a_route_to_another_service_waits_until_that_one_is_known() {
    let mut bench = Bench::calling_web();
    let target = |service| table(RouteKind::Http, everything(), vec![backend(service, None)]);
    bench.offer(routes("shop/web", None, target("shop/web")));
    bench.offer(routes("shop/web", None, target("shop/next")));
    assert!(bench.in_force.is_empty(), "acknowledged only once it is in force");
    let to = |bench: &Bench| {
        let http = bench.destination("shop/web").unwrap().http.clone().unwrap();
        http.rules[0].backends[0].cluster.as_ref().map(|cluster| cluster.service.clone()).map_err(|why| *why)
    };
    assert_eq!(to(&bench), Ok(Arc::new(port_of("shop/web"))));
    bench.offer(service("shop/next", AppProtocol::Http1));
    bench.offer(endpoints("shop/next", &[(4, "v1")]));
    assert_eq!(bench.in_force, ["Endpoints/shop/next", "Routes/shop/web"]);
    assert_eq!(to(&bench), Ok(Arc::new(port_of("shop/next"))));
    bench.absent("Service/shop/next");
    assert_eq!(to(&bench), Err(InvalidBackend::NotFound));
}

#[test]
fn a_consumers_routes_replace_the_producers() {
    let mut bench = Bench::calling_web();
    let named =
        |path: &str| table(RouteKind::Http, PathMatch::Exact(path.into()), vec![backend("shop/web", None)]);
    let path = |bench: &Bench| {
        bench.destination("shop/web").unwrap().http.as_ref().map(|http| http.paths[0].clone())
    };
    assert_eq!(path(&bench), None);
    bench.offer(routes("shop/web", None, named("/producer")));
    assert_eq!(path(&bench), Some(PathMatch::Exact("/producer".into())));
    bench.offer(routes("shop/web", Some("shop"), named("/consumer")));
    assert_eq!(path(&bench), Some(PathMatch::Exact("/consumer".into())));
    bench.absent("Routes/shop/web@shop");
    assert_eq!(path(&bench), Some(PathMatch::Exact("/producer".into())));
}

#[test]
fn routes_say_what_an_undeclared_port_speaks() {
    for (declared, kind, want) in [
        (AppProtocol::Detect, None, AppProtocol::Detect),
        (AppProtocol::Detect, Some(RouteKind::Http), AppProtocol::Http1),
        (AppProtocol::Detect, Some(RouteKind::Grpc), AppProtocol::Grpc),
        (AppProtocol::Http2, Some(RouteKind::Http), AppProtocol::Http2),
        (AppProtocol::Tcp, None, AppProtocol::Tcp),
    ] {
        let mut bench = Bench::calling_web();
        bench.offer(service("shop/web", declared));
        if let Some(kind) = kind {
            bench.offer(routes("shop/web", None, table(kind, everything(), vec![backend("shop/web", None)])));
        }
        assert_eq!(bench.destination("shop/web").unwrap().protocol, want, "{declared:?} {kind:?}");
    }
}

#[test]
fn what_cannot_be_compiled_is_refused_and_the_last_good_one_stays() {
    let mut bench = Bench::calling_web();
    let good = table(RouteKind::Http, PathMatch::Exact("/good".into()), vec![backend("shop/web", None)]);
    bench.offer(routes("shop/web", None, good.clone()));
    let regex = table(RouteKind::Http, PathMatch::Regex("(".into()), Vec::new());
    let mut header = good.clone();
    let add = vec![("x-a".to_owned(), "line\nbreak".to_owned())];
    header.rules[0].filters.push(Filter::RequestHeaders(HeaderModifier { add, ..HeaderModifier::default() }));
    let mut nowhere = good;
    nowhere.matches[0].rule = 7;
    for bad in [regex, header, nowhere] {
        let refusal = bench.try_offer(routes("shop/web", None, bad.clone())).unwrap_err();
        assert_eq!(refusal.code, "BYR0456", "{}", refusal.reason);
        assert!(bench.in_force.is_empty());
        let http = bench.destination("shop/web").unwrap().http.clone().unwrap();
        assert_eq!(http.paths, [PathMatch::Exact("/good".into())]);
    }
}

#[test]
fn a_refused_first_state_does_not_hold_up_the_others() {
    let mut bench = Bench::new(Role::Sidecar);
    bench.offer(upstreams(&["shop/web"]));
    bench.offer(service("shop/web", AppProtocol::Http1));
    bench.offer(endpoints("shop/web", &[(1, "v1")]));
    bench.absent("Routes/shop/web@shop");
    let bad = table(RouteKind::Http, PathMatch::Regex("(".into()), Vec::new());
    assert!(bench.try_offer(routes("shop/web", None, bad)).is_err());
    assert!(bench.assembler.upstreams().is_some());
}

#[test]
fn inbound_fails_closed_and_keeps_what_is_the_same() {
    let mut bench = Bench::new(Role::Sidecar);
    bench.settle();
    assert!(bench.config.inbound.is_none(), "nothing known, nothing accepted");
    bench.offer(inbound(&[8080, 9090], Vec::new()));
    let before = bench.config.inbound.clone().unwrap();
    let deny = AuthorizationPolicy {
        name: "shop/none".into(),
        action: byrnie_plan::Action::Deny,
        rules: Vec::new(),
        dry_run: false,
    };
    bench.offer(inbound(&[8080, 9091], vec![deny]));
    let after = bench.config.inbound.clone().unwrap();
    assert!(Arc::ptr_eq(&before.ports[&8080], &after.ports[&8080]));
    assert!(after.ports.contains_key(&9090), "callers hear of it a moment later");
    assert_eq!(after.ports[&9091].application.plan.hop, Hop::Plaintext);
    assert_eq!(ports(&after.ports[&9091].cluster), [9091]);
    bench.now = Time::from_millis(5_001);
    bench.settle();
    let later = bench.config.inbound.clone().unwrap();
    assert!(Arc::ptr_eq(&before.ports[&8080], &later.ports[&8080]));
    assert_eq!(later.ports.len(), 2, "what was given up is over");
    bench.absent("InboundPolicy/shop/bot");
    assert!(bench.config.inbound.is_none());
}

#[test]
fn requests_to_the_own_application_are_bounded_in_sum() {
    let mut bench = Bench::new(Role::Sidecar);
    bench.offer(inbound(&[8080], Vec::new()));
    let port = Arc::clone(&bench.config.inbound.clone().unwrap().ports[&8080]);
    let worker = crate::tcp::tests::mesh::Mesh::new().proxy("bot");
    let take = || crate::balance::take_own(&worker, &port.cluster, &port.application);
    let mut taken: Vec<_> = (0..10_000).map_while(|_| take()).collect();
    assert_eq!(taken.len(), 10_000);
    assert!(take().is_none());
    assert_eq!(worker.process.counters.limit_in_flight.get(), 1);
    taken.pop();
    assert!(take().is_some(), "one ended");
}

#[test]
fn a_gateway_has_its_listeners_by_port() {
    let mut bench = Bench::new(Role::Gateway);
    let listener = |port, service| GatewayListener {
        name: format!("p{port}"),
        port,
        addresses: Vec::new(),
        protocol: ListenerProtocol::Http,
        http: table(RouteKind::Http, everything(), vec![backend(service, None)]),
        tcp: Vec::new(),
        overrides: Default::default(),
    };
    let gateway = |listeners| Resource::GatewayRoutes(GatewayRoutes { gateway: name("shop/bot"), listeners });
    bench.offer(gateway(vec![listener(80, "shop/web"), listener(81, "shop/web")]));
    assert!(bench.config.listeners.is_empty(), "the services are on their way");
    bench.offer(service("shop/web", AppProtocol::Http1));
    bench.absent("Endpoints/shop/web");
    let clusters: Vec<_> = [80, 81]
        .iter()
        .map(|port| bench.config.listeners[port].http.rules[0].backends[0].cluster.clone().unwrap())
        .collect();
    assert!(Arc::ptr_eq(&clusters[0], &clusters[1]));
    bench.offer(gateway(vec![listener(81, "shop/web")]));
    assert_eq!(bench.config.listeners.keys().collect::<Vec<_>>(), [&81]);
    bench.absent("GatewayRoutes/shop/bot");
    assert!(bench.config.listeners.is_empty());
}

#[test]
fn roots_and_snapshots_fail_static() {
    let mut bench = Bench::calling_web();
    let bundle =
        |roots_der| Resource::TrustBundle(TrustBundle { trust_domain: "cluster.local".into(), roots_der });
    bench.offer(bundle(vec![vec![1]]));
    bench.offer(bundle(Vec::new()));
    assert_eq!(bench.in_force, ["TrustBundle"], "said yes to, and not obeyed");
    bench.absent("TrustBundle");
    assert_eq!(bench.assembler.bundle().unwrap().roots_der, [vec![1]]);
    let mut next = Bench::new(Role::Sidecar);
    for (key, resource) in bench.assembler.held() {
        next.assembler.offer(key.clone(), Some(resource.clone())).unwrap();
    }
    next.assembler.assume_complete();
    next.settle();
    assert_eq!(ports(&next.cluster("shop/web")), [1, 2], "although nobody says that there are no routes");
}

#[test]
fn what_is_no_longer_called_is_given_up() {
    let mut bench = Bench::calling_web();
    let endpoint = first(&bench.cluster("shop/web"));
    bench.offer(upstreams(&[]));
    assert!(bench.config.destinations.is_empty());
    let needed = bench.assembler.changed_needs().unwrap();
    let gone: Vec<Key> =
        bench.assembler.held().map(|(key, _)| key.clone()).filter(|key| !needed.contains(key)).collect();
    assert_eq!(gone.len(), 2);
    bench.assembler.forget(&gone);
    bench.settle();
    assert!(bench.vanished.iter().any(|gone| Arc::ptr_eq(gone, &endpoint)));
    // Taken up again, it waits for fresh answers.
    bench.offer(upstreams(&["shop/web"]));
    assert!(bench.destination("shop/web").is_none());
}

mod called;
