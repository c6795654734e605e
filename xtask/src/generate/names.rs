//! The Go names of the Gateway API's types, by where they stand in the CRDs: a CRD itself has no type names.

/// `(kind prefix, path suffix, name)`; the first row that fits counts. `[]` is a list's item. An empty prefix fits
/// every kind. A name in `META` is a type of `crate::meta`.
const NAMES: &[(&str, &str, &str)] = &[
    ("", ".conditions[]", "Condition"),
    ("", ".namespaces.selector", "LabelSelector"),
    // routes
    ("ListenerSet", ".spec.parentRef", "ParentGatewayReference"),
    ("", ".parentRefs[]", "ParentReference"),
    ("", ".parentRef", "ParentReference"),
    ("HTTPRoute", ".spec.rules[]", "HTTPRouteRule"),
    ("GRPCRoute", ".spec.rules[]", "GRPCRouteRule"),
    ("TCPRoute", ".spec.rules[]", "TCPRouteRule"),
    ("TLSRoute", ".spec.rules[]", "TLSRouteRule"),
    ("UDPRoute", ".spec.rules[]", "UDPRouteRule"),
    ("HTTPRoute", ".backendRefs[]", "HTTPBackendRef"),
    ("GRPCRoute", ".backendRefs[]", "GRPCBackendRef"),
    ("", ".backendRefs[]", "BackendRef"),
    ("HTTPRoute", ".filters[]", "HTTPRouteFilter"),
    ("GRPCRoute", ".filters[]", "GRPCRouteFilter"),
    ("HTTPRoute", ".filters[].type", "HTTPRouteFilterType"),
    ("GRPCRoute", ".filters[].type", "GRPCRouteFilterType"),
    ("", ".filters[].cors", "HTTPCORSFilter"),
    ("", ".cors.allowMethods[]", "HTTPMethodWithWildcard"),
    ("", ".requestHeaderModifier", "HTTPHeaderFilter"),
    ("", ".responseHeaderModifier", "HTTPHeaderFilter"),
    ("", "HeaderModifier.add[]", "HTTPHeader"),
    ("", "HeaderModifier.set[]", "HTTPHeader"),
    ("", ".requestMirror", "HTTPRequestMirrorFilter"),
    ("", ".requestMirror.backendRef", "BackendObjectReference"),
    ("", ".requestMirror.fraction", "Fraction"),
    ("", ".requestRedirect", "HTTPRequestRedirectFilter"),
    ("", ".requestRedirect.scheme", "RedirectScheme"),
    ("", ".requestRedirect.path", "HTTPPathModifier"),
    ("", ".requestRedirect.path.type", "HTTPPathModifierType"),
    ("", ".urlRewrite", "HTTPURLRewriteFilter"),
    ("", ".urlRewrite.path", "HTTPPathModifier"),
    ("", ".urlRewrite.path.type", "HTTPPathModifierType"),
    ("", ".extensionRef", "LocalObjectReference"),
    ("HTTPRoute", ".matches[]", "HTTPRouteMatch"),
    ("HTTPRoute", ".matches[].method", "HTTPMethod"),
    ("HTTPRoute", ".matches[].path", "HTTPPathMatch"),
    ("HTTPRoute", ".matches[].path.type", "PathMatchType"),
    ("HTTPRoute", ".matches[].headers[]", "HTTPHeaderMatch"),
    ("HTTPRoute", ".matches[].headers[].type", "ValueMatchType"),
    ("HTTPRoute", ".matches[].queryParams[]", "HTTPQueryParamMatch"),
    ("HTTPRoute", ".matches[].queryParams[].type", "ValueMatchType"),
    ("HTTPRoute", ".timeouts", "HTTPRouteTimeouts"),
    ("HTTPRoute", ".retry", "HTTPRouteRetry"),
    ("GRPCRoute", ".matches[]", "GRPCRouteMatch"),
    ("GRPCRoute", ".matches[].method", "GRPCMethodMatch"),
    ("GRPCRoute", ".matches[].method.type", "ValueMatchType"),
    ("GRPCRoute", ".matches[].headers[]", "GRPCHeaderMatch"),
    ("GRPCRoute", ".matches[].headers[].type", "ValueMatchType"),
    ("HTTPRoute", ".status", "RouteStatus"),
    ("GRPCRoute", ".status", "RouteStatus"),
    ("TCPRoute", ".status", "RouteStatus"),
    ("TLSRoute", ".status", "RouteStatus"),
    ("UDPRoute", ".status", "RouteStatus"),
    ("", ".status.parents[]", "RouteParentStatus"),
    // Gateways and ListenerSets
    ("Gateway", "GatewayClass.spec.parametersRef", "ParametersReference"),
    ("GatewayClass", ".supportedFeatures[]", "SupportedFeature"),
    ("Gateway", ".spec.listeners[]", "Listener"),
    ("ListenerSet", ".spec.listeners[]", "ListenerEntry"),
    ("Gateway", ".spec.addresses[]", "GatewaySpecAddress"),
    ("Gateway", ".status.addresses[]", "GatewayStatusAddress"),
    ("", ".allowedRoutes", "AllowedRoutes"),
    ("", ".allowedRoutes.kinds[]", "RouteGroupKind"),
    ("", ".supportedKinds[]", "RouteGroupKind"),
    ("", ".allowedRoutes.namespaces", "RouteNamespaces"),
    ("", ".allowedRoutes.namespaces.from", "FromNamespaces"),
    ("", ".allowedListeners", "AllowedListeners"),
    ("", ".allowedListeners.namespaces", "ListenerNamespaces"),
    ("", ".allowedListeners.namespaces.from", "FromListenerNamespaces"),
    ("", ".listeners[].tls", "ListenerTLSConfig"),
    ("", ".listeners[].tls.mode", "TLSMode"),
    ("", ".certificateRefs[]", "SecretObjectReference"),
    ("", ".clientCertificateRef", "SecretObjectReference"),
    ("Gateway", ".caCertificateRefs[]", "ObjectReference"),
    ("Gateway", ".spec.infrastructure", "GatewayInfrastructure"),
    ("Gateway", ".infrastructure.parametersRef", "LocalParametersReference"),
    ("Gateway", ".spec.tls", "GatewayTLSConfig"),
    ("Gateway", ".spec.tls.backend", "GatewayBackendTLS"),
    ("Gateway", ".spec.tls.frontend", "FrontendTLSConfig"),
    ("Gateway", ".frontend.default", "TLSConfig"),
    ("Gateway", ".frontend.perPort[]", "TLSPortConfig"),
    ("Gateway", ".frontend.perPort[].tls", "TLSConfig"),
    ("Gateway", ".validation", "FrontendTLSValidation"),
    ("Gateway", ".validation.mode", "FrontendValidationMode"),
    ("Gateway", ".status.listeners[]", "ListenerStatus"),
    ("ListenerSet", ".status.listeners[]", "ListenerEntryStatus"),
    // the rest
    ("BackendTLSPolicy", ".targetRefs[]", "LocalPolicyTargetReferenceWithSectionName"),
    ("BackendTLSPolicy", ".validation", "BackendTLSPolicyValidation"),
    ("BackendTLSPolicy", ".caCertificateRefs[]", "LocalObjectReference"),
    ("BackendTLSPolicy", ".subjectAltNames[]", "SubjectAltName"),
    ("BackendTLSPolicy", ".subjectAltNames[].type", "SubjectAltNameType"),
    ("BackendTLSPolicy", ".status", "PolicyAncestorsStatus"),
    ("BackendTLSPolicy", ".status.ancestors[]", "PolicyAncestorStatus"),
    ("BackendTLSPolicy", ".ancestorRef", "ParentReference"),
    ("ReferenceGrant", ".from[]", "ReferenceGrantFrom"),
    ("ReferenceGrant", ".to[]", "ReferenceGrantTo"),
];

/// Types of `crate::meta` that the CRDs repeat.
pub const META: &[&str] = &["Condition", "LabelSelector"];

/// The name of the type at a path such as `HTTPRoute.spec.rules[]`; `parent` is the name of the enclosing type.
pub fn type_name(path: &str, parent: &str) -> String {
    let kind = path.split('.').next().unwrap_or_default();
    let row = NAMES.iter().find(|(prefix, suffix, _)| {
        (prefix.is_empty() || kind == *prefix || suffix.starts_with(&format!("{kind}.")))
            && path.ends_with(suffix)
    });
    match row {
        Some((_, _, name)) => (*name).to_owned(),
        None => {
            let field = path.rsplit('.').next().unwrap_or_default().trim_end_matches("[]");
            format!("{parent}{}", capitalised(field))
        }
    }
}

/// With the first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}
