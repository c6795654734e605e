//! `byrnie why` on files: the decision for one request before anything is applied.

use serde_json::Value;

use crate::harness::{Sandbox, yaml};

const SHOP: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - name: beta
    matches:
    - headers: [{name: x-user, value: ann}]
    - headers: [{name: cookie, type: RegularExpression, value: '.*beta=1.*'}]
    - queryParams: [{name: beta, value: '1'}]
    backendRefs: [{name: web2, port: 80}]
    timeouts: {request: 2s}
    retry: {attempts: 1, codes: [503]}
  - name: old
    matches: [{path: {type: PathPrefix, value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: new.example, statusCode: 301}}]
  - name: api
    matches: [{path: {type: PathPrefix, value: /api}, method: GET}]
    backendRefs: [{name: web, port: 80}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec:
  action: DENY
  targetRefs: [{kind: Service, name: web}]
  rules: [{to: [{paths: [/api/admin*]}]}]
";

fn shop() -> Sandbox {
    let sandbox = Sandbox::new();
    let objects = [
        yaml::workload("web-1", "web", 8080, ""),
        yaml::workload("web2-1", "web2", 8081, ""),
        yaml::service("web", "http"),
        yaml::service("web2", "http"),
        yaml::service("empty", "http"),
        yaml::caller("bot", ""),
        yaml::gateway("front", &[18080]),
        yaml::route(
            "front",
            "front",
            "{matches: [{path: {type: PathPrefix, value: /shop}}], \
            backendRefs: [{name: web, port: 80}]}",
        ),
        SHOP.to_owned(),
    ];
    sandbox.file("shop.yaml", &objects.concat());
    sandbox
}

fn why(sandbox: &Sandbox, args: &[&str]) -> Value {
    sandbox.run(&[&["why", "-f", "shop.yaml", "-o", "json"][..], args].concat()).json()
}

fn rules(answer: &Value, step: &str) -> Vec<String> {
    let steps = answer["steps"].as_array().unwrap().iter().filter(|s| s["step"] == step);
    steps.map(|s| s["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_part_of_a_request_leads_to_its_rule() {
    let sandbox = shop();
    for (args, verdict, route) in [
        (&["bot", "web", "--path", "/api/x"][..], "allowed", "web/api"),
        (&["bot", "web", "--path", "/api", "-H", "x-user: ann"], "allowed", "web/api"),
        (&["bot", "web", "--path", "/x", "-H", "x-user: ann"], "allowed", "web/beta"),
        (&["bot", "web", "--path", "/x", "-H", "cookie: a=b; beta=1"], "allowed", "web/beta"),
        (&["bot", "web", "--path", "/x?beta=1"], "allowed", "web/beta"),
        (&["bot", "web", "--path", "/old/1"], "allowed", "web/old"),
        (&["bot", "web", "--path", "/api", "--method", "POST"], "unreachable", "none"),
        (&["bot", "web", "--path", "/api/admin"], "denied", "web/api"),
        (&["bot", "empty"], "unreachable", "default"),
        (&["bot", "web-1", "--path", "/api"], "allowed", "web/api"),
        (&["front", "web", "--path", "/shop"], "allowed", "front/0"),
        (&["front", "web", "--path", "/none"], "unreachable", "none"),
    ] {
        let answer = why(&sandbox, args);
        assert_eq!(
            (&answer["verdict"], rules(&answer, "route")[0].as_str()),
            (&verdict.into(), route),
            "{args:?} {answer:#}"
        );
    }
}

#[test]
fn the_answer_names_status_limits_and_policy() {
    let sandbox = shop();
    let text = |args: &[&str]| sandbox.run(&[&["why", "-f", "shop.yaml"][..], args].concat()).ok();
    let beta = text(&["bot", "web", "--path", "/?beta=1"]);
    assert!(beta.contains("2s for the request, up to 1 retries on 503, on connection errors"), "{beta}");
    assert!(text(&["bot", "web", "--path", "/api", "--method", "PUT"]).contains("404"), "no rule for PUT");
    assert!(text(&["bot", "empty"]).contains("503"));
    assert!(text(&["bot", "web", "--path", "/old"]).contains("redirect (301)"));
    let denied = text(&["bot", "web", "--path", "/api/admin"]);
    assert!(denied.contains("shop/no-admin") && denied.contains("403"), "{denied}");
    assert!(denied.contains("spiffe://cluster.local/ns/shop/sa/bot"), "{denied}");
}

#[test]
fn names_that_lead_nowhere_are_refused() {
    let sandbox = shop();
    for args in [
        &["why", "-f", "shop.yaml", "nobody", "web"][..],
        &["why", "-f", "shop.yaml", "bot", "nothing"],
        &["why", "-f", "shop.yaml", "bot", "web:81"],
        &["why", "-f", "missing.yaml", "bot", "web"],
    ] {
        let stderr = sandbox.run(args).refused(1);
        assert!(stderr.starts_with("error[BYR04"), "{args:?} {stderr}");
    }
}
