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
    assert!(beta.contains("2s for the request, up to 1 retry on 503, on connection errors"), "{beta}");
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

const STAGING: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop}
spec:
  parentRefs: [{name: front}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /split}}]
    backendRefs:
    - name: web
      port: 80
      filters:
      - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /api/admin}}}
      - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Team, value: red}]}}
    - {name: empty, port: 80}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: web}]
  retry: {attempts: 5}
  limits: {maxInFlight: 7}
  outlierEjection: {consecutiveFailures: 3}
  override:
    from: [spiffe://cluster.local/ns/shop/sa/bot]
    to: [{name: web2, port: 80}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: RateLimitPolicy
metadata: {name: red, namespace: shop}
spec:
  targetRefs: [{kind: Workload, name: web-1}]
  limits: [{name: red, requests: 5, matches: [{headers: [{name: x-team, value: red}]}]}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: FaultPolicy
metadata: {name: odd, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: web}]
  faults:
  - {percent: 20, abort: {reset: true}}
  - {percent: 30, delay: {fixed: 90s}}
";

/// What each backend's filters make of the request is what its limits, faults and policies are asked about.
#[test]
fn the_request_is_followed_through_the_filters_of_each_backend() {
    let sandbox = shop();
    let text = std::fs::read_to_string(sandbox.path().join("shop.yaml")).unwrap();
    sandbox.file("shop.yaml", &format!("{text}{STAGING}"));
    let answer = why(&sandbox, &["front", "web", "--path", "/split/x"]);
    assert_eq!(answer["verdict"], "denied", "the rewritten path is the policy's: {answer:#}");
    let details = |answer: &Value, step: &str| -> Vec<String> {
        let steps = answer["steps"].as_array().unwrap().iter().filter(|s| s["step"] == step);
        steps.map(|s| format!("{} {}", s["rule"].as_str().unwrap(), s["detail"].as_str().unwrap())).collect()
    };
    let limits = details(&answer, "limits");
    assert!(limits.iter().any(|l| l.contains("up to 5 retries")), "of web: {limits:?}");
    assert!(limits.iter().any(|l| l.contains("up to 2 retries")), "of empty: {limits:?}");
    assert!(
        limits.iter().any(|l| l.starts_with("shop/web ")
            && l.contains("7 requests in flight")
            && l.contains("ejected for 30s on 3 failures in a row")),
        "{limits:?}"
    );
    let counted = details(&answer, "limit");
    assert_eq!(counted.len(), 1, "by the header that the filter sets: {counted:?}");
    assert!(counted[0].starts_with("shop/red red: 5 requests per 1s, burst 5, at shop/web-1"), "{counted:?}");
    let faults = details(&answer, "fault");
    assert_eq!(
        faults,
        ["shop/odd 30 % of them: waits 1m30s at shop/front, the caller"],
        "no request is reset"
    );
}

#[test]
fn a_wish_to_go_elsewhere_is_followed_where_a_policy_lets() {
    let sandbox = shop();
    let text = std::fs::read_to_string(sandbox.path().join("shop.yaml")).unwrap();
    sandbox.file("shop.yaml", &format!("{text}{STAGING}"));
    for (src, wish, verdict, first) in [
        ("bot", "web2", "allowed", "override"),
        ("bot", "shop/web2:80", "allowed", "override"),
        ("bot", "empty", "unreachable", "override"),
        // From outside nobody is asked.
        ("front", "web2", "allowed", "none"),
    ] {
        let header = format!("byrnie-override: {wish}");
        let path = if src == "front" { "/shop" } else { "/api" };
        let answer = why(&sandbox, &[src, "web", "--path", path, "-H", &header]);
        assert_eq!(
            (&answer["verdict"], rules(&answer, "route")[0].as_str()),
            (&verdict.into(), first),
            "{src} {wish} {answer:#}"
        );
    }
}

#[test]
fn a_connection_goes_where_the_name_in_its_tls_says() {
    let sandbox = shop();
    let text = std::fs::read_to_string(sandbox.path().join("shop.yaml")).unwrap();
    let tls = "---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: names, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: empty}]
  hostnames: ['*.example']
  rules: [{backendRefs: [{name: web2, port: 80}]}]
";
    sandbox.file("shop.yaml", &format!("{text}{tls}"));
    let named = why(&sandbox, &["bot", "empty", "--host", "a.example"]);
    assert_eq!((&named["verdict"], rules(&named, "route")[0].as_str()), (&"allowed".into(), "names/0"));
    let other = why(&sandbox, &["bot", "empty", "--host", "example"]);
    assert_eq!((&other["verdict"], rules(&other, "route")[0].as_str()), (&"unreachable".into(), "none"));
}
