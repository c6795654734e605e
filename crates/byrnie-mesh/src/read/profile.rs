//! `ServiceProfile`: routes of the Service that its name spells out.

use std::time::Duration;

use byrnie_api::kinds::{ProfileRoute, RequestMatch, ServiceProfile};
use byrnie_plan::{ObjectName, PathMatch, Retry, RetryBudget, RetryOn, RouteKind, Timeouts};

use super::rules::regex;
use crate::Finding;
use crate::findings::{self, finding};
use crate::graph::{Parent, RouteId};
use crate::model::{Match, Meta, ParentRef, Route, Rule};

/// Retries of one request at most; the budget ends them first.
const ATTEMPTS: u32 = 10;
/// Retries per second that are allowed at least, where the profile says nothing: Linkerd's default.
const MIN_RETRIES_PER_SECOND: u32 = 10;
/// gRPC codes that are failures of the server: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS.
const GRPC_FAILURES: [u16; 5] = [2, 4, 13, 14, 15];
/// Ways into one route.
const WAYS: usize = 64;
/// Bytes of a route's name in metrics; it travels in a header, too.
const NAME: usize = 200;
/// What `not: {method: …}` leaves.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

pub(super) fn profile(meta: Meta, profile: &ServiceProfile) -> Route {
    let service = service_of(&meta.name.name);
    let unsupported = service.is_none().then(|| {
        format!("the name {:?} is not SERVICE.NAMESPACE.svc.DOMAIN, so it names no Service", meta.name.name)
    });
    let parent = |service| ParentRef {
        parent: Some(Parent::Service(service)),
        section: None,
        port: None,
        written: serde_json::Value::Null,
    };
    let budget = profile.spec.retry_budget.as_ref().map_or(
        RetryBudget { min_per_second: MIN_RETRIES_PER_SECOND, ..RetryBudget::default() },
        |budget| RetryBudget {
            // In range by the schema.
            percent: (budget.retry_ratio * 100.0).round() as u32,
            min_per_second: budget.min_retries_per_second,
        },
    );
    Route {
        id: RouteId { kind: RouteKind::Profile, name: meta.name.clone() },
        parents: service.map(parent).into_iter().collect(),
        hostnames: Vec::new(),
        rules: profile.spec.routes.iter().map(|route| rule(route, budget)).collect(),
        unsupported,
        findings: odd_classes(&meta, &profile.spec.routes),
        meta,
    }
}

/// `web.shop.svc.cluster.local`, with any domain behind `svc` or none.
fn service_of(name: &str) -> Option<ObjectName> {
    let mut parts = name.split('.');
    let (service, namespace) = (parts.next()?, parts.next()?);
    let named = !service.is_empty() && !namespace.is_empty() && parts.next() == Some("svc");
    named.then(|| ObjectName::new(namespace, service))
}

fn rule(route: &ProfileRoute, budget: RetryBudget) -> Rule {
    let timeout = route.timeout.as_deref().and_then(byrnie_api::parse_go_duration);
    Rule {
        name: label(&route.name),
        matches: matches(&route.condition),
        filters: Vec::new(),
        backends: Vec::new(),
        timeouts: Timeouts { request: timeout.filter(|t| *t > Duration::ZERO), backend_request: None },
        retry: route.is_retryable.then(|| Retry {
            attempts: ATTEMPTS,
            on: RetryOn {
                statuses: failures(route),
                grpc_codes: GRPC_FAILURES.to_vec(),
                connection_error: true,
                unsafe_methods: true,
                ..RetryOn::default()
            },
            budget,
            ..Retry::default()
        }),
    }
}

/// Success is counted by status alone, whatever a profile calls a failure.
fn odd_classes(meta: &Meta, routes: &[ProfileRoute]) -> Vec<Finding> {
    let odd = routes.iter().position(|route| !failures(route).into_iter().eq(500..=599));
    let message = "only retries follow these classes; success rates count 500 to 599 as failures";
    let found = odd.map(|index| {
        let path = format!("spec.routes[{index}].responseClasses");
        finding(findings::PROFILE_CLASSES, meta, path, message)
    });
    found.into_iter().collect()
}

/// The statuses that are failures: as the first class says that has them, else 500 to 599.
fn failures(route: &ProfileRoute) -> Vec<u16> {
    let is_failure = |status: &u16| {
        let class = route.response_classes.iter().find(|class| class.condition.matches(*status));
        class.map_or(*status >= 500, |class| class.is_failure)
    };
    (100..=599).filter(is_failure).collect()
}

/// A name that fits a header: visible ASCII and blanks; other bytes, and the `;` that ends a part, are
/// percent-encoded.
fn label(name: &str) -> String {
    let mut label = String::new();
    for byte in name.bytes() {
        if (byte.is_ascii_graphic() || byte == b' ') && byte != b';' {
            label.push(char::from(byte));
        } else {
            label.push_str(&format!("%{byte:02X}"));
        }
    }
    label.truncate(NAME);
    label
}

/// A conjunction.
#[derive(Clone, Debug, Default, PartialEq)]
struct Way {
    path: Option<String>,
    method: Option<String>,
}

/// The condition as a list of ways in, each a plain match.
fn matches(condition: &RequestMatch) -> Result<Vec<Match>, String> {
    let mut list = Vec::new();
    for way in ways(condition)? {
        list.push(Match {
            path: match way.path {
                Some(expression) => PathMatch::Regex(regex(&expression)?),
                None => PathMatch::Prefix("/".to_owned()),
            },
            method: way.method,
            headers: Vec::new(),
            queries: Vec::new(),
        });
    }
    Ok(list)
}

fn ways(condition: &RequestMatch) -> Result<Vec<Way>, String> {
    let mut found = vec![Way::default()];
    for part in parts(condition) {
        found = both(&found, &part.ways()?)?;
    }
    Ok(found)
}

/// What a condition says, part by part: all of them hold.
fn parts(condition: &RequestMatch) -> Vec<Part<'_>> {
    let path = condition.path_regex.as_deref().map(Part::Path);
    let method = condition.method.as_deref().map(Part::Method);
    let all = condition.all.iter().flatten().map(Part::Holds);
    let any = condition.any.as_deref().map(Part::Any);
    let not = condition.not.as_deref().map(Part::Not);
    path.into_iter().chain(method).chain(all).chain(any).chain(not).collect()
}

enum Part<'a> {
    Path(&'a str),
    Method(&'a str),
    Holds(&'a RequestMatch),
    Any(&'a [RequestMatch]),
    Not(&'a RequestMatch),
}

impl Part<'_> {
    fn ways(&self) -> Result<Vec<Way>, String> {
        match self {
            Self::Path(path) => Ok(vec![Way { path: Some((*path).to_owned()), method: None }]),
            Self::Method(method) => Ok(vec![with_method(&method.to_ascii_uppercase())]),
            Self::Holds(condition) => ways(condition),
            Self::Any(list) => one_of(list.iter().map(ways)),
            Self::Not(condition) => one_of(parts(condition).iter().map(Part::opposite)),
        }
    }

    fn opposite(&self) -> Result<Vec<Way>, String> {
        match self {
            Self::Path(path) => Err(format!(
                "`not` of a pathRegex ({path}) cannot be decided by one expression; name what is meant"
            )),
            Self::Method(method) => {
                let others = METHODS.iter().filter(|other| !other.eq_ignore_ascii_case(method));
                Ok(others.map(|other| with_method(other)).collect())
            }
            Self::Holds(condition) => Part::Not(condition).ways(),
            Self::Any(list) => {
                let mut found = vec![Way::default()];
                for condition in *list {
                    found = both(&found, &Part::Not(condition).ways()?)?;
                }
                Ok(found)
            }
            Self::Not(condition) => ways(condition),
        }
    }
}

fn with_method(method: &str) -> Way {
    Way { path: None, method: Some(method.to_owned()) }
}

fn one_of(lists: impl Iterator<Item = Result<Vec<Way>, String>>) -> Result<Vec<Way>, String> {
    let mut found = Vec::new();
    for list in lists {
        found.extend(list?);
        few(&found)?;
    }
    Ok(found)
}

/// What is in both: each of one with each of the other, as far as they can hold together.
fn both(left: &[Way], right: &[Way]) -> Result<Vec<Way>, String> {
    let mut found = Vec::new();
    for a in left {
        for b in right {
            let method = match (&a.method, &b.method) {
                (Some(a), Some(b)) if a != b => continue,
                (a, b) => a.clone().or_else(|| b.clone()),
            };
            let path = match (&a.path, &b.path) {
                (Some(a), Some(b)) if a != b => {
                    return Err(format!("{a} and {b} shall both match one path; write one expression"));
                }
                (a, b) => a.clone().or_else(|| b.clone()),
            };
            found.push(Way { path, method });
            few(&found)?;
        }
    }
    Ok(found)
}

fn few(ways: &[Way]) -> Result<(), String> {
    if ways.len() > WAYS { Err(format!("the condition has more than {WAYS} ways in")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(condition: Value) -> Result<Vec<String>, String> {
        let ways = ways(&serde_json::from_value(condition).unwrap())?;
        let show = |way: &Way| {
            format!("{} {}", way.method.as_deref().unwrap_or("*"), way.path.as_deref().unwrap_or("*"))
        };
        Ok(ways.iter().map(show).collect())
    }

    #[test]
    fn conditions_become_ways_in() {
        for (condition, expected) in [
            (json!({"method": "get", "pathRegex": "/a"}), &["GET /a"][..]),
            (json!({"pathRegex": "/a"}), &["* /a"]),
            (
                json!({"any": [{"pathRegex": "/a"}, {"pathRegex": "/b"}], "method": "PUT"}),
                &["PUT /a", "PUT /b"],
            ),
            (
                json!({"all": [{"method": "PUT"}, {"any": [{"pathRegex": "/a"}, {"method": "GET"}]}]}),
                &["PUT /a"],
            ),
            (json!({"all": []}), &["* *"]),
            (json!({"any": []}), &[]),
            (json!({"not": {"not": {"pathRegex": "/a"}}}), &["* /a"]),
            (json!({"not": {"all": [{"method": "GET"}, {"method": "PUT"}]}, "method": "GET"}), &["GET *"]),
        ] {
            assert_eq!(shown(condition.clone()).unwrap(), expected, "{condition}");
        }
        let others = shown(json!({"not": {"any": [{"method": "GET"}, {"method": "PUT"}]}})).unwrap();
        assert_eq!(others.len(), METHODS.len() - 2);
    }

    #[test]
    fn what_cannot_be_decided_is_said() {
        for condition in [
            json!({"not": {"pathRegex": "/a"}}),
            json!({"all": [{"pathRegex": "/a"}, {"pathRegex": "/b"}]}),
            json!({"any": (0..=WAYS).map(|i| json!({"pathRegex": format!("/{i}")})).collect::<Vec<_>>()}),
        ] {
            assert!(shown(condition).is_err());
        }
    }

    #[test]
    fn names_of_services_and_of_routes() {
        let name = |text: &str| service_of(text).map(|name| name.to_string());
        assert_eq!(name("web.shop.svc.cluster.local").as_deref(), Some("shop/web"));
        assert_eq!(name("web.shop.svc").as_deref(), Some("shop/web"));
        for bad in ["web", "web.shop", "api.example.com", ".shop.svc"] {
            assert_eq!(name(bad), None, "{bad}");
        }
        assert_eq!(label("GET /a/{id}"), "GET /a/{id}");
        assert_eq!(label("ü;"), "%C3%BC%3B");
        assert_eq!(label(&"x".repeat(999)).len(), NAME);
    }

    #[test]
    fn the_first_class_that_has_a_status_decides() {
        let route: ProfileRoute = serde_json::from_value(json!({
            "name": "a", "condition": {"method": "GET"},
            "responseClasses": [
                {"condition": {"status": {"min": 500, "max": 502}}},
                {"condition": {"any": [{"status": {"min": 404, "max": 404}}, {"not": {"status": {"max": 598}}}]},
                    "isFailure": true},
            ],
        }))
        .unwrap();
        let failures = failures(&route);
        assert!(failures.contains(&404) && failures.contains(&503) && failures.contains(&599));
        assert!(!failures.contains(&500) && !failures.contains(&200));
    }
}
