//! Rate limits and faults on the way of a request: what passes, what is said, what is left alone.

use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::{
    Controls, Fault, FaultAbort, FaultDelay, Faults, HttpTable, RateKey, RateLimit, RateLimits, RateUnit,
};
use http::Request;
use hyper::body::Incoming;

use super::client::{ask, get};
use super::kit::{counted, obey, origin, plain, routed, rule, text, under};
use crate::config::Cluster;
use crate::tcp::tests::mesh::run;

pub(super) fn limits(requests: u32, key: Vec<RateKey>) -> RateLimits {
    let limit = RateLimit {
        name: "few".to_owned(),
        unit: RateUnit::Requests,
        matches: Vec::new(),
        key,
        number: requests,
        per: Duration::from_secs(24 * 3600),
        burst: requests,
        max_keys: 64,
    };
    RateLimits {
        policy: "shop/limit".to_owned(),
        scope: "HTTPRoute shop/front".to_owned(),
        shadow: false,
        headers: true,
        limits: vec![limit],
    }
}

fn faults(delay: Option<FaultDelay>, abort: Option<FaultAbort>) -> Faults {
    let faults = vec![Fault { matches: Vec::new(), share: 10_000, delay, abort }];
    Faults { policy: "shop/fault".to_owned(), expires_unix_ms: u64::MAX, faults }
}

/// Two rules, `/a` and the rest, with these controls.
fn table(controls: &Controls) -> HttpTable {
    let mut one = rule(&[("web", 1)]);
    one.controls = Some(Box::new(controls.clone()));
    HttpTable {
        matches: vec![under("/a", 0), under("/", 1)],
        rules: vec![one.clone(), one],
        scopes: Vec::new(),
    }
}

async fn web() -> Vec<Arc<Cluster>> {
    vec![plain("web", origin(|_: Request<Incoming>| async { text("web") }).await)]
}

#[test]
fn rules_of_one_scope_share_a_bucket_and_refusals_are_told() {
    run(async {
        let clusters = web().await;
        let mut controls = Controls { limits: Some(limits(3, Vec::new())), faults: None };
        let (worker, address) = routed(&table(&controls), &clusters).await;
        let mut statuses = Vec::new();
        for path in ["/a", "/", "/a", "/"] {
            statuses.push(ask(address, get(path)).await.status);
        }
        assert_eq!(statuses, [200, 200, 200, 429]);
        let refused = ask(address, get("/")).await;
        assert_eq!(refused.header("byrnie-error"), "BYR0250 rate_limited side=client");
        assert!(refused.text().contains("RateLimitPolicy shop/limit"), "{}", refused.text());
        let last = counted(&worker).into_iter().find(|delta| delta.outcome.status == 429).unwrap();
        assert_eq!((last.outcome.policy.as_str(), last.outcome.error.as_str()), ("shop/limit", "BYR0250"));
        // Headers of a policy that does not want them; a new number begins with a full bucket.
        controls.limits = Some(RateLimits { headers: false, ..limits(1, Vec::new()) });
        obey(&worker, &table(&controls), &clusters);
        let passed = ask(address, get("/")).await;
        assert_eq!((passed.status, passed.header("ratelimit")), (200, ""));
        assert_eq!(ask(address, get("/")).await.status, 429);
    });
}

#[test]
fn calls_get_grpc_statuses() {
    run(async {
        let clusters = web().await;
        let call =
            "POST /a HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n";
        let controls = Controls { limits: Some(limits(1, Vec::new())), faults: None };
        let (worker, address) = routed(&table(&controls), &clusters).await;
        assert_eq!(ask(address, get("/")).await.status, 200);
        let refused = ask(address, call).await;
        assert_eq!((refused.status, refused.header("grpc-status")), (200, "8"));
        assert!(!refused.header("retry-after").is_empty());
        for (abort, status, grpc) in [
            (FaultAbort::Grpc(7), 200, "7"),
            (FaultAbort::Http(502), 502, ""),
            (FaultAbort::Grpc(14), 200, "14"),
        ] {
            let controls = Controls { limits: None, faults: Some(faults(None, Some(abort))) };
            obey(&worker, &table(&controls), &clusters);
            let failed = ask(address, call).await;
            assert_eq!((failed.status, failed.header("grpc-status")), (status, grpc), "{abort:?}");
        }
        assert_eq!(ask(address, get("/")).await.status, 503, "who does not call gets a status of HTTP");
    });
}

#[test]
fn a_key_is_a_bucket_and_its_lack_one_too() {
    run(async {
        let controls =
            Controls { limits: Some(limits(1, vec![RateKey::Header("x-user".to_owned())])), faults: None };
        let (_worker, address) = routed(&table(&controls), &web().await).await;
        let user = |name: &str| format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: {name}\r\n\r\n");
        for (words, status) in
            [(user("ann"), 200), (user("ann"), 429), (user("bob"), 200), (get("/"), 200), (get("/"), 429)]
        {
            assert_eq!(ask(address, &words).await.status, status, "{words}");
        }
    });
}

#[test]
fn a_fault_asks_no_endpoint_and_takes_no_budget() {
    run(async {
        let dead = plain("web", ([127, 0, 0, 1], 1).into());
        let controls = Controls { limits: None, faults: Some(faults(None, Some(FaultAbort::Http(418)))) };
        let (worker, address) = routed(&table(&controls), &[Arc::clone(&dead)]).await;
        for _ in 0..10 {
            assert_eq!(ask(address, get("/")).await.status, 418, "the endpoint would not even be there");
        }
        let counts = counted(&worker);
        assert!(counts.iter().all(|delta| delta.labels.destination.is_none()), "{counts:?}");
        assert!(counts.iter().all(|delta| delta.outcome.policy == "shop/fault"), "{counts:?}");
    });
}

#[test]
fn a_delay_ends_with_the_requests_time() {
    run(async {
        let clusters = web().await;
        let hour = FaultDelay::Fixed(Duration::from_secs(3600));
        let controls = Controls { limits: None, faults: Some(faults(Some(hour), None)) };
        let mut table = table(&controls);
        for rule in &mut table.rules {
            rule.timeouts.request = Some(Duration::from_millis(100));
        }
        let (worker, address) = routed(&table, &clusters).await;
        let late = ask(address, get("/")).await;
        assert_eq!((late.status, &late.header("byrnie-error")[..7]), (504, "BYR0208"));
        let short = FaultDelay::Uniform { min: Duration::from_millis(1), max: Duration::from_millis(2) };
        let controls = Controls { limits: None, faults: Some(faults(Some(short), None)) };
        obey(&worker, &super::controls::table(&controls), &clusters);
        assert_eq!(ask(address, get("/")).await.status, 200);
    });
}

#[test]
fn an_experiment_that_is_over_does_nothing() {
    run(async {
        let over = Faults { expires_unix_ms: 1, ..faults(None, Some(FaultAbort::Http(503))) };
        let controls = Controls { limits: None, faults: Some(over) };
        let (_worker, address) = routed(&table(&controls), &web().await).await;
        assert_eq!(ask(address, get("/")).await.status, 200);
    });
}
