//! Rules of a BackendTLSPolicy.

use super::Issues;
use crate::codes;
use crate::generated::{BackendTLSPolicySpec, BackendTLSPolicyValidation, SubjectAltNameType};

pub(super) fn backend_tls_policy(spec: &BackendTLSPolicySpec, issues: &mut Issues) {
    for (index, target) in spec.target_refs.iter().enumerate() {
        let section = |section: &Option<String>| section.clone().filter(|name| !name.is_empty());
        let mut same = spec.target_refs[..index].iter().filter(|other| {
            (&other.group, &other.kind, &other.name) == (&target.group, &target.kind, &target.name)
        });
        let ambiguous = same.any(|other| {
            let (one, two) = (section(&other.section_name), section(&target.section_name));
            one == two || one.is_none() || two.is_none()
        });
        if ambiguous {
            let message = format!("{} {} is named twice", target.kind, target.name);
            issues.error(codes::PARENT_REFS, format!("spec.targetRefs[{index}]"), message);
        }
    }
    validation(&spec.validation, issues);
}

fn validation(validation: &BackendTLSPolicyValidation, issues: &mut Issues) {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let well_known = given(&validation.well_known_ca_certificates);
    if well_known != validation.ca_certificate_refs.is_empty() {
        let message = "exactly one of caCertificateRefs and wellKnownCACertificates must be given";
        issues.error(codes::TLS_VALIDATION, "spec.validation", message);
    }
    for (index, name) in validation.subject_alt_names.iter().enumerate() {
        let wanted = match name.type_ {
            SubjectAltNameType::Hostname => (true, false),
            SubjectAltNameType::Uri => (false, true),
        };
        if (given(&name.hostname), given(&name.uri)) != wanted {
            let message = "exactly the field of the type must be set";
            issues.error(codes::TLS_VALIDATION, format!("spec.validation.subjectAltNames[{index}]"), message);
        }
    }
}
