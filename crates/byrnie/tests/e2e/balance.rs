//! Where requests go with the shipped binary: near endpoints first, around those that fail, where a session began, and
//! only to who is healthy.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Mesh, Origin, Response, free_port, get, until, yaml};

fn policy(service: &str, spec: &str) -> String {
    yaml::policy("TrafficPolicy", service, &format!("{{kind: Service, name: {service}}}"), spec)
}

/// `NAME` of an origin's answer.
fn who(answer: &Response) -> String {
    answer.body.split(' ').next().unwrap_or_default().to_owned()
}

fn count(address: &str, requests: usize, name: &str) -> usize {
    (0..requests).filter(|_| get(address, "/", &[]).is_ok_and(|answer| who(&answer) == name)).count()
}

fn ready(mesh: &Mesh, workload: &str) -> Option<(String, String)> {
    let object = mesh.byrnie(&["get", "workload", workload, "-n", "shop", "-o", "json"]).json();
    let conditions = object["status"]["conditions"].as_array()?.clone();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready")?;
    Some((ready["status"].as_str()?.to_owned(), ready["message"].as_str()?.to_owned()))
}

#[test]
fn a_locality_that_fails_hands_over_to_the_next_one() {
    let (near, far) = (Origin::start("near"), Origin::start("far"));
    let spec = "locality: {failover: [us]}, outlierEjection: {consecutiveFailures: 2, baseEjection: 60s}, \
                retry: {on: {conditions: [gateway-error]}}";
    let text = [
        yaml::workload("web-1", "web", near.port, "locality: eu/a"),
        yaml::workload("web-2", "web", far.port, "locality: us/b"),
        yaml::caller("caller", "locality: eu/a"),
        yaml::service("web", "http"),
        policy("web", spec),
    ];
    let mesh = Mesh::start(&text.concat());
    let web = mesh.upstream("caller", "web");
    until("near ones answer", || (who(&get(&web, "/", &[]).ok()?) == "near").then_some(()));
    assert_eq!(count(&web, 20, "near"), 20);
    near.fail(true);
    // Nobody notices: what fails is tried again elsewhere, until nothing goes there any more.
    until("the far one takes over", || (count(&web, 10, "far") == 10).then_some(()));
    let metrics = metrics(&mesh, "caller");
    let ejected = r#"byrnie_endpoint_ejected{namespace="shop",service="web",workload="web-1"} 1"#;
    assert!(metrics.contains(ejected), "{metrics}");
    let reason =
        r#"byrnie_outlier_ejections_total{namespace="shop",service="web",reason="consecutive_failures"} 1"#;
    assert!(metrics.contains(reason), "{metrics}");
}

/// What a workload's proxy says at `/metrics`, once it has counted an ejection.
fn metrics(mesh: &Mesh, workload: &str) -> String {
    let admin =
        until("it has an admin address", || mesh.proxy(workload)?["admin"].as_str().map(str::to_owned));
    until("the gauge is there", || {
        let text = get(&admin, "/metrics", &[]).ok()?.body;
        text.contains("byrnie_endpoint_ejected{").then_some(text)
    })
}

#[test]
fn an_endpoint_that_fails_is_left_out_and_comes_back_with_one_probe() {
    let (good, bad, port) = (Origin::start("good"), Origin::start("bad"), free_port());
    let spec = "balancer: {type: roundRobin}, outlierEjection: {consecutiveFailures: 3, baseEjection: 500ms}";
    let text = [
        yaml::workload("web-1", "web", good.port, ""),
        yaml::workload("web-2", "web", bad.port, ""),
        yaml::service("web", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
        policy("web", spec),
    ];
    let _mesh = Mesh::start(&text.concat());
    let front = format!("127.0.0.1:{port}");
    until("both answer", || (count(&front, 4, "bad") == 2).then_some(()));
    bad.fail(true);
    let failed =
        || (0..100).filter(|_| get(&front, "/", &[]).is_ok_and(|answer| answer.status == 503)).count();
    let first = failed();
    assert!((3..=10).contains(&first), "three, and a probe now and then: {first}");
    bad.fail(false);
    until("it is back", || (count(&front, 10, "bad") >= 4).then_some(()));
}

#[test]
fn a_session_of_curl_stays_with_its_endpoint() {
    if Command::new("curl").arg("--version").output().is_err() {
        return crate::harness::skip("curl is not installed");
    }
    let origins = ["a", "b", "c"].map(Origin::start);
    let port = free_port();
    let mut text = vec![yaml::service("web", "http"), yaml::gateway("front", &[port])];
    for (index, origin) in origins.iter().enumerate() {
        text.push(yaml::workload(&format!("web-{index}"), "web", origin.port, ""));
    }
    text.push(yaml::route_to("web", "front"));
    text.push(policy("web", "sessionPersistence: {sessionName: sid, idleTimeout: 1h}"));
    let mesh = Mesh::start(&text.concat());
    let url = format!("http://127.0.0.1:{port}/");
    let front = format!("127.0.0.1:{port}");
    until("it answers", || (get(&front, "/", &[]).ok()?.status == 200).then_some(()));
    let jar = mesh.sandbox.file("jar", "");
    let curl = || {
        let run =
            Command::new("curl").args(["-s", "-b"]).arg(&jar).arg("-c").arg(&jar).arg(&url).output().unwrap();
        String::from_utf8_lossy(&run.stdout).split(' ').next().unwrap_or_default().to_owned()
    };
    let first = curl();
    let kept = std::fs::read_to_string(&jar).unwrap();
    assert!(kept.contains("\tsid\t") && kept.contains("#HttpOnly_"), "{kept}");
    for _ in 0..20 {
        assert_eq!(curl(), first);
    }
    // Another endpoint goes, and the session's own afterwards.
    let own = ["a", "b", "c"].iter().position(|name| *name == first).unwrap();
    let other = (own + 1) % 3;
    mesh.byrnie(&["delete", "workload", &format!("web-{other}"), "-n", "shop"]).ok();
    for _ in 0..20 {
        assert_eq!(curl(), first);
    }
    mesh.byrnie(&["delete", "workload", &format!("web-{own}"), "-n", "shop"]).ok();
    let second = until("it moves", || Some(curl()).filter(|name| *name != first && !name.is_empty()));
    for _ in 0..10 {
        assert_eq!(curl(), second);
    }
}

#[test]
fn a_workload_is_an_endpoint_while_its_health_checks_are_answered_well() {
    let (good, ill, plain, port) =
        (Origin::start("good"), Origin::start("ill"), Origin::start("plain"), free_port());
    let check = "healthChecks: [{protocol: http, path: /healthz, interval: 200ms, unhealthyThreshold: 2}]";
    let text = [
        yaml::workload("web-1", "web", good.port, check),
        yaml::workload("web-2", "web", ill.port, check),
        yaml::workload("old-1", "old", plain.port, &format!("proxy: none, {check}")),
        yaml::service("web", "http"),
        yaml::service("old", "http"),
        yaml::caller("caller", ""),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
        policy("web", "balancer: {type: roundRobin}"),
    ];
    let mesh = Mesh::start(&text.concat());
    let front = format!("127.0.0.1:{port}");
    until("both answer", || (count(&front, 4, "ill") == 2).then_some(()));
    let is_ready = |name: &str, wanted: &str| {
        let (status, message) =
            until("it says so", || ready(&mesh, name).filter(|(status, _)| status == wanted));
        (status, message)
    };
    ill.fail(true);
    plain.fail(true);
    let (_, why) = is_ready("web-2", "False");
    assert!(why.contains("/healthz") && why.contains("status 503"), "{why}");
    until("nothing goes there", || (count(&front, 20, "good") == 20).then_some(()));
    let (_, why) = is_ready("old-1", "False");
    assert!(why.contains("status 503"), "{why}");
    let old = mesh.upstream("caller", "old");
    let gone = until("it is no endpoint", || {
        let answer = get(&old, "/", &[]).ok()?;
        answer.header("byrnie-error").is_some_and(|error| error.starts_with("BYR0203")).then_some(answer)
    });
    assert_eq!(gone.status, 503);
    ill.fail(false);
    plain.fail(false);
    is_ready("web-2", "True");
    is_ready("old-1", "True");
    until("both answer again", || (count(&front, 4, "ill") == 2).then_some(()));
    until("the plain one, too", || (get(&old, "/", &[]).ok()?.status == 200).then_some(()));
}

/// Two bad answers in a row take an endpoint out; the effect is there within a second of the second one.
#[test]
fn a_health_check_has_its_effect_within_a_second() {
    let (good, ill, port) = (Origin::start("good"), Origin::start("ill"), free_port());
    let check = "healthChecks: [{protocol: http, path: /healthz, interval: 100ms, unhealthyThreshold: 2, \
                 healthyThreshold: 1}]";
    let text = [
        yaml::workload("web-1", "web", good.port, check),
        yaml::workload("web-2", "web", ill.port, check),
        yaml::service("web", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
        policy("web", "balancer: {type: roundRobin}"),
    ];
    let _mesh = Mesh::start(&text.concat());
    let front = format!("127.0.0.1:{port}");
    let mut lags = Vec::new();
    // A busy machine may hold up any one of them.
    while lags.len() < 5 && !lags.iter().any(|lag| *lag < Duration::from_secs(1)) {
        until("both answer", || (count(&front, 4, "ill") == 2).then_some(()));
        ill.fail(true);
        // The question after next is the threshold: two intervals, each up to a tenth longer by chance.
        let threshold = Instant::now() + Duration::from_millis(220);
        until("nothing goes there", || (count(&front, 6, "good") == 6).then_some(()));
        lags.push(threshold.elapsed());
        ill.fail(false);
    }
    assert!(lags.last().is_some_and(|lag| *lag < Duration::from_secs(1)), "{lags:?}");
}
