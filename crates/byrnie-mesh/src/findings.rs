//! What the compiler tells the operator. The codes (BYR01xx) with meaning and remedy stand in `byrnie-api`.

pub(crate) use byrnie_api::codes::*;
use byrnie_api::{Finding, Severity};

use crate::model::Meta;

/// A finding about a field of an object.
pub(crate) fn finding(
    code: Code,
    meta: &Meta,
    field: impl Into<String>,
    message: impl Into<String>,
) -> Finding {
    Finding::new(code, severity(code), message).about(meta.key.clone()).field(field)
}

/// Errors are what is not in force or fails requests; warnings work, but hardly as meant.
pub(crate) fn severity(code: Code) -> Severity {
    match code {
        PORT_NOT_PROXIED | PROFILE_CLASSES | HOSTS_OVERLAP | LISTENER_UNUSED | FAULT_EXPIRED => {
            Severity::Info
        }
        WEIGHTS_ZERO
        | SERVICE_WITHOUT_WORKLOADS
        | TARGET_PORT_UNKNOWN
        | SERVICE_PORT_TWICE
        | APP_PROTOCOL_UNKNOWN
        | PROTOCOLS_DIFFER
        | UPSTREAM_UNKNOWN
        | TOO_MANY_UPSTREAMS
        | POLICY_WITHOUT_TARGET
        | SUBSET_EMPTY
        | POLICY_OVERRULED
        | POLICY_FIELD_POINTLESS
        | EXPIRY_CUT
        | MESH_IGNORED
        | RULE_SHADOWED
        | RETRIES_UNBOUNDED
        | RETRIES_WITHOUT_TIME
        | RETRIES_MULTIPLY
        | ROUTE_PROTOCOL
        | IDENTITY_UNKNOWN => Severity::Warning,
        _ => Severity::Error,
    }
}
