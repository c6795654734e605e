//! `listener_set`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::meta::Condition;
use crate::meta::ObjectMeta;

/// As the Gateway API has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerEntry {
    /// AllowedRoutes defines the types of routes that MAY be attached to a Listener and the trusted
    /// namespaces where those Route resources MAY be present.
    #[serde(default = "listener_entry_allowed_routes_default")]
    pub allowed_routes: AllowedRoutes,
    /// Hostname specifies the virtual hostname to match for protocol types that define this concept.
    /// When unspecified, all hostnames are matched. This field is ignored for protocols that don't
    /// require hostname based matching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Name is the name of the Listener. This name MUST be unique within a ListenerSet.
    pub name: String,
    /// Port is the network port. Multiple listeners may use the same port, subject to the Listener
    /// compatibility rules.
    pub port: u16,
    /// Protocol specifies the network protocol this listener expects to receive.
    pub protocol: String,
    /// TLS is the TLS configuration for the Listener. This field is required if the Protocol field is
    /// "HTTPS" or "TLS". It is invalid to set this field if the Protocol field is "HTTP", "TCP", or
    /// "UDP".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTLSConfig>,
}

fn listener_entry_allowed_routes_default() -> AllowedRoutes {
    AllowedRoutes {
        kinds: std::default::Default::default(),
        namespaces: RouteNamespaces {
            from: FromNamespaces::Same,
            selector: std::default::Default::default(),
        },
    }
}

/// ListenerStatus is the status associated with a Listener.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerEntryStatus {
    /// AttachedRoutes represents the total number of Routes that have been successfully attached to this
    /// Listener.
    pub attached_routes: i32,
    /// Conditions describe the current condition of this listener.
    pub conditions: Vec<Condition>,
    /// Name is the name of the Listener that this status corresponds to.
    pub name: String,
    /// SupportedKinds is the list indicating the Kinds supported by this listener. This MUST represent
    /// the kinds supported by an implementation for that Listener configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_kinds: Vec<RouteGroupKind>,
}

/// ListenerSet defines a set of additional listeners to attach to an existing Gateway. This resource
/// provides a mechanism to merge multiple listeners into a single Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSet {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of ListenerSet.
    pub spec: ListenerSetSpec,
    /// Status defines the current state of ListenerSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ListenerSetStatus>,
}

/// Spec defines the desired state of ListenerSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// Listeners associated with this ListenerSet. Listeners define logical endpoints that are bound on
    /// this referenced parent Gateway's addresses.
    pub listeners: Vec<ListenerEntry>,
    /// ParentRef references the Gateway that the listeners are attached to.
    pub parent_ref: ParentGatewayReference,
}

/// Status defines the current state of ListenerSet.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetStatus {
    /// Conditions describe the current conditions of the ListenerSet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Listeners provide status for each unique listener port defined in the Spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerEntryStatus>,
}

/// ParentRef references the Gateway that the listeners are attached to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentGatewayReference {
    /// Group is the group of the referent.
    #[serde(default = "parent_gateway_reference_group_default")]
    pub group: String,
    /// Kind is kind of the referent. For example "Gateway".
    #[serde(default = "parent_gateway_reference_kind_default")]
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referent. If not present, the namespace of the referent is
    /// assumed to be the same as the namespace of the referring object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

fn parent_gateway_reference_group_default() -> String {
    "gateway.networking.k8s.io".to_owned()
}

fn parent_gateway_reference_kind_default() -> String {
    "Gateway".to_owned()
}
