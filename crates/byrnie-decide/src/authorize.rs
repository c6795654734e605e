//! Who may do what: the semantics that `byrnie_plan::AuthorizationPolicy` documents, compiled.
//!
//! Deny beats allow; what is not known (an identity, a method, a path) never helps an ALLOW and never saves from a
//! DENY.

use byrnie_plan::{Action, AuthorizationPolicy, DefaultAction};
use smallvec::SmallVec;

mod compiled;

pub(crate) use compiled::TextSet;
use compiled::{Policy, Stance};

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
    default: DefaultAction,
    has_allow: bool,
    /// Whether any policy only reports.
    has_reports: bool,
}

impl Authorizer {
    /// Compiles the policies of one workload.
    pub fn compile(policies: &[AuthorizationPolicy], default: DefaultAction) -> Self {
        let policies: Box<[Policy]> = policies.iter().map(Policy::compile).collect();
        Self {
            default,
            has_allow: policies.iter().any(|p| p.stance == Stance::Allow),
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
            let mut policies = self.policies.iter().filter(move |p| p.stance == stance);
            policies.find(|p| p.matched_rule(peer, operation, port).is_some())
        };
        let audits = match self.has_reports {
            true => self.reports(peer, operation, port),
            false => SmallVec::new(),
        };
        let verdict = |decision, reason, policy| Verdict { decision, reason, policy, audits };
        if let Some(policy) = matching(Stance::Deny) {
            return verdict(Decision::Deny, Reason::Denied, &policy.name);
        }
        if self.has_allow {
            if let Some(policy) = matching(Stance::Allow) {
                return verdict(Decision::Allow, Reason::Allowed, &policy.name);
            }
            let first = self.policies.iter().find(|p| p.stance == Stance::Allow);
            return verdict(Decision::Deny, Reason::NotAllowed, first.map_or(DEFAULT_POLICY, |p| &*p.name));
        }
        let allowed = match self.default {
            DefaultAction::AllowAll => true,
            DefaultAction::AllowAuthenticated => peer.is_some(),
            DefaultAction::Deny => false,
        };
        let decision = if allowed { Decision::Allow } else { Decision::Deny };
        verdict(decision, Reason::Default, DEFAULT_POLICY)
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
        let allowed = self.policies.iter().any(|p| is_allow(p) && matches(p));
        let reported = self.policies.iter().filter(|policy| match policy.stance {
            Stance::Audit | Stance::DryDeny => matches(policy),
            Stance::DryAllow => !allowed,
            Stance::Allow | Stance::Deny => false,
        });
        reported.map(|policy| &*policy.name).collect()
    }
}

#[cfg(test)]
mod tests;
