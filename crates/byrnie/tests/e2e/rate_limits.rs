//! Rate limits on real traffic: exact whatever the number of workers, in both directions, by key, in shadow, for bytes.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::harness::{Bytes, Connection, Echo, Mesh, Response, Sandbox, Shop, get, until, yaml};

/// A RateLimitPolicy of the namespace `shop`.
fn policy(name: &str, target: &str, more: &str, limits: &str) -> String {
    yaml::policy("RateLimitPolicy", name, target, &format!("limits: [{limits}]{more}"))
}

fn shop(workers: u32) -> Shop {
    Shop::open_in(Sandbox::of_workers(workers), "", &[200])
}

/// How many of `requests` pass, sent over eight connections at once.
fn passed(address: &str, requests: usize) -> usize {
    let (sent, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = Connection::open(address).unwrap();
                while sent.fetch_add(1, Relaxed) < requests {
                    match connection.get("/", &[]).unwrap().status {
                        200 => passed.fetch_add(1, Relaxed),
                        429 => 0,
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    passed.into_inner()
}

fn is_within_two_percent(passed: usize, wanted: usize) {
    assert!(passed.abs_diff(wanted) * 50 <= wanted, "{passed} of {wanted}");
}

/// So slow that none comes back while a test runs.
const HUNDRED: &str = "{name: hundred, requests: 1, per: 24h, burst: 100}";

#[test]
fn the_number_is_the_processes_whatever_its_workers() {
    for workers in [1, 3] {
        let shop = shop(workers);
        for direction in ["inbound", "outbound"] {
            let more = format!(", direction: {direction}");
            shop.mesh.apply(&policy(direction, "{kind: Service, name: web}", &more, HUNDRED));
            is_within_two_percent(passed(&shop.a, 400), 100);
            shop.mesh.byrnie(&["delete", "ratelimitpolicy", direction, "-n", "shop"]).ok();
            until("the limit is gone", || (get(&shop.a, "/", &[]).ok()?.status == 200).then_some(()));
        }
    }
}

#[test]
fn a_refusal_says_what_and_until_when_and_is_counted() {
    let shop = shop(2);
    let limit = "{name: few, requests: 2, per: 24h, burst: 2}";
    shop.mesh.apply(&policy("front", "{kind: Gateway, name: front}", "", limit));
    let first = get(&shop.gateway, "/", &[]).unwrap();
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), Some("\"few\";q=2;w=86400"));
    assert_eq!(first.header("ratelimit"), Some("\"few\";r=1;t=43200"));
    assert_eq!(get(&shop.gateway, "/", &[]).unwrap().status, 200);
    let refused = get(&shop.gateway, "/", &[]).unwrap();
    assert_eq!((refused.status, refused.header("ratelimit-policy")), (429, Some("\"few\";q=2;w=86400")));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((43_000..=43_200).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit"), Some(format!("\"few\";r=0;t={wait}").as_str()));
    assert_eq!(refused.header("byrnie-error"), None, "outside of the mesh a status is enough");
    let counted = "byrnie_rate_limited_total{direction=\"outbound\",policy=\"shop/front\",\
                   limit=\"few\",mode=\"enforced\"} 1";
    assert!(shop.mesh.metrics("front").contains(counted), "{}", shop.mesh.metrics("front"));
    until("the log tells it", || shop.mesh.gateway_log("shop", "front").contains("BYR0250").then_some(()));
    // Callers within the mesh do not come by the Gateway.
    assert_eq!(get(&shop.a, "/", &[]).unwrap().status, 200);
}

fn refused_by(answer: &Response, policy: &str) -> bool {
    answer.status == 429
        && answer.header("byrnie-error") == Some("BYR0250 rate_limited side=client")
        && answer.body.contains(policy)
}

#[test]
fn inbound_counts_all_callers_by_their_identity_and_outbound_each_proxy_for_itself() {
    let shop = shop(2);
    let one = "{requests: 1, per: 24h, burst: 1, key: [{type: identity}]}";
    shop.mesh.apply(&policy("each", "{kind: Service, name: web}", "", one));
    for address in [&shop.a, &shop.b] {
        assert_eq!(get(address, "/", &[]).unwrap().status, 200);
        assert!(refused_by(&get(address, "/", &[]).unwrap(), "shop/each"));
    }
    let why = shop.mesh.byrnie(&["why", "a", "web", "-n", "shop"]).ok();
    assert!(why.contains("shop/each") && why.contains("for each identity"), "{why}");
    shop.mesh.byrnie(&["delete", "ratelimitpolicy", "each", "-n", "shop"]).ok();
    let all = "{requests: 1, per: 24h, burst: 1}";
    shop.mesh.apply(&policy("all", "{kind: Service, name: web}", ", direction: inbound", all));
    assert_eq!(get(&shop.a, "/", &[]).unwrap().status, 200);
    assert!(refused_by(&get(&shop.b, "/", &[]).unwrap(), "shop/all"), "one bucket for both");
    shop.mesh.byrnie(&["delete", "ratelimitpolicy", "all", "-n", "shop"]).ok();
    shop.mesh.apply(&policy("out", "{kind: Service, name: web}", ", direction: outbound", all));
    for address in [&shop.a, &shop.b] {
        assert_eq!(get(address, "/", &[]).unwrap().status, 200);
        assert!(refused_by(&get(address, "/", &[]).unwrap(), "shop/out"));
    }
}

#[test]
fn by_header_and_path_and_in_shadow() {
    let shop = shop(2);
    let users = "{requests: 1, per: 24h, burst: 1, key: [{type: header, name: x-user}], \
                 matches: [{path: {value: /api}, method: GET}]}";
    let target = "{kind: HTTPRoute, name: web}";
    shop.mesh.apply(&policy("users", target, ", shadow: true", users));
    let status = |path: &str, user: &str| get(&shop.gateway, path, &[("x-user", user)]).unwrap().status;
    for _ in 0..3 {
        let answer = get(&shop.gateway, "/api", &[("x-user", "ann")]).unwrap();
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None), "a shadow refuses nothing");
    }
    let metrics = shop.mesh.metrics("front");
    let counted = "policy=\"shop/users\",limit=\"users\",mode=\"shadow\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    shop.mesh.apply(&policy("users", target, "", users));
    assert_eq!([status("/api/x", "ann"), status("/api/x", "ann")], [200, 429]);
    assert_eq!([status("/api/x", "bob"), status("/api", "bob")], [200, 429]);
    assert_eq!(
        [status("/", "ann"), status("/apis", "ann")],
        [200, 200],
        "what does not match is not counted"
    );
}

#[test]
fn connections_of_bytes_are_reset() {
    let echo = Echo::start("");
    let text = [
        yaml::workload("echo-1", "echo", echo.port, ""),
        yaml::caller("a", ""),
        yaml::service("echo", "tcp"),
    ];
    let mesh = Mesh::start(&text.concat());
    let address = mesh.upstream("a", "echo");
    let works = || Bytes::try_open(&address).and_then(|mut bytes| bytes.echoes("hello")).is_ok();
    until("the endpoint is known", || works().then_some(()));
    for direction in ["outbound", "inbound"] {
        let limit = "{connections: 2, per: 24h, burst: 2}";
        let more = format!(", direction: {direction}");
        mesh.apply(&policy("echo", "{kind: Service, name: echo}", &more, limit));
        assert_eq!([works(), works(), works(), works()], [true, true, false, false], "{direction}");
        mesh.byrnie(&["delete", "ratelimitpolicy", "echo", "-n", "shop"]).ok();
        until("the limit is gone", || works().then_some(()));
    }
}
