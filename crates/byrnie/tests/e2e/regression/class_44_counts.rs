//! Counts around powers of two (RUSTSEC-2019-0033, RUSTSEC-2026-0007): headers, weights and ports.

use super::site::{Site, exchange};
use crate::harness::{get, yaml};

#[test]
fn counts_around_powers_of_two_are_limits_or_numbers() {
    let site = Site::open();
    for road in site.roads() {
        for count in [(1 << 15) - 1, 1 << 15, (1 << 15) + 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1] {
            let lines: String = (0..count).map(|line| format!("{line}:\r\n")).collect();
            let answer = exchange(road, format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 431 "), "{road}: {count}: {answer}");
        }
    }
    site.saw(&[]);
    let weights = |weight: u64| {
        let backends = format!("{{name: web, port: 80, weight: {weight}}}, ").repeat(16);
        yaml::route(
            "heavy",
            "front",
            &format!("{{matches: [{{path: {{value: /heavy}}}}], backendRefs: [{backends}]}}"),
        )
    };
    for weight in [1_000_001, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, u64::MAX] {
        let run = site.mesh.sandbox.run_with_input(&["apply", "-f", "-"], &weights(weight));
        assert!(run.code == Some(1) && run.stderr.contains("BYR"), "{weight}: {run:?}");
    }
    site.mesh.apply(&weights(1_000_000));
    for path in ["/heavy", "/heavy/x"] {
        assert_eq!(get(&site.gateway, path, &[]).unwrap().status, 200);
    }
    for port in [65_536u64, 1 << 31, 1 << 32] {
        let text = yaml::service("other", "http").replace("port: 80,", &format!("port: {port},"));
        let run = site.mesh.sandbox.run_with_input(&["apply", "-f", "-"], &text);
        assert!(run.code == Some(1) && run.stderr.contains("BYR"), "{port}: {run:?}");
    }
    site.holds();
}
