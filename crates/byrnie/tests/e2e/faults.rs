//! Faults on purpose, on real traffic: delays, failures, their share, their end, and what they leave alone.

use std::time::{Duration, Instant};

use crate::harness::{Bytes, Echo, Mesh, Origin, Shop, get, until, yaml};

fn policy(name: &str, target: &str, more: &str, faults: &str) -> String {
    yaml::policy("FaultPolicy", name, target, &format!("faults: [{faults}]{more}"))
}

#[test]
fn a_share_of_requests_fails_at_the_caller() {
    let shop = Shop::open("");
    let fault = "{percent: 50, abort: {httpStatus: 418}, matches: [{path: {value: /api}}]}";
    shop.mesh.apply(&policy("teapot", "{kind: Service, name: web}", "", fault));
    let statuses: Vec<u16> = (0..400).map(|_| get(&shop.a, "/api", &[]).unwrap().status).collect();
    let failed = statuses.iter().filter(|status| **status == 418).count();
    assert!(statuses.iter().all(|status| [200, 418].contains(status)));
    // 400 draws of one half: five standard deviations.
    assert!((150..=250).contains(&failed), "{failed}");
    assert!(
        (0..20).all(|_| get(&shop.a, "/", &[]).unwrap().status == 200),
        "what does not match is left alone"
    );
    let metrics = shop.mesh.metrics("a");
    let counted = format!(
        "byrnie_faults_injected_total{{direction=\"outbound\",policy=\"shop/teapot\",fault=\"abort\"}} {failed}\n"
    );
    assert!(metrics.contains(&counted), "{counted}: {metrics}");
    let answer = until("one is failed", || get(&shop.a, "/api", &[]).ok().filter(|a| a.status == 418));
    assert_eq!(answer.header("byrnie-error"), Some("BYR0251 fault side=mesh"));
    assert!(answer.body.contains("shop/teapot"), "{}", answer.body);
    let why = shop.mesh.byrnie(&["why", "a", "web", "-n", "shop", "--path", "/api"]).ok();
    assert!(why.contains("shop/teapot") && why.contains("50 %"), "{why}");
}

#[test]
fn a_delay_counts_for_the_timeout_and_is_seen() {
    let shop = Shop::open(&yaml::settings("telemetry: {accessLog: all}"));
    let target = "{kind: Gateway, name: front}";
    shop.mesh.apply(&policy("slow", target, "", "{delay: {fixed: 300ms}}"));
    let begun = Instant::now();
    assert_eq!(get(&shop.gateway, "/", &[]).unwrap().status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    until("the log tells it", || shop.mesh.gateway_log("shop", "front").contains("BYR0252").then_some(()));
    shop.mesh.apply(&policy("slow", target, "", "{delay: {uniform: {min: 50s, max: 60s}}}"));
    let traffic = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: patience, namespace: shop}
spec: {targetRefs: [{kind: Gateway, name: front}], timeouts: {request: 500ms}}
";
    shop.mesh.apply(traffic);
    assert_eq!(get(&shop.gateway, "/", &[]).unwrap().status, 504, "the request's own time is over first");
}

#[test]
fn a_call_fails_with_its_grpc_status_and_a_delay_shows_in_the_tap() {
    let shop = Shop::open("");
    let call = [("content-type", "application/grpc"), ("te", "trailers")];
    let faults = "{abort: {grpcStatus: 14}, matches: [{path: {value: /call}}]}, \
                  {delay: {fixed: 200ms}, matches: [{path: {value: /slow}}]}";
    shop.mesh.apply(&policy("grpc", "{kind: Service, name: web}", "", faults));
    let answer = until("the call fails", || {
        get(&shop.a, "/call", &call).ok().filter(|answer| answer.header("grpc-status") == Some("14"))
    });
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/grpc")));
    assert!(answer.header("grpc-message").is_some_and(|why| why.contains("shop/grpc")), "{answer:?}");
    // What is no call has no such status.
    assert_eq!(get(&shop.a, "/call", &[]).unwrap().status, 503);
    let tap = std::thread::scope(|scope| {
        let tapping = scope.spawn(|| {
            let filter = ["tap", "a", "-n", "shop", "--path", "/slow", "--limit", "3", "-o", "json"];
            shop.mesh.byrnie(&filter).ok()
        });
        until("it was tapped", || {
            assert_eq!(get(&shop.a, "/slow", &[]).unwrap().status, 200);
            tapping.is_finished().then_some(())
        });
        tapping.join().unwrap()
    });
    let delays = tap
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["delayedMicros"].as_u64());
    assert_eq!(delays.collect::<Vec<_>>(), [200_000], "{tap}");
}

#[test]
fn it_ends_by_itself_and_says_so() {
    let shop = Shop::open("");
    let target = "{kind: HTTPRoute, name: web}";
    shop.mesh.apply(&policy("short", target, ", expires: 15s", "{abort: {httpStatus: 503}}"));
    until("it is over", || (get(&shop.gateway, "/", &[]).ok()?.status == 200).then_some(()));
    until("its status says so", || {
        let policy = shop.mesh.byrnie(&["get", "faultpolicy", "short", "-n", "shop", "-o", "json"]).json();
        let accepted =
            policy["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Accepted")?.clone();
        (accepted["status"] == "False" && accepted["reason"] == "Expired").then_some(())
    });
    assert!(shop.mesh.metrics("front").contains("byrnie_faults_injected_total"), "it was there before");
}

#[test]
fn a_fault_of_the_server_ejects_no_endpoint() {
    let ejection = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: eject, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: web}]
  balancer: {type: roundRobin}
  outlierEjection: {consecutiveFailures: 2, baseEjection: 1h, maxEjection: 1h}
";
    let second = Origin::start("web");
    let shop = Shop::open(&[ejection.to_owned(), yaml::workload("web-2", "web", second.port, "")].concat());
    let fault = "{abort: {httpStatus: 503}, matches: [{path: {value: /fail}}]}";
    shop.mesh.apply(&policy("broken", "{kind: Service, name: web}", ", direction: inbound", fault));
    for _ in 0..40 {
        let answer = get(&shop.a, "/fail", &[]).unwrap();
        assert_eq!((answer.status, answer.header("byrnie-error")), (503, Some("BYR0251 fault side=mesh")));
    }
    let counted = |proxy: &str| {
        let metrics = shop.mesh.metrics(proxy);
        let name =
            "byrnie_faults_injected_total{direction=\"inbound\",policy=\"shop/broken\",fault=\"abort\"} ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    let (first, second) = (counted("web-1"), counted("web-2"));
    assert_eq!(first + second, 40, "none was tried again");
    assert!(first >= 5 && second >= 5, "both still get their share: {first}, {second}");
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
        let more = format!(", direction: {direction}");
        mesh.apply(&policy("cut", "{kind: Service, name: echo}", &more, "{abort: {reset: true}}"));
        assert!(!works() && !works(), "{direction}");
        mesh.byrnie(&["delete", "faultpolicy", "cut", "-n", "shop"]).ok();
        until("it is gone", || works().then_some(()));
    }
}
