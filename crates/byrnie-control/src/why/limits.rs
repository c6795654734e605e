//! The time that a request has, and its retries: of the rule, else of the Service.

use std::time::Duration;

use byrnie_plan::{HttpRule, Retry, Service};

use super::step;
use crate::api::WhyStep;

/// What holds for requests of a rule.
pub fn of_rule(rule: &HttpRule, service: Option<&Service>) -> WhyStep {
    let settings = service.map(|service| service.settings.clone()).unwrap_or_default();
    let request = rule.timeouts.request.or(settings.request_timeout);
    let retry = rule.retry.as_ref().unwrap_or(&settings.retry);
    let per_try = rule.timeouts.backend_request.or(retry.per_try_timeout);
    step("limits", true, rule.name.to_string(), words(request, per_try, retry))
}

/// What holds where no route does.
pub fn of_service(service: &Service) -> WhyStep {
    let settings = &service.settings;
    let text = words(settings.request_timeout, settings.retry.per_try_timeout, &settings.retry);
    step("limits", true, service.name.to_string(), text)
}

fn words(request: Option<Duration>, per_try: Option<Duration>, retry: &Retry) -> String {
    let given = |limit: Option<Duration>| limit.filter(|limit| !limit.is_zero());
    let mut parts = vec![match given(request) {
        Some(limit) => format!("{limit:?} for the request"),
        None => "no time limit".to_owned(),
    }];
    parts.extend(given(per_try).map(|limit| format!("{limit:?} for each try")));
    parts.push(match retry.attempts {
        0 => "no retries".to_owned(),
        attempts => format!(
            "up to {attempts} retries {} within {} % of requests and {} per second",
            reasons(retry),
            retry.budget.percent,
            retry.budget.min_per_second
        ),
    });
    parts.join(", ")
}

/// On what is tried again.
fn reasons(retry: &Retry) -> String {
    let on = &retry.on;
    let mut reasons = Vec::new();
    if !on.statuses.is_empty() {
        reasons.push(format!("on {}", ranges(&on.statuses)));
    }
    if !on.grpc_codes.is_empty() {
        reasons.push(format!("on gRPC {}", ranges(&on.grpc_codes)));
    }
    if on.server_errors {
        reasons.push("on 500 and above".to_owned());
    }
    if on.timeout {
        reasons.push("after the time of one try".to_owned());
    }
    if on.connection_error {
        reasons.push("on connection errors".to_owned());
    }
    if reasons.is_empty() {
        return "of what was not processed,".to_owned();
    }
    let methods = if on.unsafe_methods { "" } else { " (idempotent methods)" };
    format!("{}{methods}", reasons.join(", "))
}

/// `500-504, 599`.
fn ranges(numbers: &[u16]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for number in sorted {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let run = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use byrnie_plan::RetryOn;

    use super::*;

    #[test]
    fn limits_in_words() {
        let plain = words(None, None, &Retry::default());
        let expected = "no time limit, up to 2 retries of what was not processed, within 20 % of requests and 3 per second";
        assert_eq!(plain, expected);
        let on = RetryOn {
            statuses: vec![504, 500, 502, 503],
            connection_error: true,
            unsafe_methods: true,
            ..RetryOn::default()
        };
        let retry = Retry { attempts: 3, on, ..Retry::default() };
        let full = words(Some(Duration::from_secs(1)), Some(Duration::from_millis(200)), &retry);
        assert!(
            full.starts_with(
                "1s for the request, 200ms for each try, up to 3 retries on 500, 502-504, on conn"
            ),
            "{full}"
        );
        assert_eq!(
            words(Some(Duration::ZERO), None, &Retry { attempts: 0, ..retry }),
            "no time limit, no retries"
        );
    }
}
