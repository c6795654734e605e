//! Who may do what, as callers see it: by identity, namespace, method and path; deny beats allow; fail closed.

use std::time::{Duration, Instant};

use crate::harness::{Load, Response, Sandbox, Shop, get, until, yaml};

/// From the end of `apply` to the first refusal under load.
const EFFECT: Duration = Duration::from_secs(1);

/// Returns when each way is answered, and be it by a refusal.
fn shop(settings: &str) -> Shop {
    Shop::open_in(Sandbox::new(), settings, &[200, 403])
}

impl Shop {
    /// The statuses of a GET from the gateway, `a` and `b`.
    fn statuses(&self, path: &str) -> [u16; 3] {
        [&self.gateway, &self.a, &self.b].map(|address| get(address, path, &[]).unwrap().status)
    }

    fn policy(&self, name: &str, action: &str, rules: &str) {
        self.mesh.apply(&policy(name, action, rules));
    }
}

fn policy(name: &str, action: &str, rules: &str) -> String {
    let spec = format!("action: {action}, rules: [{rules}]");
    yaml::policy("AuthorizationPolicy", name, "{kind: Service, name: web}", &spec)
}

fn names_policy(answer: &Response, policy: &str) -> bool {
    answer.status == 403 && answer.body.contains("BYR0210") && answer.body.contains(policy)
}

#[test]
fn identities_namespaces_methods_and_paths_and_deny_beats_allow() {
    let shop = shop("");
    assert_eq!(shop.statuses("/"), [200, 200, 200], "the default lets everybody in");
    shop.policy("only-a", "ALLOW", "{from: [{identities: [shop/a]}]}");
    assert_eq!(shop.statuses("/"), [403, 200, 403], "an ALLOW policy closes the rest");
    shop.policy("reads", "ALLOW", "{to: [{methods: [GET], paths: [/public/*]}]}");
    assert_eq!(shop.statuses("/public/x"), [200, 200, 200]);
    assert_eq!(shop.statuses("/publicity"), [403, 200, 403]);
    shop.policy("no-secrets", "DENY", "{from: [{namespaces: [shop]}], to: [{paths: [/public/secret]}]}");
    assert_eq!(shop.statuses("/public/secret"), [403, 403, 403], "deny beats allow");
    assert_eq!(shop.statuses("/public/%73ecret"), [403, 403, 403], "however it is spelled");
    assert_eq!(shop.statuses("/public/./secret"), [403, 403, 403], "however it is spelled");
    let answer = get(&shop.a, "/public/secret", &[]).unwrap();
    assert!(names_policy(&answer, "no-secrets"), "{answer:?}");
    shop.policy("elsewhere", "DENY", "{from: [{notNamespaces: [shop]}]}");
    assert_eq!(shop.statuses("/public/x"), [200, 200, 200]);
    let log = until("the refusal is logged", || {
        let log = std::fs::read_to_string(shop.mesh.data_dir().join("proxies/shop/web-1/log")).ok()?;
        log.contains("no-secrets").then_some(log)
    });
    assert!(log.contains("spiffe://cluster.local/ns/shop/sa/a"), "{log}");
    let proxy = shop.mesh.proxy("web-1").unwrap();
    let metrics = get(proxy["admin"].as_str().unwrap(), "/metrics", &[]).unwrap().body;
    assert!(metrics.lines().any(|line| line.contains("no-secrets")), "{metrics}");
}

#[test]
fn a_mesh_may_refuse_whatever_nobody_allows_and_keep_silent_about_policies() {
    let settings = "defaultInboundPolicy: deny, proxy: {showPolicyInResponse: false}";
    let shop = shop(&yaml::settings(settings));
    assert_eq!(shop.statuses("/"), [403, 403, 403]);
    shop.policy("only-b", "ALLOW", "{from: [{identities: [shop/b]}]}");
    assert_eq!(shop.statuses("/"), [403, 403, 200]);
    shop.policy("not-b", "DENY", "{from: [{identities: ['shop/*']}], to: [{methods: [GET]}]}");
    let answer = get(&shop.b, "/", &[]).unwrap();
    assert_eq!(answer.status, 403);
    assert!(!format!("{answer:?}").contains("not-b"), "{answer:?}");
}

#[test]
fn a_policy_is_in_force_within_a_second_also_on_connections_that_are_open() {
    let shop = shop("");
    let (allowed, denied) = (Load::start(&shop.a, "/", 2), Load::start(&shop.b, "/", 2));
    let run = shop
        .mesh
        .sandbox
        .run_with_input(&["apply", "-f", "-"], &policy("not-b", "DENY", "{from: [{identities: [shop/b]}]}"));
    run.ok();
    let start = Instant::now();
    until("it is refused", || (get(&shop.b, "/", &[]).ok()?.status == 403).then_some(()));
    assert!(start.elapsed() < EFFECT, "{:?}", start.elapsed());
    denied.more(20);
    allowed.stop_unharmed();
    let report = denied.stop();
    assert!(report.failed >= 16 && report.connections == 2, "{report:#?}");
    assert!(report.failures.iter().all(|failure| failure.contains("403")), "{report:#?}");
}
