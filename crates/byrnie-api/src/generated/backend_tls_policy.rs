//! `backend_tls_policy`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::meta::Condition;
use crate::meta::ObjectMeta;

/// BackendTLSPolicy provides a way to configure how a Gateway connects to a Backend via TLS.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTLSPolicy {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of BackendTLSPolicy.
    pub spec: BackendTLSPolicySpec,
    /// Status defines the current state of BackendTLSPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyAncestorsStatus>,
}

/// Spec defines the desired state of BackendTLSPolicy.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTLSPolicySpec {
    /// Options are a list of key/value pairs to enable extended TLS configuration for each
    /// implementation. For example, configuring the minimum TLS version or supported cipher suites.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// TargetRefs identifies an API object to apply the policy to. Note that this config applies to the
    /// entire referenced resource by default, but this default may change in the future to provide a
    /// more granular application of the policy.
    pub target_refs: Vec<LocalPolicyTargetReferenceWithSectionName>,
    /// Validation contains backend TLS validation configuration.
    pub validation: BackendTLSPolicyValidation,
}

/// Validation contains backend TLS validation configuration.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTLSPolicyValidation {
    /// CACertificateRefs contains one or more references to Kubernetes objects that contain a
    /// PEM-encoded TLS CA certificate bundle, which is used to validate a TLS handshake between the
    /// Gateway and backend Pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// Hostname is used for two purposes in the connection between Gateways and backends:
    pub hostname: String,
    /// SubjectAltNames contains one or more Subject Alternative Names. When specified the certificate
    /// served from the backend MUST have at least one Subject Alternate Name matching one of the
    /// specified SubjectAltNames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<SubjectAltName>,
    /// WellKnownCACertificates specifies whether a well-known set of CA certificates may be used in the
    /// TLS handshake between the gateway and backend pod.
    #[serde(rename = "wellKnownCACertificates", default, skip_serializing_if = "Option::is_none")]
    pub well_known_ca_certificates: Option<String>,
}

/// LocalPolicyTargetReferenceWithSectionName identifies an API object to apply a direct policy to. This
/// should be used as part of Policy resources that can target single resources. For more information on
/// how this policy attachment mode works, and a sample Policy resource, refer to the policy attachment
/// documentation for Gateway API.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalPolicyTargetReferenceWithSectionName {
    /// Group is the group of the target resource.
    pub group: String,
    /// Kind is kind of the target resource.
    pub kind: String,
    /// Name is the name of the target resource.
    pub name: String,
    /// SectionName is the name of a section within the target resource. When unspecified, this targetRef
    /// targets the entire resource. In the following resources, SectionName is interpreted as the
    /// following:
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// PolicyAncestorStatus describes the status of a route with respect to an associated Ancestor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// AncestorRef corresponds with a ParentRef in the spec that this PolicyAncestorStatus struct
    /// describes the status of.
    pub ancestor_ref: ParentReference,
    /// Conditions describes the status of the Policy with respect to the given Ancestor.
    pub conditions: Vec<Condition>,
    /// ControllerName is a domain/path string that indicates the name of the controller that wrote this
    /// status. This corresponds with the controllerName field on GatewayClass.
    pub controller_name: String,
}

/// Status defines the current state of BackendTLSPolicy.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorsStatus {
    /// Ancestors is a list of ancestor resources (usually Gateways) that are associated with the policy,
    /// and the status of the policy with respect to each ancestor. When this policy attaches to a
    /// parent, the controller that manages the parent and the ancestors MUST add an entry to this list
    /// when the controller first sees the policy and SHOULD update the entry as appropriate when the
    /// relevant ancestor is modified.
    pub ancestors: Vec<PolicyAncestorStatus>,
}

/// SubjectAltName represents Subject Alternative Name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubjectAltName {
    /// Hostname contains Subject Alternative Name specified in DNS name format. Required when Type is
    /// set to Hostname, ignored otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Type determines the format of the Subject Alternative Name. Always required.
    pub type_: SubjectAltNameType,
    /// URI contains Subject Alternative Name specified in a full URI format. It MUST include both a
    /// scheme (e.g., "http" or "ftp") and a scheme-specific-part. Common values include SPIFFE IDs like
    /// "spiffe://mycluster.example.com/ns/myns/sa/svc1sa". Required when Type is set to URI, ignored
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// Type determines the format of the Subject Alternative Name. Always required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SubjectAltNameType {
    /// `Hostname`.
    Hostname,
    /// `URI`.
    #[serde(rename = "URI")]
    Uri,
}
