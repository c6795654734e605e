//! Policies in the form in which they are compared.

use byrnie_plan::{Action, AuthorizationPolicy, Operation, Source, TextMatch};

use super::{HttpOperation, PeerView};
use crate::normalize_pattern;

/// What a match of a policy leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    Allow,
    Deny,
    Audit,
    DryAllow,
    DryDeny,
}

impl Stance {
    pub(super) fn action(self) -> Action {
        match self {
            Self::Allow | Self::DryAllow => Action::Allow,
            Self::Deny | Self::DryDeny => Action::Deny,
            Self::Audit => Action::Audit,
        }
    }

    /// How a part that is not known counts: it never helps an ALLOW, it never saves from the others.
    fn unknown_counts(self) -> bool {
        self.action() != Action::Allow
    }
}

/// A caller, by one of its names.
pub(super) enum Named<'a> {
    Identity(&'a str),
    Namespace(&'a str),
}

#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: Box<str>,
    pub(super) stance: Stance,
    pub(super) dry_run: bool,
    rules: Box<[Rule]>,
}

#[derive(Debug)]
struct Rule {
    from: Box<[From]>,
    to: Box<[To]>,
}

#[derive(Debug)]
struct From {
    identities: TextSet,
    not_identities: TextSet,
    namespaces: TextSet,
    not_namespaces: TextSet,
}

#[derive(Debug)]
struct To {
    methods: TextSet,
    not_methods: TextSet,
    paths: TextSet,
    not_paths: TextSet,
    ports: Box<[u16]>,
    not_ports: Box<[u16]>,
}

impl Policy {
    pub(super) fn compile(from: &AuthorizationPolicy) -> Self {
        let stance = match (from.action, from.dry_run) {
            (Action::Allow, false) => Stance::Allow,
            (Action::Allow, true) => Stance::DryAllow,
            (Action::Deny, false) => Stance::Deny,
            (Action::Deny, true) => Stance::DryDeny,
            (Action::Audit, _) => Stance::Audit,
        };
        let rule = |rule: &byrnie_plan::AuthorizationRule| Rule {
            from: rule.from.iter().map(From::compile).collect(),
            to: rule.to.iter().map(To::compile).collect(),
        };
        Self {
            name: from.name.as_str().into(),
            stance,
            dry_run: from.dry_run,
            rules: from.rules.iter().map(rule).collect(),
        }
    }

    /// The callers that it can be about, by one of their names; `None`: it can be about anybody.
    pub(super) fn named(&self) -> Option<Vec<Named<'_>>> {
        let mut all = Vec::new();
        for rule in &self.rules {
            if rule.from.is_empty() {
                return None;
            }
            for from in &rule.from {
                // Who has no identity is none of these either.
                match (from.identities.whole(), from.namespaces.whole()) {
                    (Some(texts), _) => all.extend(texts.iter().map(|text| Named::Identity(text))),
                    (None, Some(texts)) => all.extend(texts.iter().map(|text| Named::Namespace(text))),
                    (None, None) => return None,
                }
            }
        }
        Some(all)
    }

    pub(super) fn is_enforced(&self) -> bool {
        matches!(self.stance, Stance::Allow | Stance::Deny)
    }

    /// The index of the first rule that matches.
    pub(super) fn matched_rule(
        &self,
        peer: Option<PeerView<'_>>,
        operation: HttpOperation<'_>,
        port: u16,
    ) -> Option<usize> {
        let unknown = self.stance.unknown_counts();
        self.rules.iter().position(|rule| {
            (rule.from.is_empty() || rule.from.iter().any(|from| from.matches(peer, unknown)))
                && (rule.to.is_empty() || rule.to.iter().any(|to| to.matches(operation, port, unknown)))
        })
    }
}

impl From {
    fn compile(source: &Source) -> Self {
        Self {
            identities: TextSet::new(&source.identities),
            not_identities: TextSet::new(&source.not_identities),
            namespaces: TextSet::new(&source.namespaces),
            not_namespaces: TextSet::new(&source.not_namespaces),
        }
    }

    fn matches(&self, peer: Option<PeerView<'_>>, unknown: bool) -> bool {
        let Some(peer) = peer else {
            // Nobody is none of the named ones. A `not_` list alone is different: whether nobody is an exception
            // is not known.
            let exceptions = !self.not_identities.is_empty() || !self.not_namespaces.is_empty();
            return self.identities.is_empty() && self.namespaces.is_empty() && (unknown || !exceptions);
        };
        self.identities.admits(peer.id)
            && self.namespaces.admits(peer.namespace)
            && !self.not_identities.contains(peer.id)
            && !self.not_namespaces.contains(peer.namespace)
    }
}

impl To {
    fn compile(operation: &Operation) -> Self {
        let methods = |list: &[String]| TextSet::from_matches(list.iter().cloned().map(TextMatch::Exact));
        // Requests come with normalised paths; a pattern written otherwise must not miss them.
        let path = |text: &TextMatch| match text {
            TextMatch::Exact(text) => TextMatch::Exact(normalize_pattern(text)),
            TextMatch::Prefix(text) => TextMatch::Prefix(normalize_pattern(text)),
            TextMatch::Suffix(text) => TextMatch::Suffix(normalize_pattern(text)),
            TextMatch::Present => TextMatch::Present,
        };
        Self {
            methods: methods(&operation.methods),
            not_methods: methods(&operation.not_methods),
            paths: TextSet::from_matches(operation.paths.iter().map(path)),
            not_paths: TextSet::from_matches(operation.not_paths.iter().map(path)),
            ports: operation.ports.as_slice().into(),
            not_ports: operation.not_ports.as_slice().into(),
        }
    }

    fn matches(&self, operation: HttpOperation<'_>, port: u16, unknown: bool) -> bool {
        let text = |given: Option<&str>, set: &TextSet, not: &TextSet| match given {
            Some(text) => set.admits(text) && !not.contains(text),
            None => unknown || (set.is_empty() && not.is_empty()),
        };
        (self.ports.is_empty() || self.ports.contains(&port))
            && !self.not_ports.contains(&port)
            && text(operation.method, &self.methods, &self.not_methods)
            && text(operation.path, &self.paths, &self.not_paths)
    }
}

/// A list of text matches: exact ones sorted, so that a thousand identities cost ten comparisons. Most lists of a
/// policy are empty, and take no more than a pointer.
#[derive(Debug)]
pub(crate) struct TextSet(Option<Box<Texts>>);

#[derive(Debug)]
struct Texts {
    exact: Box<[Box<str>]>,
    others: Box<[TextMatch]>,
}

impl TextSet {
    pub(crate) fn new(list: &[TextMatch]) -> Self {
        Self::from_matches(list.iter().cloned())
    }

    fn from_matches(list: impl Iterator<Item = TextMatch>) -> Self {
        let mut exact = Vec::new();
        let mut others = Vec::new();
        for text in list {
            match text {
                TextMatch::Exact(text) => exact.push(text.into_boxed_str()),
                other => others.push(other),
            }
        }
        exact.sort_unstable();
        let is_empty = exact.is_empty() && others.is_empty();
        Self((!is_empty).then(|| Box::new(Texts { exact: exact.into(), others: others.into() })))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Its texts, if it has some and is made of whole texts alone.
    fn whole(&self) -> Option<&[Box<str>]> {
        self.0.as_ref().filter(|texts| texts.others.is_empty()).map(|texts| &*texts.exact)
    }

    /// Empty, or holds a text that is known.
    pub(crate) fn admits_known(&self, text: Option<&str>) -> bool {
        self.is_empty() || text.is_some_and(|text| self.contains(text))
    }

    /// Empty, or holds the text.
    fn admits(&self, text: &str) -> bool {
        self.0.as_ref().is_none_or(|texts| texts.contain(text))
    }

    fn contains(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|texts| texts.contain(text))
    }
}

impl Texts {
    fn contain(&self, text: &str) -> bool {
        self.exact.binary_search_by(|exact| (**exact).cmp(text)).is_ok()
            || self.others.iter().any(|other| match other {
                TextMatch::Exact(exact) => exact == text,
                TextMatch::Prefix(prefix) => text.starts_with(prefix.as_str()),
                TextMatch::Suffix(suffix) => text.ends_with(suffix.as_str()),
                TextMatch::Present => !text.is_empty(),
            })
    }
}
