//! Who may do what: compiled `AuthorizationPolicy`.

/// One policy that selects a workload.
///
/// Evaluation order (deny beats allow): a matching DENY refuses; else, when at least one enforced ALLOW policy
/// exists, one of them must match; else [`DefaultAction`] decides. AUDIT policies and dry runs only report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    /// `namespace/name`, as logs, metrics and refusals name it.
    pub name: String,
    /// What a match means.
    pub action: Action,
    /// Any of these may match. Empty: nothing matches (so an ALLOW without rules denies everything).
    pub rules: Vec<AuthorizationRule>,
    /// Report what would happen, enforce nothing.
    pub dry_run: bool,
}

/// What a match of a policy means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Let through.
    Allow,
    /// Refuse.
    Deny,
    /// Count and log.
    Audit,
}

/// What happens when no enforced ALLOW policy selects a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DefaultAction {
    /// Anybody, also unauthenticated callers.
    AllowAll,
    /// Only peers with an identity of the mesh.
    AllowAuthenticated,
    /// Nobody.
    Deny,
}

/// All given parts must match; an empty list of sources or operations matches all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuthorizationRule {
    /// Any of these.
    pub from: Vec<Source>,
    /// Any of these.
    pub to: Vec<Operation>,
}

/// Who calls. Each non-empty list must have a match; no entry of a `not_` list may match.
///
/// A caller without identity matches no `identities`, `namespaces` or their `not_` forms at all: an ALLOW that
/// names only `not_identities` does not let it in, a DENY with `not_identities` refuses it (fail closed).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Source {
    /// SPIFFE IDs without the scheme is not enough: whole `spiffe://…` texts.
    pub identities: Vec<TextMatch>,
    /// Exceptions to `identities`.
    pub not_identities: Vec<TextMatch>,
    /// Namespaces of the caller's identity.
    pub namespaces: Vec<TextMatch>,
    /// Exceptions to `namespaces`.
    pub not_namespaces: Vec<TextMatch>,
}

/// What is asked for. Each non-empty list must have a match; no entry of a `not_` list may match.
///
/// On a connection that is not HTTP, method and path are not known: an operation that names methods or paths never
/// matches in an ALLOW, and in a DENY (or AUDIT) these parts count as matching (fail closed). The ports are known
/// there, too: `ports` and `not_ports` must match in either.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Operation {
    /// HTTP methods, upper case.
    pub methods: Vec<String>,
    /// Exceptions to `methods`.
    pub not_methods: Vec<String>,
    /// Paths without query, normalised.
    pub paths: Vec<TextMatch>,
    /// Exceptions to `paths`.
    pub not_paths: Vec<TextMatch>,
    /// The workload's ports.
    pub ports: Vec<u16>,
    /// Exceptions to `ports`.
    pub not_ports: Vec<u16>,
}

/// How a text is compared, byte by byte, case-sensitive. Never a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TextMatch {
    /// The whole text.
    Exact(String),
    /// Written `abc*`.
    Prefix(String),
    /// Written `*abc`.
    Suffix(String),
    /// Written `*`: present, not empty.
    Present,
}
