//! What anybody may see of certificates: for operators.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use byrnie_plan::TrustBundle;

/// The public face of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Serial number in hexadecimal.
    pub serial: String,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
}

/// The roots of a bundle, in its order; one that cannot be read is left out.
pub fn describe_roots(bundle: &TrustBundle) -> Vec<Described> {
    bundle.roots_der.iter().filter_map(|der| describe(der)).collect()
}

pub(crate) fn describe(der: &[u8]) -> Option<Described> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let moment = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some(Described {
        serial: certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
        not_before: moment(certificate.validity().not_before.timestamp()),
        not_after: moment(certificate.validity().not_after.timestamp()),
    })
}
