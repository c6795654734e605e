//! `byrnie profile`: routes from descriptions and from requests as they arrive.

use std::process::Stdio;

use crate::harness::{Mesh, Origin, Sandbox, free_port, get, until, yaml};

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
        (&["profile", "web", "--tap", "web"], 1, "error[BYR0440]"),
    ] {
        let stderr = sandbox.run(args).refused(code);
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}

#[test]
fn requests_as_they_arrive_become_routes() {
    let (web, gateway) = (Origin::start("web"), free_port());
    let mesh = Mesh::start(&format!(
        "{}{}{}{}",
        yaml::workload("web-1", "web", web.port, ""),
        yaml::service("web", "http"),
        yaml::gateway("front", &[gateway]),
        yaml::route_to("web", "front")
    ));
    let address = format!("127.0.0.1:{gateway}");
    until("the gateway serves", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
    // It ends by itself when both operations were seen; the time is only for when they are not.
    let args =
        ["profile", "web", "-n", "shop", "--tap", "svc/web", "--duration", "60s", "--route-limit", "2"];
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
    assert!(mesh.apply(&output).contains("httproute/shop/web"));
    // Known requests and unknown ones go on as before.
    for path in ["/orders", "/orders/1", "/else"] {
        assert_eq!(get(&address, path, &[]).unwrap().status, 200, "{path}");
    }
}
