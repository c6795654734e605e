//! Asking the control plane for a certificate. What to ask with and what to do with the answer is the
//! caller's.

use std::time::Duration;

use byrnie_plan::TrustBundle;
use tokio::time::timeout;
use tonic::Code;

use crate::client::{Connector, channel, explain};
use crate::convert::bundle_from_proto;
use crate::convert::field::{at, invalid, list};
use crate::error::DecodeError;
use crate::generated as pb;
use crate::generated::identity_client::IdentityClient;
use crate::limits::MAX_CLIENT_MESSAGE;

/// Time for one attempt, connecting included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Certificates in a chain, the leaf included.
const MAX_CHAIN: usize = 8;

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Leaf first, without the root; never empty.
    pub chain_der: Vec<Vec<u8>>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970, after `not_before`.
    pub not_after: i64,
    /// The roots to verify peers with.
    pub trust: TrustBundle,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Nobody answered, or the control plane cannot answer now: try again later.
    #[error("{0}")]
    Unavailable(String),
    /// The control plane says no: the same question gets the same answer.
    #[error("{0}")]
    Refused(String),
    /// Its answer cannot be read.
    #[error("{code}: {0}", code = .0.code())]
    Unreadable(#[from] DecodeError),
}

/// One attempt to get a certificate: with a one-time credential over a connection without client
/// certificate, or, with an empty one, a renewal over mTLS.
pub async fn sign(connector: &Connector, credential: &[u8], csr_der: &[u8]) -> Result<Signed, SignError> {
    let attempt = async {
        let channel = channel(connector).await.map_err(SignError::Unavailable)?;
        let mut client = IdentityClient::new(channel).max_decoding_message_size(MAX_CLIENT_MESSAGE);
        let request = pb::SignRequest { credential: credential.to_vec(), csr_der: csr_der.to_vec() };
        let response = client.sign(request).await.map_err(|status| {
            let why = explain(&status);
            match status.code() {
                Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument => {
                    SignError::Refused(why)
                }
                _ => SignError::Unavailable(why),
            }
        })?;
        Ok(Signed::from_proto(response.into_inner())?)
    };
    let late = || SignError::Unavailable("BYR0369: no answer from the control plane within 10 s".to_owned());
    timeout(TIMEOUT, attempt).await.unwrap_or_else(|_| Err(late()))
}

impl Signed {
    fn from_proto(wire: pb::SignResponse) -> Result<Self, DecodeError> {
        let bundle = pb::TrustBundle { trust_domain: wire.trust_domain, roots_der: wire.roots_der };
        let chain_der = list("chain_der", wire.chain_der, MAX_CHAIN, |certificate| {
            if certificate.is_empty() { Err(invalid("a certificate")) } else { Ok(certificate) }
        })?;
        if chain_der.is_empty() {
            return Err(invalid("a certificate").within("chain_der"));
        }
        if wire.not_after <= wire.not_before {
            return Err(invalid("after not_before").within("not_after"));
        }
        Ok(Self {
            chain_der,
            not_before: wire.not_before,
            not_after: wire.not_after,
            trust: at("trust", bundle_from_proto(bundle))?,
        })
    }
}
