use std::time::Duration;

use byrnie_plan::{ObjectName, RouteKind, RouteName};

use super::*;
use crate::{Direction, RegistrySettings, RequestEnd};

#[test]
fn the_text_is_as_promised() {
    let now = Instant::now();
    let registry = Registry::new(RegistrySettings::default());
    let labels = Labels {
        service: Some(ObjectName::new("shop", "web")),
        route: Some(RouteName {
            kind: RouteKind::Http,
            route: ObjectName::new("shop", "main"),
            rule: "0".to_owned(),
        }),
        source: Some(ObjectName::new("store", "cart-1")),
        destination: Some(ObjectName::new("shop", "web-1")),
        peer_identity: "spiffe://cluster.local/ns/store/sa/cart".parse().ok(),
        secured: true,
        ..Labels::new(Direction::Inbound)
    };
    let series = registry.requests(0, &labels, now);
    for (status, millis) in [(200, 1), (200, 3), (403, 1)] {
        let error = if status == 403 { "BYR\"0\\2\n" } else { "" };
        series.record(&RequestEnd {
            status,
            error,
            duration: Duration::from_millis(millis),
            retries: 1,
            ..RequestEnd::default()
        });
    }
    let tcp = registry.connections(0, &labels, "", "", now);
    tcp.opened();
    tcp.received(42);
    registry.counter(&names::AUTHORIZATION, &["deny", "shop/nobody"]).inc();
    registry.gauge(&names::CERTIFICATE_NOT_AFTER, &[]).set(1_800_000_000);
    let text = registry.render(now);
    let request = "direction=\"inbound\",namespace=\"shop\",service=\"web\",route=\"main/0\",workload=\"web-1\",\
                   peer=\"cart-1\",peer_namespace=\"store\"";
    let id = "peer_id=\"spiffe://cluster.local/ns/store/sa/cart\"";
    for line in [
        "# TYPE byrnie_requests counter".to_owned(),
        "# HELP byrnie_requests Requests that ended".to_owned(),
        format!(
            "byrnie_requests_total{{{request},{id},secured=\"true\",code=\"200\",grpc_status=\"\",error=\"\"}} 2"
        ),
        format!(
            "byrnie_requests_total{{{request},{id},secured=\"true\",code=\"403\",grpc_status=\"\",\
             error=\"BYR\\\"0\\\\2\\n\"}} 1"
        ),
        "# TYPE byrnie_request_duration_seconds histogram".to_owned(),
        format!("byrnie_request_duration_seconds_sum{{{request},secured=\"true\"}} 0.005"),
        format!("byrnie_request_duration_seconds_count{{{request},secured=\"true\"}} 3"),
        format!("byrnie_request_duration_seconds_bucket{{le=\"0.001\",{request},secured=\"true\"}} 2"),
        format!("byrnie_request_duration_seconds_bucket{{le=\"0.0025\",{request},secured=\"true\"}} 2"),
        format!("byrnie_request_duration_seconds_bucket{{le=\"0.005\",{request},secured=\"true\"}} 3"),
        format!("byrnie_request_duration_seconds_bucket{{le=\"+Inf\",{request},secured=\"true\"}} 3"),
        "byrnie_authorization_total{decision=\"deny\",policy=\"shop/nobody\"} 1".to_owned(),
        "# TYPE byrnie_certificate_not_after_seconds gauge".to_owned(),
        "byrnie_certificate_not_after_seconds 1800000000".to_owned(),
        "byrnie_metrics_series 3".to_owned(),
        "byrnie_metrics_overflow_total 0".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    for start in ["byrnie_retries_total{", "byrnie_tcp_connections_total{", "byrnie_tcp_open_connections{"] {
        assert_eq!(text.lines().filter(|l| l.starts_with(start)).count(), 1, "{start}\n{text}");
    }
    assert!(text.contains("flow=\"received\"} 42\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn every_family_stands_once_and_every_name_is_ours() {
    let now = Instant::now();
    let registry = Registry::new(RegistrySettings::default());
    for code in 0..3 {
        registry.counter(&names::LIMIT_REJECTIONS, &[&format!("limit-{code}")]).inc();
    }
    for peer in 0..300 {
        registry.counter(&names::AUTHORIZATION, &["allow", &format!("shop/p{peer}")]).inc();
    }
    let text = registry.render(now);
    let mut types: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), text.lines().filter(|l| l.starts_with("# TYPE")).count());
    assert!(text.lines().all(|l| l.starts_with("# ") || l.starts_with("byrnie_")), "{text}");
    // 200 of their own, the rest shares one.
    assert_eq!(text.lines().filter(|l| l.starts_with("byrnie_authorization_total{")).count(), 201);
    assert!(text.contains("byrnie_authorization_total{decision=\"overflow\",policy=\"overflow\"} 100"));
}

#[test]
fn the_classic_text_names_counters_as_their_samples() {
    let registry = Registry::new(RegistrySettings::default());
    registry.counter(&names::PANICS, &[]).inc();
    registry.gauge(&names::CERTIFICATE_NOT_AFTER, &[]).set(7);
    let text = registry.render_classic(Instant::now());
    assert!(text.contains("# TYPE byrnie_panics_total counter\nbyrnie_panics_total 1\n"), "{text}");
    assert!(text.contains("# HELP byrnie_panics_total "), "{text}");
    assert!(text.contains("# TYPE byrnie_certificate_not_after_seconds gauge\n"), "{text}");
    assert!(!text.contains("# EOF"), "{text}");
}
