//! `reference_grant`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::meta::ObjectMeta;

/// ReferenceGrant identifies kinds of resources in other namespaces that are trusted to reference the
/// specified kinds of resources in the same namespace as the policy.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrant {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of ReferenceGrant.
    pub spec: ReferenceGrantSpec,
}

/// ReferenceGrantFrom describes trusted namespaces and kinds.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantFrom {
    /// Group is the group of the referent. When empty, the Kubernetes core API group is inferred.
    pub group: String,
    /// Kind is the kind of the referent. Although implementations may support additional resources, the
    /// following types are part of the "Core" support level for this field.
    pub kind: String,
    /// Namespace is the namespace of the referent.
    pub namespace: String,
}

/// Spec defines the desired state of ReferenceGrant.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantSpec {
    /// From describes the trusted namespaces and kinds that can reference the resources described in
    /// "To". Each entry in this list MUST be considered to be an additional place that references can be
    /// valid from, or to put this another way, entries MUST be combined using OR.
    pub from: Vec<ReferenceGrantFrom>,
    /// To describes the resources that may be referenced by the resources described in "From". Each
    /// entry in this list MUST be considered to be an additional place that references can be valid to,
    /// or to put this another way, entries MUST be combined using OR.
    pub to: Vec<ReferenceGrantTo>,
}

/// ReferenceGrantTo describes what Kinds are allowed as targets of the references.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantTo {
    /// Group is the group of the referent. When empty, the Kubernetes core API group is inferred.
    pub group: String,
    /// Kind is the kind of the referent. Although implementations may support additional resources, the
    /// following types are part of the "Core" support level for this field:
    pub kind: String,
    /// Name is the name of the referent. When unspecified, this policy refers to all resources of the
    /// specified Group and Kind in the local namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
