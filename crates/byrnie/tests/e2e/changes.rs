//! Changes under load: none of them costs a request, and each is obeyed when `apply --wait` returns.

use crate::harness::{Load, Mesh, Origin, free_port, get, until, yaml};

/// `front` in front of `web`, and `caller`, which calls it directly.
struct Shop {
    mesh: Mesh,
    gateway: u16,
    web: Origin,
}

impl Shop {
    fn open() -> Self {
        let (web, gateway) = (Origin::start("one"), free_port());
        let mesh = Mesh::start(&text(gateway, &[("web-1", web.port)]));
        let shop = Self { mesh, gateway, web };
        let (front, pair) = (shop.front(), shop.pair());
        for address in [front, pair] {
            until("it answers 200", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
        }
        shop
    }

    fn front(&self) -> String {
        format!("127.0.0.1:{}", self.gateway)
    }

    fn pair(&self) -> String {
        self.mesh.upstream("caller", "web")
    }

    /// Load on the gateway and on the pair of sidecars.
    fn load(&self) -> [Load; 2] {
        [Load::start(&self.front(), "/", 2), Load::start(&self.pair(), "/", 2)]
    }

    /// Who answers: the first word of the answer.
    fn answerer(&self) -> String {
        let answer = get(&self.front(), "/", &[]).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.split(' ').next().unwrap().to_owned()
    }
}

fn text(gateway: u16, workloads: &[(&str, u16)]) -> String {
    let mut text = [
        yaml::caller("caller", ""),
        yaml::service("web", "http"),
        yaml::gateway("front", &[gateway]),
        yaml::route_to("web", "front"),
    ]
    .concat();
    workloads.iter().for_each(|(name, port)| text.push_str(&yaml::workload(name, "web", *port, "")));
    text
}

#[test]
fn workloads_come_change_and_go_under_load() {
    let shop = Shop::open();
    let (two, three) = (Origin::start("two"), Origin::start("three"));
    let loads = shop.load();
    for round in 0..3 {
        shop.mesh.apply(&yaml::workload("web-2", "web", two.port, ""));
        shop.mesh.wait_synced();
        until("the new one answers", || (shop.answerer() == "two").then_some(()));
        let moved = if round % 2 == 0 { three.port } else { shop.web.port };
        shop.mesh.apply(&yaml::workload("web-1", "web", moved, "weight: 2"));
        until("the moved one answers", || (shop.answerer() != "two").then_some(()));
        // It leaves the Service and comes back.
        shop.mesh.apply(
            &yaml::workload("web-2", "rest", two.port, "")
                .replace("serviceAccount: rest", "serviceAccount: web"),
        );
        (0..20).for_each(|_| assert_ne!(shop.answerer(), "two"));
        shop.mesh.apply(&yaml::workload("web-2", "web", two.port, ""));
        until("the returned one answers", || (shop.answerer() == "two").then_some(()));
        shop.mesh.byrnie(&["delete", "workload", "web-2", "-n", "shop"]).ok();
        until("its proxy is gone", || shop.mesh.proxy("web-2").is_none().then_some(()));
        loads.iter().for_each(|load| load.more(50));
    }
    loads.into_iter().for_each(|load| drop(load.stop_unharmed()));
}

/// The only instance gets another identity: its old certificate goes before the new one is there, and callers wait.
#[test]
fn another_service_account_of_a_single_instance_costs_no_request() {
    let shop = Shop::open();
    let loads = shop.load();
    for account in ["other", "web", "third"] {
        let text = yaml::workload("web-1", "web", shop.web.port, "");
        let another = text.replace("serviceAccount: web", &format!("serviceAccount: {account}"));
        shop.mesh.apply(&another);
        until("it has the identity", || {
            let proxies = shop.mesh.items(&["proxy-status", "web-1", "-o", "json"])?;
            proxies[0]["identity"].as_str()?.ends_with(&format!("/sa/{account}")).then_some(())
        });
        loads.iter().for_each(|load| load.more(100));
    }
    let reports = loads.map(Load::stop);
    assert!(reports.iter().all(|report| report.failed == 0), "{reports:#?}");
}

#[test]
fn routes_weights_and_listeners_change_under_load() {
    let shop = Shop::open();
    let (other, second) = (Origin::start("other"), free_port());
    let more = [yaml::workload("other-1", "other", other.port, ""), yaml::service("other", "http")];
    let loads = shop.load();
    shop.mesh.apply(&more.concat());
    shop.mesh.wait_synced();
    let split = |web: u32, other: u32| {
        let rule = format!(
            "{{backendRefs: [{{name: web, port: 80, weight: {web}}}, {{name: other, port: 80, weight: {other}}}]}}"
        );
        shop.mesh.apply(&yaml::route("web", "front", &rule));
    };
    split(1, 1);
    until("the other answers", || (shop.answerer() == "other").then_some(()));
    split(0, 1);
    (0..20).for_each(|_| assert_eq!(shop.answerer(), "other"));
    split(1, 0);
    (0..20).for_each(|_| assert_eq!(shop.answerer(), "one"));
    for _ in 0..3 {
        shop.mesh.apply(&yaml::gateway("front", &[shop.gateway, second]));
        let address = format!("127.0.0.1:{second}");
        assert_eq!(get(&address, "/", &[]).unwrap().status, 200, "it listens when apply returns");
        let load = Load::start(&address, "/", 1);
        load.more(20);
        load.stop_unharmed();
        shop.mesh.apply(&yaml::gateway("front", &[shop.gateway]));
        assert!(get(&address, "/", &[]).is_err(), "it is closed when apply returns");
    }
    loads.into_iter().for_each(|load| drop(load.stop_unharmed()));
}

#[test]
fn up_again_and_prune_under_load() {
    let shop = Shop::open();
    let two = Origin::start("two");
    let loads = shop.load();
    for workloads in [&[("web-1", shop.web.port), ("web-2", two.port)][..], &[("web-1", shop.web.port)]] {
        shop.mesh.sandbox.file("mesh.yaml", &text(shop.gateway, workloads));
        shop.mesh.byrnie(&["up", "-f", "mesh.yaml", "--prune"]).ok();
        shop.mesh.wait_synced();
        loads.iter().for_each(|load| load.more(100));
    }
    let again = shop.mesh.byrnie(&["up", "-f", "mesh.yaml"]).ok();
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    loads.into_iter().for_each(|load| drop(load.stop_unharmed()));
}

#[test]
fn a_request_right_after_apply_wait_obeys_it_fifty_times() {
    let shop = Shop::open();
    for round in 0..50 {
        let header = format!(
            "{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-round, value: r{round}}}]}}}}],
              backendRefs: [{{name: web, port: 80}}]}}"
        );
        shop.mesh.apply(&yaml::route("web", "front", &header));
        let answer = get(&shop.front(), "/", &[]).unwrap();
        assert!(answer.body.contains(&format!("x-round: r{round}\n")), "round {round}: {answer:?}");
    }
}
