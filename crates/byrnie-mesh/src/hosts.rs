//! Host names of listeners and routes.

use std::collections::BTreeSet;

use byrnie_plan::HostPattern;

/// Reads a hostname as the Gateway API writes it: `a.example.com`, `*.example.com`; empty or `*`: any.
/// `None`: not a hostname.
pub(crate) fn parse(text: &str) -> Option<HostPattern> {
    if text.is_empty() || text == "*" {
        return Some(HostPattern::Any);
    }
    let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return None;
    }
    let name = name.to_owned();
    Some(if wildcard { HostPattern::Wildcard(name) } else { HostPattern::Exact(name) })
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The hosts that both patterns have, as one pattern: of two that overlap, one contains the other.
pub(crate) fn intersect(a: &HostPattern, b: &HostPattern) -> Option<HostPattern> {
    if contains(a, b) {
        Some(b.clone())
    } else if contains(b, a) {
        Some(a.clone())
    } else {
        None
    }
}

/// Of several patterns the most specific one that has every host of `host`.
pub(crate) fn most_specific<'a>(patterns: &'a [HostPattern], host: &HostPattern) -> Option<&'a HostPattern> {
    patterns.iter().filter(|pattern| contains(pattern, host)).max_by_key(|pattern| match pattern {
        HostPattern::Exact(_) => usize::MAX,
        HostPattern::Wildcard(parent) => parent.len(),
        HostPattern::Any => 0,
    })
}

/// Whether every host of `inner` is one of `outer`'s.
fn contains(outer: &HostPattern, inner: &HostPattern) -> bool {
    match (outer, inner) {
        (HostPattern::Any, _) => true,
        (HostPattern::Exact(a), HostPattern::Exact(b)) => a == b,
        (HostPattern::Wildcard(a), HostPattern::Exact(b)) => is_below(b, a),
        (HostPattern::Wildcard(a), HostPattern::Wildcard(b)) => a == b || is_below(b, a),
        (HostPattern::Exact(_) | HostPattern::Wildcard(_), _) => false,
    }
}

fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// The patterns of a route within a listener's. An empty list of hostnames means all that the listener has.
pub(crate) fn within(listener: &HostPattern, hostnames: &[HostPattern]) -> Vec<HostPattern> {
    if hostnames.is_empty() {
        return vec![listener.clone()];
    }
    let mut hosts: Vec<HostPattern> = hostnames.iter().filter_map(|host| intersect(listener, host)).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Hosts that are taken, for the question whether another pattern overlaps with them.
#[derive(Default)]
pub(crate) struct HostSet {
    any: bool,
    /// Reversed: `com.example.a.` stands for `a.example.com`, so that everything below a name is one range.
    exact: BTreeSet<String>,
    wildcard: BTreeSet<String>,
}

impl HostSet {
    pub(crate) fn insert(&mut self, host: &HostPattern) {
        match host {
            HostPattern::Any => self.any = true,
            HostPattern::Exact(name) => {
                self.exact.insert(reversed(name));
            }
            HostPattern::Wildcard(name) => {
                self.wildcard.insert(reversed(name));
            }
        }
    }

    pub(crate) fn overlaps(&self, host: &HostPattern) -> bool {
        match host {
            HostPattern::Any => self.any || !self.exact.is_empty() || !self.wildcard.is_empty(),
            HostPattern::Exact(name) => {
                let key = reversed(name);
                self.any || self.exact.contains(&key) || self.has_wildcard_above(&key)
            }
            HostPattern::Wildcard(name) => {
                let key = reversed(name);
                let below = |set: &BTreeSet<String>| {
                    set.range(key.clone()..).next().is_some_and(|found| found.starts_with(&key))
                };
                // The name itself is not below its own wildcard.
                let exact_below = self.exact.range(key.clone()..).find(|found| **found != key);
                self.any
                    || exact_below.is_some_and(|found| found.starts_with(&key))
                    || below(&self.wildcard)
                    || self.has_wildcard_above(&key)
            }
        }
    }

    fn has_wildcard_above(&self, key: &str) -> bool {
        let ends = key.match_indices('.').map(|(at, _)| at + 1).filter(|end| *end < key.len());
        ends.into_iter().any(|end| self.wildcard.contains(&key[..end]))
    }
}

fn reversed(name: &str) -> String {
    name.split('.').rev().flat_map(|label| [label, "."]).collect()
}

/// The pattern as the Gateway API writes it.
pub(crate) fn text(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Any => "*".to_owned(),
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(name) => format!("*.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hostnames() {
        for (text, wanted) in [
            ("", Some("*")),
            ("*", Some("*")),
            ("A.Example.com.", Some("a.example.com")),
            ("*.Example.com", Some("*.example.com")),
            ("a.*.com", None),
            ("-a.com", None),
            ("a..com", None),
            ("a_b.com", None),
            ("a.com:80", None),
            ("*.", None),
        ] {
            let read = parse(text).map(|host| super::text(&host));
            assert_eq!(read.as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn intersections_of_the_gateway_api() {
        for (listener, route, wanted) in [
            ("", "", Some("*")),
            ("", "a.com", Some("a.com")),
            ("a.com", "", Some("a.com")),
            ("a.com", "a.com", Some("a.com")),
            ("a.com", "b.com", None),
            ("*.a.com", "x.a.com", Some("x.a.com")),
            ("*.a.com", "x.y.a.com", Some("x.y.a.com")),
            ("*.a.com", "a.com", None),
            ("*.a.com", "ba.com", None),
            ("x.a.com", "*.a.com", Some("x.a.com")),
            ("*.a.com", "*.b.a.com", Some("*.b.a.com")),
            ("*.b.a.com", "*.a.com", Some("*.b.a.com")),
            ("*.a.com", "*.b.com", None),
        ] {
            let (listener, route) = (parse(listener).unwrap(), parse(route).unwrap());
            let both = intersect(&listener, &route).map(|host| text(&host));
            assert_eq!(both.as_deref(), wanted, "{listener:?} {route:?}");
            let mut set = HostSet::default();
            set.insert(&listener);
            assert_eq!(set.overlaps(&route), wanted.is_some(), "{listener:?} {route:?}");
        }
    }
}
