//! The time that a request has, its retries, and what bounds the load of its endpoints: of the rule, else of the
//! Service.

use byrnie_api::duration::Duration;
use byrnie_decide::{request_limit, try_limit};
use byrnie_plan::{ConnectionLimits, HttpRule, Outlier, Retry, TrafficSettings};

use super::route::Hop;
use super::step;
use crate::api::WhyStep;
use crate::table::Table;

/// What holds for requests of a rule, or of none, at each Service that they may go to.
pub fn of_hops(table: &Table, rule: Option<&HttpRule>, hops: &[Hop]) -> Vec<WhyStep> {
    let mut told: Vec<WhyStep> = Vec::new();
    for hop in hops.iter().filter(|hop| hop.onward.is_some()) {
        let settings =
            super::service(table, &hop.service).map(|service| service.settings).unwrap_or_default();
        let name = rule.map_or_else(|| hop.service.to_string(), |rule| rule.name.to_string());
        let said = step("limits", true, name, request_words(rule, &settings));
        if !told.contains(&said) {
            told.push(said);
        }
        let said = step("limits", true, hop.service.to_string(), endpoint_words(&settings));
        if !told.contains(&said) {
            told.push(said);
        }
    }
    told
}

fn request_words(rule: Option<&HttpRule>, settings: &TrafficSettings) -> String {
    let timeouts = rule.map(|rule| rule.timeouts).unwrap_or_default();
    let retry = rule.and_then(|rule| rule.retry.as_ref()).unwrap_or(&settings.retry);
    let mut parts = vec![match request_limit(timeouts, settings) {
        Some(limit) => format!("{} for the request", Duration::from(limit)),
        None => "no time limit".to_owned(),
    }];
    let per_try = try_limit(timeouts, retry.per_try_timeout);
    parts.extend(per_try.map(|limit| format!("{} for each try", Duration::from(limit))));
    parts.push(match retry.attempts {
        0 => "no retries".to_owned(),
        attempts => format!(
            "up to {attempts} {} {} within {} % of requests and {} per second",
            if attempts == 1 { "retry" } else { "retries" },
            reasons(retry),
            retry.budget.percent,
            retry.budget.min_per_second
        ),
    });
    parts.join(", ")
}

fn endpoint_words(settings: &TrafficSettings) -> String {
    let ConnectionLimits { max_connections, max_pending, max_in_flight } = settings.limits;
    let connect = Duration::from(settings.connect_timeout);
    let mut parts = vec![
        format!("{connect} to connect"),
        format!("each endpoint at most {max_connections} connections and {max_in_flight} requests in flight"),
        format!("{max_pending} may wait"),
    ];
    parts.push(settings.outlier.as_ref().map_or_else(|| "none is ever ejected".to_owned(), ejection));
    parts.join(", ")
}

fn ejection(outlier: &Outlier) -> String {
    let mut on = Vec::new();
    if outlier.consecutive_failures > 0 {
        on.push(format!("{} failures in a row", outlier.consecutive_failures));
    }
    on.extend(outlier.success_rate.map(|_| "a worse success rate than the others'".to_owned()));
    on.extend(outlier.latency.map(|_| "a higher latency than the others'".to_owned()));
    match on.is_empty() {
        true => "none is ever ejected".to_owned(),
        false => format!("ejected for {} on {}", Duration::from(outlier.base_ejection), on.join(" or ")),
    }
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
    use std::time::Duration;

    use byrnie_plan::{ObjectName, RetryOn, RouteKind, RouteName, Timeouts};

    use super::*;

    fn rule(timeouts: Timeouts, retry: Option<Retry>) -> HttpRule {
        let name =
            RouteName { kind: RouteKind::Http, route: ObjectName::new("a", "r"), rule: "0".to_owned() };
        HttpRule { name, filters: Vec::new(), backends: Vec::new(), timeouts, retry, controls: None }
    }

    #[test]
    fn limits_in_words() {
        let mut settings = TrafficSettings::default();
        let plain = request_words(None, &settings);
        let expected = "no time limit, up to 2 retries of what was not processed, within 20 % of requests and 3 per second";
        assert_eq!(plain, expected);
        let on = RetryOn {
            statuses: vec![504, 500, 502, 503],
            connection_error: true,
            unsafe_methods: true,
            ..RetryOn::default()
        };
        let retry = Retry { attempts: 3, on, ..Retry::default() };
        let (second, fifth) = (Some(Duration::from_secs(1)), Some(Duration::from_millis(200)));
        let full = request_words(
            Some(&rule(Timeouts { request: second, backend_request: fifth }, Some(retry))),
            &settings,
        );
        assert!(
            full.starts_with(
                "1s for the request, 200ms for each try, up to 3 retries on 500, 502-504, on conn"
            ),
            "{full}"
        );
        settings.request_timeout = second;
        let never = Retry { attempts: 0, ..Retry::default() };
        let off = rule(Timeouts { request: Some(Duration::ZERO), backend_request: None }, Some(never));
        assert_eq!(request_words(Some(&off), &settings), "no time limit, no retries");
        assert!(request_words(None, &settings).starts_with("1s for the request, "));
    }

    #[test]
    fn what_bounds_the_load_of_an_endpoint() {
        let mut settings = TrafficSettings::default();
        let plain = endpoint_words(&settings);
        assert_eq!(
            plain,
            "1s to connect, each endpoint at most 1024 connections and 1024 requests in flight, \
            1024 may wait, none is ever ejected"
        );
        settings.outlier = Some(Outlier { latency: Some(Default::default()), ..Outlier::default() });
        let ejected = "ejected for 30s on 5 failures in a row or a higher latency than the others'";
        assert!(endpoint_words(&settings).ends_with(ejected), "{}", endpoint_words(&settings));
    }
}
