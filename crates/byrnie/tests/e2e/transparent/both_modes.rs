//! The same truth, whichever way traffic comes to the proxies: one suite, two modes.

use byrnie_testkit::{Expect, Ground, Mode, can_run, until};

use super::{PROGRAM, caller, curl, service, web};
use crate::harness::free_port;

const DENY: &str = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: friends, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: web}]
  action: DENY
  rules: [{from: [{identities: [\"spiffe://cluster.local/ns/shop/sa/stranger\"]}]}]
";

fn suite(mode: Mode) {
    let objects = [
        web("web-1", "web", free_port()),
        caller("friend"),
        caller("stranger"),
        service("web", 80, "http"),
        DENY.to_owned(),
    ];
    let ground = Ground::start(PROGRAM, mode, "", &objects.concat());
    let url = |caller: &str, path: &str| {
        let (host, port) = ground.name(caller, "web", 80);
        format!("http://{host}:{port}{path}")
    };
    let friend = url("friend", "/allowed");
    ground.expect(&Expect {
        caller: "friend",
        program: &curl(&friend),
        prints: "web-1 /allowed\n",
        metric: Some((
            "web-1",
            "byrnie_requests_total",
            &[
                "direction=\"inbound\"",
                "service=\"web\"",
                "peer_id=\"spiffe://cluster.local/ns/shop/sa/friend\"",
                "secured=\"true\"",
                "code=\"200\"",
            ],
        )),
        logged: Some((
            "web-1",
            &[
                "/allowed",
                "spiffe://cluster.local/ns/shop/sa/friend",
                "spiffe://cluster.local/ns/shop/sa/web",
            ],
        )),
    });
    let stranger = url("stranger", "/refused");
    ground.expect(&Expect {
        caller: "stranger",
        program: &curl(&stranger),
        prints: "",
        metric: Some((
            "web-1",
            "byrnie_authorization_total",
            &["decision=\"deny\"", "policy=\"shop/friends\""],
        )),
        logged: Some(("web-1", &["/refused", "BYR0210", "shop/friends"])),
    });
    let answer = ground.run("stranger", &["curl", "-sS", "-i", "--max-time", "10", &stranger]).ok();
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("byrnie-error: BYR0210 denied"),
        "{answer}"
    );
    until("the edge is seen, and that it is secured", || {
        let edges = ground.items(&["edges", "-o", "json"])?;
        edges.iter().any(|edge| edge["secured"] == true && edge.to_string().contains("friend")).then_some(())
    });
}

#[test]
fn explicit() {
    if can_run(&["curl", "python3"]) {
        suite(Mode::Explicit);
    }
}

#[test]
fn transparent() {
    if can_run(&["curl", "python3"]) {
        suite(Mode::Transparent);
    }
}
