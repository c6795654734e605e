//! A root that signs whatever a test asks for.

use std::time::{Duration, SystemTime};

use byrnie_plan::{TrustBundle, WorkloadIdentity};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    SanType,
};
use time::OffsetDateTime;

use crate::svid::{KeyPair, Svid};

pub(crate) struct TestRoot {
    pub(crate) der: Vec<u8>,
    pub(crate) issuer: Issuer<'static, rcgen::KeyPair>,
}

pub(crate) fn identity(text: &str) -> WorkloadIdentity {
    text.parse().unwrap()
}

pub(crate) fn web() -> WorkloadIdentity {
    identity("spiffe://cluster.local/ns/shop/sa/web")
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// What our own authority would write for [`web`], valid for an hour around now.
pub(crate) fn leaf_params() -> CertificateParams {
    let hour = Duration::from_secs(3600);
    let mut params = CertificateParams::default();
    params.not_before = OffsetDateTime::from(SystemTime::now() - hour);
    params.not_after = OffsetDateTime::from(SystemTime::now() + hour);
    params.subject_alt_names = vec![uri(&web().to_string())];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

impl TestRoot {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = authority_params("test root");
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        TrustBundle { trust_domain: "cluster.local".to_owned(), roots_der: vec![self.der.clone()] }
    }

    pub(crate) fn leaf(&self, params: &CertificateParams) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().to_vec()
    }

    pub(crate) fn svid(&self, who: &WorkloadIdentity) -> Svid {
        let mut params = leaf_params();
        params.subject_alt_names = vec![uri(&who.to_string())];
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().to_vec()];
        Svid::new(KeyPair::from_pkcs8(key.serialized_der()), chain, SystemTime::now()).unwrap()
    }
}
