//! Rules flattened into one table, in the Gateway API's order of precedence.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use byrnie_plan::{HostPattern, HttpMatch, HttpRule, HttpTable, PathMatch};

use super::compile::{Compiled, CompiledRule};
use crate::graph::RouteId;
use crate::policy;

/// Most matches that one table may have; a route that would go beyond is refused as a whole.
pub(crate) const MATCHES_MAX: usize = 65_536;

/// Collects routes, oldest first, and sorts their matches.
#[derive(Default)]
pub(crate) struct TableBuilder {
    matches: Vec<HttpMatch>,
    rules: Vec<HttpRule>,
    scopes: Vec<HostPattern>,
    known: BTreeMap<(RouteId, usize, usize), u32>,
    /// What the policies of listeners come to; most have the same, or none.
    variants: Vec<policy::OfListener>,
}

/// Where in a table routes are added: a listener of a Gateway, or a Service's port.
#[derive(Default)]
pub(crate) struct Scope {
    /// Index into the table's scopes.
    pub(crate) index: u32,
    /// What holds for every rule there.
    pub(crate) policies: policy::OfListener,
}

impl TableBuilder {
    /// A table whose hosts fall into these scopes (the hostnames of a port's listeners).
    pub(crate) fn with_scopes(scopes: Vec<HostPattern>) -> Self {
        Self { scopes, ..Self::default() }
    }

    /// Whether a route with this many hosts still fits.
    pub(crate) fn has_room(&self, hosts: usize, rules: &[CompiledRule]) -> bool {
        let matches: usize = rules.iter().map(|rule| rule.matches.len()).sum();
        self.matches.len().saturating_add(matches.saturating_mul(hosts)) <= MATCHES_MAX
    }

    /// Adds a route. Must be called in order of age: that is what decides between equal matches.
    pub(crate) fn add(
        &mut self,
        route: &Compiled,
        rules: &[CompiledRule],
        scope: &Scope,
        hosts: &[HostPattern],
    ) {
        for (index, compiled) in rules.iter().enumerate() {
            let rule = self.rule(route, index, &compiled.rule, scope);
            for host in hosts {
                for way in &compiled.matches {
                    self.matches.push(HttpMatch {
                        host_scope: scope.index,
                        host: host.clone(),
                        path: way.path.clone(),
                        method: way.method.clone(),
                        headers: way.headers.clone(),
                        queries: way.queries.clone(),
                        rule,
                    });
                }
            }
        }
    }

    /// The index of a rule. One that is attached through two listeners stands there once, unless their
    /// policies differ.
    fn rule(&mut self, route: &Compiled, index: usize, rule: &HttpRule, scope: &Scope) -> u32 {
        let next = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        let variant = self.variants.iter().position(|known| *known == scope.policies);
        let variant = variant.unwrap_or_else(|| {
            self.variants.push(scope.policies.clone());
            self.variants.len() - 1
        });
        let rules = &mut self.rules;
        *self.known.entry((route.id.clone(), index, variant)).or_insert_with(|| {
            let mut rule = rule.clone();
            scope.policies.apply(&mut rule);
            rules.push(rule);
            next
        })
    }

    pub(crate) fn build(mut self) -> HttpTable {
        // Stable: equals stay in the order of age, rule and match.
        self.matches.sort_by(|a, b| precedence(a).cmp(&precedence(b)));
        HttpTable { matches: self.matches, rules: self.rules, scopes: self.scopes }
    }
}

/// Smaller comes first. Of two prefixes or wildcards the longer one is first; a regular expression comes
/// after every prefix that says anything, and before `/`, which says nothing.
fn precedence(m: &HttpMatch) -> impl Ord {
    let host = match &m.host {
        HostPattern::Exact(_) => (0, Reverse(0)),
        HostPattern::Wildcard(parent) => (1, Reverse(parent.len())),
        HostPattern::Any => (2, Reverse(0)),
    };
    let path = match &m.path {
        PathMatch::Exact(_) => (0, Reverse(0)),
        PathMatch::Prefix(prefix) if prefix == "/" => (3, Reverse(0)),
        PathMatch::Prefix(prefix) => (1, Reverse(prefix.len())),
        PathMatch::Regex(_) => (2, Reverse(0)),
    };
    (host, path, m.method.is_none(), Reverse(m.headers.len()), Reverse(m.queries.len()))
}
