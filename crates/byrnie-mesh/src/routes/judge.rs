//! What of a route cannot be served as written, and what its status says about that.

use super::compile::prefix_without_prefix;
use crate::findings::{self, finding};
use crate::model::{Route, WantedFilter};
use crate::status::Verdict;

/// Rules that are not served at all, with the reason.
pub(super) fn refused(route: &Route) -> Vec<(String, String)> {
    if let Some(why) = &route.unsupported {
        return vec![("spec".to_owned(), why.clone())];
    }
    let rules = route.rules.iter().enumerate();
    rules
        .filter_map(|(i, rule)| Some((format!("spec.rules[{i}]"), rule.matches.as_ref().err()?.clone())))
        .collect()
}

/// Filters that cannot be done, with the reason: their requests get 500.
pub(super) fn unsupported(route: &Route) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (r, rule) in route.rules.iter().enumerate() {
        let why = |wanted: &WantedFilter| match wanted {
            WantedFilter::Unsupported(why) => Some(why.clone()),
            WantedFilter::Ready(filter) if prefix_without_prefix(filter, &rule.matches) => {
                Some("replacePrefixMatch needs every match of the rule to be a PathPrefix".to_owned())
            }
            _ => None,
        };
        for (f, wanted) in rule.filters.iter().enumerate() {
            list.extend(why(wanted).map(|why| (format!("spec.rules[{r}].filters[{f}]"), why)));
        }
        for (b, backend) in rule.backends.iter().enumerate() {
            for (f, wanted) in backend.filters.iter().enumerate() {
                let path = format!("spec.rules[{r}].backendRefs[{b}].filters[{f}]");
                list.extend(why(wanted).map(|why| (path, why)));
            }
        }
    }
    list
}

/// Whether the route can be served, and what of it is not served as written.
pub(super) fn judge(route: &Route) -> (Verdict, Option<String>) {
    let problems: Vec<(String, String)> = refused(route).into_iter().chain(unsupported(route)).collect();
    let Some((path, why)) = problems.first() else {
        return (Verdict::yes("Accepted"), None);
    };
    let message = format!("{path}: {why}");
    let bad =
        |rule: &str| problems.iter().any(|(path, _)| path == rule || path.starts_with(&format!("{rule}.")));
    let all_bad =
        route.unsupported.is_some() || (0..route.rules.len()).all(|i| bad(&format!("spec.rules[{i}]")));
    if all_bad {
        (Verdict::no("UnsupportedValue", message), None)
    } else {
        // The Gateway API asks for these first words.
        (Verdict::yes("Accepted"), Some(format!("Dropped Rule: {message}")))
    }
}

/// Rules whose weights sum to nothing answer 500.
pub(super) fn weightless(route: &Route) -> Vec<crate::Finding> {
    let rules = route.rules.iter().enumerate();
    rules
        .filter(|(_, rule)| {
            !rule.backends.is_empty() && rule.backends.iter().all(|backend| backend.weight == 0)
        })
        .map(|(i, _)| {
            let message = "the weights of the rule's backends sum to zero: its requests get 500".to_owned();
            finding(findings::WEIGHTS_ZERO, &route.meta, format!("spec.rules[{i}].backendRefs"), message)
        })
        .collect()
}
