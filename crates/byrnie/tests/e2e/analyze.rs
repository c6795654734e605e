//! `byrnie analyze`, about files and about a running mesh.

use crate::harness::{Mesh, Sandbox, free_port, yaml};

const DEAD: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: dead, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - backendRefs: [{name: web, port: 80}]
  - backendRefs: [{name: web, port: 80}]
";

#[test]
fn findings_of_files_name_place_consequence_and_remedy() {
    let sandbox = Sandbox::new();
    let web = format!("{}{}", yaml::workload("web-1", "web", 8080, ""), yaml::service("web", "http"));
    sandbox.file("good.yaml", &web);
    assert_eq!(sandbox.run(&["analyze", "-f", "good.yaml"]).ok(), "√ nothing to say about the files\n");
    sandbox.file("dead.yaml", DEAD);
    let both = ["analyze", "-f", "good.yaml", "-f", "dead.yaml"];
    let expected = "\
warning[BYR0181]: no request at port 80 of Service shop/web reaches the rule: dead/0 (HTTPRoute shop/dead) takes them \
all before it
  --> dead.yaml:2
  --> HTTPRoute shop/dead spec.rules[1]
note: Another rule with the same or a wider match comes before this one, so it does nothing.
help: remove it, make its match narrower, or move it before the other one

0 errors, 1 warnings about the files
";
    assert_eq!(sandbox.run(&both).ok(), expected);
    let json = sandbox.run(&[&both[..], &["-o", "json"]].concat()).json();
    let item = &json["items"][0];
    assert_eq!((&item["code"], &item["severity"]), (&"BYR0181".into(), &"warning".into()));
    assert_eq!(
        (&item["kind"], &item["name"], &item["path"]),
        (&"HTTPRoute".into(), &"dead".into(), &"spec.rules[1]".into())
    );
    assert!(item["consequence"].as_str().unwrap().ends_with("so it does nothing."), "{item}");
    // Warnings are no failure unless they are asked to be; errors are.
    assert_eq!(sandbox.run(&[&both[..], &["--failure-threshold", "warning"]].concat()).code, Some(1));
    let error = sandbox.run(&["analyze", "-f", "dead.yaml", "-o", "json"]);
    assert!(error.stdout.contains("BYR0104") && error.code == Some(1), "{error:?}");
}

#[test]
fn a_code_explains_itself() {
    let sandbox = Sandbox::new();
    let page = sandbox.run(&["analyze", "--explain", "byr0181"]).ok();
    assert!(page.starts_with("# BYR0181: never reached\n") && page.contains("```yaml"), "{page}");
    assert!(sandbox.run(&["analyze", "--explain", "BYR9999"]).refused(1).contains("BYR0463"));
}

#[test]
fn findings_of_a_running_mesh() {
    let web = format!("{}{}", yaml::workload("web-1", "web", free_port(), ""), yaml::service("web", "http"));
    let mesh = Mesh::start(&web);
    assert_eq!(mesh.byrnie(&["analyze"]).ok(), "√ nothing to say about the running mesh\n");
    mesh.apply(DEAD);
    let text = mesh.byrnie(&["analyze", "-n", "shop"]).ok();
    assert!(
        text.contains("warning[BYR0181]") && text.contains("HTTPRoute shop/dead spec.rules[1]"),
        "{text}"
    );
    assert!(mesh.byrnie(&["analyze", "-n", "other"]).ok().contains("nothing to say"));
}
