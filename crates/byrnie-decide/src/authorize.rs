//! Who may do what: the semantics that `byrnie_plan::AuthorizationPolicy` documents, compiled.
//!
//! Deny beats allow; what is not known (an identity, a method, a path) never helps an ALLOW and never saves from a
//! DENY.

use byrnie_plan::{Action, AuthorizationPolicy, DefaultAction};
use smallvec::SmallVec;

mod compiled;
mod index;

pub(crate) use compiled::TextSet;
use compiled::{Policy, Stance};
use index::Index;

/// So few policies are looked at one by one: that is less than to look them up.
const FEW: usize = 8;

/// The name that stands for the default action in [`Verdict::policy`].
pub const DEFAULT_POLICY: &str = "default";

/// The caller, as its certificate proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerView<'a> {
    /// The whole SPIFFE ID.
    pub id: &'a str,
    /// The namespace of that ID.
    pub namespace: &'a str,
}

/// What a request asks for. `None`: not known (a CONNECT has no path; a path may have been unreadable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HttpOperation<'a> {
    /// The method.
    pub method: Option<&'a str>,
    /// The normalised path, without query.
    pub path: Option<&'a str>,
}

/// Whether a request or connection gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It does.
    Allow,
    /// It does not.
    Deny,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A DENY policy matched.
    Denied,
    /// An ALLOW policy matched.
    Allowed,
    /// There are ALLOW policies and none matched; the verdict names the first of them.
    NotAllowed,
    /// No enforced ALLOW policy, so the default action.
    Default,
}

/// The answer for one request or connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whether it gets through.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// The policy that decided (`namespace/name`), or [`DEFAULT_POLICY`].
    pub policy: &'a str,
    /// AUDIT policies that matched, and policies in dry run that would have refused.
    pub audits: SmallVec<[&'a str; 2]>,
}

impl Verdict<'_> {
    /// Whether it gets through.
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allow
    }
}

/// How one policy saw a request: a line of `byrnie why`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationStep {
    /// `namespace/name`.
    pub policy: String,
    /// What a match means.
    pub action: Action,
    /// Whether it only reports.
    pub dry_run: bool,
    /// The index of the first rule that matched.
    pub matched_rule: Option<usize>,
}

/// All policies that select one workload, compiled. Immutable, shared by all workers.
#[derive(Debug)]
pub struct Authorizer {
    /// In the order given, which is by name.
    policies: Box<[Policy]>,
    /// Where there are more than a few.
    index: Option<Index>,
    default: DefaultAction,
    first_allow: Option<usize>,
    has_deny: bool,
    /// Whether any policy only reports.
    has_reports: bool,
}

impl Authorizer {
    /// Compiles the policies of one workload.
    pub fn compile(policies: &[AuthorizationPolicy], default: DefaultAction) -> Self {
        Self::indexed_above(FEW, policies, default)
    }

    fn indexed_above(few: usize, policies: &[AuthorizationPolicy], default: DefaultAction) -> Self {
        let policies: Box<[Policy]> = policies.iter().map(Policy::compile).collect();
        Self {
            default,
            index: (policies.len() > few).then(|| Index::new(&policies)),
            first_allow: policies.iter().position(|p| p.stance == Stance::Allow),
            has_deny: policies.iter().any(|p| p.stance == Stance::Deny),
            has_reports: policies.iter().any(|p| !p.is_enforced()),
            policies,
        }
    }

    /// Decides. `peer`: the verified identity, if any; `operation`: `None` on a connection that is not HTTP;
    /// `port`: the workload's own port.
    pub fn check(
        &self,
        peer: Option<PeerView<'_>>,
        operation: Option<HttpOperation<'_>>,
        port: u16,
    ) -> Verdict<'_> {
        let operation = operation.unwrap_or_default();
        let matching = |stance: Stance| {
            let matches = |p: &&Policy| p.stance == stance && p.matched_rule(peer, operation, port).is_some();
            match &self.index {
                None => self.policies.iter().find(matches),
                Some(index) => self.at(index.candidates(peer)).find(matches),
            }
        };
        let audits = match self.has_reports {
            true => self.reports(peer, operation, port),
            false => SmallVec::new(),
        };
        let verdict = |decision, reason, policy| Verdict { decision, reason, policy, audits };
        if self.has_deny
            && let Some(policy) = matching(Stance::Deny)
        {
            return verdict(Decision::Deny, Reason::Denied, &policy.name);
        }
        if let Some(first) = self.first_allow {
            if let Some(policy) = matching(Stance::Allow) {
                return verdict(Decision::Allow, Reason::Allowed, &policy.name);
            }
            let first = self.policies.get(first).map_or(DEFAULT_POLICY, |p| &*p.name);
            return verdict(Decision::Deny, Reason::NotAllowed, first);
        }
        let allowed = match self.default {
            DefaultAction::AllowAll => true,
            DefaultAction::AllowAuthenticated => peer.is_some(),
            DefaultAction::Deny => false,
        };
        let decision = if allowed { Decision::Allow } else { Decision::Deny };
        verdict(decision, Reason::Default, DEFAULT_POLICY)
    }

    fn at(&self, indexes: impl Iterator<Item = usize>) -> impl Iterator<Item = &Policy> {
        indexes.filter_map(|index| self.policies.get(index))
    }

    /// How each policy sees a request, in order of name.
    pub fn steps(
        &self,
        peer: Option<PeerView<'_>>,
        operation: Option<HttpOperation<'_>>,
        port: u16,
    ) -> Vec<AuthorizationStep> {
        let operation = operation.unwrap_or_default();
        let step = |policy: &Policy| AuthorizationStep {
            policy: policy.name.to_string(),
            action: policy.stance.action(),
            dry_run: policy.dry_run,
            matched_rule: policy.matched_rule(peer, operation, port),
        };
        self.policies.iter().map(step).collect()
    }

    /// AUDIT policies and dry-run DENY policies that match; and the dry-run ALLOW policies, when no ALLOW policy at
    /// all (enforced or in dry run, for they are rolled out together) would let this through.
    fn reports(
        &self,
        peer: Option<PeerView<'_>>,
        operation: HttpOperation<'_>,
        port: u16,
    ) -> SmallVec<[&str; 2]> {
        let matches = |policy: &Policy| policy.matched_rule(peer, operation, port).is_some();
        let is_allow = |policy: &Policy| matches!(policy.stance, Stance::Allow | Stance::DryAllow);
        let is_reported = |allowed: bool, policy: &Policy| match policy.stance {
            Stance::Audit | Stance::DryDeny => matches(policy),
            Stance::DryAllow => !allowed,
            Stance::Allow | Stance::Deny => false,
        };
        let Some(index) = &self.index else {
            let allowed = self.policies.iter().any(|p| is_allow(p) && matches(p));
            let reported = self.policies.iter().filter(|policy| is_reported(allowed, policy));
            return reported.map(|policy| &*policy.name).collect();
        };
        let candidates = index.candidates(peer);
        let allowed = self.at(candidates).any(|p| is_allow(p) && matches(p));
        let candidates = if allowed { candidates } else { candidates.and(index.dry_allows()) };
        let reported = self.at(candidates).filter(|policy| is_reported(allowed, policy));
        reported.map(|policy| &*policy.name).collect()
    }
}

#[cfg(test)]
mod tests;
