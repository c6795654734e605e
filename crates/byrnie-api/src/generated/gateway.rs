//! `gateway`: Gateway API v1.7.0. Written by `cargo xtask generate`; do not edit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[allow(unused_imports)] // one list for every file
use super::shared::*;
use crate::meta::Condition;
use crate::meta::LabelSelector;
use crate::meta::ObjectMeta;

/// AllowedListeners defines which ListenerSets can be attached to this Gateway. The default value is to
/// allow no ListenerSets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedListeners {
    /// Namespaces defines which namespaces ListenerSets can be attached to this Gateway. The default
    /// value is to allow no ListenerSets.
    #[serde(default = "allowed_listeners_namespaces_default")]
    pub namespaces: ListenerNamespaces,
}

fn allowed_listeners_namespaces_default() -> ListenerNamespaces {
    ListenerNamespaces { from: FromListenerNamespaces::None, selector: std::default::Default::default() }
}

/// From indicates where ListenerSets can attach to this Gateway. Possible values are:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum FromListenerNamespaces {
    /// `All`.
    All,
    /// `Selector`.
    Selector,
    /// `Same`.
    Same,
    /// `None`.
    #[default]
    None,
}

/// Frontend describes TLS config when client connects to Gateway. Support: Core
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTLSConfig {
    /// Default specifies the default client certificate validation configuration for all Listeners
    /// handling HTTPS traffic, unless a per-port configuration is defined.
    pub default: TLSConfig,
    /// PerPort specifies tls configuration assigned per port. Per port configuration is optional. Once
    /// set this configuration overrides the default configuration for all Listeners handling HTTPS
    /// traffic that match this port. Each override port requires a unique TLS configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_port: Vec<TLSPortConfig>,
}

/// Validation holds configuration information for validating the frontend (client). Setting this field
/// will result in mutual authentication when connecting to the gateway. In browsers this may result in a
/// dialog appearing that requests a user to specify the client certificate. The maximum depth of a
/// certificate chain accepted in verification is Implementation specific.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTLSValidation {
    /// CACertificateRefs contains one or more references to Kubernetes objects that contain a
    /// PEM-encoded TLS CA certificate bundle, which is used as a trust anchor to validate the
    /// certificates presented by the client.
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// FrontendValidationMode defines the mode for validating the client certificate. There are two
    /// possible modes:
    #[serde(default = "frontend_tls_validation_mode_default")]
    pub mode: FrontendValidationMode,
}

fn frontend_tls_validation_mode_default() -> FrontendValidationMode {
    FrontendValidationMode::AllowValidOnly
}

/// FrontendValidationMode defines the mode for validating the client certificate. There are two possible
/// modes:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum FrontendValidationMode {
    /// `AllowValidOnly`.
    #[default]
    AllowValidOnly,
    /// `AllowInsecureFallback`.
    AllowInsecureFallback,
}

/// Gateway represents an instance of a service-traffic handling infrastructure by binding Listeners to a
/// set of IP addresses. A Gateway name SHOULD be compliant with RFC 1035, consisting of a maximum of 63
/// lower case alphanumeric characters or hyphens ('-'), and MUST start and end with an alphanumeric
/// character.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec defines the desired state of Gateway.
    pub spec: GatewaySpec,
    /// Status defines the current state of Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GatewayStatus>,
}

/// Backend describes TLS configuration for gateway when connecting to backends.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayBackendTLS {
    /// ClientCertificateRef references an object that contains a client certificate and its associated
    /// private key. It can reference standard Kubernetes resources, i.e., Secret, or
    /// implementation-specific custom resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretObjectReference>,
}

/// Infrastructure defines infrastructure level attributes about this Gateway instance.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayInfrastructure {
    /// Annotations that SHOULD be applied to any resources created in response to this Gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that SHOULD be applied to any resources created in response to this Gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// ParametersRef is a reference to a resource that contains the configuration parameters
    /// corresponding to the Gateway. This is optional if the controller does not require any additional
    /// configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<LocalParametersReference>,
}

/// Spec defines the desired state of Gateway.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Addresses requested for this Gateway. This is optional and behavior can depend on the
    /// implementation. If a value is set in the spec and the requested address is invalid or
    /// unavailable, the implementation MUST indicate this in an associated entry in
    /// GatewayStatus.Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewaySpecAddress>,
    /// AllowedListeners defines which ListenerSets can be attached to this Gateway. The default value is
    /// to allow no ListenerSets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_listeners: Option<AllowedListeners>,
    /// GatewayClassName used for this Gateway. This is the name of a GatewayClass resource.
    pub gateway_class_name: String,
    /// Infrastructure defines infrastructure level attributes about this Gateway instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<GatewayInfrastructure>,
    /// Listeners associated with this Gateway. Listeners define logical endpoints that are bound on this
    /// Gateway's addresses. At least one Listener MUST be specified.
    pub listeners: Vec<Listener>,
    /// TLS specifies frontend and backend tls configuration for entire gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTLSConfig>,
}

/// GatewaySpecAddress describes an address that can be bound to a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpecAddress {
    /// Type of the address.
    #[serde(default = "gateway_spec_address_type_default")]
    pub type_: String,
    /// When a value is unspecified, an implementation SHOULD automatically assign an address matching
    /// the requested type if possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

fn gateway_spec_address_type_default() -> String {
    "IPAddress".to_owned()
}

/// Status defines the current state of Gateway.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Addresses lists the network addresses that have been bound to the Gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayStatusAddress>,
    /// AttachedListenerSets represents the total number of ListenerSets that have been successfully
    /// attached to this Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<i32>,
    /// Conditions describe the current conditions of the Gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Listeners provide status for each unique listener port defined in the Spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
}

/// GatewayStatusAddress describes a network address that is bound to a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatusAddress {
    /// Type of the address.
    #[serde(default = "gateway_status_address_type_default")]
    pub type_: String,
    /// Value of the address. The validity of the values will depend on the type and support by the
    /// controller.
    pub value: String,
}

fn gateway_status_address_type_default() -> String {
    "IPAddress".to_owned()
}

/// TLS specifies frontend and backend tls configuration for entire gateway.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayTLSConfig {
    /// Backend describes TLS configuration for gateway when connecting to backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<GatewayBackendTLS>,
    /// Frontend describes TLS config when client connects to Gateway. Support: Core
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<FrontendTLSConfig>,
}

/// Listener embodies the concept of a logical endpoint where a Gateway accepts network connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// AllowedRoutes defines the types of routes that MAY be attached to a Listener and the trusted
    /// namespaces where those Route resources MAY be present.
    #[serde(default = "listener_allowed_routes_default")]
    pub allowed_routes: AllowedRoutes,
    /// Hostname specifies the virtual hostname to match for protocol types that define this concept.
    /// When unspecified, all hostnames are matched. This field is ignored for protocols that don't
    /// require hostname based matching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Name is the name of the Listener. This name MUST be unique within a Gateway.
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

fn listener_allowed_routes_default() -> AllowedRoutes {
    AllowedRoutes {
        kinds: std::default::Default::default(),
        namespaces: RouteNamespaces {
            from: FromNamespaces::Same,
            selector: std::default::Default::default(),
        },
    }
}

/// Namespaces defines which namespaces ListenerSets can be attached to this Gateway. The default value
/// is to allow no ListenerSets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerNamespaces {
    /// From indicates where ListenerSets can attach to this Gateway. Possible values are:
    #[serde(default = "listener_namespaces_from_default")]
    pub from: FromListenerNamespaces,
    /// Selector must be specified when From is set to "Selector". In that case, only ListenerSets in
    /// Namespaces matching this Selector will be selected by this Gateway. This field is ignored for
    /// other values of "From".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

fn listener_namespaces_from_default() -> FromListenerNamespaces {
    FromListenerNamespaces::None
}

/// ListenerStatus is the status associated with a Listener.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
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

/// ParametersRef is a reference to a resource that contains the configuration parameters corresponding
/// to the Gateway. This is optional if the controller does not require any additional configuration.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalParametersReference {
    /// Group is the group of the referent.
    pub group: String,
    /// Kind is kind of the referent.
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
}

/// ObjectReference identifies an API object including its namespace.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Group is the group of the referent. For example, "gateway.networking.k8s.io". When set to the
    /// empty string, core API group is inferred.
    pub group: String,
    /// Kind is kind of the referent. For example "ConfigMap" or "Service".
    pub kind: String,
    /// Name is the name of the referent.
    pub name: String,
    /// Namespace is the namespace of the referenced object. When unspecified, the local namespace is
    /// inferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Default specifies the default client certificate validation configuration for all Listeners handling
/// HTTPS traffic, unless a per-port configuration is defined.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TLSConfig {
    /// Validation holds configuration information for validating the frontend (client). Setting this
    /// field will result in mutual authentication when connecting to the gateway. In browsers this may
    /// result in a dialog appearing that requests a user to specify the client certificate. The maximum
    /// depth of a certificate chain accepted in verification is Implementation specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<FrontendTLSValidation>,
}

/// As the Gateway API has it.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TLSPortConfig {
    /// The Port indicates the Port Number to which the TLS configuration will be applied. This
    /// configuration will be applied to all Listeners handling HTTPS traffic that match this port.
    pub port: u16,
    /// TLS store the configuration that will be applied to all Listeners handling HTTPS traffic and
    /// matching given port.
    pub tls: TLSConfig,
}
