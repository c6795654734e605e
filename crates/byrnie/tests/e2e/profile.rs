//! `byrnie profile`: routes from descriptions and from requests as they arrive.

use std::process::Stdio;

use crate::harness::{Mesh, Origin, Sandbox, get, until, yaml};

const OPENAPI: &str = include_str!("../golden/profile/emojivoto.yaml");
const GOLDEN: &str = include_str!("../golden/profile/emojivoto.service-profile.golden");
const VOTING: &str = include_str!("../golden/profile/voting.proto");

#[test]
fn a_service_profile_as_linkerd_writes_it() {
    let sandbox = Sandbox::new();
    sandbox.file("web.yaml", OPENAPI);
    let args =
        ["profile", "-n", "emojivoto", "--open-api", "web.yaml", "web-svc", "--format", "service-profile"];
    assert_eq!(sandbox.run(&args).ok(), GOLDEN);
    let stdin =
        ["profile", "-n", "emojivoto", "--open-api", "-", "svc/web-svc", "--format", "service-profile"];
    assert_eq!(sandbox.run_with_input(&stdin, OPENAPI).ok(), GOLDEN);
}

#[test]
fn protobuf_becomes_a_grpc_route() {
    let sandbox = Sandbox::new();
    sandbox.file("voting.proto", VOTING);
    let args = ["profile", "-n", "emojivoto", "--proto", "voting.proto", "voting-svc", "--port", "8080"];
    let expected = include_str!("../golden/profile/voting.grpc-route.golden");
    let run = sandbox.run(&args);
    assert!(run.stderr.contains("Results: a GRPCRoute has no retries"), "{run:?}");
    assert_eq!(run.ok(), expected);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_code() {
    let sandbox = Sandbox::new();
    sandbox.file("web.yaml", OPENAPI);
    sandbox.file("none.yaml", "a: 1");
    for (args, code, says) in [
        (&["profile", "web"][..], 2, "--open-api"),
        (&["profile", "web", "--open-api", "web.yaml", "--proto", "x"], 2, "cannot be used with"),
        (&["profile", "web", "--open-api", "missing.yaml"], 1, "error[BYR0462]"),
        (&["profile", "web", "--open-api", "none.yaml"], 1, "error[BYR0462]"),
        (&["profile", "web", "--proto", "web.yaml"], 1, "error[BYR0462]"),
        (&["profile", "Web_1", "--open-api", "web.yaml"], 1, "error[BYR0463]"),
        (&["profile", "web", "--open-api", "web.yaml", "--format", "grpc-route"], 1, "error[BYR0463]"),
        (&["profile", "web", "--tap", "svc/web"], 1, "error[BYR0440]"),
        (&["profile", "--tap", "web"], 1, "error[BYR0440]"),
        (&["profile", "--tap"], 1, "error[BYR0463]"),
    ] {
        let stderr = sandbox.run(args).refused(code);
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}

#[test]
fn requests_as_they_arrive_become_routes() {
    let web = Origin::start("web");
    let mesh = Mesh::start(&format!(
        "{}{}{}",
        yaml::workload("web-1", "web", web.port, ""),
        yaml::service("web", "http"),
        yaml::caller("bot", "")
    ));
    let address = mesh.upstream("bot", "web");
    until("the service answers", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
    // It ends by itself when both operations were seen; the time is only for when they are not.
    let args = ["profile", "-n", "shop", "--tap", "--duration", "60s", "--route-limit", "2", "svc/web"];
    let mut command = mesh.sandbox.command(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until("both operations are seen", || {
        get(&address, "/orders/17?x=1", &[]).ok()?;
        get(&address, "/orders", &[]).ok()?;
        child.try_wait().unwrap()
    });
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(
        output.contains("        type: Exact\n        value: /orders\n    name: get-orders\n"),
        "{output}"
    );
    assert!(output.contains("        value: /orders/[^/]*\n    name: get-orders-id\n"), "{output}");
    assert!(mesh.apply(&output).contains("httproute/shop/web-profile"));
    // Known requests and unknown ones go on as before, and each is counted under its rule.
    for path in ["/orders", "/orders/1", "/else"] {
        assert_eq!(get(&address, path, &[]).unwrap().status, 200, "{path}");
    }
    until("each rule is counted", || {
        let routes = mesh.items(&["routes", "svc/web", "-o", "json"])?;
        let counted = |rule: &str| routes.iter().any(|route| route["route"] == format!("web-profile/{rule}"));
        ["get-orders", "get-orders-id", "other"].into_iter().all(counted).then_some(())
    });
}

const PROFILE: &str = "
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata:
  creationTimestamp: null
  name: web.shop.svc.cluster.local
  namespace: shop
spec:
  routes:
  - condition:
      method: GET
      pathRegex: /flaky
    isRetryable: true
    name: GET /flaky
  - condition:
      method: GET
      pathRegex: /hang
    name: GET /hang
    timeout: 200ms
  - condition:
      method: GET
      pathRegex: /users/[^/]*
    name: GET /users/{id}
  retryBudget:
    retryRatio: 0.2
    minRetriesPerSecond: 100
    ttl: 10s
";

#[test]
fn a_service_profile_gives_retries_timeouts_and_numbers() {
    let web = Origin::start("web");
    let mesh = Mesh::start(&format!(
        "{}{}{}",
        yaml::workload("web-1", "web", web.port, ""),
        yaml::service("web", "http"),
        yaml::caller("bot", "")
    ));
    let address = mesh.upstream("bot", "web");
    let status = |path: &str| get(&address, path, &[]).ok().map(|response| response.status);
    until("the service answers", || (status("/")? == 200).then_some(()));
    let before: Vec<u16> = (0..4).filter_map(|_| status("/flaky")).collect();
    assert_eq!(before, [503, 200, 503, 200], "without a profile nothing is repeated");

    assert!(mesh.apply(PROFILE).contains("serviceprofile/shop/web.shop.svc.cluster.local created"));
    let after: Vec<u16> = (0..10).filter_map(|_| status("/flaky")).collect();
    assert_eq!(after, [200; 10]);
    assert_eq!(status("/hang"), Some(504));
    assert_eq!((status("/users/7"), status("/unknown")), (Some(200), Some(200)));
    until("each route is counted under its name", || {
        let routes = mesh.items(&["routes", "web", "-n", "shop", "-o", "json"])?;
        let names: Vec<&str> = routes.iter().filter_map(|route| route["route"].as_str()).collect();
        let all = ["GET /flaky", "GET /hang", "GET /users/{id}", "default"];
        all.iter().all(|name| names.contains(name)).then_some(())
    });
    let table = mesh.byrnie(&["routes", "web", "-n", "shop"]).ok();
    assert!(table.contains("GET /users/{id}   web"), "{table}");
    let described = mesh.byrnie(&["describe", "sp", "-n", "shop"]).ok();
    assert!(described.contains("Accepted   True     Accepted"), "{described}");
    let why = mesh.byrnie(&["why", "bot", "web", "--path", "/users/7"]).ok();
    assert!(why.contains("GET /users/{id}"), "{why}");
}
