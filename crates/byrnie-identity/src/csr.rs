//! Reading a certificate signing request: the proof of possession and the public key, nothing else.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256};
use x509_parser::prelude::FromDer;

use crate::error::IdentityError;

/// Longest request that is looked at, in bytes. One with a P-256 key and no wishes is 250.
const MAX_REQUEST: usize = 16 * 1024;

/// Verifies the request's self-signature and returns its public key. Subject, SANs, CA flag and every other
/// wish are not even read: the certificate is rebuilt from the attested identity.
pub(crate) fn public_key(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, IdentityError> {
    if csr_der.len() > MAX_REQUEST {
        return Err(IdentityError::RequestMalformed);
    }
    let (rest, request) =
        X509CertificationRequest::from_der(csr_der).map_err(|_| IdentityError::RequestMalformed)?;
    if !rest.is_empty() {
        return Err(IdentityError::RequestMalformed);
    }
    let info = &request.certification_request_info;
    let spki = &info.subject_pki;
    let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    if spki.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY
        || curve != Some(OID_EC_P256)
        || request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256
    {
        return Err(IdentityError::RequestKey);
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, spki.subject_public_key.data.as_ref())
        .verify(info.raw, request.signature_value.data.as_ref())
        .map_err(|_| IdentityError::RequestSignature)?;
    SubjectPublicKeyInfo::from_der(spki.raw).map_err(|_| IdentityError::RequestKey)
}
