//! Which rule takes a request: exactly the first entry of an [`HttpTable`] that matches, found without trying them
//! all.
//!
//! An entry is filed under scope, host and path; the other parts are checked in order of precedence:
//! ```text
//! scope (most specific listener) ─► host: exact map · wildcard map by label suffix · any
//!                                     └► path: exact map · prefix map by length · regular expressions
//!                                          └► entries in table order ─► method, headers, queries
//! ```
//! All places that can hold a match are looked at and the smallest index wins, so the answer does not depend on how
//! the table is ordered. The cost grows with entries of the same host and path, not with unrelated ones.

use std::fmt;

use byrnie_plan::{HostPattern, HttpTable};
use foldhash::{HashMap, HashMapExt};

use crate::{HeaderLookup, RequestView};

mod entry;

pub(crate) use entry::Entry;
use entry::PathEntry;

/// What takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index into [`HttpTable::rules`].
    pub rule: u32,
    /// Index into [`HttpTable::matches`].
    pub match_index: u32,
}

/// On what an entry failed: the first part, in the order in which they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The request belongs to another listener.
    Scope,
    /// Another host.
    Host,
    /// Another path.
    Path,
    /// Another method.
    Method,
    /// This header is missing or has another value.
    Header(String),
    /// This query parameter is missing or has another value.
    Query(String),
}

/// Why a table cannot be compiled. The proxy keeps the last good one and nacks this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterError {
    /// A regular expression is wrong, too long or too big.
    Regex {
        /// Index into [`HttpTable::matches`].
        match_index: usize,
        /// `path`, `header x` or `query x`.
        part: String,
        /// What is wrong with it.
        message: String,
    },
    /// A match leads to a rule that the table does not have.
    NoSuchRule {
        /// Index into [`HttpTable::matches`].
        match_index: usize,
    },
    /// A match is in a scope that the table does not have.
    NoSuchScope {
        /// Index into [`HttpTable::matches`].
        match_index: usize,
    },
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regex { match_index, part, message } => {
                write!(
                    f,
                    "match {match_index}: the regular expression of its {part} cannot be used: {message}"
                )
            }
            Self::NoSuchRule { match_index } => {
                write!(f, "match {match_index} leads to a rule that is not there")
            }
            Self::NoSuchScope { match_index } => {
                write!(f, "match {match_index} is in a scope that is not there")
            }
        }
    }
}

impl std::error::Error for RouterError {}

/// A compiled [`HttpTable`]. Immutable, shared by all workers.
#[derive(Debug)]
pub struct Router {
    entries: Box<[Entry]>,
    /// `None`: the table has no scopes, everything is in the first of `hosts`.
    scopes: Option<HostMap<u32>>,
    /// By scope.
    hosts: Box<[HostMap<PathTable>]>,
}

impl Router {
    /// Compiles a table. Work and memory are linear in its size.
    pub fn compile(table: &HttpTable) -> Result<Self, RouterError> {
        let mut scopes: HostMap<u32> = HostMap::default();
        // Two scopes of one pattern are one scope.
        let canonical: Vec<u32> = (0..).zip(&table.scopes).map(|(i, s)| *scopes.entry(s, || i)).collect();
        let mut hosts: Vec<HostMap<PathTable>> = Vec::new();
        hosts.resize_with(table.scopes.len().max(1), HostMap::default);
        let mut entries = Vec::with_capacity(table.matches.len());
        for (index, http_match) in table.matches.iter().enumerate() {
            let scope = match canonical.get(http_match.host_scope as usize) {
                Some(scope) => *scope,
                None if table.scopes.is_empty() => 0,
                None => return Err(RouterError::NoSuchScope { match_index: index }),
            };
            if http_match.rule as usize >= table.rules.len() {
                return Err(RouterError::NoSuchRule { match_index: index });
            }
            let entry = Entry::compile(index, scope, http_match)?;
            if let Some(hosts) = hosts.get_mut(scope as usize) {
                hosts.entry(&http_match.host, PathTable::default).file(index as u32, &entry.path);
            }
            entries.push(entry);
        }
        let scopes = (!table.scopes.is_empty()).then_some(scopes);
        Ok(Self { entries: entries.into(), scopes, hosts: hosts.into() })
    }

    /// The first entry in table order that matches; `None`: answer 404.
    pub fn find<H: HeaderLookup + ?Sized>(&self, request: &RequestView<'_, H>) -> Option<Found> {
        let hosts = self.hosts.get(self.scope_of(request.host)? as usize)?;
        let mut best = u32::MAX;
        hosts.each(request.host, |table| table.search(&self.entries, request, &mut best));
        let entry = self.entries.get(best as usize)?;
        Some(Found { rule: entry.rule, match_index: best })
    }

    /// On what the entry with this index fails for a request; `None`: it matches (or there is no such entry).
    pub fn miss<H: HeaderLookup + ?Sized>(
        &self,
        match_index: u32,
        request: &RequestView<'_, H>,
    ) -> Option<Miss> {
        let entry = self.entries.get(match_index as usize)?;
        if self.scope_of(request.host) != Some(entry.scope) {
            return Some(Miss::Scope);
        }
        entry.miss(request)
    }

    /// How many entries the table has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing can match.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn scope_of(&self, host: &str) -> Option<u32> {
        match &self.scopes {
            None => Some(0),
            Some(scopes) => scopes.most_specific(host).copied(),
        }
    }
}

/// Whether a host (normalised, may be empty) is one that the pattern is for.
pub fn host_matches(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(exact) => exact == host,
        HostPattern::Wildcard(parent) => {
            host.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        }
    }
}

/// What belongs to the most specific pattern that a name (normalised, may be empty) matches.
pub fn most_specific<'a, T>(by_host: &'a [(HostPattern, T)], name: &str) -> Option<&'a T> {
    let matching = by_host.iter().filter(|(pattern, _)| host_matches(pattern, name));
    let most = matching.max_by_key(|(pattern, _)| match pattern {
        HostPattern::Any => 0,
        HostPattern::Wildcard(parent) => 1 + parent.len(),
        HostPattern::Exact(_) => usize::MAX,
    });
    most.map(|(_, value)| value)
}

/// Values by host pattern.
#[derive(Debug)]
struct HostMap<T> {
    exact: HashMap<Box<str>, T>,
    wildcard: HashMap<Box<str>, T>,
    any: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), any: None }
    }
}

impl<T> HostMap<T> {
    fn entry(&mut self, pattern: &HostPattern, make: impl FnOnce() -> T) -> &mut T {
        match pattern {
            HostPattern::Any => self.any.get_or_insert_with(make),
            HostPattern::Exact(host) => self.exact.entry(host.as_str().into()).or_insert_with(make),
            HostPattern::Wildcard(parent) => self.wildcard.entry(parent.as_str().into()).or_insert_with(make),
        }
    }

    /// Calls with each value whose pattern matches, from the most specific to the least.
    fn each<'a>(&'a self, host: &str, mut visit: impl FnMut(&'a T)) {
        if !self.exact.is_empty()
            && let Some(value) = self.exact.get(host)
        {
            visit(value);
        }
        if !self.wildcard.is_empty() {
            parents(host).filter_map(|parent| self.wildcard.get(parent)).for_each(&mut visit);
        }
        if let Some(value) = &self.any {
            visit(value);
        }
    }

    fn most_specific(&self, host: &str) -> Option<&T> {
        self.exact
            .get(host)
            .or_else(|| parents(host).find_map(|parent| self.wildcard.get(parent)))
            .or(self.any.as_ref())
    }
}

/// What stands behind each dot, longest first: the parents whose wildcards match.
fn parents(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.').filter(|(dot, _)| *dot > 0).filter_map(move |(dot, _)| host.get(dot + 1..))
}

/// The entries of one host, by path. Each list is ascending.
#[derive(Debug, Default)]
struct PathTable {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    /// The prefix `/`, which takes everything, `OPTIONS *` too. Apart from the others because it would be an empty key:
    /// comparing two empty slices by `memcmp` costs more than 100 ns when their pointers point nowhere (measured).
    root: Vec<u32>,
    /// Without trailing slash.
    prefix: HashMap<Box<[u8]>, Vec<u32>>,
    /// The lengths that occur in `prefix`, so that a path of a thousand segments costs no thousand look-ups.
    prefix_lengths: Vec<usize>,
    regex: Vec<u32>,
}

impl PathTable {
    fn file(&mut self, index: u32, path: &PathEntry) {
        match path {
            PathEntry::Exact(text) => self.exact.entry(text.as_bytes().into()).or_default().push(index),
            PathEntry::Prefix(text) if text.is_empty() => self.root.push(index),
            PathEntry::Prefix(text) => {
                self.prefix.entry(text.as_bytes().into()).or_default().push(index);
                if !self.prefix_lengths.contains(&text.len()) {
                    self.prefix_lengths.push(text.len());
                }
            }
            PathEntry::Regex(_) => self.regex.push(index),
        }
    }

    /// Lowers `best` to the smallest index that matches.
    fn search<H: HeaderLookup + ?Sized>(
        &self,
        entries: &[Entry],
        request: &RequestView<'_, H>,
        best: &mut u32,
    ) {
        let path = request.path.as_bytes();
        let scan = |list: &[u32], best: &mut u32, check_path: bool| {
            for &index in list.iter().take_while(|index| **index < *best) {
                let Some(entry) = entries.get(index as usize) else {
                    return;
                };
                if (!check_path || entry.path.matches(path)) && entry.rest_matches(request) {
                    *best = index;
                    return;
                }
            }
        };
        if !self.exact.is_empty()
            && let Some(list) = self.exact.get(path)
        {
            scan(list, best, false);
        }
        for &length in &self.prefix_lengths {
            let on_boundary = length == path.len() || path.get(length) == Some(&b'/');
            if on_boundary && let Some(list) = path.get(..length).and_then(|prefix| self.prefix.get(prefix)) {
                scan(list, best, false);
            }
        }
        scan(&self.root, best, false);
        scan(&self.regex, best, true);
    }
}

#[cfg(test)]
mod tests;
