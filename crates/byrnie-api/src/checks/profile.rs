//! Rules of a ServiceProfile: those that Linkerd's own validation has.

use super::Issues;
use crate::codes;
use crate::go_duration::parse_go_duration;
use crate::kinds::{RequestMatch, ResponseMatch, ServiceProfileSpec};

pub(super) fn service_profile(spec: &ServiceProfileSpec, issues: &mut Issues) {
    for (index, route) in spec.routes.iter().enumerate() {
        let path = format!("spec.routes[{index}]");
        request(&route.condition, &format!("{path}.condition"), issues);
        if let Some(timeout) = route.timeout.as_deref().filter(|text| !text.is_empty()) {
            duration(timeout, format!("{path}.timeout"), issues);
        }
        for (class, each) in route.response_classes.iter().enumerate() {
            response(&each.condition, &format!("{path}.responseClasses[{class}].condition"), issues);
        }
    }
    if let Some(budget) = &spec.retry_budget {
        duration(&budget.ttl, "spec.retryBudget.ttl".to_owned(), issues);
    }
}

fn duration(text: &str, path: String, issues: &mut Issues) {
    if parse_go_duration(text).is_none() {
        issues.error(codes::BAD_FORMAT, path, format!("{text:.64?} is no duration such as 300ms or 1.5s"));
    }
}

fn request(condition: &RequestMatch, path: &str, issues: &mut Issues) {
    if condition.is_empty() {
        issues.error(
            codes::MISSING,
            path,
            "a condition says at least one of pathRegex, method, all, any, not",
        );
    }
    if let Some(expression) = &condition.path_regex {
        issues.regex(format!("{path}.pathRegex"), expression);
    }
    for (list, name) in [(&condition.all, "all"), (&condition.any, "any")] {
        for (index, inner) in list.iter().flatten().enumerate() {
            request(inner, &format!("{path}.{name}[{index}]"), issues);
        }
    }
    if let Some(inner) = &condition.not {
        request(inner, &format!("{path}.not"), issues);
    }
}

fn response(condition: &ResponseMatch, path: &str, issues: &mut Issues) {
    if *condition == ResponseMatch::default() {
        issues.error(codes::MISSING, path, "a condition says at least one of status, all, any, not");
    }
    if let Some((min, max)) = condition.status.and_then(|range| range.min.zip(range.max))
        && min > max
    {
        issues.error(
            codes::OUT_OF_RANGE,
            format!("{path}.status.max"),
            format!("{max} is less than min, {min}"),
        );
    }
    for (list, name) in [(&condition.all, "all"), (&condition.any, "any")] {
        for (index, inner) in list.iter().flatten().enumerate() {
            response(inner, &format!("{path}.{name}[{index}]"), issues);
        }
    }
    if let Some(inner) = &condition.not {
        response(inner, &format!("{path}.not"), issues);
    }
}
