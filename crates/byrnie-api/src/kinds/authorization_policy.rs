//! `AuthorizationPolicy`: who may do what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PolicyStatus, PolicyTargetRef};
use crate::meta::{LabelSelector, ObjectMeta};

/// Who may do what. Evaluated at the called workload's proxy, for each request: a matching DENY refuses; else,
/// when at least one ALLOW policy selects the workload, one of them must match; else the Mesh's
/// `defaultInboundPolicy` decides.
///
/// It holds for workloads of its own namespace: all of them, or those that `targetRefs` and `selector` choose.
/// One whose `targetRefs` names the `Mesh` holds for every workload of the mesh.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationPolicy {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// For whom, and what.
    #[serde(default)]
    pub spec: AuthorizationPolicySpec,
    /// `Accepted`, `ResolvedRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

/// For whom a policy holds, and what it says.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationPolicySpec {
    /// `Service` (the workloads that it selects), `Workload`, `Gateway`, or `Mesh` (all).
    /// Absent: all workloads and Gateways of the namespace. A target that does not exist selects nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub target_refs: Vec<PolicyTargetRef>,
    /// Narrows the choice to workloads with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What a match means. Default `ALLOW`.
    #[serde(default)]
    pub action: AuthorizationAction,
    /// Any of these may match. Empty or absent: nothing matches, so an ALLOW without rules refuses everything.
    /// A rule without `from` and `to` (`{}`) matches everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub rules: Vec<AuthorizationRule>,
    /// Only counts and logs what would happen. Default false.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a match of a policy means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AuthorizationAction {
    /// Let through.
    #[default]
    Allow,
    /// Refuse.
    Deny,
    /// Only count and log.
    Audit,
}

/// One rule. Both parts must match.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationRule {
    /// Any of these callers. Empty: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub from: Vec<Source>,
    /// Any of these requests. Empty: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub to: Vec<Operation>,
}

/// Who calls. Each list that is given must have a match; no entry of a `not…` list may match. A caller without an
/// identity matches none of these lists: an ALLOW with `notIdentities` does not let it in, a DENY with
/// `notIdentities` refuses it.
///
/// Texts are `abc` (exactly), `abc*` (prefix), `*abc` (suffix) or `*` (any).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Identities: whole SPIFFE IDs (`spiffe://cluster.local/ns/shop/sa/web`), or the short form
    /// `namespace/serviceaccount` (`shop/web`), which means that account in the mesh's own trust domain. The
    /// text forms hold for both; a short form with `*` at one end, such as `shop/*`, matches within
    /// `namespace/serviceaccount`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 2048)))]
    pub identities: Vec<String>,
    /// Exceptions, in the forms of `identities`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 2048)))]
    pub not_identities: Vec<String>,
    /// Namespaces of the caller's identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 64)))]
    pub namespaces: Vec<String>,
    /// Exceptions to `namespaces`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 64)))]
    pub not_namespaces: Vec<String>,
}

/// What is asked for. Each list that is given must have a match; no entry of a `not…` list may match. On a
/// connection that is not HTTP, an operation that names methods or paths never matches in an ALLOW and always
/// matches in a DENY.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// HTTP methods, upper case. For gRPC always `POST`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Z0-9!#$%&'*+.^_|~-]*$"))
    )]
    pub methods: Vec<String>,
    /// Exceptions to `methods`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Z0-9!#$%&'*+.^_|~-]*$"))
    )]
    pub not_methods: Vec<String>,
    /// Paths without the query, after normalisation: `/a`, `/a/*`, `*.png`, `*`. For gRPC `/package.Service/Method`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 2048)))]
    pub paths: Vec<String>,
    /// Exceptions to `paths`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 2048)))]
    pub not_paths: Vec<String>,
    /// The workload's own ports (not the Service's).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<u16>,
    /// Exceptions to `ports`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 1, max = 65535)))]
    pub not_ports: Vec<u16>,
}
