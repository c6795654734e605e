//! Many routes: changed under load, and what is refused while the others are obeyed.

use crate::harness::{Load, Mesh, Origin, free_port, get, until, yaml};

struct Shop {
    mesh: Mesh,
    gateway: u16,
    _web: Origin,
}

impl Shop {
    fn open() -> Self {
        let (web, gateway) = (Origin::start("web"), free_port());
        let text = [
            yaml::workload("web-1", "web", web.port, ""),
            yaml::caller("caller", ""),
            yaml::service("web", "http"),
            yaml::gateway("front", &[gateway]),
            yaml::route_to("web", "front"),
        ];
        let shop = Self { mesh: Mesh::start(&text.concat()), gateway, _web: web };
        until("it answers 200", || (shop.status("/") == 200).then_some(()));
        shop
    }

    fn front(&self) -> String {
        format!("127.0.0.1:{}", self.gateway)
    }

    fn status(&self, path: &str) -> u16 {
        get(&self.front(), path, &[]).map_or(0, |answer| answer.status)
    }
}

#[test]
fn a_thousand_route_changes_under_load_cost_no_request() {
    const ROUNDS: usize = 50;
    const EACH: usize = 20;
    let shop = Shop::open();
    let caller = shop.mesh.upstream("caller", "web");
    until("the pair answers 200", || (get(&caller, "/", &[]).ok()?.status == 200).then_some(()));
    let loads = [Load::start(&shop.front(), "/", 2), Load::start(&caller, "/", 2)];
    for round in 0..ROUNDS {
        let mut text = String::new();
        for index in 0..EACH {
            // Half of them on the Gateway, half on the Service that the load calls, each other than before.
            let parent =
                if index % 2 == 0 { "{name: front}" } else { "{group: '', kind: Service, name: web}" };
            let path = if index < 2 { "/".to_owned() } else { format!("/{index}") };
            text.push_str(&format!(
                "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{index}, namespace: shop}}
spec:
  parentRefs: [{parent}]
  rules:
  - matches: [{{path: {{value: {path}}}}}]
    filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-round, value: r{round}}}]}}}}]
    backendRefs: [{{name: web, port: 80}}]
"
            ));
        }
        shop.mesh.apply(&text);
        let answer = get(&caller, "/3", &[]).unwrap();
        assert!(answer.body.contains(&format!("x-round: r{round}\n")), "round {round}: {answer:?}");
    }
    loads.into_iter().for_each(|load| drop(load.stop_unharmed()));
}

#[test]
fn what_is_refused_leaves_the_others_alone() {
    let shop = Shop::open();
    let route = |name: &str, rule: &str| yaml::route(name, "front", rule);
    let to_web = "backendRefs: [{name: web, port: 80}]";
    // Refused when it is read: nothing of the request is applied, and what was there goes on.
    let exploding = "{type: RegularExpression, value: '((a{999}){999}){9}'}";
    let refusals = [
        (route("bad", &format!("{{matches: [{{path: {exploding}}}], {to_web}}}")), "BYR0038"),
        (route("bad", "{backendRefs: [{name: web, port: 80, weight: 4294967296}]}"), "BYR0016"),
        (route("bad", "{backendRefs: [{name: web, port: 80, weight: 1000001}]}"), "BYR0016"),
        (route("bad", &format!("{{sessionPersistence: {{}}, {to_web}}}")), "BYR0060"),
        (route("bad", &format!("{{}}, {}", "{name: a},".repeat(10_000))), "BYR0017"),
    ];
    for (bad, code) in refusals {
        let good = route("good", &format!("{{matches: [{{path: {{value: /good}}}}], {to_web}}}"));
        let run = shop.mesh.sandbox.run_with_input(&["apply", "-f", "-"], &(good + &bad));
        let said = run.refused(1);
        assert!(said.contains(code), "{code}: {said:.2000}");
        assert_eq!(shop.status("/"), 200);
    }
    let routes = shop.mesh.items(&["get", "httproutes", "-n", "shop", "-o", "json"]).unwrap();
    assert_eq!(routes.len(), 1, "{routes:#?}");

    // Refused when it is compiled: a coded finding, and the others are obeyed.
    let other = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other, namespace: shop}
spec:
  parentRefs: [{name: front}]
  rules:
  - matches: [{path: {value: /granted}}]
    backendRefs: [{name: secret, namespace: vault, port: 80}]
  - matches: [{path: {value: /empty}}]
  - matches: [{path: {value: /nothing}}]
    backendRefs: [{name: web, port: 80, weight: 0}]
  - matches: [{path: {value: /fine}}]
    backendRefs: [{name: web, port: 80}]
";
    let said = shop.mesh.byrnie(&["analyze"]).ok();
    assert!(!said.contains("BYR0102"), "{said}");
    let run = shop.mesh.sandbox.run_with_input(&["apply", "-f", "-", "--wait"], other);
    assert_eq!(run.code, Some(0), "{run:?}");
    for (path, status) in [("/granted", 500), ("/empty", 500), ("/nothing", 500), ("/fine", 200), ("/", 200)]
    {
        assert_eq!(shop.status(path), status, "{path}");
    }
    // A delete is obeyed: the last endpoint gone is 503, coded for callers of the mesh.
    shop.mesh.byrnie(&["delete", "workload", "web-1", "-n", "shop"]).ok();
    until("nobody is left", || (shop.status("/") == 503).then_some(()));
    let caller = shop.mesh.upstream("caller", "web");
    let answer =
        until("nobody is left there either", || get(&caller, "/", &[]).ok().filter(|a| a.status == 503));
    assert!(answer.header("byrnie-error").unwrap_or_default().starts_with("BYR0203"), "{answer:?}");
}
