//! Matches that no request reaches, because one before them takes all that they would.

use std::collections::{BTreeMap, HashMap};

use byrnie_plan::{HostPattern, HttpMatch, HttpTable, PathMatch};

use super::about_rule;
use crate::findings;
use crate::{Compiler, Finding};

/// Earlier entries with the same host and path that are compared.
const COMPARED: usize = 64;

pub(super) fn analyze(compiler: &Compiler) -> Vec<Finding> {
    compiler.tables().into_iter().flat_map(|(place, table)| shadowed(compiler, &place, table)).collect()
}

fn shadowed(compiler: &Compiler, place: &str, table: &HttpTable) -> Vec<Finding> {
    let taken = takers(table);
    let mut by_rule: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, entry) in table.matches.iter().enumerate() {
        by_rule.entry(entry.rule).or_default().push(index);
    }
    let mut found = Vec::new();
    for (rule, entries) in by_rule {
        let Some(name) = table.rules.get(rule as usize).map(|rule| &rule.name) else { continue };
        let lost: Vec<(usize, usize)> =
            entries.iter().filter_map(|entry| Some((*entry, taken[*entry]?))).collect();
        let winner = |by: usize| {
            let rule = table.rules.get(table.matches.get(by)?.rule as usize)?;
            Some(format!("{} ({})", rule.name, super::route_key(&rule.name)))
        };
        if lost.len() == entries.len() {
            let Some(by) = lost.first().and_then(|(_, by)| winner(*by)) else { continue };
            let message = format!("no request at {place} reaches the rule: {by} takes them all before it");
            found.push(about_rule(compiler, findings::RULE_SHADOWED, name, "", message));
            continue;
        }
        for (entry, by) in lost {
            let (Some(part), Some(by)) = (part(compiler, table, entry), winner(by)) else { continue };
            let message = format!("no request at {place} reaches the match: {by} takes them all before it");
            found.push(about_rule(compiler, findings::RULE_SHADOWED, name, &part, message));
        }
    }
    found
}

/// Which match of its rule an entry was made of.
fn part(compiler: &Compiler, table: &HttpTable, entry: usize) -> Option<String> {
    let entry = table.matches.get(entry)?;
    let name = &table.rules.get(entry.rule as usize)?.name;
    let rule = compiler.route(name)?.rules.iter().find(|rule| rule.name == name.rule)?;
    let index = rule.matches.as_ref().ok()?.iter().position(|way| {
        way.path == entry.path
            && way.method == entry.method
            && way.headers == entry.headers
            && way.queries == entry.queries
    })?;
    Some(format!(".matches[{index}]"))
}

type Place<'a> = (u32, &'a HostPattern, PathKey<'a>);

/// Paths by which an entry is found again.
#[derive(Clone, PartialEq, Eq, Hash)]
enum PathKey<'a> {
    Exact(&'a str),
    /// Without trailing slash; empty: everything.
    Prefix(&'a str),
    Regex(&'a str),
}

/// For each entry the first one before it that takes all of its requests.
fn takers(table: &HttpTable) -> Vec<Option<usize>> {
    let mut earlier: HashMap<Place<'_>, Vec<usize>> = HashMap::new();
    let wildcards: HashMap<&str, &HostPattern> = table
        .matches
        .iter()
        .filter_map(|entry| match &entry.host {
            HostPattern::Wildcard(parent) => Some((parent.as_str(), &entry.host)),
            _ => None,
        })
        .collect();
    let mut takers = Vec::with_capacity(table.matches.len());
    for (index, entry) in table.matches.iter().enumerate() {
        let mut best: Option<usize> = None;
        for host in wider_hosts(&entry.host, &wildcards) {
            for path in wider_paths(&entry.path) {
                let list = earlier.get(&(entry.host_scope, host, path)).into_iter().flatten();
                let taker = list.take(COMPARED).find(|by| has_less(&table.matches[**by], entry)).copied();
                best = best.into_iter().chain(taker).min();
            }
        }
        // A rule cannot shadow itself: two ways into it lead to the same place.
        takers.push(best.filter(|by| table.matches[*by].rule != entry.rule));
        earlier.entry((entry.host_scope, &entry.host, key(&entry.path))).or_default().push(index);
    }
    takers
}

fn key(path: &PathMatch) -> PathKey<'_> {
    match path {
        PathMatch::Exact(path) => PathKey::Exact(path),
        PathMatch::Prefix(path) => PathKey::Prefix(path.trim_end_matches('/')),
        PathMatch::Regex(pattern) if matches!(pattern.as_str(), ".*" | "/.*") => PathKey::Prefix(""),
        PathMatch::Regex(pattern) => PathKey::Regex(pattern),
    }
}

/// The host patterns that contain all hosts of this one.
fn wider_hosts<'a>(
    host: &'a HostPattern,
    wildcards: &HashMap<&str, &'a HostPattern>,
) -> Vec<&'a HostPattern> {
    const ANY: &HostPattern = &HostPattern::Any;
    let mut wider = vec![host];
    let name = match host {
        HostPattern::Any => return wider,
        HostPattern::Exact(name) | HostPattern::Wildcard(name) => name,
    };
    let parents = name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..));
    wider.extend(parents.filter_map(|parent| wildcards.get(parent).copied()));
    wider.push(ANY);
    wider
}

/// The paths that contain all paths of this one. Of two regular expressions it is not known.
fn wider_paths(path: &PathMatch) -> Vec<PathKey<'_>> {
    let own = key(path);
    let text = match own {
        PathKey::Exact(text) | PathKey::Prefix(text) => text,
        PathKey::Regex(_) => return vec![own, PathKey::Prefix("")],
    };
    let mut wider = vec![own];
    wider.extend(text.match_indices('/').filter_map(|(slash, _)| Some(PathKey::Prefix(text.get(..slash)?))));
    if matches!(path, PathMatch::Exact(_)) {
        wider.push(PathKey::Prefix(text.trim_end_matches('/')));
    }
    wider.push(PathKey::Prefix(""));
    wider
}

/// Whether the first asks for nothing beside host and path that the second does not ask for.
fn has_less(first: &HttpMatch, second: &HttpMatch) -> bool {
    first.method.as_ref().is_none_or(|method| second.method.as_ref() == Some(method))
        && first.headers.iter().all(|header| second.headers.contains(header))
        && first.queries.iter().all(|query| second.queries.contains(query))
}
