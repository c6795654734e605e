//! `gateway_class`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::meta::Condition;
use crate::meta::ObjectMeta;

/// GatewayClass describes a class of Gateways available to the user for creating Gateway resources.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClass {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of GatewayClass.
    pub spec: GatewayClassSpec,
    /// Status defines the current state of GatewayClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GatewayClassStatus>,
}

/// Spec defines the desired state of GatewayClass.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// ControllerName is the name of the controller that is managing Gateways of this class. The value
    /// of this field MUST be a domain prefixed path.
    pub controller_name: String,
    /// Description helps describe a GatewayClass with more details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// ParametersRef is a reference to a resource that contains the configuration parameters
    /// corresponding to the GatewayClass. This is optional if the controller does not require any
    /// additional configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<ParametersReference>,
}

/// Status defines the current state of GatewayClass.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassStatus {
    /// Conditions is the current status from the controller for this GatewayClass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// SupportedFeatures is the set of features the GatewayClass support. It MUST be sorted in ascending
    /// alphabetical order by the Name key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<SupportedFeature>,
}

/// ParametersRef is a reference to a resource that contains the configuration parameters corresponding
/// to the GatewayClass. This is optional if the controller does not require any additional
/// configuration.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParametersReference {
    /// Group is the group of the referent.
    pub group: String,
    /// Kind is kind of the referent.
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referent. This field is required when referring to a
    /// Namespace-scoped resource and MUST be unset when referring to a Cluster-scoped resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// As the Gateway API has it.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedFeature {
    /// FeatureName is used to describe distinct features that are covered by conformance tests.
    pub name: String,
}
