//! Trust bundles as PEM, the form in which a proxy gets its first one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use byrnie_plan::TrustBundle;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::IdentityError;

/// Most roots in a bundle: a rotation needs two, links to other meshes get bundles of their own.
const MAX_ROOTS: usize = 16;

/// The bundle as a PEM file.
pub fn bundle_to_pem(bundle: &TrustBundle) -> String {
    bundle.roots_der.iter().map(|der| pem_block("CERTIFICATE", der)).collect()
}

/// Reads a PEM file. The trust domain is that of the roots (`spiffe://<trust-domain>` as their URI SAN, X509-SVID
/// section 3.2); roots of two domains in one file are refused.
pub fn bundle_from_pem(pem: &[u8]) -> Result<TrustBundle, IdentityError> {
    let mut roots_der = Vec::new();
    let mut trust_domain = None;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| IdentityError::Bundle("not PEM certificates"))?;
        let domain =
            root_trust_domain(&certificate).ok_or(IdentityError::Bundle("a root names no trust domain"))?;
        if trust_domain.get_or_insert_with(|| domain.clone()) != &domain {
            return Err(IdentityError::Bundle("roots of more than one trust domain"));
        }
        roots_der.push(certificate.to_vec());
    }
    let trust_domain = trust_domain.ok_or(IdentityError::Bundle("no root certificate in it"))?;
    if roots_der.len() > MAX_ROOTS {
        return Err(IdentityError::Bundle("more than 16 roots"));
    }
    Ok(TrustBundle { trust_domain, roots_der })
}

/// The trust domain that a root's own URI SAN names.
pub(crate) fn root_trust_domain(der: &[u8]) -> Option<String> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let san = certificate.subject_alternative_name().ok()??;
    let mut uris = san.value.general_names.iter().filter_map(|name| match name {
        x509_parser::extensions::GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let domain = uris.next()?.strip_prefix("spiffe://")?;
    if uris.next().is_some() || !is_trust_domain(domain) {
        return None;
    }
    Some(domain.to_owned())
}

/// Whether `text` can be a trust domain: judged by the one strict parser of identities.
pub(crate) fn is_trust_domain(text: &str) -> bool {
    format!("spiffe://{text}/ns/a/sa/a").parse::<byrnie_plan::WorkloadIdentity>().is_ok()
}

/// One PEM block with lines of 64 characters (RFC 7468).
pub(crate) fn pem_block(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
