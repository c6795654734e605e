//! One entry of a table, compiled: how each part compares.

use byrnie_plan::{
    HeaderMatch, HostPattern, HttpMatch, PathMatch, QueryMatch, REGEX_PATTERN_LIMIT, REGEX_SIZE_LIMIT,
    ValueMatch,
};
use regex::bytes::{Regex, RegexBuilder};
use smallvec::SmallVec;

use super::{Miss, RouterError, host_matches};
use crate::path::decode_escape;
use crate::{HeaderLookup, RequestView, normalize_pattern};

#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) rule: u32,
    pub(super) scope: u32,
    host: HostPattern,
    pub(super) path: PathEntry,
    method: Option<Box<str>>,
    headers: Box<[Named]>,
    queries: Box<[Named]>,
}

#[derive(Debug)]
pub(super) enum PathEntry {
    Exact(Box<str>),
    /// Without trailing slash.
    Prefix(Box<str>),
    Regex(Regex),
}

/// A header or query parameter and the value it must have.
#[derive(Debug)]
struct Named {
    name: Box<str>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Exact(Box<[u8]>),
    Regex(Regex),
}

impl Entry {
    pub(crate) fn compile(index: usize, scope: u32, from: &HttpMatch) -> Result<Self, RouterError> {
        let bad = |part: String, message: String| RouterError::Regex { match_index: index, part, message };
        let path = match &from.path {
            PathMatch::Exact(path) => PathEntry::Exact(normalize_pattern(path).into()),
            PathMatch::Prefix(prefix) => {
                PathEntry::Prefix(normalize_pattern(prefix.trim_end_matches('/')).into())
            }
            PathMatch::Regex(pattern) => {
                PathEntry::Regex(whole(pattern).map_err(|message| bad("path".to_owned(), message))?)
            }
        };
        let headers = from.headers.iter().map(|HeaderMatch { name, value }| {
            Named::compile(&name.to_ascii_lowercase(), value).map_err(|m| bad(format!("header {name}"), m))
        });
        let queries = from.queries.iter().map(|QueryMatch { name, value }| {
            Named::compile(name, value).map_err(|m| bad(format!("query {name}"), m))
        });
        Ok(Self {
            rule: from.rule,
            scope,
            host: from.host.clone(),
            path,
            method: from.method.as_deref().map(Into::into),
            headers: headers.collect::<Result<_, _>>()?,
            queries: queries.collect::<Result<_, _>>()?,
        })
    }

    /// Method, headers and queries: what the index does not answer.
    pub(super) fn rest_matches<H: HeaderLookup + ?Sized>(&self, request: &RequestView<'_, H>) -> bool {
        self.method.as_deref().is_none_or(|method| method == request.method)
            && self.headers.iter().all(|header| header.matches_header(request.headers))
            && self.queries.iter().all(|query| query.matches_query(request.query))
    }

    pub(crate) fn miss<H: HeaderLookup + ?Sized>(&self, request: &RequestView<'_, H>) -> Option<Miss> {
        if !host_matches(&self.host, request.host) {
            return Some(Miss::Host);
        }
        if !self.path.matches(request.path.as_bytes()) {
            return Some(Miss::Path);
        }
        if self.method.as_deref().is_some_and(|method| method != request.method) {
            return Some(Miss::Method);
        }
        let header = self.headers.iter().find(|header| !header.matches_header(request.headers));
        let query = self.queries.iter().find(|query| !query.matches_query(request.query));
        header
            .map(|header| Miss::Header(header.name.to_string()))
            .or_else(|| query.map(|query| Miss::Query(query.name.to_string())))
    }
}

impl PathEntry {
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == path,
            Self::Prefix(prefix) if prefix.is_empty() => true,
            Self::Prefix(prefix) => path
                .strip_prefix(prefix.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")),
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

impl Named {
    fn compile(name: &str, value: &ValueMatch) -> Result<Self, String> {
        let value = match value {
            ValueMatch::Exact(text) => Value::Exact(text.as_bytes().into()),
            ValueMatch::Regex(pattern) => Value::Regex(whole(pattern)?),
        };
        Ok(Self { name: name.into(), value })
    }

    /// Several lines of one name are joined before comparing: by `,`, those of Cookie by `; ` (RFC 9113 section 8.2.3:
    /// HTTP/2 clients send each pair as a line).
    fn matches_header<H: HeaderLookup + ?Sized>(&self, headers: &H) -> bool {
        let mut values = headers.values(&self.name);
        let Some(first) = values.next() else { return false };
        let Some(second) = values.next() else {
            return self.value.matches(first);
        };
        let separator: &[u8] = if &*self.name == "cookie" { b"; " } else { b"," };
        let mut joined = SmallVec::<[u8; 256]>::from_slice(first);
        for value in std::iter::once(second).chain(values) {
            joined.extend_from_slice(separator);
            joined.extend_from_slice(value);
        }
        self.value.matches(&joined)
    }

    /// Of several parameters of one name the first counts; one without `=` has an empty value.
    fn matches_query(&self, query: Option<&str>) -> bool {
        let pairs =
            query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut named = pairs.filter(|(name, _)| decoded(name).eq(self.name.bytes()));
        named.next().is_some_and(|(_, value)| match &self.value {
            Value::Exact(exact) => decoded(value).eq(exact.iter().copied()),
            Value::Regex(regex) => regex.is_match(&decoded(value).collect::<SmallVec<[u8; 128]>>()),
        })
    }
}

impl Value {
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => **exact == *value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// Percent-decoded bytes; a broken escape stays as it is.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        let escaped = if byte == b'%' { decode_escape(bytes, at) } else { None };
        at += if escaped.is_some() { 3 } else { 1 };
        Some(escaped.unwrap_or(byte))
    })
}

/// A regular expression that matches the whole value only.
fn whole(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > REGEX_PATTERN_LIMIT {
        return Err(format!("it is longer than {REGEX_PATTERN_LIMIT} bytes"));
    }
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(REGEX_SIZE_LIMIT)
            .dfa_size_limit(REGEX_SIZE_LIMIT)
            .build()
            .map_err(|error| error.to_string())
    };
    // Alone first: `a)|(b` would otherwise escape from the group and match parts of a value.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}
